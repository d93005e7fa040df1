#include "apiserver/authn/token_webhook.h"

#include <fmt/format.h>

#include <mutex>
#include <unordered_map>

#include "apiserver/outside/caller.h"
#include "base/log.h"
#include "base/strings.h"
#include "document/json.h"
#include "net/certificates.h"

namespace kybern::apiserver {
namespace {

constexpr std::size_t answers_kept = 4096;
constexpr std::chrono::milliseconds limit{10000};
constexpr int attempts = 2;

class TokenWebhook final : public TokenSource {
 public:
  TokenWebhook(std::unique_ptr<OutsideCaller> caller, Duration ttl, std::vector<std::string> own, World world)
      : caller_(std::move(caller)), ttl_(ttl), own_(std::move(own)), world_(world) {}

  bool knows_audiences() const override { return true; }

  bool knows(std::string_view token, const std::vector<std::string>& audiences) override {
    std::lock_guard lock(mutex_);
    auto found = answers_.find(key_of(token, audiences));
    return found != answers_.end() && world_.clock.steady() < found->second.until;
  }

  std::optional<KnownToken> check(std::string_view token, const std::vector<std::string>& audiences, std::string& why) override {
    const std::string key = key_of(token, audiences);
    const Instant now = world_.clock.steady();
    {
      std::lock_guard lock(mutex_);
      if (auto found = answers_.find(key); found != answers_.end() && now < found->second.until) {
        why = found->second.why;
        return found->second.known;
      }
    }
    Draft review = Draft::object({{"apiVersion", "authentication.k8s.io/v1"},
                                  {"kind", "TokenReview"},
                                  {"metadata", Draft::object({{"creationTimestamp", nullptr}})}});
    review["spec"]["token"] = token;
    for (const std::string& audience : audiences) review["spec"]["audiences"].push_back(audience);
    review["status"] = Draft::object({{"user", Draft::object()}});
    const std::string body = to_json(review);
    Result<Document> answer = fail(Code::unavailable, "");
    for (int i = 0; i < attempts && !answer; ++i) answer = caller_->post(body, limit);
    if (!answer) {
      log_error("authn", "the token webhook cannot be asked", {{"why", answer.error().message}});
      why = answer.error().message;
      return std::nullopt;  // not kept: it may be back soon
    }
    if (!(*answer)["status"]["authenticated"].as_bool()) why = (*answer)["status"]["error"].str();
    std::optional<KnownToken> known = known_by((*answer)["status"], audiences);
    std::lock_guard lock(mutex_);
    if (answers_.size() >= answers_kept) std::erase_if(answers_, [&](const auto& entry) { return entry.second.until <= now; });
    if (answers_.size() >= answers_kept) answers_.clear();
    answers_[key] = {known, why, now + ttl_};
    return known;
  }

 private:
  // Only a hash of the token is kept.
  static std::string key_of(std::string_view token, const std::vector<std::string>& audiences) {
    return net::sha256(std::string(token) + '\0' + join(audiences, std::string(1, '\0')));
  }
  struct Answer {
    std::optional<KnownToken> known;
    std::string why;
    Instant until;
  };

  std::optional<KnownToken> known_by(Value status, const std::vector<std::string>& audiences) const {
    if (!status["authenticated"].as_bool()) return std::nullopt;
    // One that knows of audiences names those that the token is for.
    std::vector<std::string> named = own_, meant;
    if (!status["audiences"].empty()) named.clear();
    for (Value audience : status["audiences"].items()) named.push_back(audience.str());
    for (const std::string& one : audiences)
      if (std::find(named.begin(), named.end(), one) != named.end()) meant.push_back(one);
    if (meant.empty() && !audiences.empty()) return std::nullopt;
    Value from = status["user"];
    User user{from["username"].str(), from["uid"].str(), {}, {}};
    for (Value group : from["groups"].items()) user.groups.push_back(group.str());
    for (Member m : from["extra"].members()) {
      std::vector<std::string> values;
      for (Value v : m.value.items()) values.push_back(v.str());
      user.extra.emplace_back(m.key, std::move(values));
    }
    return KnownToken{std::move(user), std::move(meant)};
  }

  const std::unique_ptr<OutsideCaller> caller_;
  const Duration ttl_;
  const std::vector<std::string> own_;
  World world_;
  std::mutex mutex_;
  std::unordered_map<std::string, Answer> answers_;
};

}  // namespace

Result<std::unique_ptr<TokenSource>> token_webhook(const TokenWebhookOptions& options, World world) {
  auto caller = OutsideCaller::open(options.config_file);
  if (!caller) return fail(Code::invalid, "--authentication-token-webhook-config-file: " + caller.error().message);
  auto ttl = parse_duration(options.cache_ttl);
  if (!ttl || *ttl < Duration(0))
    return fail(Code::invalid,
                fmt::format("--authentication-token-webhook-cache-ttl: {} is no duration such as 2m0s", go_quote(options.cache_ttl)));
  return std::make_unique<TokenWebhook>(std::move(*caller), *ttl, options.own_audiences, world);
}

}  // namespace kybern::apiserver
