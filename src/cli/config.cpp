#include "cli/config.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "base/strings.h"
#include "document/yaml.h"

namespace kybern::cli {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t longest_file_bytes = std::size_t(64) << 20;
constexpr const char* own_kubeconfig = "/var/lib/kybern/kubeconfig";

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

void make_absolute(Draft& config, const fs::path& folder) {
  const auto fix = [&](std::string_view list, std::string_view inner, std::initializer_list<std::string_view> fields) {
    Draft* entries = config.find(list);
    if (!entries || !entries->is_array()) return;
    for (Draft& entry : entries->items()) {
      Draft* body = entry.find(inner);
      if (!body) continue;
      for (std::string_view field : fields)
        if (Draft* value = body->find(field); value && value->is_string() && !value->as_string().empty())
          if (fs::path file(value->str()); file.is_relative()) *value = Draft((folder / file).lexically_normal().string());
    }
  };
  fix("clusters", "cluster", {"certificate-authority"});
  fix("users", "user", {"client-certificate", "client-key", "tokenFile"});
}

void merge_named(Draft& into, const Draft& from, std::string_view list) {
  const Draft* more = from.find(list);
  if (!more || !more->is_array()) return;
  Draft& all = into[list];
  for (const Draft& entry : more->items()) {
    const Draft* name = entry.find("name");
    bool known = false;
    if (all.is_array() && name)
      for (const Draft& have : all.items()) known = known || (have.find("name") && have.find("name")->as_string() == name->as_string());
    if (!known) all.push_back(entry);
  }
}

}  // namespace

Result<std::string> read_whole_file(const std::string& path) {
  std::string out;
  if (path == "-") {
    out.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    std::error_code error;
    if (!fs::exists(path, error)) return fail(Code::not_found, "error: the path " + go_quote(path) + " does not exist");
    std::ifstream in(path, std::ios::binary);
    if (!in) return fail(Code::forbidden, "error: open " + path + ": permission denied");
    out.assign(std::istreambuf_iterator<char>(in), {});
  }
  if (out.size() > longest_file_bytes) return fail(Code::too_large, "error: " + path + " is larger than 64 MiB");
  return out;
}

std::vector<std::string> config_files(const std::string& flag) {
  if (!flag.empty()) return {flag};
  std::vector<std::string> out;
  std::error_code error;
  if (const std::string list = environment("KUBECONFIG"); !list.empty()) {
    for (std::string_view file : split(list, ':'))
      if (!file.empty() && fs::exists(fs::path(file), error)) out.emplace_back(file);
    return out;
  }
  if (const std::string home = environment("HOME"); !home.empty() && fs::exists(home + "/.kube/config", error))
    out.push_back(home + "/.kube/config");
  return out;
}

Result<Draft> merged_config(const std::vector<std::string>& files) {
  Draft out = Draft::object({{"apiVersion", "v1"}, {"kind", "Config"}, {"preferences", Draft::object()}});
  for (const std::string& file : files) {
    std::error_code error;
    if (!fs::exists(file, error)) return fail(Code::not_found, "error: stat " + file + ": no such file or directory");
    auto text = read_whole_file(file);
    if (!text) return std::unexpected(text.error());
    auto parsed = parse_yaml(*text);
    if (!parsed) return fail(Code::invalid, "error: error loading config file " + go_quote(file) + ": " + parsed.error().message);
    if (parsed->empty()) continue;
    Draft config{parsed->front()};
    make_absolute(config, fs::absolute(fs::path(file)).parent_path());
    for (std::string_view list : {"clusters", "contexts", "users"}) merge_named(out, config, list);
    if (const Draft* current = config.find("current-context"); current && !current->as_string().empty() && !out.find("current-context"))
      out["current-context"] = *current;
  }
  for (const char* list : {"clusters", "contexts", "users"})
    if (!out.find(list)) out[list] = Draft();
  if (!out.find("current-context")) out["current-context"] = "";
  return out;
}

namespace {

bool has_entry(const Draft& config, std::string_view list, std::string_view name) {
  const Draft* entries = config.find(list);
  if (!entries || !entries->is_array()) return false;
  return std::any_of(entries->items().begin(), entries->items().end(),
                     [&](const Draft& entry) { return entry.find("name") && entry.find("name")->as_string() == name; });
}

// Puts the chosen context, cluster and user into the config, as a context of its own when they differ from what stands there.
Result<void> choose(Draft& config, const ConfigChoice& choice) {
  const std::string context = choice.context.empty() ? config["current-context"].str() : choice.context;
  if (!choice.context.empty() && !has_entry(config, "contexts", context))
    return fail(Code::not_found, "Error in configuration: context was not found for specified context: " + context);
  if (!choice.cluster.empty() && !has_entry(config, "clusters", choice.cluster))
    return fail(Code::not_found, "error: no server found for cluster " + go_quote(choice.cluster));
  if (!choice.user.empty() && !has_entry(config, "users", choice.user))
    return fail(Code::not_found, "error: auth info " + go_quote(choice.user) + " does not exist");
  config["current-context"] = context;
  if (choice.cluster.empty() && choice.user.empty()) return {};
  Draft body = Draft::object();
  if (Draft* contexts = config.find("contexts"); contexts && contexts->is_array())
    for (Draft& entry : contexts->items())
      if (entry.find("name") && entry.find("name")->as_string() == context && entry.find("context")) body = *entry.find("context");
  if (!choice.cluster.empty()) body["cluster"] = choice.cluster;
  if (!choice.user.empty()) body["user"] = choice.user;
  config["contexts"] = Draft::array({Draft::object({{"name", "chosen"}, {"context", std::move(body)}})});
  config["current-context"] = "chosen";
  return {};
}

}  // namespace

Result<client::HttpOptions> load_options(const ConfigChoice& choice) {
  std::vector<std::string> files = config_files(choice.kubeconfig);
  std::error_code error;
  client::HttpOptions local;  // as kubectl without any settings
  local.url = "http://localhost:8080";
  if (files.empty() && choice.context.empty()) {
    if (auto pod = client::in_cluster_options()) return *pod;
    if (fs::exists(own_kubeconfig, error)) files = {own_kubeconfig};
  }
  auto merged = merged_config(files);
  if (!merged) return std::unexpected(merged.error());
  if (auto chosen = choose(*merged, choice); !chosen) return std::unexpected(chosen.error());
  if (const Draft* contexts = merged->find("contexts");
      merged->find("current-context")->as_string().empty() && (!contexts || contexts->empty()))
    return local;
  std::string text;
  write_yaml(merged->freeze(), text);
  auto options = client::parse_kubeconfig(text, "", "/");
  if (!options) return fail(options.error().code, "error: " + options.error().message);
  return options;
}

}  // namespace kybern::cli
