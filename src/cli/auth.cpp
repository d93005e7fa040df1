// auth: who we are and what we may do.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/subjects.h"
#include "cli/table.h"

namespace kybern::cli {
namespace {

std::string words_text(Value list) {
  std::vector<std::string> out;
  for (Value item : list.items()) out.push_back(item.str());
  return "[" + join(out, " ") + "]";
}

// One line for each resource and each URL, in order.
void print_rules(Value status, bool headers) {
  std::vector<std::vector<std::string>> resources, urls;
  for (Value rule : status["resourceRules"].items())
    for (Value group : rule["apiGroups"].items())
      for (Value resource : rule["resources"].items())
        resources.push_back({group.str() + "/" + resource.str(), resource.str() + (group.as_string().empty() ? "" : "." + group.str()),
                             "[]", words_text(rule["resourceNames"]), words_text(rule["verbs"])});
  for (Value rule : status["nonResourceRules"].items())
    for (Value url : rule["nonResourceURLs"].items()) urls.push_back({"", "", "[" + url.str() + "]", "[]", words_text(rule["verbs"])});
  std::sort(resources.begin(), resources.end());
  std::sort(urls.begin(), urls.end());
  std::string text = headers ? "Resources\tNon-Resource URLs\tResource Names\tVerbs\n" : "";
  for (const auto* rows : {&resources, &urls})
    for (const auto& row : *rows) text += join({row.begin() + 1, row.end()}, "\t") + "\n";
  fmt::print("{}", align_tabs(text, 6, 3));
}

Result<int> can_i(Session& session, const Arguments& arguments) {
  if (arguments.on("list")) {
    const Document review = Draft::object({{"apiVersion", "authorization.k8s.io/v1"},
                                           {"kind", "SelfSubjectRulesReview"},
                                           {"spec", Draft::object({{"namespace", session.ns()}})}})
                                .freeze();
    auto answer = session.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", "", review);
    if (!answer) return std::unexpected(shown(answer.error()));
    print_rules((*answer)["status"], !arguments.on("no-headers"));
    return 0;
  }
  if (arguments.words.size() < 2 || arguments.words.size() > 3)
    return refuse(
        "you must specify two arguments: verb resource or verb resource/resourceName.\nSee 'kubectl auth can-i -h' for help and examples.");
  const std::string verb = arguments.words[0], what = arguments.words[1];
  Draft spec = Draft::object();
  if (what.starts_with('/')) {
    spec["nonResourceAttributes"] = Draft::object({{"verb", verb}, {"path", what}});
  } else {
    const std::size_t slash = what.find('/');
    Draft attributes = Draft::object({{"verb", verb}});
    std::string group, resource = what.substr(0, slash);
    if (resource != "*") {
      auto discovery = session.discovery();
      if (!discovery) return std::unexpected(discovery.error());
      if (auto type = (*discovery)->find(resource)) {
        group = (*type)->group;
        resource = (*type)->plural;
        if (!(*type)->namespaced)
          fmt::print(stderr, "Warning: resource '{}' is not namespace scoped{}\n\n", resource,
                     group.empty() ? "" : " in group '" + group + "'");
      } else {
        fmt::print(stderr, "Warning: the server doesn't have a resource type '{}'\n\n", resource);
      }
    }
    attributes["resource"] = resource;
    if (!group.empty()) attributes["group"] = group;
    if (!arguments.on("all-namespaces")) attributes["namespace"] = session.ns();
    if (slash != std::string::npos) attributes["name"] = what.substr(slash + 1);
    if (arguments.words.size() > 2) attributes["name"] = arguments.words[2];
    if (auto sub = arguments.text("subresource"); !sub.empty()) attributes["subresource"] = sub;
    spec["resourceAttributes"] = std::move(attributes);
  }
  const Document review =
      Draft::object({{"apiVersion", "authorization.k8s.io/v1"}, {"kind", "SelfSubjectAccessReview"}, {"spec", std::move(spec)}}).freeze();
  auto answer = session.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "", review);
  if (!answer) return std::unexpected(shown(answer.error()));
  const Value status = (*answer)["status"];
  const bool allowed = status["allowed"].as_bool();
  if (!arguments.on("quiet")) {
    fmt::print("{}", allowed ? "yes" : "no");
    if (!allowed && !status["reason"].as_string().empty()) fmt::print(" - {}", status["reason"].as_string());
    fmt::print("\n");
  }
  return allowed ? 0 : 1;
}

Result<int> who_am_i(Session& session, const Arguments& arguments) {
  const Document review = Draft::object({{"apiVersion", "authentication.k8s.io/v1"}, {"kind", "SelfSubjectReview"}}).freeze();
  auto answer = session.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", "", review);
  if (!answer) return std::unexpected(shown(answer.error()));
  auto output = Output::parse(arguments.text("output"));
  if (!output) return std::unexpected(output.error());
  if (!output->human()) {
    auto text = output->print({*answer}, false, nullptr);
    if (!text) return std::unexpected(text.error());
    fmt::print("{}", *text);
    return 0;
  }
  const Value user = (*answer)["status"]["userInfo"];
  std::vector<std::string> groups;
  for (Value group : user["groups"].items()) groups.push_back(group.str());
  TableWriter table;
  table.head({"Attribute", "Value"});
  table.row({"Username", user["username"].str()});
  if (user["uid"].exists()) table.row({"UID", user["uid"].str()});
  if (!groups.empty()) table.row({"Groups", "[" + join(groups, " ") + "]"});
  for (Member m : user["extra"].members()) {
    std::vector<std::string> values;
    for (Value v : m.value.items()) values.push_back(v.str());
    table.row({"Extra: " + std::string(m.key), "[" + join(values, " ") + "]"});
  }
  fmt::print("{}", table.flush());
  return 0;
}

}  // namespace

Command auth_command() {
  using namespace flags;
  Command out{"auth", "who we are and what we may do", "COMMAND"};
  out.children = {
      {"can-i",
       "may this be done?",
       "VERB (TYPE | TYPE/NAME | /PATH)",
       {boolean("all-namespaces", "in all namespaces", false, 'A'), boolean("list", "all that may be done"),
        boolean("quiet", "only the exit status", false, 'q'), text("subresource", "of this subresource"),
        boolean("no-headers", "without the line of column names")},
       can_i},
      {"whoami", "the user that the server sees", "", {output()}, who_am_i},
  };
  return out;
}

}  // namespace kybern::cli
