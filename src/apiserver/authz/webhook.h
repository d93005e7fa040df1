// A service outside that says who may do what (authorization.k8s.io SubjectAccessReview).
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "apiserver/authz/authorizer.h"
#include "apiserver/hooks/waiting_room.h"
#include "base/result.h"
#include "base/world.h"

namespace kybern::cel {
class Program;
}

namespace kybern::apiserver {

class OutsideCaller;

struct AuthorizationWebhookOptions {
  std::string name;                                                             // of the authorizer, for the log
  std::string config_file;                                                      // a kubeconfig; "": the API that this server is a pod of
  std::string account_folder{"/var/run/secrets/kubernetes.io/serviceaccount"};  // of that pod
  std::string version = "v1beta1";
  std::chrono::milliseconds timeout{30000};  // of one call
  Duration authorized_ttl{}, unauthorized_ttl{};
  bool cache_authorized = true, cache_unauthorized = true;
  bool deny_on_failure = false;         // otherwise a failure is no opinion
  std::vector<std::string> conditions;  // CEL over `request`, a SubjectAccessReviewSpec; all must hold
};

// For many threads at once.
class AuthorizationWebhook {
 public:
  static constexpr std::size_t answers_kept = 8192;

  static Result<std::unique_ptr<AuthorizationWebhook>> open(AuthorizationWebhookOptions options, World world);
  ~AuthorizationWebhook();

  // Without asking: what it said lately, or no opinion where it is not asked at all. Nothing: it has to be asked.
  std::optional<Decision> recall(const Attributes& attributes);
  // The same, and asks. Blocks, also for several attempts of a service that cannot be reached.
  Decision ask(const Attributes& attributes);

 private:
  AuthorizationWebhook(AuthorizationWebhookOptions options, World world);
  Decision failed(std::string why) const;
  // Nothing: the conditions hold. Otherwise what follows from them.
  std::optional<Decision> excluded(Value spec) const;
  std::optional<Decision> recall(const Attributes& attributes, const Document& spec, std::string& key);
  Result<Document> post(const std::string& body);  // again when nobody answers
  Decision read(Value status) const;
  void keep(const std::string& key, const Decision& decision);

  struct Answer {
    Decision decision;
    Instant until;
  };
  const AuthorizationWebhookOptions options_;
  World world_;
  std::unique_ptr<OutsideCaller> caller_;
  std::vector<cel::Program> programs_;
  Gate gate_;
  std::mutex mutex_;
  std::unordered_map<std::string, Answer> answers_;  // by what was asked
};

// Why an expression is no condition; "" when it is one.
std::string fault_of_condition(std::string_view expression);
// The spec of a SubjectAccessReview that asks this. `whole`: with empty fields too, as conditions read it.
Draft access_review_spec(const Attributes& attributes, bool whole);

}  // namespace kybern::apiserver
