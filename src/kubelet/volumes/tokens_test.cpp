// Bound service-account tokens over their life, with a clock of the test's own.
#include "kubelet/volumes/tokens.h"

#include <gtest/gtest.h>

#include <vector>

#include "document/json.h"

namespace kybern::kubelet {
namespace {

struct TestClock : Clock {
  Time now() const override { return at; }
  Instant steady() const override { return {}; }
  Time at = *parse_rfc3339("2026-03-01T12:00:00Z");
};

// Hands out tokens by number, as long as it may.
struct Api : client::Transport {
  explicit Api(TestClock& c) : clock(c) {}
  ApiResult<Document> call(client::Call call) override {
    calls.push_back(call);
    if (down) return fail(service_unavailable("the server is down"));
    auto life = std::chrono::seconds(call.body["spec"]["expirationSeconds"].as_int());
    Draft status =
        Draft::object({{"token", "token-" + std::to_string(calls.size())}, {"expirationTimestamp", format_rfc3339(clock.at + life)}});
    return Draft::object({{"status", status}}).freeze();
  }
  std::unique_ptr<client::Subscription> subscribe(std::string, std::string, client::Listener) override { return nullptr; }
  TestClock& clock;
  std::vector<client::Call> calls;
  bool down = false;
};

class TokensTest : public ::testing::Test {
 protected:
  TestClock clock;
  World machine = real_world();
  Api api{clock};
  Tokens tokens{api, World{clock, machine.random, machine.executor}};
  PodView pod = PodView::read(
      *parse_json(R"({"metadata":{"name":"web","namespace":"shop","uid":"u-1"},"spec":{"containers":[{"name":"c","image":"i"}]}})"));
  TokenWish wish{"builder", "vault", 3600};
  std::string get() { return tokens.get(pod, wish).value_or("none"); }
};

TEST_F(TokensTest, IsBoundToThePodAndItsAudience) {
  EXPECT_EQ(get(), "token-1");
  ASSERT_EQ(api.calls.size(), 1u);
  EXPECT_EQ(api.calls[0].path, "/api/v1/namespaces/shop/serviceaccounts/builder/token");
  EXPECT_EQ(
      to_json(api.calls[0].body["spec"]),
      R"({"expirationSeconds":3600,"audiences":["vault"],"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":"web","uid":"u-1"}})");
}

TEST_F(TokensTest, IsRenewedAfterFourFifthsOfItsLife) {
  EXPECT_EQ(get(), "token-1");
  EXPECT_EQ(tokens.renew_at("u-1"), clock.at + std::chrono::seconds(2880));
  clock.at += std::chrono::seconds(2879);
  EXPECT_EQ(get(), "token-1");
  clock.at += std::chrono::seconds(1);
  EXPECT_EQ(get(), "token-2");
  EXPECT_EQ(tokens.renew_at("u-1"), clock.at + std::chrono::seconds(2880));
}

TEST_F(TokensTest, IsRenewedAfterADayHoweverLongItLives) {
  wish.expiration_s = 30 * 24 * 3600;
  EXPECT_EQ(get(), "token-1");
  clock.at += std::chrono::hours(24);
  EXPECT_EQ(get(), "token-2");
}

TEST_F(TokensTest, TheOldOneServesWhileNoneCanBeHad) {
  EXPECT_EQ(get(), "token-1");
  api.down = true;
  clock.at += std::chrono::seconds(3599);
  EXPECT_EQ(get(), "token-1");
  clock.at += std::chrono::seconds(2);
  auto late = tokens.get(pod, wish);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().message, "failed to fetch token: the server is down");
  api.down = false;
  EXPECT_TRUE(tokens.get(pod, wish));
}

TEST_F(TokensTest, AForgottenPodsTokensAreGone) {
  EXPECT_EQ(get(), "token-1");
  tokens.forget("u-1");
  EXPECT_EQ(tokens.renew_at("u-1"), std::nullopt);
  EXPECT_EQ(get(), "token-2");
}

}  // namespace
}  // namespace kybern::kubelet
