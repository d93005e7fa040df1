// set env: the environment of a workload's containers.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <map>

#include "base/strings.h"
#include "cli/set.h"
#include "machinery/names.h"

namespace kybern::cli {
namespace {

struct Edits {
  std::vector<Draft> set;  // {"name", "value"} or {"name", "valueFrom"}
  std::vector<std::string> removed;
};

Result<void> add_pair(std::string_view text, Edits& out) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos && text.ends_with('-') && text.size() > 1) {
    out.removed.emplace_back(text.substr(0, text.size() - 1));
    return {};
  }
  if (equals == std::string_view::npos || equals == 0)
    return refuse("environment variables must be of the form key=value, not " + go_quote(text));
  if (!names::env_var(text.substr(0, equals)).empty())
    return refuse(go_quote(text.substr(0, equals)) +
                  " is not a valid key name: " + kybern::join(names::env_var(text.substr(0, equals)), ", "));
  out.set.push_back(Draft::object({{"name", text.substr(0, equals)}, {"value", text.substr(equals + 1)}}));
  return {};
}

std::string variable_name(std::string_view key) {
  std::string out;
  for (char c : key) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    out += !letter ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  }
  return out;
}

// --from=configmap/NAME or secret/NAME: a variable for each key.
Result<void> add_from(Session& session, const Arguments& arguments, Edits& out) {
  auto source = one_subject(session, arguments.text("from"), "");
  if (!source) return std::unexpected(source.error());
  const bool secret = source->type->kind == "Secret";
  if (!secret && source->type->kind != "ConfigMap")
    return refuse(fmt::format("unsupported resource specified in --from: {}", source->type->plural));
  const auto wanted = arguments.list("keys");
  std::vector<std::string> keys;
  for (Member m : source->object["data"].members()) keys.emplace_back(m.key);
  std::sort(keys.begin(), keys.end());
  for (const std::string& key : keys) {
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), key) == wanted.end()) continue;
    const std::string name = variable_name(key);
    if (name != key) fmt::print(stderr, "Warning: key {} transferred to {}\n", key, name);
    const Draft reference = Draft::object({{"key", key}, {"name", source->name}});
    out.set.push_back(Draft::object({{"name", arguments.text("prefix") + name},
                                     {"valueFrom", Draft::object({{secret ? "secretKeyRef" : "configMapKeyRef", reference}})}}));
  }
  return {};
}

void edit(Draft& container, const Edits& edits, bool overwrite) {
  Draft& env = container["env"];
  for (const Draft& wanted : edits.set) {
    const std::string name = wanted.find("name")->str();
    Draft* known = nullptr;
    if (env.is_array())
      for (Draft& item : env.items())
        if (item["name"].as_string() == name) known = &item;
    if (!known) env.push_back(wanted);
    else if (overwrite) *known = wanted;
  }
  if (env.is_array())
    std::erase_if(env.items(), [&](Draft& item) {
      return std::find(edits.removed.begin(), edits.removed.end(), item["name"].str()) != edits.removed.end();
    });
  if (env.empty()) container.erase("env");
}

// The value that a reference stands for now.
std::string resolved(Session& session, const std::string& ns, std::string_view resource, Value reference, bool secret) {
  auto source =
      session.call("GET", fmt::format("/api/v1/namespaces/{}/{}/{}", url_encode(ns), resource, url_encode(reference["name"].as_string())));
  if (!source) return "";
  const Value value = (*source)["data"][reference["key"].as_string()];
  return secret ? base64_decode(value.as_string()).value_or("") : value.str();
}

void show(Session& session, const Arguments& arguments, const Subject& subject, Value container) {
  fmt::print("# {} {}, container {}\n", subject.type->kind, subject.name, container["name"].as_string());
  for (Value env : container["env"].items()) {
    const Value from = env["valueFrom"];
    const std::string_view name = env["name"].as_string();
    if (!from.exists()) {
      fmt::print("{}={}\n", name, env["value"].as_string());
      continue;
    }
    for (const auto& [field, resource, kind] :
         {std::tuple{"configMapKeyRef", "configmaps", "configmap"}, std::tuple{"secretKeyRef", "secrets", "secret"}}) {
      const Value reference = from[field];
      if (!reference.exists()) continue;
      if (arguments.on("resolve"))
        fmt::print("{}={}\n", name, resolved(session, subject.ns, resource, reference, kind == std::string_view("secret")));
      else fmt::print("# {} from {} {}, key {}\n", name, kind, reference["name"].as_string(), reference["key"].as_string());
    }
    if (from["fieldRef"].exists()) fmt::print("# {} from field path {}\n", name, from["fieldRef"]["fieldPath"].as_string());
    if (from["resourceFieldRef"].exists()) {
      const std::string_view of = from["resourceFieldRef"]["containerName"].as_string();
      fmt::print("# {} from{} resource {}\n", name, of.empty() ? "" : " container " + std::string(of),
                 from["resourceFieldRef"]["resource"].as_string());
    }
  }
}

Result<int> set_env(Session& session, const Arguments& arguments) {
  std::vector<std::string> words = arguments.words;
  Edits edits;
  const auto is_edit = [](const std::string& word) {
    return word == "-" || word.find('=') != std::string::npos || (word.size() > 1 && word.ends_with('-'));
  };
  const auto first = std::find_if(words.begin(), words.end(), is_edit);
  std::vector<std::string> pairs(first, words.end());
  words.erase(first, words.end());
  for (const std::string& pair : arguments.list("env")) pairs.push_back(pair);
  for (const std::string& pair : pairs) {
    if (pair != "-") {
      if (auto added = add_pair(pair, edits); !added) return std::unexpected(added.error());
      continue;
    }
    for (std::string line; std::getline(std::cin, line);)
      if (!trim(line).empty() && trim(line)[0] != '#')
        if (auto added = add_pair(trim(line), edits); !added) return std::unexpected(added.error());
  }
  if (words.empty() && !arguments.given("filename"))
    return refuse("one or more resources must be specified as <resource> <name> or <resource>/<name>");
  if (!arguments.text("from").empty())
    if (auto added = add_from(session, arguments, edits); !added) return std::unexpected(added.error());
  const bool list = arguments.on("list");
  if (!list && edits.set.empty() && edits.removed.empty()) return refuse("at least one environment variable must be provided");
  const std::string wanted = arguments.text("containers");
  return set_objects(session, arguments, words, {"env updated"}, [&](Draft& object, const Subject& subject) -> Result<bool> {
    Draft* spec = pod_spec_of(object);
    if (!spec) return fail(Code::invalid, no_pod_spec(subject, arguments.on("local")));
    bool found = false;
    for (const char* part : {"initContainers", "containers"})
      if (Draft* containers = spec->find(part); containers && containers->is_array())
        for (Draft& container : containers->items()) {
          if (wanted != "*" && container["name"].as_string() != wanted) continue;
          found = true;
          edit(container, edits, arguments.on("overwrite"));
          if (list) show(session, arguments, subject, container.freeze());
        }
    if (!found)
      fmt::print(stderr, "Warning: {}/{} does not have any containers matching {}\n", subject.type->kind, subject.name, go_quote(wanted));
    return found && !list;
  });
}

}  // namespace

Command set_env_command() {
  using namespace flags;
  return {"env", "the environment of containers", "(TYPE NAME | TYPE/NAME | -f FILE) KEY=VALUE... KEY-...",
          set_flags() + std::vector<Flag>{text("containers", "of these containers; *: of all", "*", 'c'), texts("env", "KEY=VALUE", 'e'),
                                          text("from", "the keys of a configmap/NAME or secret/NAME"),
                                          text("prefix", "before the names of variables that --from makes"),
                                          list("keys", "only these keys of --from"), boolean("list", "show what there is"),
                                          boolean("resolve", "with --list: the values that references stand for"),
                                          boolean("overwrite", "a value that is there may change", true)},
          set_env};
}

}  // namespace kybern::cli
