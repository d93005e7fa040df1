#include "apiserver/authz/escalation.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "apiserver/authz/authorizer.h"
#include "apiserver/authz/policy_rules.h"
#include "base/strings.h"

namespace kybern::apiserver {
namespace {

std::string quoted(const std::vector<std::string>& list) {
  std::vector<std::string> out;
  for (const std::string& text : list) out.push_back(go_quote(text));
  return "[" + join(out, " ") + "]";
}

std::vector<std::string> texts(Value list) {
  std::vector<std::string> out;
  for (Value v : list.items()) out.push_back(v.str());
  return out;
}

// {APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}
std::string describe_rule(Value rule, const std::vector<std::string>& verbs) {
  std::vector<std::string> parts;
  for (auto [label, field] : {std::pair("APIGroups", "apiGroups"), std::pair("Resources", "resources"),
                              std::pair("NonResourceURLs", "nonResourceURLs"), std::pair("ResourceNames", "resourceNames")})
    if (!rule[field].empty()) parts.push_back(fmt::format("{}:{}", label, quoted(texts(rule[field]))));
  parts.push_back(fmt::format("Verbs:{}", quoted(verbs)));
  return "{" + join(parts, ", ") + "}";
}

// One line per resource: rules that differ only in their verb are told together.
std::string describe_all(const std::vector<Document>& missing) {
  std::map<std::string, std::pair<Document, std::vector<std::string>>> by_resource;
  std::set<std::string> lines;
  for (const Document& rule : missing) {
    if (!rule["nonResourceURLs"].empty()) {
      lines.insert(describe_rule(rule, texts(rule["verbs"])));
      continue;
    }
    auto& entry = by_resource[describe_rule(rule, {})];
    entry.first = rule;
    for (const std::string& verb : texts(rule["verbs"])) entry.second.push_back(verb);
  }
  for (const auto& [key, entry] : by_resource) lines.insert(describe_rule(entry.first, entry.second));
  return join(std::vector<std::string>(lines.begin(), lines.end()), "\n");
}

bool may(const Work& work, std::string_view verb, std::string_view resource, std::string_view name) {
  Attributes a{work.user, std::string(verb), std::string(rbac_group), "v1", std::string(resource), "", std::string(name), work.ns, "",
               true};
  return work.registry.authorizer()->authorize(a).allowed;
}

ApiResult<void> check_rules(const Work& work, Value rules) {
  std::vector<std::string> errors;
  auto missing = Authorizer::uncovered(work.registry.authorizer()->rules_for(work.user, work.ns, &errors), rules);
  if (missing.empty()) return {};
  std::string why = fmt::format("user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
                                go_quote(work.user.name), quoted(work.user.groups), describe_all(missing));
  std::vector<std::string> once;
  for (std::string& error : errors)
    if (std::find(once.begin(), once.end(), error) == once.end()) once.push_back(std::move(error));
  if (once.size() == 1) why += "; resolution errors: [" + once[0] + "]";
  else if (!once.empty()) why += "; resolution errors: [[" + join(once, ", ") + "]]";
  return fail(forbidden(rbac_group, work.served->plural(), work.name, why));
}

// The garbage collector takes references and finalizers off objects whose rights it does not have.
bool only_collected(Value now, Value before) {
  if (!before.exists()) return false;
  Draft a(now), b(before);
  for (Draft* one : {&a, &b})
    for (std::string_view field : {"ownerReferences", "finalizers", "resourceVersion", "managedFields"}) (*one)["metadata"].erase(field);
  return a == b;
}

ApiResult<void> check_role(const Work& work, Value role, Value before) {
  if (only_collected(role, before)) return {};
  if (may(work, "escalate", work.served->plural(), work.name)) return {};
  if (auto ok = check_rules(work, role["rules"]); !ok) return ok;
  auto gathers = [](Value of) { return !of["aggregationRule"]["clusterRoleSelectors"].empty(); };
  if (!gathers(role) && !gathers(before)) return {};
  // It may gather anything, and without it the role keeps what its parts lose: so it takes everything.
  Draft all = Draft::object({{"verbs", Draft::array({"*"})}, {"apiGroups", Draft::array({"*"})}, {"resources", Draft::array({"*"})}});
  Draft paths = Draft::object({{"verbs", Draft::array({"*"})}, {"nonResourceURLs", Draft::array({"*"})}});
  Document everything = Draft::array({all, paths}).freeze();
  if (Authorizer::uncovered(work.registry.authorizer()->rules_for(work.user, work.ns), everything).empty()) return {};
  return fail(forbidden(rbac_group, work.served->plural(), work.name, "must have cluster-admin privileges to use the aggregationRule"));
}

ApiResult<void> check_binding(const Work& work, Value binding, Value before) {
  if (only_collected(binding, before)) return {};
  Value ref = binding["roleRef"];
  bool cluster = ref["kind"].as_string() == "ClusterRole";
  std::string_view plural = cluster ? "clusterroles" : "roles", name = ref["name"].as_string();
  if (may(work, "bind", plural, name)) return {};
  Document role = work.registry.read(rbac_group, "v1", plural, cluster ? std::string_view() : std::string_view(work.ns), name);
  if (!role) return fail(not_found(rbac_group, plural, name));
  return check_rules(work, role["rules"]);
}

}  // namespace

ApiResult<void> check_escalation(const AdmissionAttributes& a, Value object) {
  const Work& work = a.work;
  if (work.served->group() != rbac_group || !work.registry.authorizer()) return {};
  if (work.user.in_group("system:masters")) return {};
  bool binding = work.served->plural() == "rolebindings" || work.served->plural() == "clusterrolebindings";
  return binding ? check_binding(work, object, a.before) : check_role(work, object, a.before);
}

}  // namespace kybern::apiserver
