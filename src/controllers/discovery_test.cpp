#include "controllers/discovery.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "client/test_support.h"
#include "controllers/test_objects.h"

namespace kybern::controllers {
namespace {

using namespace testing_objects;

// "v1/pods apps/v1/deployments", and what failed.
std::string discovered(const std::map<std::string, std::string>& answers) {
  client::testing_support::FeedTransport transport;
  transport.answer = [&](const client::Call& call) -> ApiResult<Document> {
    const auto found = answers.find(call.path);
    if (found == answers.end()) return fail(service_unavailable("down"));
    if (call.path == "/apis") return json(found->second);
    Draft list = Draft::object();
    for (std::string_view rest = found->second; !rest.empty();) {
      const std::string_view name = rest.substr(0, rest.find(' '));
      list["resources"].push_back(Draft::object({{"name", name}, {"kind", "K"}, {"namespaced", true}}));
      rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    }
    return list.freeze();
  };
  const Result<Discovered> found = discover(transport);
  if (!found) return "nothing";
  std::string out;
  for (const ApiResource& r : found->resources) out += (out.empty() ? "" : " ") + r.api_version + "/" + r.resource;
  for (const std::string& failed : found->failed) out += "; " + failed;
  return out;
}

const std::string two_versions =
    R"({"groups":[{"name":"g","versions":[{"groupVersion":"g/v2"},{"groupVersion":"g/v1"},{"groupVersion":"g/v1alpha1"}],"preferredVersion":{"groupVersion":"g/v1"}},)"
    R"({"name":"h","versions":[{"groupVersion":"h/v1"}],"preferredVersion":{"groupVersion":"h/v1"}}]})";

TEST(Discovery, EachResourceIsOfOneVersion) {
  EXPECT_EQ(discovered({{"/api/v1", "pods pods/log"},
                        {"/apis", two_versions},
                        {"/apis/g/v1", "foos foos/status"},
                        {"/apis/g/v2", "foos bars"},
                        {"/apis/g/v1alpha1", "bars bazes"},
                        {"/apis/h/v1", "foos"}}),
            "v1/pods g/v1/foos g/v2/bars g/v1alpha1/bazes h/v1/foos");
}

// What its later versions serve may be served by the one that does not answer.
TEST(Discovery, AVersionThatDoesNotAnswerEndsItsGroup) {
  EXPECT_EQ(
      discovered(
          {{"/api/v1", "pods"}, {"/apis", two_versions}, {"/apis/g/v1", "foos"}, {"/apis/g/v1alpha1", "bars"}, {"/apis/h/v1", "foos"}}),
      "v1/pods g/v1/foos h/v1/foos; g/v2: down");
  EXPECT_EQ(discovered({{"/api/v1", "pods"}, {"/apis", two_versions}, {"/apis/g/v2", "foos"}, {"/apis/h/v1", "foos"}}),
            "v1/pods h/v1/foos; g/v1: down");
  EXPECT_EQ(discovered({{"/api/v1", "pods"}}), "nothing");
}

}  // namespace
}  // namespace kybern::controllers
