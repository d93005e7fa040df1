// Every kind of golden/ (one file per kind, every field set) through both codecs, when the folder is there.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "document/json.h"
#include "document/yaml.h"
#include "schema/protobuf.h"
#include "schema/test_support.h"

namespace kybern::schema {
namespace {

using test::read_file;

std::vector<std::filesystem::path> golden() {
  std::vector<std::filesystem::path> paths;
  std::filesystem::path folder = std::filesystem::path(KYBERN_SOURCE_DIR) / "../shared/golden";
  if (std::filesystem::exists(folder)) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      if (entry.path().extension() == ".json") { paths.push_back(entry.path()); }
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

TEST(Golden, ProtobufIsReadAndWrittenByteForByte) {
  auto paths = golden();
  if (paths.empty()) { GTEST_SKIP() << "../shared/golden is not there"; }
  for (auto path : paths) {
    SCOPED_TRACE(path.filename().string());
    auto json = parse_json(read_file(path));
    ASSERT_TRUE(json) << json.error().message;
    std::string bytes = read_file(path.replace_extension(".pb"));
    if (path.stem() == "core.v1.WatchEvent") {  // has no apiVersion and kind: only the message itself is tested
      const Type& type = *find_type_named("meta.v1.WatchEvent");
      std::string inner = bytes.substr(12, bytes.size() - 16), again;
      auto event = decode_message(type, inner);
      ASSERT_TRUE(event) << event.error().message;
      EXPECT_TRUE(event->root() == json->root());
      encode_message(type, *json, again);
      EXPECT_EQ(again, inner);
      continue;
    }
    auto decoded = decode_protobuf(bytes);
    ASSERT_TRUE(decoded) << decoded.error().message;
    EXPECT_TRUE(decoded->root() == json->root()) << to_json(decoded->root()) << "\n" << to_json(json->root());
    auto encoded = encode_protobuf(*json);
    ASSERT_TRUE(encoded) << encoded.error().message;
    EXPECT_EQ(*encoded, bytes);
    EXPECT_EQ(*encode_protobuf(*decoded), bytes);
  }
}

TEST(Golden, YamlIsTheSameDocument) {
  auto paths = golden();
  if (paths.empty()) { GTEST_SKIP() << "../shared/golden is not there"; }
  for (auto path : paths) {
    SCOPED_TRACE(path.filename().string());
    auto json = parse_json(read_file(path));
    auto yaml = parse_yaml(read_file(path.replace_extension(".yaml")));
    ASSERT_TRUE(yaml) << yaml.error().message;
    ASSERT_EQ(yaml->size(), 1u);
    EXPECT_TRUE((*yaml)[0].root() == json->root());
  }
}

TEST(Golden, JsonAndYamlAreWrittenAsTheSameValue) {
  auto paths = golden();
  if (paths.empty()) { GTEST_SKIP() << "../shared/golden is not there"; }
  for (const auto& path : paths) {
    SCOPED_TRACE(path.filename().string());
    auto json = parse_json(read_file(path));
    ASSERT_TRUE(json) << json.error().message;
    auto again = parse_json(to_json(json->root()));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_TRUE(again->root() == json->root());
    std::string text;
    write_yaml(json->root(), text);
    auto yaml = parse_yaml(text);
    ASSERT_TRUE(yaml) << yaml.error().message << "\n" << text;
    ASSERT_EQ(yaml->size(), 1u);
    EXPECT_TRUE((*yaml)[0].root() == json->root()) << text;
  }
}

}  // namespace
}  // namespace kybern::schema
