// What admission says about CertificateSigningRequests.
#include <fmt/format.h>

#include "apiserver/admission/plugins.h"
#include "apiserver/authz/authorizer.h"
#include "base/strings.h"
#include "net/certificates.h"

namespace kybern::apiserver::admission {
namespace {

constexpr std::string_view client_signer = "kubernetes.io/kube-apiserver-client", everything_group = "system:masters";

// The right is for one signer by name, or for all of its domain: "example.com/*".
bool may_for_signer(const Work& work, std::string_view verb, std::string_view signer) {
  Attributes a{work.user, std::string(verb), "certificates.k8s.io", "*", "signers", "", std::string(signer), "", "", true};
  if (work.registry.authorizer()->authorize(a).allowed) return true;
  a.name = std::string(signer.substr(0, signer.find('/'))) + "/*";
  return work.registry.authorizer()->authorize(a).allowed;
}

ApiResult<void> approval(const AdmissionAttributes& a) {
  std::string_view signer = a.before["spec"]["signerName"].as_string();
  if (may_for_signer(a.work, "approve", signer)) return {};
  return fail(forbidden(a.work.served->group(), a.work.served->plural(), a.work.name,
                        fmt::format("user not permitted to approve requests with signerName {}", go_quote(signer))));
}

ApiResult<void> signing(const AdmissionAttributes& a, Value object) {
  Value before = a.before["status"], now = object["status"];
  if (before["certificate"].as_string() == now["certificate"].as_string() &&
      (before["conditions"] == now["conditions"] || (before["conditions"].empty() && now["conditions"].empty())))
    return {};
  std::string_view signer = a.before["spec"]["signerName"].as_string();
  if (may_for_signer(a.work, "sign", signer)) return {};
  return fail(forbidden(a.work.served->group(), a.work.served->plural(), a.work.name,
                        fmt::format("user not permitted to sign requests with signerName {}", go_quote(signer))));
}

ApiResult<void> subject(const AdmissionAttributes& a, Value object) {
  if (object["spec"]["signerName"].as_string() != client_signer) return {};
  auto refuse = [&](std::string why) { return fail(forbidden(a.work.served->group(), a.work.served->plural(), a.work.name, why)); };
  auto info = net::read_request(base64_decode(object["spec"]["request"].as_string()).value_or(""));
  if (!info) return refuse("failed to parse CSR: " + info.error().message);
  for (const std::string& group : info->organizations)
    if (group == everything_group)
      return refuse(fmt::format("use of {} signer with {} group is not allowed", client_signer, everything_group));
  return {};
}

}  // namespace

ApiResult<void> certificates(const AdmissionAttributes& a, Value object) {
  if (!a.work.is("certificates.k8s.io", "certificatesigningrequests")) return {};
  if (a.operation == "CREATE" && a.work.subresource.empty()) return subject(a, object);
  if (a.operation == "UPDATE" && a.work.subresource == "approval") return approval(a);
  if (a.operation == "UPDATE" && a.work.subresource == "status") return signing(a, object);
  return {};
}

}  // namespace kybern::apiserver::admission
