// A request as expressions see it.
#pragma once

#include <memory>

#include "apiserver/admission/match.h"
#include "apiserver/registry/registry.h"
#include "machinery/cel/cel.h"

namespace kybern::apiserver::admission {

// An AdmissionRequest (admission.k8s.io/v1) without its objects, as seen by whom `as` is the matched resource.
Document request_of(const AdmissionAttributes& a, const Served& as);

// An object in another version of its resource.
Document in_version(Value object, const Served& from, const Served& to);

// `authorizer` and `authorizer.requestResource` of one request. Outlives the evaluations.
class PolicyAuthorizer : public cel::Authorizer {
 public:
  explicit PolicyAuthorizer(const AdmissionAttributes& a);
  ~PolicyAuthorizer() override;
  cel::AuthorizationAnswer authorize(const cel::AuthorizationQuestion& question) override;
  const cel::Opaque* value() const { return value_.get(); }
  const cel::Opaque* resource_check() const { return resource_check_.get(); }

 private:
  const Work& work_;
  std::unique_ptr<cel::Opaque> value_, resource_check_;
};

}  // namespace kybern::apiserver::admission
