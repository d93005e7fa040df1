// What the schema's tests share. Not part of the library.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include "document/document.h"
#include "document/json.h"

namespace kybern::schema::test {

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline Document parse(std::string_view text) {
  auto document = parse_json(text);
  EXPECT_TRUE(document) << document.error().message << ": " << text;
  return document ? *document : Document();
}

}  // namespace kybern::schema::test
