// config: what the kubeconfig says. auth: who we are and what we may do.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/config.h"
#include "cli/output.h"
#include "cli/subjects.h"
#include "cli/table.h"
#include "document/yaml.h"

namespace kybern::cli {
namespace {

Result<Draft> current_config(const Arguments& arguments) { return merged_config(config_files(arguments.text("kubeconfig"))); }

void redact(Draft& config) {
  const auto hide = [&](std::string_view list, std::string_view inner, std::string_view field, std::string_view with) {
    Draft* entries = config.find(list);
    if (!entries || !entries->is_array()) return;
    for (Draft& entry : entries->items())
      if (Draft* value = entry.find_path({inner, field})) *value = with;
  };
  hide("clusters", "cluster", "certificate-authority-data", "DATA+OMITTED");
  for (const char* field : {"client-certificate-data", "client-key-data"}) hide("users", "user", field, "DATA+OMITTED");
  for (const char* field : {"token", "password"}) hide("users", "user", field, "REDACTED");
}

Result<int> view(Session&, const Arguments& arguments) {
  auto config = current_config(arguments);
  if (!config) return std::unexpected(config.error());
  if (arguments.on("minify")) {
    std::string current = arguments.text("context");
    if (current.empty()) current = (*config)["current-context"].str();
    const auto keep = [&](std::string_view list, std::string_view name) {
      Draft* entries = config->find(list);
      if (entries && entries->is_array()) std::erase_if(entries->items(), [&](Draft& e) { return !e.find("name") || e.find("name")->as_string() != name; });
    };
    keep("contexts", current);
    Draft* contexts = config->find("contexts");
    if (!contexts->is_array() || contexts->empty()) return refuse("cannot locate context " + current);
    const Draft* context = contexts->items()[0].find("context");
    const auto text = [&](const char* field) { return context && context->find(field) ? context->find(field)->str() : std::string(); };
    keep("clusters", text("cluster"));
    keep("users", text("user"));
  }
  if (!arguments.on("raw")) redact(*config);
  auto output = Output::parse(arguments.given("output") ? arguments.text("output") : "yaml");
  if (!output) return std::unexpected(output.error());
  auto text = output->print({config->freeze()}, false, nullptr);
  if (!text) return std::unexpected(text.error());
  fmt::print("{}", *text);
  return 0;
}

Result<int> current_context(Session&, const Arguments& arguments) {
  auto config = current_config(arguments);
  if (!config) return std::unexpected(config.error());
  const std::string current = (*config)["current-context"].str();
  if (current.empty()) return refuse("current-context is not set");
  fmt::print("{}\n", current);
  return 0;
}

Result<int> get_contexts(Session&, const Arguments& arguments) {
  auto config = current_config(arguments);
  if (!config) return std::unexpected(config.error());
  const Document all = config->freeze();
  TableWriter table;
  const bool names = arguments.text("output") == "name";
  if (!arguments.on("no-headers") && !names) table.head({"CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"});
  std::vector<Value> contexts;
  for (Value c : all["contexts"].items())
    if (arguments.words.empty() || arguments.words[0] == c["name"].as_string()) contexts.push_back(c);
  if (!arguments.words.empty() && contexts.empty()) return refuse("context " + arguments.words[0] + " not found");
  std::sort(contexts.begin(), contexts.end(), [](Value a, Value b) { return a["name"].as_string() < b["name"].as_string(); });
  for (Value c : contexts) {
    if (names) table.row({c["name"].str()});
    else table.row({c["name"] == all["current-context"] ? "*" : "", c["name"].str(), c["context"]["cluster"].str(), c["context"]["user"].str(), c["context"]["namespace"].str()});
  }
  fmt::print("{}", table.flush());
  return 0;
}

// The file that holds a context is written again whole, beside itself and then in its place.
Result<void> edit_file(const Arguments& arguments, const std::function<Result<bool>(Draft&)>& change) {
  const std::vector<std::string> files = config_files(arguments.text("kubeconfig"));
  if (files.empty()) return refuse("there is no kubeconfig file to change");
  for (const std::string& file : files) {
    auto text = read_whole_file(file);
    if (!text) return std::unexpected(text.error());
    auto parsed = parse_yaml(*text);
    if (!parsed || parsed->empty()) continue;
    Draft config{parsed->front()};
    auto changed = change(config);
    if (!changed) return std::unexpected(changed.error());
    if (!*changed) continue;
    const Document frozen = config.freeze();
    std::string out;
    write_yaml(frozen, out);
    const std::string fresh = file + ".new";
    std::error_code error;
    {
      std::ofstream stream(fresh, std::ios::binary);
      std::filesystem::permissions(fresh, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write, error);
      stream << out;
      if (!stream.flush()) return refuse("cannot write " + fresh);
    }
    std::filesystem::rename(fresh, file, error);
    if (error) return refuse("cannot replace " + file + ": " + error.message());
    return {};
  }
  return fail(Code::not_found, "error: no context exists with the name: " + go_quote(arguments.words.empty() ? "" : arguments.words[0]));
}

Draft* named(Draft& config, std::string_view list, std::string_view name) {
  Draft* entries = config.find(list);
  if (!entries || !entries->is_array()) return nullptr;
  for (Draft& entry : entries->items())
    if (entry.find("name") && entry.find("name")->as_string() == name) return &entry;
  return nullptr;
}

Result<int> use_context(Session&, const Arguments& arguments) {
  if (arguments.words.size() != 1) return refuse("exactly one NAME is required");
  const std::string& name = arguments.words[0];
  auto done = edit_file(arguments, [&](Draft& config) -> Result<bool> {
    if (!named(config, "contexts", name)) return false;
    config["current-context"] = name;
    return true;
  });
  if (!done) return std::unexpected(done.error());
  fmt::print("Switched to context {}.\n", go_quote(name));
  return 0;
}

Result<int> set_context(Session&, const Arguments& arguments) {
  if (!arguments.on("current") && arguments.words.size() != 1) return refuse("you must specify a non-empty context name or --current");
  std::string name = arguments.words.empty() ? "" : arguments.words[0];
  bool fresh = false;
  auto done = edit_file(arguments, [&](Draft& config) -> Result<bool> {
    if (arguments.on("current")) name = config["current-context"].str();
    Draft* entry = named(config, "contexts", name);
    if (!entry) {
      fresh = true;
      config["contexts"].push_back(Draft::object({{"context", Draft::object()}, {"name", name}}));
      entry = named(config, "contexts", name);
    }
    for (const char* field : {"namespace", "cluster", "user"})
      if (arguments.given(field)) (*entry)["context"][field] = arguments.text(field);
    return true;
  });
  if (!done) return std::unexpected(done.error());
  fmt::print("Context {} {}.\n", go_quote(name), fresh ? "created" : "modified");
  return 0;
}

Result<int> can_i(Session& session, const Arguments& arguments) {
  if (arguments.on("list")) {
    const Document review = Draft::object({{"apiVersion", "authorization.k8s.io/v1"}, {"kind", "SelfSubjectRulesReview"}, {"spec", Draft::object({{"namespace", session.ns()}})}}).freeze();
    auto answer = session.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", "", review);
    if (!answer) return std::unexpected(shown(answer.error()));
    TableWriter table;
    if (!arguments.on("no-headers")) table.head({"Resources", "Non-Resource URLs", "Resource Names", "Verbs"});
    const auto words = [](Value list) {
      std::vector<std::string> out;
      for (Value item : list.items()) out.push_back(item.str());
      return "[" + join(out, " ") + "]";
    };
    for (Value rule : (*answer)["status"]["resourceRules"].items())
      for (Value group : rule["apiGroups"].items())
        for (Value resource : rule["resources"].items())
          table.row({resource.str() + (group.as_string().empty() ? "" : "." + group.str()), "[]", words(rule["resourceNames"]), words(rule["verbs"])});
    for (Value rule : (*answer)["status"]["nonResourceRules"].items()) table.row({"", words(rule["nonResourceURLs"]), "[]", words(rule["verbs"])});
    fmt::print("{}", table.flush());
    return 0;
  }
  if (arguments.words.size() < 2) return refuse("you must specify two arguments: verb resource or verb resource/resourceName.\nSee 'kubectl auth can-i -h' for help and examples.");
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
        if (!(*type)->namespaced) fmt::print(stderr, "Warning: resource '{}' is not namespace scoped{}\n\n", resource, group.empty() ? "" : " in group '" + group + "'");
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
  const Document review = Draft::object({{"apiVersion", "authorization.k8s.io/v1"}, {"kind", "SelfSubjectAccessReview"}, {"spec", std::move(spec)}}).freeze();
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

Command config_command() {
  using namespace flags;
  Command out{"config", "look at and change the kubeconfig", "COMMAND"};
  out.children = {
      {"view", "all of it, without secrets", "[flags]", {output(), boolean("raw", "with secrets"), boolean("minify", "only what the current context uses"), boolean("flatten", "accepted for compatibility")}, view},
      {"current-context", "the name of the current context", "", {}, current_context},
      {"use-context", "make another context the current one", "NAME", {}, use_context, {}, {"use"}},
      {"get-contexts", "the contexts", "[NAME]", {output(), boolean("no-headers", "without the line of column names")}, get_contexts},
      {"set-context", "make or change a context", "(NAME | --current) [--namespace=...] [--cluster=...] [--user=...]", {boolean("current", "the current one"), text("cluster", "its cluster"), text("user", "its user")}, set_context},
  };
  return out;
}

Command auth_command() {
  using namespace flags;
  Command out{"auth", "who we are and what we may do", "COMMAND"};
  out.children = {
      {"can-i", "may this be done?", "VERB (TYPE | TYPE/NAME | /PATH)", {boolean("all-namespaces", "in all namespaces", false, 'A'), boolean("list", "all that may be done"), boolean("quiet", "only the exit status", false, 'q'), text("subresource", "of this subresource"), boolean("no-headers", "without the line of column names")}, can_i},
      {"whoami", "the user that the server sees", "", {output()}, who_am_i},
  };
  return out;
}

}  // namespace kybern::cli
