#include "apiserver/admission/review.h"

#include <fmt/format.h>

#include "apiserver/authz/authorizer.h"
#include "base/strings.h"
#include "document/json.h"

namespace kybern::apiserver::admission {
namespace {

constexpr int least_denial_code = 400;

Draft kind_of(const Served& served, std::string_view subresource) {
  const schema::Subresource* sub = subresource.empty() ? nullptr : served.subresource(subresource);
  bool own = !sub || sub->version.empty();
  return Draft::object({{"group", own ? served.group() : sub->group},
                        {"version", own ? served.resource->version : sub->version},
                        {"kind", sub && !sub->kind.empty() ? sub->kind : served.kind()}});
}

Draft resource_of(const Served& served) {
  return Draft::object({{"group", served.group()}, {"version", served.resource->version}, {"resource", served.plural()}});
}

Draft user_of(const User& user) {
  Draft out = Draft::object({{"username", user.name}});
  if (!user.uid.empty()) out["uid"] = user.uid;
  for (const std::string& group : user.groups) out["groups"].push_back(group);
  for (const auto& [key, values] : user.extra) {
    Draft& list = out["extra"][key] = Draft::array();
    for (const std::string& value : values) list.push_back(value);
  }
  return out;
}

// The options of the operation that is carried out: an apply that creates has those of a creation.
Draft options_of(const AdmissionAttributes& a) {
  const Work& work = a.work;
  if (a.operation == "CONNECT") return Draft();
  if (a.operation == "DELETE") {
    Draft out = work.options ? Draft(work.options) : Draft::object();
    out["kind"] = "DeleteOptions";
    out["apiVersion"] = "meta.k8s.io/v1";
    return out;
  }
  std::string_view kind = a.operation == "CREATE" ? "CreateOptions" : work.verb == "patch" ? "PatchOptions" : "UpdateOptions";
  Draft out = Draft::object({{"kind", kind}, {"apiVersion", "meta.k8s.io/v1"}});
  if (work.dry_run) out["dryRun"] = Draft::array({Draft("All")});
  if (kind == "PatchOptions" && work.query.flag("force")) out["force"] = true;
  if (!work.field_manager.empty()) out["fieldManager"] = work.field_manager;
  if (std::string validation = work.query.get("fieldValidation"); !validation.empty()) out["fieldValidation"] = validation;
  return out;
}

}  // namespace

Draft admission_request(const AdmissionAttributes& a, const MatchTarget& target, const Served& as) {
  Draft out =
      Draft::object({{"uid", new_uuid(a.work.world.random)}, {"kind", kind_of(as, target.subresource)}, {"resource", resource_of(as)}});
  if (!target.subresource.empty()) out["subResource"] = target.subresource;
  out["requestKind"] = kind_of(*target.served, target.subresource);
  out["requestResource"] = resource_of(*target.served);
  if (!target.subresource.empty()) out["requestSubResource"] = target.subresource;
  if (!target.name.empty()) out["name"] = target.name;
  if (!target.ns.empty()) out["namespace"] = target.ns;
  out["operation"] = target.operation;
  out["userInfo"] = user_of(a.work.user);
  out["object"] = nullptr;
  out["oldObject"] = nullptr;
  out["dryRun"] = a.work.dry_run;
  out["options"] = options_of(a);
  return out;
}

cel::AuthorizationAnswer RequestAuthorizer::authorize(const cel::AuthorizationQuestion& q) {
  const apiserver::Authorizer* authorizer = work_.registry.authorizer();
  if (!authorizer) return {};
  Attributes attributes{work_.user, q.verb,         q.group,          q.version.empty() ? "*" : q.version,
                        q.resource, q.subresource,  q.name,           q.ns,
                        q.path,     q.path.empty(), q.field_selector, q.label_selector};
  if (!q.service_account_name.empty()) {
    attributes.user = {fmt::format("system:serviceaccount:{}:{}", q.service_account_namespace, q.service_account_name),
                       "",
                       {"system:serviceaccounts", "system:serviceaccounts:" + q.service_account_namespace, "system:authenticated"},
                       {}};
  }
  Decision decision = authorizer->authorize(attributes);
  return {decision.allowed, decision.reason, decision.allowed ? "" : decision.error};
}

cel::AuthorizationQuestion RequestAuthorizer::resource() const {
  cel::AuthorizationQuestion out;
  out.group = target_.served->group();
  out.version = target_.served->resource->version;
  out.resource = target_.served->plural();
  out.subresource = target_.subresource;
  out.ns = target_.ns;
  out.name = target_.name;
  return out;
}

std::expected<Reviewed, std::string> read_review(Value answer, std::string_view version, std::string_view uid, bool mutating) {
  Value response = answer["response"];
  if (!response.is_object()) return std::unexpected("webhook response was absent");
  if (version == "v1") {
    if (response["uid"].as_string() != uid)
      return std::unexpected(fmt::format("expected response.uid={}, got {}", go_quote(uid), go_quote(response["uid"].as_string())));
    std::string_view given = answer["apiVersion"].as_string(), kind = answer["kind"].as_string();
    if (given != "admission.k8s.io/v1" || kind != "AdmissionReview") {
      std::string shown = given.find('/') == std::string_view::npos ? "/" + std::string(given) : std::string(given);
      return std::unexpected(
          fmt::format("expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {}, Kind={}", shown, kind));
    }
  }
  Reviewed out;
  std::string_view patch = response["patch"].as_string();
  Value type = response["patchType"];
  bool typed = type.exists() && !type.is_null();
  if (mutating && version == "v1") {
    if (!patch.empty() && !typed) return std::unexpected("webhook returned response.patch but not response.patchType");
    if (patch.empty() && typed) return std::unexpected("webhook returned response.patchType but not response.patch");
    if (typed && type.as_string().empty()) return std::unexpected("webhook returned invalid response.patchType of \"\"");
  } else if (version == "v1") {
    if (!patch.empty()) return std::unexpected("validating webhook may not return response.patch");
    if (typed) return std::unexpected("validating webhook may not return response.patchType");
  }
  out.allowed = response["allowed"].as_bool();
  out.result = response["status"];
  for (Value warning : response["warnings"].items()) out.warnings.push_back(warning.str());
  for (Member m : response["auditAnnotations"].members()) out.annotations.emplace_back(m.key, m.value.str());
  if (!mutating || patch.empty()) return out;
  if (version == "v1" && type.as_string() != "JSONPatch") {
    out.patch_error = fmt::format("unsupported patch type {}", go_quote(type.as_string()));
    return out;
  }
  auto bytes = base64_decode(patch);
  auto parsed = bytes ? parse_json(*bytes) : Result<Document>(fail(Code::invalid, "illegal base64 data"));
  if (parsed && parsed->root().is_array()) out.patch = std::move(*parsed);
  else
    out.patch_error = "received undecodable patch in webhook response: " +
                      (parsed ? std::string("json: cannot unmarshal the patch into a list of operations") : parsed.error().message);
  return out;
}

Status denial(std::string_view webhook, Value result) {
  Draft document = result.is_object() ? Draft(result) : Draft::object();
  document["kind"] = "Status";
  document["apiVersion"] = "v1";
  Status status = *Status::read(document.freeze().root());
  status.success = false;
  status.empty_details = result["details"].is_object();
  status.code = std::max<int>(static_cast<int>(result["code"].as_int()), least_denial_code);
  std::string denied = fmt::format("admission webhook {} denied the request", go_quote(webhook));
  if (!status.message.empty()) status.message = denied + ": " + status.message;
  else if (!status.reason.empty()) status.message = denied + ": " + status.reason;
  else status.message = denied + " without explanation";
  return status;
}

}  // namespace kybern::apiserver::admission
