#include "controllers/certificates/reconcile.h"

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "controllers/objects.h"

namespace kybern::controllers::certificates {
namespace {

constexpr Duration kept_when_settled = std::chrono::hours(1), kept_when_pending = std::chrono::hours(24);  // approved: until signed
constexpr Duration backdate = std::chrono::minutes(5);   // clocks of those who check may be behind
constexpr Duration short_lived = std::chrono::hours(8);  // below, the time that is lost by it counts
constexpr Duration least_validity = std::chrono::minutes(10);
constexpr std::string_view node_prefix = "system:node:", node_group = "system:nodes";
constexpr std::string_view plural = "certificatesigningrequests";

bool has(Value request, std::string_view type) { return condition(request["status"]["conditions"], type)["status"].as_string() == "True"; }

std::set<std::string> usages_of(Value request) {
  std::set<std::string> out;
  for (Value usage : request["spec"]["usages"].items()) out.insert(usage.str());
  return out;
}

// A key that is not RSA need not encipher keys.
std::string usage_fault(Value request, const std::string& purpose) {
  const std::set<std::string> all{"digital signature", "key encipherment", purpose};
  const std::set<std::string> usages = usages_of(request);
  if (usages == all || usages == std::set<std::string>{"digital signature", purpose}) return "";
  return "usages did not match [" + join({all.begin(), all.end()}, " ") + "]";
}

std::string fault_of_node_client(Value request, const Subject& subject) {
  if (subject.organizations != std::vector<std::string>{std::string(node_group)}) return "subject organization is not system:nodes";
  if (!subject.dns_names.empty()) return "DNS subjectAltNames are not allowed";
  if (!subject.emails.empty()) return "Email subjectAltNames are not allowed";
  if (!subject.ip_addresses.empty()) return "IP subjectAltNames are not allowed";
  if (!subject.uris.empty()) return "URI subjectAltNames are not allowed";
  if (!subject.common_name.starts_with(node_prefix)) return "subject common name does not begin with system:node:";
  return usage_fault(request, "client auth");
}

std::string fault_of_node_serving(Value request, const Subject& subject) {
  if (subject.organizations != std::vector<std::string>{std::string(node_group)}) return "subject organization is not system:nodes";
  if (subject.dns_names.empty() && subject.ip_addresses.empty()) return "DNS or IP subjectAltName is required";
  if (!subject.emails.empty()) return "Email subjectAltNames are not allowed";
  if (!subject.uris.empty()) return "URI subjectAltNames are not allowed";
  if (std::string fault = usage_fault(request, "server auth"); !fault.empty()) return fault;
  if (!subject.common_name.starts_with(node_prefix)) return "subject common name does not begin with system:node:";
  return "";
}

std::string fault_of_client(Value request) {
  bool client = false;
  for (Value usage : request["spec"]["usages"].items()) {
    std::string_view name = usage.as_string();
    if (name == "client auth") client = true;
    else if (name != "digital signature" && name != "key encipherment") return "invalid usage for client certificate: " + std::string(name);
  }
  return client ? "" : "missing required usage for client certificate: client auth";
}

Plan with_condition(const Document& request, Draft condition, std::string_view subresource) {
  Draft now(request);
  now["status"]["conditions"].push_back(std::move(condition));
  Plan plan;
  plan.about = request;
  plan.actions.push_back(replace_action(plural, now.freeze(), subresource));
  return plan;
}

}  // namespace

bool is_built_in(std::string_view signer) {
  return signer == client_signer || signer == node_client_signer || signer == node_serving_signer || signer == legacy_signer;
}

std::string fault_of(Value request, const Subject& subject) {
  std::string_view signer = request["spec"]["signerName"].as_string();
  if (signer == node_client_signer) return fault_of_node_client(request, subject);
  if (signer == node_serving_signer) return fault_of_node_serving(request, subject);
  if (signer == client_signer) return fault_of_client(request);
  return "";
}

bool approved(Value request) { return has(request, "Approved") && !has(request, "Denied"); }
bool decided(Value request) { return has(request, "Approved") || has(request, "Denied"); }
bool failed(Value request) { return has(request, "Failed"); }
bool issued(Value request) { return !request["status"]["certificate"].as_string().empty(); }

std::vector<Recognized> recognize(Value request, const Subject& subject) {
  if (request["spec"]["signerName"].as_string() != node_client_signer || !fault_of_node_client(request, subject).empty()) return {};
  std::vector<Recognized> out;
  if (request["spec"]["username"].as_string() == subject.common_name)
    out.push_back({"selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."});
  out.push_back({"nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."});
  return out;
}

Plan approve(const Document& request, std::string_view message) {
  return with_condition(
      request, Draft::object({{"type", "Approved"}, {"status", "True"}, {"reason", "AutoApproved"}, {"message", message}}), "approval");
}

Plan give_up(const Document& request, std::string_view why, Time now) {
  return with_condition(request,
                        Draft::object({{"type", "Failed"},
                                       {"status", "True"},
                                       {"reason", "SignerValidationFailure"},
                                       {"message", why},
                                       {"lastUpdateTime", format_rfc3339(now)}}),
                        "status");
}

Plan publish(const Document& request, std::string_view certificate_pem) {
  Draft now(request);
  now["status"]["certificate"] = base64_encode(certificate_pem);
  Plan plan;
  plan.about = request;
  plan.actions.push_back(replace_action(plural, now.freeze(), "status"));
  return plan;
}

Validity validity(Value request, Time now, Duration most, Time ca_not_after) {
  Duration length = most;
  if (Value asked = request["spec"]["expirationSeconds"]; asked.exists())
    length = std::clamp<Duration>(std::chrono::seconds(asked.as_int()), least_validity, std::max(most, least_validity));
  Validity out{now - backdate, now + length};
  if (length >= short_lived) out.not_after -= backdate;
  out.not_after = std::min(out.not_after, ca_not_after);
  return out;
}

std::optional<Time> end_of(Value request, std::optional<Time> certificate_not_after) {
  std::optional<Time> end;
  auto sooner = [&](std::optional<Time> time, Duration later) {
    if (time && (!end || *time + later < *end)) end = *time + later;
  };
  Value conditions = request["status"]["conditions"];
  if (conditions.empty()) sooner(time_of(request["metadata"]["creationTimestamp"]), kept_when_pending);
  for (Value c : conditions.items()) {
    std::string_view type = c["type"].as_string();
    if (type == "Denied" || type == "Failed" || (type == "Approved" && issued(request)))
      sooner(time_of(c["lastUpdateTime"]), kept_when_settled);
    if (type == "Approved" && issued(request)) sooner(certificate_not_after, Duration(0));
    if (type == "Approved" && !issued(request)) sooner(time_of(c["lastUpdateTime"]), kept_when_pending);
  }
  return end;
}

}  // namespace kybern::controllers::certificates
