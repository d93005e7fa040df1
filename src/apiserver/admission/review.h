// The AdmissionReview of admission.k8s.io/v1 (and v1beta1, whose form is the same): what a webhook is asked, what it
// answered, and how its refusal reads.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "apiserver/admission/match.h"
#include "machinery/cel/cel.h"

namespace kybern::apiserver::admission {

// The AdmissionRequest without object and oldObject, as the resource `as` sees it: the `request` of expressions too.
Draft admission_request(const AdmissionAttributes& a, const MatchTarget& target, const Served& as);

// The API server's authorization under the requester's name, as expressions ask it.
class RequestAuthorizer : public cel::Authorizer {
 public:
  RequestAuthorizer(const Work& work, const MatchTarget& target) : work_(work), target_(target) {}
  cel::AuthorizationAnswer authorize(const cel::AuthorizationQuestion& question) override;
  cel::AuthorizationQuestion resource() const;  // of authorizer.requestResource

 private:
  const Work& work_;
  const MatchTarget& target_;
};

struct Reviewed {
  bool allowed = false;
  Document patch;           // JSON patch; absent: none
  std::string patch_error;  // why the patch cannot be used; "" when it can
  Value result;             // a Status, perhaps without its kind; borrowed from the answer
  std::vector<std::string> warnings;
  std::vector<std::pair<std::string, std::string>> annotations;
};
// The error is upstream's, of an answer that is none.
std::expected<Reviewed, std::string> read_review(Value answer, std::string_view version, std::string_view uid, bool mutating);

Status denial(std::string_view webhook, Value result);

}  // namespace kybern::apiserver::admission
