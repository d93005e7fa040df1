// create role, clusterrole, rolebinding, clusterrolebinding.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/strings.h"
#include "cli/create_parts.h"
#include "cli/subjects.h"

namespace kybern::cli {
namespace {

constexpr std::string_view rbac_version = "rbac.authorization.k8s.io/v1", rbac_group = "rbac.authorization.k8s.io";

std::vector<std::string> unique(std::vector<std::string> list) {
  std::vector<std::string> out;
  for (std::string& item : list)
    if (std::find(out.begin(), out.end(), item) == out.end()) out.push_back(std::move(item));
  return out;
}

struct ResourceWord {
  std::string group, name;  // name: "pods", "pods/log"
};

// "deployments.apps/scale", "pods": as the server knows it.
Result<ResourceWord> resolve(Session& session, std::string_view word) {
  if (word == "*") return ResourceWord{"", "*"};
  const std::size_t slash = word.find('/');
  auto discovery = session.discovery();
  if (!discovery) return std::unexpected(discovery.error());
  auto type = (*discovery)->find(word.substr(0, slash));
  if (!type) return fail(Code::not_found, type.error().message.substr(std::string_view("error: ").size()));
  return ResourceWord{(*type)->group, (*type)->plural + (slash == std::string_view::npos ? "" : std::string(word.substr(slash)))};
}

void warn_of_verbs(const std::vector<std::string>& verbs) {
  static const std::vector<std::string> known{
      "get", "delete", "list",     "create",      "update", "patch",   "watch", "proxy", "deletecollection",
      "use", "bind",   "escalate", "impersonate", "*",      "approve", "sign"};
  for (const std::string& verb : verbs)
    if (std::find(known.begin(), known.end(), verb) == known.end())
      fmt::print(stderr, "Warning: '{}' is not a standard resource verb\n", verb);
}

// One rule for each group, with its resources; one more for the URLs.
Result<Draft> rules(Session& session, const Arguments& arguments, bool of_cluster) {
  std::vector<std::string> verbs = unique(arguments.list("verb"));
  if (std::find(verbs.begin(), verbs.end(), "*") != verbs.end()) verbs = {"*"};
  const auto words = arguments.list("resource"), names = unique(arguments.list("resource-name"));
  const std::vector<std::string> urls = of_cluster ? unique(arguments.list("non-resource-url")) : std::vector<std::string>();
  if (verbs.empty()) return refuse("at least one verb must be specified");
  if (words.empty() && urls.empty())
    return refuse(of_cluster ? "one of resource or nonResourceURL must be specified" : "at least one resource must be specified");
  if (words.empty() && !names.empty()) return refuse("resourceName can only be applied to resource");
  if (!words.empty()) warn_of_verbs(verbs);
  std::vector<std::pair<std::string, std::vector<std::string>>> groups;
  for (const std::string& word : words) {
    auto found = resolve(session, word);
    if (!found) return std::unexpected(found.error());
    const std::string group = word == "*" ? "*" : found->group;
    auto at = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == group; });
    if (at == groups.end()) at = groups.insert(groups.end(), {group, {}});
    if (std::find(at->second.begin(), at->second.end(), found->name) == at->second.end()) at->second.push_back(found->name);
  }
  std::stable_sort(groups.begin(), groups.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  Draft out = Draft::array();
  for (const auto& [group, resources] : groups) {
    Draft rule =
        Draft::object({{"apiGroups", Draft::strings({group})}, {"resources", Draft::strings(resources)}, {"verbs", Draft::strings(verbs)}});
    if (!names.empty()) rule["resourceNames"] = Draft::strings(names);
    out.push_back(std::move(rule));
  }
  if (!urls.empty()) out.push_back(Draft::object({{"nonResourceURLs", Draft::strings(urls)}, {"verbs", Draft::strings(verbs)}}));
  return out;
}

Result<int> create_role(Session& session, const Arguments& arguments) {
  auto name = one_name(arguments);
  if (!name) return std::unexpected(name.error());
  Draft object = new_object(rbac_version, "Role", *name, session, true);
  auto made = rules(session, arguments, false);
  if (!made) return std::unexpected(made.error());
  object["rules"] = *std::move(made);
  return finish_create(session, arguments, object, "");
}

Result<int> create_cluster_role(Session& session, const Arguments& arguments) {
  auto name = one_name(arguments);
  if (!name) return std::unexpected(name.error());
  Draft object = new_object(rbac_version, "ClusterRole", *name, session, false);
  if (arguments.given("aggregation-rule")) {
    if (arguments.given("verb") || arguments.given("resource") || arguments.given("non-resource-url"))
      return refuse("aggregation rule must be specified without other rules");
    Draft labels = Draft::object();
    for (const std::string& pair : arguments.list("aggregation-rule")) {
      const std::size_t equals = pair.find('=');
      if (equals == std::string::npos) return refuse(pair + " must be formatted as key=value");
      labels[pair.substr(0, equals)] = pair.substr(equals + 1);
    }
    object["aggregationRule"] =
        Draft::object({{"clusterRoleSelectors", Draft::array({Draft::object({{"matchLabels", std::move(labels)}})})}});
    object["rules"] = Draft();
    return finish_create(session, arguments, object, "");
  }
  auto made = rules(session, arguments, true);
  if (!made) return std::unexpected(made.error());
  object["rules"] = *std::move(made);
  return finish_create(session, arguments, object, "");
}

Result<int> create_binding(Session& session, const Arguments& arguments, bool of_cluster) {
  auto name = one_name(arguments);
  if (!name) return std::unexpected(name.error());
  const std::string cluster_role = arguments.text("clusterrole"), role = of_cluster ? "" : arguments.text("role");
  if (!of_cluster && cluster_role.empty() == role.empty()) return refuse("exactly one of clusterrole or role must be specified");
  Draft object = new_object(rbac_version, of_cluster ? "ClusterRoleBinding" : "RoleBinding", *name, session, !of_cluster);
  object["roleRef"] = Draft::object(
      {{"apiGroup", rbac_group}, {"kind", role.empty() ? "ClusterRole" : "Role"}, {"name", role.empty() ? cluster_role : role}});
  auto subjects = rbac_subjects(arguments);
  if (!subjects) return std::unexpected(subjects.error());
  if (!subjects->empty()) object["subjects"] = *std::move(subjects);
  return finish_create(session, arguments, object, of_cluster ? "failed to create clusterrolebinding: " : "failed to create rolebinding: ");
}
Result<int> create_role_binding(Session& s, const Arguments& a) { return create_binding(s, a, false); }
Result<int> create_cluster_role_binding(Session& s, const Arguments& a) { return create_binding(s, a, true); }

}  // namespace

Result<Draft> rbac_subjects(const Arguments& arguments) {
  Draft out = Draft::array();
  for (const std::string& user : arguments.list("user"))
    out.push_back(Draft::object({{"apiGroup", rbac_group}, {"kind", "User"}, {"name", user}}));
  for (const std::string& group : arguments.list("group"))
    out.push_back(Draft::object({{"apiGroup", rbac_group}, {"kind", "Group"}, {"name", group}}));
  for (const std::string& account : arguments.list("serviceaccount")) {
    const auto pieces = split(account, ':');
    if (pieces.size() != 2 || pieces[0].empty() || pieces[1].empty()) return refuse("serviceaccount must be <namespace>:<name>");
    out.push_back(Draft::object({{"kind", "ServiceAccount"}, {"name", pieces[1]}, {"namespace", pieces[0]}}));
  }
  return out;
}

std::vector<Flag> rbac_subject_flags() {
  using namespace flags;
  return {list("user", "bind these users"), list("group", "bind these groups"),
          list("serviceaccount", "bind these service accounts, namespace:name")};
}

std::vector<Command> create_rbac_commands() {
  using namespace flags;
  const std::vector<Flag> rule{list("verb", "what may be done"), list("resource", "to which resources: pods, deployments.apps, pods/log"),
                               list("resource-name", "only to those with these names")};
  const Flag cluster_role = text("clusterrole", "the cluster role that is given");
  return {{"role", "what may be done in a namespace", "NAME --verb=VERB --resource=RESOURCE", create_flags() + rule, create_role},
          {"clusterrole", "what may be done in the cluster", "NAME --verb=VERB --resource=RESOURCE",
           create_flags() + rule +
               std::vector<Flag>{list("non-resource-url", "these paths of the API server"),
                                 list("aggregation-rule", "the rules of all cluster roles with these labels")},
           create_cluster_role},
          {"rolebinding", "who has a role in a namespace", "NAME (--role=NAME | --clusterrole=NAME) [--user=USER] [--group=GROUP]",
           create_flags() + rbac_subject_flags() + std::vector<Flag>{cluster_role, text("role", "the role that is given")},
           create_role_binding},
          {"clusterrolebinding", "who has a role in the cluster", "NAME --clusterrole=NAME [--user=USER] [--group=GROUP]",
           create_flags() + rbac_subject_flags() + std::vector<Flag>{required(cluster_role)}, create_cluster_role_binding}};
}

}  // namespace kybern::cli
