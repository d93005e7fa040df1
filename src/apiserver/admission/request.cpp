#include "apiserver/admission/request.h"

#include <fmt/format.h>

#include "apiserver/authz/authorizer.h"
#include "base/strings.h"

namespace kybern::apiserver::admission {
namespace {

Draft kind_of(const Served& s) {
  return Draft::object({{"group", s.group()}, {"version", std::string_view(s.resource->version)}, {"kind", s.kind()}});
}
Draft resource_of(const Served& s) {
  return Draft::object({{"group", s.group()}, {"version", std::string_view(s.resource->version)}, {"resource", s.plural()}});
}

std::string_view subresource_of(const Work& work) { return work.managed_as.empty() ? work.subresource : work.managed_as; }

Draft user_of(const User& user) {
  Draft out = Draft::object();
  if (!user.name.empty()) out["username"] = user.name;
  if (!user.uid.empty()) out["uid"] = user.uid;
  for (const std::string& group : user.groups) out["groups"].push_back(group);
  for (const auto& [key, values] : user.extra) {
    Draft list = Draft::array();
    for (const std::string& value : values) list.push_back(value);
    out["extra"][key] = std::move(list);
  }
  return out;
}

Draft options_of(const Work& work, std::string_view operation) {
  std::string_view kind = operation == "CREATE" ? "CreateOptions" : operation == "UPDATE" ? "UpdateOptions" : "DeleteOptions";
  if (operation == "UPDATE" && work.verb == "patch") kind = "PatchOptions";
  Draft out = Draft::object({{"kind", kind}, {"apiVersion", "meta.k8s.io/v1"}});
  if (work.dry_run) out["dryRun"] = Draft::array({"All"});
  if (!work.field_manager.empty()) out["fieldManager"] = work.field_manager;
  if (std::string validation = work.query.get("fieldValidation"); !validation.empty()) out["fieldValidation"] = validation;
  return out;
}

}  // namespace

Document request_of(const AdmissionAttributes& a, const Served& as) {
  const Work& work = a.work;
  MatchTarget target = target_of(a, {});
  Draft out = Draft::object({{"kind", kind_of(as)},
                             {"resource", resource_of(as)},
                             {"requestKind", kind_of(*work.served)},
                             {"requestResource", resource_of(*work.served)}});
  if (std::string_view sub = subresource_of(work); !sub.empty()) {
    out["subResource"] = sub;
    out["requestSubResource"] = sub;
  }
  if (!target.name.empty()) out["name"] = target.name;
  if (!target.ns.empty()) out["namespace"] = target.ns;
  out["operation"] = a.operation;
  out["userInfo"] = user_of(work.user);
  out["dryRun"] = work.dry_run;
  if (a.operation != "CONNECT") out["options"] = options_of(work, a.operation);
  return out.freeze();
}

Document in_version(Value object, const Served& from, const Served& to) {
  if (&from == &to || !object.exists()) return object.exists() ? object.document() : Document();
  Document stored = from.to_stored ? from.to_stored(object) : object.document();
  return to.from_stored ? to.from_stored(stored.root()) : stored;
}

PolicyAuthorizer::PolicyAuthorizer(const AdmissionAttributes& a) : work_(a.work) {
  value_ = cel::authorizer_value(*this);
  cel::AuthorizationQuestion question;
  question.group = work_.served->group();
  question.version = work_.served->resource->version;
  question.resource = work_.served->plural();
  question.subresource = subresource_of(work_);
  question.ns = target_of(a, {}).ns;
  question.name = work_.name;
  resource_check_ = cel::resource_check_value(*this, question);
}
PolicyAuthorizer::~PolicyAuthorizer() = default;

cel::AuthorizationAnswer PolicyAuthorizer::authorize(const cel::AuthorizationQuestion& q) {
  const apiserver::Authorizer* authorizer = work_.registry.authorizer();
  if (!authorizer) return {};
  User user = work_.user;
  if (!q.service_account_name.empty()) {
    const std::string& ns = q.service_account_namespace;
    user = {fmt::format("system:serviceaccount:{}:{}", ns, q.service_account_name),
            "",
            {"system:serviceaccounts", "system:serviceaccounts:" + ns, "system:authenticated"},
            {}};
  }
  Attributes attributes{std::move(user), q.verb,         q.group,         q.version.empty() ? "*" : q.version,
                        q.resource,      q.subresource,  q.name,          q.ns,
                        q.path,          q.path.empty(), q.field_selector};
  Decision decision = authorizer->authorize(attributes);
  return {decision.allowed, decision.reason, ""};
}

}  // namespace kybern::apiserver::admission
