// Lists and the beginning of watches: what the options may say together, and which state answers (the page "Kubernetes API
// Concepts", KEP-2340, KEP-3157).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "apiserver/registry/continue.h"
#include "apiserver/testing/asking.h"
#include "base/strings.h"

namespace kybern::apiserver {
namespace {

class ListTest : public ::testing::Test {
 protected:
  ListTest() {
    must("create", "v1/namespaces", "{metadata: {name: d}}", "");
    for (const char* name : {"a", "b", "c"})
      must("create", "v1/configmaps", fmt::format("{{metadata: {{name: {}, labels: {{k: {}}}}}}}", name, name));
  }
  void must(std::string_view verb, std::string_view path, const std::string& body, std::string_view ns = "d") {
    EXPECT_EQ(asking_.refusal(verb, path, body, ns), "") << path;
  }
  Work work() {
    RequestInfo info;
    info.is_resource = true;
    info.verb = "list";
    info.version = "v1";
    info.resource = "configmaps";
    info.ns = "d";
    return *begin_work(asking_.registry(), asking_.user, info, Query(""));
  }
  // "a,b [more] [left=n]", or the refusal.
  std::string list(const std::string& query) {
    Work w = work();
    auto options = read_list_options(*w.served, Query(query));
    if (!options) return fmt::format("{} {}", options.error().code, options.error().message);
    auto listing = asking_.registry().list(w, *options);
    if (!listing) return last_ = listing.error(), fmt::format("{} {}", listing.error().code, listing.error().message);
    std::string out;
    while (Document object = listing->next()) out += (out.empty() ? "" : ",") + object["metadata"]["name"].str();
    token_ = listing->continue_token();
    version_ = listing->resource_version;
    if (!token_.empty()) out += " more";
    if (auto left = listing->remaining()) out += fmt::format(" left={}", *left);
    return out;
  }
  // "initial: a,b bookmark" or "after N", or the refusal.
  std::string watch(const std::string& query) {
    Work w = work();
    auto options = read_list_options(*w.served, Query("watch=true&" + query));
    if (!options) return fmt::format("{} {}", options.error().code, options.error().message);
    auto plan = asking_.registry().watch(w, *options);
    if (!plan) return fmt::format("{} {}", plan.error().code, plan.error().message);
    if (!plan->initial) return plan->initial_bookmark ? "bookmark" : "later";
    std::string out = "initial:";
    while (Document object = plan->initial->next()) out += " " + object["metadata"]["name"].str();
    return plan->initial_bookmark ? out + " bookmark" : out;
  }

  testing::Asking asking_;
  std::string token_, version_;
  Status last_;
};

constexpr std::string_view refused = "422 ListOptions.meta.k8s.io \"\" is invalid: ";

TEST_F(ListTest, OptionsOfListsTogether) {
  const std::string now = std::to_string(asking_.registry().store().revision());
  must("create", "v1/configmaps", "{metadata: {name: x}}");  // after `now`
  struct Row {
    std::string query, answer;
  };
  const Row rows[] = {
      {"", "a,b,c,x"},
      {"resourceVersion=0", "a,b,c,x"},
      {"resourceVersion=" + now, "a,b,c,x"},
      {"resourceVersion=" + now + "&resourceVersionMatch=NotOlderThan", "a,b,c,x"},
      {"resourceVersion=" + now + "&resourceVersionMatch=Exact", "a,b,c"},
      {"resourceVersion=" + now + "&limit=2", "a,b more left=1"},  // a page of a version is of exactly that one
      {"resourceVersion=" + now + "&limit=2&resourceVersionMatch=NotOlderThan", "a,b more left=2"},
      {"resourceVersion=0&limit=2", "a,b,c,x"},  // as upstream's cache, which knows no pages of it
      {"resourceVersion=0&limit=2&resourceVersionMatch=NotOlderThan", "a,b,c,x"},
      {"limit=2", "a,b more left=2"},
      {"limit=4", "a,b,c,x"},
      {"limit=-1", "a,b,c,x"},
      {"limit=1&labelSelector=k+in+(a,b)", "a more"},  // what is left is not told with a selector
      {"limit=1&labelSelector=k+in+(a)", "a"},
      {"fieldSelector=metadata.name%3Db", "b"},
      {"resourceVersionMatch=Exact",
       std::string(refused) + "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"},
      {"resourceVersionMatch=NotOlderThan",
       std::string(refused) + "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"},
      {"resourceVersion=0&resourceVersionMatch=Exact",
       std::string(refused) + "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""},
      {"resourceVersion=1&resourceVersionMatch=Some",
       std::string(refused) + "resourceVersionMatch: Unsupported value: \"Some\": supported values: \"Exact\", \"NotOlderThan\", \"\""},
      {"sendInitialEvents=true", std::string(refused) + "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"},
      {"resourceVersion=x", "500 resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax"},
      {"resourceVersion=-1", "500 resourceVersion: Invalid value: \"-1\": strconv.ParseUint: parsing \"-1\": invalid syntax"},
      {"resourceVersion=18446744073709551616",
       "500 resourceVersion: Invalid value: \"18446744073709551616\": strconv.ParseUint: parsing "
       "\"18446744073709551616\": value out of range"},
      {"limit=", "400 strconv.ParseInt: parsing \"\": invalid syntax"},
      {"limit=x", "400 strconv.ParseInt: parsing \"x\": invalid syntax"},
  };
  for (const Row& row : rows) EXPECT_EQ(list(row.query), row.answer) << row.query;
  for (const char* query :
       {"resourceVersion=999999", "resourceVersion=999999&limit=1", "resourceVersion=999999&resourceVersionMatch=Exact"}) {
    EXPECT_TRUE(list(query).starts_with("504 Timeout: Too large resource version: 999999, current: ")) << query;
    EXPECT_EQ(last_.reason, "Timeout");
    EXPECT_EQ(last_.retry_after_seconds, 1);
    ASSERT_EQ(last_.causes.size(), 1U);
    EXPECT_EQ(last_.causes[0].reason + ": " + last_.causes[0].message, "ResourceVersionTooLarge: Too large resource version");
  }
}

TEST_F(ListTest, PagesAreOfOneState) {
  EXPECT_EQ(list("limit=1"), "a more left=2");
  const std::string first = token_, version = version_;
  must("create", "v1/configmaps", "{metadata: {name: aa}}");
  EXPECT_EQ(list("limit=1&continue=" + first), "b more left=1");
  EXPECT_EQ(version_, version);
  EXPECT_EQ(list("continue=" + first), "b,c") << "the rest at once";
  EXPECT_EQ(list("resourceVersion=5&continue=" + first), "400 specifying resource version is not allowed when using continue");
  EXPECT_EQ(list("resourceVersion=5&resourceVersionMatch=Exact&continue=" + first).substr(0, 90),
            std::string(refused) + "resourceVersionMatch: Forbidden: resourceVersio");
  // A token of no state goes on in the newest.
  auto token = decode_continue(first);
  ASSERT_TRUE(token);
  EXPECT_EQ(list("limit=1&continue=" + encode_continue(-1, token->start)), "aa more left=2");
  EXPECT_NE(version_, version);
  // Upstream's messages (apiserver/pkg/storage/continue.go).
  const std::pair<std::string, std::string> bad[] = {
      {"ab!d", "illegal base64 data at input byte 2"},
      {base64url_encode("{}"), "server does not recognize this encoded version "},
      {base64url_encode(R"({"v":"v2","rv":5,"start":"a"})"), "server does not recognize this encoded version v2"},
      {base64url_encode(R"({"v":"meta.k8s.io/v1","rv":0,"start":"a"})"),
       "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"},
      {base64url_encode(R"({"v":"meta.k8s.io/v1","rv":5,"start":""})"), "encoded start key empty (version meta.k8s.io/v1)"},
      {base64url_encode(R"({"v":"meta.k8s.io/v1","rv":5,"start":"../x"})"), "../x"},
      {base64url_encode(R"({"v":"meta.k8s.io/v1","rv":5,"start":"./x"})"), "./x"},
      {base64url_encode(R"({"v":"meta.k8s.io/v1","rv":5,"start":"x//y"})"), "x//y"},
  };
  for (const auto& [key, why] : bad)
    EXPECT_EQ(list("continue=" + key), "400 invalid continue token: continue key is not valid: " + why) << key;
}

TEST_F(ListTest, AnExpiredTokenComesWithAnotherOne) {
  const std::string old = encode_continue(1, "a");
  Document status = expired_continue(gone("too old"), old);
  EXPECT_EQ(status["code"].as_int(), 410);
  EXPECT_EQ(status["reason"].as_string(), "Expired");
  auto fresh = decode_continue(status["metadata"]["continue"].as_string());
  ASSERT_TRUE(fresh);
  EXPECT_EQ(fresh->revision, -1);
  EXPECT_EQ(fresh->start, "a");
}

TEST_F(ListTest, OptionsOfWatchesTogether) {
  const std::string now = std::to_string(asking_.registry().store().revision());
  struct Row {
    std::string query, answer;
  };
  const Row rows[] = {
      {"", "initial: a b c"},
      {"resourceVersion=0", "initial: a b c"},
      {"resourceVersion=" + now, "later"},
      {"labelSelector=k%3Db", "initial: b"},
      {"sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", "initial: a b c bookmark"},
      {"sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=" + now,
       "initial: a b c bookmark"},
      {"sendInitialEvents=true&resourceVersionMatch=NotOlderThan", "initial: a b c"},  // without bookmarks nothing tells the end
      {"sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=" + now, "initial: a b c"},
      {"sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=0", "initial: a b c"},
      {"sendInitialEvents=false&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", "later"},
      {"sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=" + now, "later"},
      {"resourceVersion=x", "500 resourceVersion: Invalid value: \"x\": strconv.ParseUint: parsing \"x\": invalid syntax"},
      {"sendInitialEvents=false&resourceVersionMatch=NotOlderThan", "later"},
      {"sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=0", "later"},
      {"sendInitialEvents=true",
       std::string(refused) + "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"},
      {"resourceVersionMatch=NotOlderThan",
       std::string(refused) +
           "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"},
      {"resourceVersionMatch=NotOlderThan&sendInitialEvents=true&continue=x",
       std::string(refused) + "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided"},
  };
  for (const Row& row : rows) EXPECT_EQ(watch(row.query), row.answer) << row.query;
  EXPECT_TRUE(
      watch("sendInitialEvents=true&resourceVersionMatch=Exact").find("Unsupported value: \"Exact\": supported values: \"NotOlderThan\"") !=
      std::string::npos);
  EXPECT_EQ(watch("resourceVersion=999999"), "later");
  EXPECT_TRUE(watch("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=999999")
                  .starts_with("504 Timeout: Too large resource version: 999999, current: "));
}

}  // namespace
}  // namespace kybern::apiserver
