// config: what the kubeconfig says, and changes of it.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/config.h"
#include "cli/config_file.h"
#include "cli/output.h"
#include "cli/table.h"

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
      if (entries && entries->is_array())
        std::erase_if(entries->items(), [&](Draft& e) { return !e.find("name") || e.find("name")->as_string() != name; });
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
  for (const char* list : {"clusters", "contexts", "users"})
    if (Draft* entries = config->find(list); entries && entries->is_array()) {
      std::stable_sort(entries->items().begin(), entries->items().end(), [](const Draft& a, const Draft& b) {
        return a.find("name") && b.find("name") && a.find("name")->as_string() < b.find("name")->as_string();
      });
      if (entries->empty()) *entries = Draft();
    }
  auto text = output->print({sorted(config->freeze())}, false, nullptr);
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

std::vector<std::string> names_in(Draft& config, std::string_view list) {
  std::vector<std::string> out;
  if (Draft* entries = config.find(list); entries && entries->is_array())
    for (Draft& entry : entries->items()) out.push_back(entry["name"].str());
  std::sort(out.begin(), out.end());
  return out;
}

Result<int> get_contexts(Session&, const Arguments& arguments) {
  auto config = current_config(arguments);
  if (!config) return std::unexpected(config.error());
  const bool names = arguments.text("output") == "name";
  if (!names && arguments.given("output")) return refuse("output must be one of '' or 'name': " + arguments.text("output"));
  const Document all = config->freeze();
  TableWriter table;
  if (!arguments.on("no-headers") && !names) table.head({"CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"});
  std::vector<std::string> wanted = arguments.words.empty() ? names_in(*config, "contexts") : arguments.words;
  std::string missing;
  for (const std::string& name : wanted) {
    Draft* entry = named_entry(*config, "contexts", name);
    if (!entry) {
      missing += (missing.empty() ? "error: context " : "\nerror: context ") + name + " not found";
      continue;
    }
    const auto text = [&](const char* field) {
      const Draft* found = entry->find_path({"context", field});
      return found ? found->str() : std::string();
    };
    if (names) table.row({name});
    else table.row({name == all["current-context"].as_string() ? "*" : "", name, text("cluster"), text("user"), text("namespace")});
  }
  fmt::print("{}", table.flush());
  if (!missing.empty()) return fail(Code::not_found, missing);
  return 0;
}

Result<int> get_names(const Arguments& arguments, std::string_view list) {
  auto config = current_config(arguments);
  if (!config) return std::unexpected(config.error());
  fmt::print("NAME\n");
  for (const std::string& name : names_in(*config, list)) fmt::print("{}\n", name);
  return 0;
}
Result<int> get_clusters(Session&, const Arguments& a) { return get_names(a, "clusters"); }
Result<int> get_users(Session&, const Arguments& a) { return get_names(a, "users"); }

Result<int> use_context(Session&, const Arguments& arguments) {
  if (arguments.words.size() != 1) return refuse_usage(arguments, "Unexpected args: [" + join(arguments.words, " ") + "]");
  const std::string &name = arguments.words[0], flag = arguments.text("kubeconfig");
  if (config_file_of(flag, "contexts", name).empty()) return refuse("no context exists with the name: " + go_quote(name));
  auto done = change_config(default_config_file(flag), [&](Draft& config) -> Result<void> {
    config["current-context"] = name;
    return {};
  });
  if (!done) return std::unexpected(done.error());
  fmt::print("Switched to context {}.\n", go_quote(name));
  return 0;
}

// Makes or changes one entry of a list: its file, or the default one.
Result<bool> change_entry(const Arguments& arguments, std::string_view list, const std::string& name,
                          const std::function<Result<void>(Draft&)>& change) {
  const std::string flag = arguments.text("kubeconfig"), known = config_file_of(flag, list, name);
  auto done = change_config(known.empty() ? default_config_file(flag) : known,
                            [&](Draft& config) { return change(*named_entry(config, list, name, true)); });
  if (!done) return std::unexpected(done.error());
  return known.empty();
}

void take(const Arguments& arguments, const char* flag, Draft& body, const char* field) {
  if (!arguments.given(flag)) return;
  if (arguments.text(flag).empty()) body.erase(field);
  else body[field] = arguments.text(flag);
}

// A file's name, or with --embed-certs its bytes.
Result<void> take_file(const Arguments& arguments, const char* flag, Draft& body, const std::string& field) {
  if (!arguments.given(flag)) return {};
  const std::string file = arguments.text(flag);
  if (!arguments.on("embed-certs")) {
    body.erase(field + "-data");
    body[field] = std::filesystem::absolute(file)
                      .lexically_relative(std::filesystem::absolute(default_config_file(arguments.text("kubeconfig"))).parent_path())
                      .string();
    return {};
  }
  auto bytes = read_whole_file(file);
  if (!bytes) return refuse(fmt::format("could not stat {} file {}: stat {}: no such file or directory", flag, file, file));
  body.erase(field);
  body[field + "-data"] = base64_encode(*bytes);
  return {};
}

Result<int> set_context(Session&, const Arguments& arguments) {
  if (arguments.on("current") && !arguments.words.empty())
    return refuse_usage(arguments, "Unexpected args: [" + join(arguments.words, " ") + "]");
  if (!arguments.on("current") && arguments.words.size() != 1) return refuse("you must specify a non-empty context name or --current");
  std::string name = arguments.words.empty() ? "" : arguments.words[0];
  if (arguments.on("current")) {
    auto config = current_config(arguments);
    if (!config) return std::unexpected(config.error());
    name = (*config)["current-context"].str();
    if (name.empty()) return refuse("no current context is set");
  }
  auto fresh = change_entry(arguments, "contexts", name, [&](Draft& entry) -> Result<void> {
    Draft& body = entry["context"];
    if (!body.is_object()) body = Draft::object({{"cluster", ""}, {"user", ""}});
    for (const char* flag : {"cluster", "user"})
      if (arguments.given(flag)) body[flag] = arguments.text(flag);
    take(arguments, "namespace", body, "namespace");
    return {};
  });
  if (!fresh) return std::unexpected(fresh.error());
  fmt::print("Context {} {}.\n", go_quote(name), *fresh ? "created" : "modified");
  return 0;
}

Result<int> set_cluster(Session&, const Arguments& arguments) {
  if (arguments.words.size() != 1) return refuse("Unexpected args: [" + join(arguments.words, " ") + "]");
  auto done = change_entry(arguments, "clusters", arguments.words[0], [&](Draft& entry) -> Result<void> {
    Draft& body = entry["cluster"];
    if (!body.is_object()) body = Draft::object({{"server", ""}});
    if (arguments.given("server")) {
      body["server"] = arguments.text("server");
      if (!arguments.given("insecure-skip-tls-verify")) body.erase("insecure-skip-tls-verify");
    }
    take(arguments, "tls-server-name", body, "tls-server-name");
    take(arguments, "proxy-url", body, "proxy-url");
    if (arguments.given("insecure-skip-tls-verify")) {
      if (arguments.on("insecure-skip-tls-verify")) {
        body["insecure-skip-tls-verify"] = true;
        for (const char* field : {"certificate-authority", "certificate-authority-data"}) body.erase(field);
      } else {
        body.erase("insecure-skip-tls-verify");
      }
    }
    if (arguments.given("certificate-authority")) body.erase("insecure-skip-tls-verify");
    return take_file(arguments, "certificate-authority", body, "certificate-authority");
  });
  if (!done) return std::unexpected(done.error());
  fmt::print("Cluster {} set.\n", go_quote(arguments.words[0]));
  return 0;
}

Result<int> set_credentials(Session&, const Arguments& arguments) {
  if (arguments.words.size() != 1) return refuse("Unexpected args: [" + join(arguments.words, " ") + "]");
  if (arguments.given("token") && (arguments.given("username") || arguments.given("password")))
    return refuse("you cannot specify more than one authentication method at the same time: --token, --username/--password");
  auto done = change_entry(arguments, "users", arguments.words[0], [&](Draft& entry) -> Result<void> {
    Draft& body = entry["user"];
    if (!body.is_object()) body = Draft::object();
    if (arguments.given("token"))
      for (const char* field : {"username", "password", "tokenFile"}) body.erase(field);
    if (arguments.given("username") || arguments.given("password")) body.erase("token");
    for (const char* flag : {"token", "username", "password"}) take(arguments, flag, body, flag);
    if (auto taken = take_file(arguments, "client-certificate", body, "client-certificate"); !taken) return taken;
    return take_file(arguments, "client-key", body, "client-key");
  });
  if (!done) return std::unexpected(done.error());
  fmt::print("User {} set.\n", go_quote(arguments.words[0]));
  return 0;
}

Result<int> rename_context(Session&, const Arguments& arguments) {
  if (arguments.words.size() != 2) return refuse_usage(arguments, "Unexpected args: [" + join(arguments.words, " ") + "]");
  const std::string &from = arguments.words[0], &to = arguments.words[1], flag = arguments.text("kubeconfig"),
                    file = config_file_of(flag, "contexts", from);
  if (file.empty()) return refuse(fmt::format("cannot rename the context {}, it's not in {}", go_quote(from), default_config_file(flag)));
  if (!config_file_of(flag, "contexts", to).empty())
    return refuse(fmt::format("cannot rename the context {}, the context {} already exists in {}", go_quote(from), go_quote(to),
                              default_config_file(flag)));
  auto done = change_config(file, [&](Draft& config) -> Result<void> {
    (*named_entry(config, "contexts", from))["name"] = to;
    if (config["current-context"].as_string() == from) config["current-context"] = to;
    return {};
  });
  if (!done) return std::unexpected(done.error());
  fmt::print("Context {} renamed to {}.\n", go_quote(from), go_quote(to));
  return 0;
}

Result<int> delete_entry(const Arguments& arguments, const char* list, const char* what) {
  if (arguments.words.size() != 1) return refuse_usage(arguments, "Unexpected args: [" + join(arguments.words, " ") + "]");
  const std::string &name = arguments.words[0], flag = arguments.text("kubeconfig"), file = config_file_of(flag, list, name);
  if (file.empty()) return refuse(fmt::format("cannot delete {} {}, not in {}", what, name, default_config_file(flag)));
  auto merged = current_config(arguments);
  if (merged && std::string_view(list) == "contexts" && (*merged)["current-context"].as_string() == name)
    fmt::print(stderr, "warning: this removed your active context, use \"kubectl config use-context\" to select a different one\n");
  auto done = change_config(file, [&](Draft& config) -> Result<void> {
    std::erase_if(config[list].items(), [&](Draft& entry) { return entry["name"].as_string() == name; });
    return {};
  });
  if (!done) return std::unexpected(done.error());
  fmt::print("deleted {} {} from {}\n", what, name, file);
  return 0;
}
Result<int> delete_context(Session&, const Arguments& a) { return delete_entry(a, "contexts", "context"); }
Result<int> delete_cluster(Session&, const Arguments& a) { return delete_entry(a, "clusters", "cluster"); }
Result<int> delete_user(Session&, const Arguments& a) { return delete_entry(a, "users", "user"); }

// contexts.NAME.field, current-context: where a property lies. A missing step is made, or with `make` false gives nullptr.
Draft* property(Draft& config, const std::string& path, bool make) {
  const auto steps = split(path, '.');
  if (steps.size() == 1) return make || config.find(steps[0]) ? &config[steps[0]] : nullptr;
  const std::string_view list = steps[0];
  const char* inner = list == "contexts" ? "context" : list == "clusters" ? "cluster" : list == "users" ? "user" : nullptr;
  if (!inner || steps.size() < 2) return nullptr;
  Draft* entry = named_entry(config, list, steps[1], make);
  if (!entry) return nullptr;
  Draft* at = &(*entry)[inner];
  for (std::size_t i = 2; i < steps.size(); ++i) {
    if (!make && !at->find(steps[i])) return nullptr;
    at = &(*at)[steps[i]];
  }
  return at;
}

// The file that a property is in, or belongs to.
std::string file_of(const Arguments& arguments, const std::string& path) {
  const auto steps = split(path, '.');
  const std::string flag = arguments.text("kubeconfig"), known = steps.size() > 1 ? config_file_of(flag, steps[0], steps[1]) : "";
  return known.empty() ? default_config_file(flag) : known;
}

Result<int> set_property(Session&, const Arguments& arguments) {
  if (arguments.words.size() != 2) return refuse_usage(arguments, "Unexpected args: [" + join(arguments.words, " ") + "]");
  const std::string &path = arguments.words[0], &value = arguments.words[1];
  auto done = change_config(file_of(arguments, path), [&](Draft& config) -> Result<void> {
    Draft* at = property(config, path, true);
    if (!at) return refuse("unable to parse " + path + " after [] at api.Config");
    *at = value == "true" || value == "false" ? Draft(value == "true") : Draft(value);
    return {};
  });
  if (!done) return std::unexpected(done.error());
  fmt::print("Property {} set.\n", go_quote(path));
  return 0;
}

Result<int> unset_property(Session&, const Arguments& arguments) {
  if (arguments.words.size() != 1) return refuse("Unexpected args: [" + join(arguments.words, " ") + "]");
  const std::string& path = arguments.words[0];
  auto done = change_config(file_of(arguments, path), [&](Draft& config) -> Result<void> {
    const auto steps = split(path, '.');
    if (steps.size() == 1) {
      if (path == "current-context") config[path] = "";
      else config[path] = Draft();
      return {};
    }
    if (!property(config, path, false)) return {};
    if (steps.size() == 2) {
      std::erase_if(config[steps[0]].items(), [&](Draft& entry) { return entry["name"].as_string() == steps[1]; });
      return {};
    }
    Draft* parent = property(config, path.substr(0, path.rfind('.')), false);
    parent->erase(steps.back());
    return {};
  });
  if (!done) return std::unexpected(done.error());
  fmt::print("Property {} unset.\n", go_quote(path));
  return 0;
}

}  // namespace

Command config_command() {
  using namespace flags;
  const Flag embed = boolean("embed-certs", "keep the files' contents instead of their names");
  Command out{"config", "look at and change the kubeconfig", "COMMAND"};
  out.children = {
      {"view",
       "all of it, without secrets",
       "[flags]",
       {output(), boolean("raw", "with secrets"), boolean("minify", "only what the current context uses"),
        boolean("flatten", "accepted for compatibility"), boolean("merge", "accepted for compatibility", true)},
       view},
      {"current-context", "the name of the current context", "", {}, current_context},
      {"use-context", "make another context the current one", "NAME", {}, use_context, {}, {"use"}},
      {"get-contexts", "the contexts", "[NAME...]", {output(), boolean("no-headers", "without the line of column names")}, get_contexts},
      {"get-clusters", "the names of the clusters", "", {}, get_clusters},
      {"get-users", "the names of the users", "", {}, get_users},
      {"set-context",
       "make or change a context",
       "(NAME | --current) [--namespace=...] [--cluster=...] [--user=...]",
       {boolean("current", "the current one")},
       set_context},
      {"set-cluster",
       "make or change a cluster",
       "NAME [--server=...] [--certificate-authority=FILE]",
       {embed, text("proxy-url", "reach it through this proxy")},
       set_cluster},
      {"set-credentials",
       "make or change a user",
       "NAME [--token=...] [--client-certificate=FILE --client-key=FILE]",
       {embed},
       set_credentials},
      {"set", "change one value: contexts.NAME.namespace", "PROPERTY VALUE", {}, set_property},
      {"unset", "take one value away", "PROPERTY", {}, unset_property},
      {"rename-context", "give a context another name", "NAME NEW_NAME", {}, rename_context},
      {"delete-context", "take a context away", "NAME", {}, delete_context},
      {"delete-cluster", "take a cluster away", "NAME", {}, delete_cluster},
      {"delete-user", "take a user away", "NAME", {}, delete_user},
  };
  return out;
}

}  // namespace kybern::cli
