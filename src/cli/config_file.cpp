#include "cli/config_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "base/strings.h"
#include "cli/config.h"
#include "cli/output.h"
#include "document/yaml.h"

namespace kybern::cli {
namespace {

namespace fs = std::filesystem;

Result<Draft> read(const std::string& file) {
  std::error_code error;
  if (fs::exists(file, error)) {
    auto text = read_whole_file(file);
    if (!text) return std::unexpected(text.error());
    auto parsed = parse_yaml(*text);
    if (!parsed) return fail(Code::invalid, "error: error loading config file " + go_quote(file) + ": " + parsed.error().message);
    if (!parsed->empty()) return Draft(parsed->front());
  }
  Draft out = Draft::object({{"apiVersion", "v1"}, {"kind", "Config"}});
  for (const char* list : {"clusters", "contexts", "users"}) out[list] = Draft();
  out["current-context"] = "";
  return out;
}

void sort_entries(Draft& config) {
  for (const char* list : {"clusters", "contexts", "users"}) {
    Draft* entries = config.find(list);
    if (!entries) continue;
    if (entries->is_array() && entries->empty()) *entries = Draft();
    if (!entries->is_array()) continue;
    std::stable_sort(entries->items().begin(), entries->items().end(), [](const Draft& a, const Draft& b) {
      return a.find("name") && b.find("name") && a.find("name")->as_string() < b.find("name")->as_string();
    });
  }
}

}  // namespace

std::string default_config_file(const std::string& flag) {
  if (!flag.empty()) return flag;
  if (const char* list = std::getenv("KUBECONFIG"); list && *list) {
    std::string last;
    for (std::string_view file : split(list, ':')) {
      if (file.empty()) continue;
      last = std::string(file);
      std::error_code error;
      if (fs::exists(fs::path(file), error)) return last;
    }
    return last;
  }
  const char* home = std::getenv("HOME");
  return std::string(home ? home : "") + "/.kube/config";
}

std::string config_file_of(const std::string& flag, std::string_view list, std::string_view name) {
  for (const std::string& file : config_files(flag)) {
    auto config = read(file);
    if (config && named_entry(*config, list, name)) return file;
  }
  return "";
}

Result<void> change_config(const std::string& file, const std::function<Result<void>(Draft&)>& change) {
  auto config = read(file);
  if (!config) return std::unexpected(config.error());
  if (auto changed = change(*config); !changed) return changed;
  sort_entries(*config);
  std::string text;
  write_yaml(sorted(config->freeze()), text);
  std::error_code error;
  if (const fs::path folder = fs::path(file).parent_path(); !folder.empty()) fs::create_directories(folder, error);
  const std::string fresh = file + ".new";
  {
    const mode_t before = ::umask(077);  // it holds keys
    std::ofstream out(fresh, std::ios::binary | std::ios::trunc);
    ::umask(before);
    out << text;
    if (!out.flush()) return fail(Code::forbidden, "error: cannot write " + fresh);
  }
  fs::rename(fresh, file, error);
  if (error) return fail(Code::forbidden, "error: cannot replace " + file + ": " + error.message());
  return {};
}

Draft* named_entry(Draft& config, std::string_view list, std::string_view name, bool make) {
  if (Draft* entries = config.find(list); entries && entries->is_array())
    for (Draft& entry : entries->items())
      if (entry.find("name") && entry.find("name")->as_string() == name) return &entry;
  if (!make) return nullptr;
  if (!config[list].is_array()) config[list] = Draft::array();
  return &config[list].push_back(Draft::object({{"name", name}}));
}

}  // namespace kybern::cli
