#include "apiserver/authz/authorizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "apiserver/authz/chain.h"
#include "apiserver/authz/node_authorizer.h"
#include "apiserver/authz/policy_rules.h"
#include "base/strings.h"
#include "store/changed_at.h"

namespace kybern::apiserver {
namespace {

bool has(Value list, std::string_view text) {
  for (Value v : list.items())
    if (v.as_string() == text || v.as_string() == "*") return true;
  return false;
}

bool resource_matches(Value resources, std::string_view resource, std::string_view subresource) {
  std::string whole = subresource.empty() ? std::string(resource) : fmt::format("{}/{}", resource, subresource);
  for (Value v : resources.items()) {
    std::string_view r = v.as_string();
    if (r == "*" || r == whole) return true;
    // "*/scale" covers that subresource of everything.
    if (!subresource.empty() && r.starts_with("*/") && r.substr(2) == subresource) return true;
  }
  return false;
}

bool path_matches(Value paths, std::string_view path) {
  for (Value v : paths.items()) {
    std::string_view p = v.as_string();
    if (p == "*" || p == path) return true;
    if (p.ends_with("*") && path.starts_with(p.substr(0, p.size() - 1))) return true;
  }
  return false;
}

// system:serviceaccount:NAMESPACE:NAME; asked for every account of every binding at every request.
bool is_account(std::string_view user, std::string_view ns, std::string_view name) {
  constexpr std::string_view prefix = "system:serviceaccount:";
  return user.size() == prefix.size() + ns.size() + 1 + name.size() && user.starts_with(prefix) && user.ends_with(name) &&
         user.substr(prefix.size(), ns.size()) == ns && user[prefix.size() + ns.size()] == ':';
}

// The subject of a binding that is this user; absent when none is. `ns` is the binding's, for accounts without one.
Value subject_of(Value binding, const User& user, std::string_view ns) {
  for (Value s : binding["subjects"].items()) {
    std::string_view kind = s["kind"].as_string(), name = s["name"].as_string();
    if (kind == "User" && name == user.name) return s;
    if (kind == "Group" && user.in_group(name)) return s;
    if (kind == "ServiceAccount") {
      std::string_view account_ns = s["namespace"].as_string(ns);
      if (account_ns.empty()) account_ns = ns;
      if (!account_ns.empty() && is_account(user.name, account_ns, name)) return s;
    }
  }
  return {};
}

std::string describe_subject(Value subject, std::string_view ns) {
  if (subject["kind"].as_string() == "ServiceAccount")
    return fmt::format("ServiceAccount \"{}/{}\"", subject["name"].as_string(), subject["namespace"].as_string(ns));
  return fmt::format("{} \"{}\"", subject["kind"].as_string(), subject["name"].as_string());
}

// Visits the bindings of a user that count in a namespace, with their roles. Stops when `visit` returns false. Roles that are
// not there are told to `missing`, as a cache of roles would (clusterrole.rbac...) or, with a `plural`, as the API.
using Visit = std::function<bool(Value binding, Value role, Value subject, bool cluster_binding)>;
void bindings_of(const Registry& registry, const User& user, std::string_view ns, const Visit& visit,
                 std::vector<std::string>* missing = nullptr, std::string_view plural = "") {
  bool go_on = true;
  auto step = [&](Value binding, bool cluster_binding) {
    std::string_view binding_ns = binding["metadata"]["namespace"].as_string();
    Value subject = subject_of(binding, user, binding_ns);
    if (!subject.exists()) return true;
    Value ref = binding["roleRef"];
    bool cluster_role = ref["kind"].as_string() == "ClusterRole";
    Document role = registry.read(rbac_group, "v1", cluster_role ? "clusterroles" : "roles", cluster_role ? std::string_view() : binding_ns,
                                  ref["name"].as_string());
    if (!role) {
      if (missing)
        missing->push_back(
            fmt::format("{}{}.{} \"{}\" not found", cluster_role ? "clusterrole" : "role", plural, rbac_group, ref["name"].as_string()));
      return true;
    }
    return go_on = visit(binding, role, subject, cluster_binding);
  };
  registry.each(rbac_group, "v1", "clusterrolebindings", "", [&](Value b) { return step(b, true); });
  if (go_on && !ns.empty()) registry.each(rbac_group, "v1", "rolebindings", ns, [&](Value b) { return step(b, false); });
}

}  // namespace

namespace {

bool covers_but_names(Value rule, const Attributes& a) {
  if (!has(rule["verbs"], a.verb)) return false;
  if (!a.is_resource) return path_matches(rule["nonResourceURLs"], a.path);
  return has(rule["apiGroups"], a.group) && resource_matches(rule["resources"], a.resource, a.subresource);
}

bool covers_name(Value rule, const Attributes& a) {
  Value names = rule["resourceNames"];
  if (!a.is_resource || names.empty()) return true;
  for (Value v : names.items())
    if (v.as_string() == a.name) return true;
  return false;
}

// Who asks for what, but not of which object.
std::string& question_of(const Attributes& a) {
  thread_local std::string text;
  text.clear();
  // With its length, so that no text can pass for two.
  auto add = [](std::string_view part) {
    const auto bytes = static_cast<std::uint32_t>(part.size());
    text.append(reinterpret_cast<const char*>(&bytes), sizeof bytes).append(part);
  };
  std::string_view path = a.is_resource ? std::string_view() : std::string_view(a.path);
  for (std::string_view part : {std::string_view(a.user.name), std::string_view(a.verb), std::string_view(a.group),
                                std::string_view(a.resource), std::string_view(a.subresource), std::string_view(a.ns), path})
    add(part);
  text += a.is_resource ? 'r' : 'p';
  for (const std::string& group : a.user.groups) add(group);
  return text;
}

}  // namespace

bool rule_allows(Value rule, const Attributes& a) { return covers_but_names(rule, a) && covers_name(rule, a); }

Authorizer::Authorizer(Registry& registry)
    : registry_(registry), store_(registry.store()), nodes_(std::make_unique<NodeAuthorizer>(registry)) {
  AuthorizationChain usual;
  usual.push_back({Authority::Kind::node});
  usual.push_back({Authority::Kind::rbac});
  ask(std::move(usual));
}
Authorizer::~Authorizer() = default;

void Authorizer::ask(AuthorizationChain chain) {
  may_wait_ = std::any_of(chain.begin(), chain.end(), [](const Authority& one) { return one.kind == Authority::Kind::webhook; });
  chain_.store(std::make_shared<const AuthorizationChain>(std::move(chain)));
}

Attributes attributes_of(const User& user, const RequestInfo& info) {
  // A collection of which one object is selected by its name counts as that object.
  const std::string& name = info.name.empty() ? info.selected_name : info.name;
  return {user, info.verb, info.group, info.version,     info.resource,       info.subresource,
          name, info.ns,   info.path,  info.is_resource, info.field_selector, info.label_selector};
}

Decision Authorizer::authorize(const Attributes& a) const { return *decide(a, true); }

std::optional<Decision> Authorizer::authorize_at_once(const Attributes& a) const { return decide(a, false); }

std::optional<Decision> Authorizer::decide(const Attributes& a, bool may_wait) const {
  if (a.user.in_group("system:masters")) return Decision{true, ""};
  const auto chain = chain_.load();
  std::vector<std::string> reasons, errors;
  for (const Authority& one : *chain) {
    Decision decision;
    switch (one.kind) {
      case Authority::Kind::node:
        if (auto node = node_of(a.user)) decision = nodes_->authorize(*node, a);
        break;
      case Authority::Kind::rbac: decision = by_roles(a); break;
      case Authority::Kind::always_allow: decision.allowed = true; break;
      case Authority::Kind::always_deny: decision.reason = "Everything is forbidden."; break;
      case Authority::Kind::webhook:
        if (auto known = may_wait ? one.webhook->ask(a) : one.webhook->recall(a)) decision = std::move(*known);
        else return std::nullopt;
        break;
    }
    if (decision.allowed || decision.denied) return decision;
    if (!decision.reason.empty()) reasons.push_back(std::move(decision.reason));
    if (!decision.error.empty()) errors.push_back(std::move(decision.error));
  }
  Decision out{false, join(reasons, "\n")};
  if (!errors.empty()) out.error = errors.size() == 1 ? errors[0] : "[" + join(errors, ", ") + "]";
  return out;
}

Authorizer::Rules Authorizer::told_rules(const User& user, std::string_view ns) const {
  Rules out;
  const auto chain = chain_.load();
  for (const Authority& one : *chain) {
    switch (one.kind) {
      case Authority::Kind::node:
        if (!node_of(user)) break;
        out.incomplete = true;
        out.errors.push_back("node authorizer does not support user rule resolution");
        break;
      case Authority::Kind::rbac:
        bindings_of(
            registry_, user, ns,
            [&](Value, Value role, Value, bool) {
              for (Value rule : role["rules"].items()) out.rules.push_back(rule.document());
              return true;
            },
            &out.errors);
        break;
      case Authority::Kind::always_allow: {
        Draft all = Draft::array({"*"});
        out.rules.push_back(Draft::object({{"verbs", all}, {"apiGroups", all}, {"resources", all}}).freeze());
        out.rules.push_back(Draft::object({{"verbs", all}, {"nonResourceURLs", all}}).freeze());
        break;
      }
      case Authority::Kind::always_deny: break;
      case Authority::Kind::webhook:
        out.incomplete = true;
        out.errors.push_back("webhook authorizer does not support user rule resolution");
        break;
    }
  }
  return out;
}

std::optional<Decision> Authorizer::decided(const std::string& question, store::Revision at) const {
  std::shared_lock lock(decided_.mutex);
  if (decided_.at != at) return std::nullopt;
  auto found = decided_.by_question.find(question);
  if (found == decided_.by_question.end()) return std::nullopt;
  return found->second;
}

// Names come and go without end: they take a bounded part.
void Authorizer::remember(const std::string& question, bool by_name, store::Revision at, const Decision& decision) const {
  constexpr std::size_t most_decided = 8192, most_with_names = 1024;
  std::unique_lock lock(decided_.mutex);
  if (decided_.at > at || (by_name && decided_.at == at && decided_.by_question.size() >= most_with_names)) return;
  if (decided_.at < at || decided_.by_question.size() >= most_decided) decided_.by_question.clear();
  decided_.at = at;
  decided_.by_question.insert_or_assign(question, decision);
}

Decision Authorizer::by_roles(const Attributes& a) const {
  // Asked before the roles are read: what changes meanwhile makes the answer one for this request only.
  const store::Revision at = store::changed_at(store_, "/rbac.authorization.k8s.io/");
  std::string& question = question_of(a);
  if (auto known = decided(question, at)) return *known;
  const bool named = a.is_resource && !a.name.empty();
  const std::size_t nameless = question.size();
  if (named) {
    question.append("/").append(a.name);
    if (auto known = decided(question, at)) return *known;
  }
  bool by_name = false;
  Decision decision = walk_roles(a, by_name);
  // A rule with names may decide otherwise for another object, or for none.
  if (by_name && !named) return decision;
  if (!by_name) question.resize(nameless);
  remember(question, by_name, at, decision);
  return decision;
}

Decision Authorizer::walk_roles(const Attributes& a, bool& by_name) const {
  Decision decision;
  std::vector<std::string> missing;
  bindings_of(
      registry_, a.user, a.is_resource ? std::string_view(a.ns) : std::string_view(),
      [&](Value binding, Value role, Value subject, bool cluster_binding) {
        for (Value rule : role["rules"].items()) {
          if (!covers_but_names(rule, a)) continue;
          by_name = by_name || (a.is_resource && !rule["resourceNames"].empty());
          if (!covers_name(rule, a)) continue;
          std::string_view binding_ns = binding["metadata"]["namespace"].as_string();
          std::string name = cluster_binding ? fmt::format("ClusterRoleBinding \"{}\"", binding["metadata"]["name"].as_string())
                                             : fmt::format("RoleBinding \"{}/{}\"", binding["metadata"]["name"].as_string(), binding_ns);
          decision = {true, fmt::format("RBAC: allowed by {} of {} \"{}\" to {}", name, binding["roleRef"]["kind"].as_string(),
                                        binding["roleRef"]["name"].as_string(), describe_subject(subject, binding_ns))};
          return false;
        }
        return true;
      },
      &missing);
  if (decision.allowed || missing.empty()) return decision;
  std::sort(missing.begin(), missing.end());
  missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
  decision.reason = "RBAC: " + (missing.size() == 1 ? missing[0] : "[" + join(missing, ", ") + "]");
  return decision;
}

std::vector<Document> Authorizer::rules_for(const User& user, std::string_view ns, std::vector<std::string>* errors) const {
  std::vector<Document> out;
  bindings_of(
      registry_, user, ns,
      [&](Value, Value role, Value, bool) {
        for (Value rule : role["rules"].items()) out.push_back(rule.document());
        return true;
      },
      errors, "s");
  return out;
}

namespace {

// A rule split to single verbs, groups, resources and names: what cover() compares.
struct Single {
  std::string verb, group, resource, name, path;
};

std::vector<Single> singles(Value rule) {
  std::vector<Single> out;
  for (Value verb : rule["verbs"].items()) {
    for (Value path : rule["nonResourceURLs"].items()) out.push_back({verb.str(), "", "", "", path.str()});
    for (Value group : rule["apiGroups"].items())
      for (Value resource : rule["resources"].items()) {
        if (rule["resourceNames"].empty()) out.push_back({verb.str(), group.str(), resource.str(), "", ""});
        for (Value name : rule["resourceNames"].items()) out.push_back({verb.str(), group.str(), resource.str(), name.str(), ""});
      }
  }
  return out;
}

bool covers(Value held, const Single& s) {
  if (!has(held["verbs"], s.verb)) return false;
  if (!s.path.empty()) return path_matches(held["nonResourceURLs"], s.path);
  if (!has(held["apiGroups"], s.group)) return false;
  auto slash = s.resource.find('/');
  bool resource = slash == std::string::npos
                      ? resource_matches(held["resources"], s.resource, "")
                      : resource_matches(held["resources"], s.resource.substr(0, slash), s.resource.substr(slash + 1));
  if (!resource) return false;
  if (held["resourceNames"].empty()) return true;
  for (Value name : held["resourceNames"].items())
    if (!s.name.empty() && name.as_string() == s.name) return true;
  return false;
}

}  // namespace

std::vector<Document> Authorizer::uncovered(const std::vector<Document>& held, Value wanted) {
  std::vector<Document> out;
  for (Value rule : wanted.items()) {
    for (const Single& single : singles(rule)) {
      bool covered = false;
      for (const Document& h : held) covered = covered || covers(h.root(), single);
      if (covered) continue;
      Draft missing = Draft::object();
      if (!single.path.empty()) {
        missing["nonResourceURLs"].push_back(single.path);
      } else {
        missing["apiGroups"].push_back(single.group);
        missing["resources"].push_back(single.resource);
        if (!single.name.empty()) missing["resourceNames"].push_back(single.name);
      }
      missing["verbs"].push_back(single.verb);
      out.push_back(missing.freeze());
    }
  }
  return out;
}

Status denied(const Attributes& a, const Decision& decision) {
  std::string message;
  if (!a.is_resource) {
    message = fmt::format("User \"{}\" cannot {} path \"{}\"", a.user.name, a.verb, a.path);
  } else {
    std::string resource = a.subresource.empty() ? a.resource : a.resource + "/" + a.subresource;
    message = fmt::format("User \"{}\" cannot {} resource \"{}\" in API group \"{}\"", a.user.name, a.verb, resource, a.group);
    message += a.ns.empty() ? std::string(" at the cluster scope") : fmt::format(" in the namespace \"{}\"", a.ns);
  }
  if (!decision.reason.empty()) message += ": " + decision.reason;
  if (!a.is_resource) return forbidden("", "", "", message);
  return forbidden(a.group, a.resource, a.name, message);
}

}  // namespace kybern::apiserver
