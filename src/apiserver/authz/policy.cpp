// Brings the default roles and bindings into the store: made when missing, completed when something was taken away.
#include <fmt/format.h>

#include <map>

#include "apiserver/authz/authorizer.h"
#include "apiserver/authz/policy_rules.h"
#include "base/check.h"
#include "base/strings.h"

namespace kybern::apiserver {
namespace {

constexpr std::string_view group = "rbac.authorization.k8s.io";
constexpr std::string_view update_annotation = "rbac.authorization.kubernetes.io/autoupdate";

struct Wanted {
  std::string plural, ns, name;
  Draft object;
};

Draft list_of(std::string_view commas) {
  Draft out = Draft::array();
  for (std::string_view one : split(commas, ',')) out.push_back(one == "core" ? std::string_view() : one);
  return out;
}

Draft rule_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (std::string_view word : split(line == "  events" ? "create,patch,update core,events.k8s.io events" : line, ' '))
    if (!word.empty()) words.push_back(word);
  KYBERN_CHECK(words.size() >= 3, "a rule of the policy has verbs, groups and resources");
  std::string_view verbs = words[0];
  if (verbs == "r") verbs = "get,list,watch";
  else if (verbs == "w") verbs = "create,delete,deletecollection,patch,update";
  else if (verbs == "rw") verbs = "create,delete,deletecollection,get,list,patch,update,watch";
  Draft rule = Draft::object({{"verbs", list_of(verbs)}});
  if (words[1] == "url") {
    rule["nonResourceURLs"] = list_of(words[2]);
    return rule;
  }
  rule["apiGroups"] = list_of(words[1]);
  rule["resources"] = list_of(words[2]);
  if (words.size() > 3) rule["resourceNames"] = list_of(words[3]);
  return rule;
}

Draft subject_of(std::string_view text) {
  std::string_view name = text.substr(2);
  if (text[0] == 's') {
    auto slash = name.find('/');
    return Draft::object({{"kind", "ServiceAccount"}, {"namespace", name.substr(0, slash)}, {"name", name.substr(slash + 1)}});
  }
  return Draft::object({{"apiGroup", group}, {"kind", text[0] == 'u' ? "User" : "Group"}, {"name", name}});
}

std::string part_label(std::string_view of) { return fmt::format("rbac.authorization.k8s.io/aggregate-to-{}", of); }

Draft with_metadata(std::string_view name) {
  Draft object = Draft::object();
  object["metadata"]["name"] = name;
  object["metadata"]["labels"]["kubernetes.io/bootstrapping"] = "rbac-defaults";
  object["metadata"]["annotations"][update_annotation] = "true";
  return object;
}

Draft role_ref(std::string_view kind, std::string_view name) {
  return Draft::object({{"apiGroup", group}, {"kind", kind}, {"name", name}});
}

std::vector<Wanted> read_policy() {
  std::vector<Wanted> out;
  std::map<std::string, std::vector<Draft>> parts;  // of aggregated roles
  std::string aggregated_to;
  for (std::string_view line : split(bootstrap_policy, '\n')) {
    if (line.empty()) continue;
    if (line[0] == ' ') {
      Draft rule = rule_of(line);
      if (!aggregated_to.empty()) parts[aggregated_to].push_back(rule);
      out.back().object["rules"].push_back(std::move(rule));
      continue;
    }
    auto words = split(line, ' ');
    aggregated_to.clear();
    if (words[0] == "role" || words[0] == "aggregate" || words[0] == "collect") {
      out.push_back({"clusterroles", "", std::string(words[1]), with_metadata(words[1])});
      if (words.size() > 2) out.back().object["metadata"]["labels"][part_label(words[2])] = "true";
      if (words[0] == "aggregate") aggregated_to = words[2];
      if (words[0] == "collect") {
        Draft selector = Draft::object();
        selector["matchLabels"][part_label(words[1])] = "true";
        out.back().object["aggregationRule"]["clusterRoleSelectors"].push_back(std::move(selector));
      }
    } else if (words[0] == "namespaced") {
      out.push_back({"roles", std::string(words[1]), std::string(words[2]), with_metadata(words[2])});
    } else if (words[0] == "bind") {
      out.push_back({"clusterrolebindings", "", std::string(words[1]), with_metadata(words[1])});
      out.back().object["roleRef"] = role_ref("ClusterRole", words[2]);
      for (std::size_t i = 3; i < words.size(); ++i) out.back().object["subjects"].push_back(subject_of(words[i]));
    } else if (words[0] == "bind-in") {
      auto slash = words[3].find('/');
      out.push_back({"rolebindings", std::string(words[1]), std::string(words[2]), with_metadata(words[2])});
      out.back().object["roleRef"] = role_ref(words[3].substr(0, slash), words[3].substr(slash + 1));
      for (std::size_t i = 4; i < words.size(); ++i) out.back().object["subjects"].push_back(subject_of(words[i]));
    } else if (words[0] == "controllers") {
      // Each controller's role is its own service account's.
      constexpr std::string_view prefix = "system:controller:";
      std::vector<std::string> names;
      for (const Wanted& w : out)
        if (w.plural == "clusterroles" && w.name.starts_with(prefix)) names.push_back(w.name);
      for (const std::string& name : names) {
        out.push_back({"clusterrolebindings", "", name, with_metadata(name)});
        out.back().object["roleRef"] = role_ref("ClusterRole", name);
        out.back().object["subjects"].push_back(Draft::object(
            {{"kind", "ServiceAccount"}, {"namespace", "kube-system"}, {"name", std::string_view(name).substr(prefix.size())}}));
      }
    }
  }
  // A controller fills in the rules of roles that collect (controllers/clusterroleaggregation); a server alone begins with them.
  struct Level {
    std::string_view name;
    std::vector<std::string_view> from;
  };
  for (const Level& level : {Level{"view", {"view"}}, Level{"edit", {"edit", "view"}}, Level{"admin", {"edit", "view", "admin"}}})
    for (Wanted& w : out) {
      if (w.plural != "clusterroles" || w.name != level.name) continue;
      for (std::string_view part : level.from)
        for (const Draft& rule : parts[std::string(part)]) w.object["rules"].push_back(rule);
    }
  return out;
}

bool is_left_alone(Value object) { return object["metadata"]["annotations"][update_annotation].as_string() == "false"; }

// What a binding binds to never changes: one bound to something else is made anew.
bool is_bound_elsewhere(Value held, const Draft& wanted) {
  const Draft* to = wanted.find("roleRef");
  return to && held.exists() && !is_left_alone(held) && !(Draft(held["roleRef"]) == *to);
}

bool same_subject(Value held, const Draft& wanted) {
  for (std::string_view field : {"kind", "name", "namespace"}) {
    const Draft* of = wanted.find(field);
    if (held[field].as_string() != (of ? of->as_string() : std::string_view())) return false;
  }
  return true;
}

Result<void> reconcile(Registry& registry, World world, const Wanted& wanted) {
  Work work{.registry = registry,
            .world = world,
            .user = {"system:apiserver", "", {"system:masters"}, {}},
            .served = registry.catalog().find(group, "v1", wanted.plural),
            .ns = wanted.ns,
            .name = wanted.name};
  auto complain = [&](const Status& status) {
    return fail(Code::internal, fmt::format("{} {}: {}", wanted.plural, wanted.name, status.message));
  };
  Document held = registry.read(group, "v1", wanted.plural, wanted.ns, wanted.name);
  if (is_bound_elsewhere(held.root(), wanted.object)) {
    work.verb = "delete";
    if (auto gone = registry.remove(work, {}); !gone && gone.error().reason != "NotFound") return complain(gone.error());
    held = Document();
  }
  if (!held) {
    work.verb = "create";
    Draft object(wanted.object);
    if (!wanted.ns.empty()) object["metadata"]["namespace"] = wanted.ns;
    auto made = registry.create(work, object.freeze());
    if (!made && made.error().reason != "AlreadyExists") return complain(made.error());
    return {};
  }
  work.verb = "update";
  auto changed = registry.modify(
      work,
      [&](Value before) -> ApiResult<Draft> {
        Draft now(before);
        if (is_left_alone(before)) return now;
        // Only added to: what somebody gave on top, or another value of a label, stays.
        for (std::string_view field : {"labels", "annotations"})
          for (const Draft::Field& f : wanted.object.find_path({"metadata", field})->fields())
            if (!before["metadata"][field][f.key].exists()) now["metadata"][field][f.key] = f.value;
        if (const Draft* selectors = wanted.object.find_path({"aggregationRule", "clusterRoleSelectors"})) {
          for (const Draft& selector : selectors->items()) {
            bool there = false;
            for (Value s : before["aggregationRule"]["clusterRoleSelectors"].items()) there = there || Draft(s) == selector;
            if (!there) now["aggregationRule"]["clusterRoleSelectors"].push_back(selector);
          }
        } else if (const Draft* rules = wanted.object.find("rules")) {
          std::vector<Document> held;
          for (Value rule : before["rules"].items()) held.push_back(rule.document());
          for (const Document& missing : Authorizer::uncovered(held, Draft(*rules).freeze().root())) now["rules"].push_back(missing.root());
        }
        if (const Draft* subjects = wanted.object.find("subjects"))
          for (const Draft& subject : subjects->items()) {
            bool there = false;
            for (Value s : before["subjects"].items()) there = there || same_subject(s, subject);
            if (!there) now["subjects"].push_back(subject);
          }
        return now;
      },
      true);
  if (!changed) return complain(changed.error());
  return {};
}

}  // namespace

std::vector<Document> bootstrap_rules(std::string_view cluster_role) {
  std::vector<Document> out;
  for (const Wanted& wanted : read_policy())
    if (wanted.plural == "clusterroles" && wanted.name == cluster_role)
      for (const Draft& rule : wanted.object.find("rules")->items()) {
        Draft copy(rule);
        out.push_back(copy.freeze());
      }
  return out;
}

Result<void> reconcile_bootstrap_policy(Registry& registry, World world) {
  for (const Wanted& wanted : read_policy())
    if (auto ok = reconcile(registry, world, wanted); !ok) return ok;
  return {};
}

}  // namespace kybern::apiserver
