// What the server says of itself: whether it is well, and what it holds.
#include <fmt/format.h>

#include <algorithm>

#include "apiserver/http/answers.h"
#include "apiserver/http/handler.h"

namespace kybern::apiserver {

bool Handler::serve_health(net::Exchange& exchange, const RequestInfo& info, const Query& query) {
  std::string_view path = info.path;
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  std::string_view root;
  for (std::string_view known : {"/healthz", "/livez", "/readyz"})
    if (path == known || (path.starts_with(known) && path[known.size()] == '/')) root = known;
  if (root.empty()) return false;
  std::string_view one = path.substr(root.size());
  if (!one.empty()) one.remove_prefix(1);
  struct Check {
    std::string name;
    bool ok;
  };
  bool storage = registry_.store().check_writable().has_value();
  std::vector<Check> checks{{"ping", true}, {"log", true}, {"etcd", storage}};
  if (root != "/livez") checks.push_back({"poststarthook/rbac/bootstrap-roles", ready_});
  if (root == "/readyz") checks.push_back({"informer-sync", ready_});
  if (health_checks_)
    for (auto& [name, ok] : health_checks_()) checks.push_back({std::move(name), ok});
  std::string report;
  bool all = true, found = one.empty();
  for (const Check& check : checks) {
    if (!one.empty() && check.name != one) continue;
    found = true;
    auto excluded = query.all("exclude");
    if (std::find(excluded.begin(), excluded.end(), check.name) != excluded.end()) {
      report += fmt::format("[+]{} excluded: ok\n", check.name);
      continue;
    }
    all = all && check.ok;
    report += check.ok ? fmt::format("[+]{} ok\n", check.name) : fmt::format("[-]{} failed: reason withheld\n", check.name);
  }
  if (!found) return false;
  std::string name(root.substr(1));
  if (!all) respond_text(exchange, 500, report + name + " check failed\n");
  else if (query.has("verbose")) respond_text(exchange, 200, report + name + " check passed\n");
  else respond_text(exchange, 200, "ok");
  return true;
}

// What lies in the store, counted when it is asked for.
void Handler::write_store_metrics(std::string& out) const {
  store::Snapshot snapshot = registry_.store().snapshot();
  std::string old_form;  // the name before 1.34
  metrics::write_header(out, "apiserver_resource_objects", "Number of stored objects by resource.", metrics::Type::gauge);
  metrics::write_header(old_form, "apiserver_storage_objects", "Number of stored objects by resource.", metrics::Type::gauge);
  for (const auto& served : registry_.catalog().all()) {
    if (served->stored != &*served) continue;
    double count = static_cast<double>(snapshot.count(served->prefix));
    metrics::write_sample(out, "apiserver_resource_objects", {{"group", served->group()}, {"resource", served->plural()}}, count);
    std::string name(served->plural());
    if (!served->group().empty()) name += "." + std::string(served->group());
    metrics::write_sample(old_form, "apiserver_storage_objects", {{"resource", name}}, count);
  }
  out += old_form;
  store::Store::Stats stats = registry_.store().stats();
  metrics::write_header(out, "apiserver_storage_size_bytes", "Size of the storage database file physically allocated in bytes.",
                        metrics::Type::gauge);
  metrics::write_sample(out, "apiserver_storage_size_bytes", {{"storage_cluster_id", "0"}}, static_cast<double>(stats.file_bytes));
  metrics::write_header(out, "apiserver_watch_cache_bytes", "Bytes that the objects in memory take.", metrics::Type::gauge);
  metrics::write_sample(out, "apiserver_watch_cache_bytes", {}, static_cast<double>(stats.bytes));
  metrics::write_header(out, "kubernetes_build_info", "What this program is.", metrics::Type::gauge);
  metrics::write_sample(out, "kubernetes_build_info",
                        {{"major", "1"}, {"minor", "36"}, {"git_version", "v1.36.0"}, {"platform", "linux/amd64"}}, 1);
}

}  // namespace kybern::apiserver
