#include <gtest/gtest.h>

#include "document/json.h"
#include "machinery/custom/definition.h"

namespace kybern::custom {
namespace {

using Lines = std::vector<std::string>;

// Formats of texts alone, once for versions that are alike, and only those that are new.
TEST(DefinitionWarnings, UnknownFormats) {
  auto definition = [](const std::string& schemas) { return *parse_json(R"({"spec":{"versions":[)" + schemas + "]}}"); };
  auto version = [](const std::string& properties) {
    return R"({"schema":{"openAPIV3Schema":{"type":"object","properties":{)" + properties + "}}}}";
  };
  const std::string good = version(
      R"("a":{"type":"string","format":"date-time"},"b":{"type":"string","format":"datetime"},"c":{"type":"integer","format":"odd"},)"
      R"("d":{"type":"string","format":"password"},"e":{"type":"string","format":"k8s-short-name"},"f":{"type":"string"})");
  const std::string odd = version(R"("a":{"type":"array","items":{"type":"string","format":"odd"}},)"
                                  R"("b":{"type":"object","additionalProperties":{"type":"string","format":"int32"}})");
  EXPECT_EQ(definition_warnings(definition(good), {}), Lines());
  const Lines both = {R"(unrecognized format "odd")", R"(unrecognized format "int32")"};
  EXPECT_EQ(definition_warnings(definition(odd), {}), both);
  EXPECT_EQ(definition_warnings(definition(odd + "," + odd), {}), both);
  EXPECT_EQ(definition_warnings(definition(odd), definition(odd)), Lines());
  EXPECT_EQ(definition_warnings(definition(odd), definition(version(R"("a":{"type":"string","format":"odd"})"))), Lines{both[1]});
}

}  // namespace
}  // namespace kybern::custom
