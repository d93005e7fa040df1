#include "kubelet/run/static_pods.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include "base/log.h"
#include "document/json.h"
#include "document/yaml.h"
#include "kubelet/files.h"
#include "kubelet/plan/pod_view.h"
#include "machinery/defaults/defaults.h"
#include "net/certificates.h"

namespace kybern::kubelet {
namespace {

constexpr std::size_t most_manifest_bytes = 1 << 20;

bool is_manifest(const std::string& name) {
  if (name.starts_with('.')) return false;
  std::size_t dot = name.rfind('.');
  std::string suffix = dot == std::string::npos ? "" : name.substr(dot);
  return suffix.empty() || suffix == ".yaml" || suffix == ".yml" || suffix == ".json";
}

}  // namespace

Result<Document> read_static_pod(std::string_view manifest, std::string_view node_name, Time now) {
  auto documents = parse_yaml(manifest);
  if (!documents) return std::unexpected(documents.error());
  if (documents->size() != 1 || (*documents)[0]["kind"].as_string() != "Pod") return fail(Code::invalid, "a manifest holds one Pod");
  Draft pod(documents->front());
  if (pod.find_path({"spec", "containers"}) == nullptr || pod.find_path({"metadata", "name"}) == nullptr) {
    return fail(Code::invalid, "a Pod needs metadata.name and spec.containers");
  }
  apply_defaults("", "v1", "Pod", pod);
  std::string uid = net::sha256_hex(fmt::format("{}\n{}", node_name, to_json(documents->front().root()))).substr(0, 32);
  Draft& meta = pod["metadata"];
  meta["name"] = fmt::format("{}-{}", meta["name"].as_string(), node_name);
  if (meta["namespace"].as_string().empty()) meta["namespace"] = "default";
  meta["uid"] = uid;
  Draft& annotations = meta["annotations"];
  annotations[annotation_config_hash] = uid;
  annotations[annotation_config_source] = "file";
  annotations[annotation_config_seen] = format_rfc3339_nano(now);
  Draft& spec = pod["spec"];
  spec["nodeName"] = node_name;
  spec["tolerations"].push_back(Draft::object({{"effect", "NoExecute"}, {"operator", "Exists"}}));
  pod.erase("status");
  return pod.freeze();
}

std::vector<Document> read_static_pods(const std::string& folder, std::string_view node_name, Time now) {
  std::vector<Document> out;
  for (const std::string& name : list_dir(folder)) {
    std::string path = folder + "/" + name;
    if (!is_manifest(name) || is_dir(path)) continue;
    auto text = read_file(path, most_manifest_bytes);
    auto pod = text ? read_static_pod(*text, node_name, now) : Result<Document>(std::unexpected(text.error()));
    if (pod) out.push_back(std::move(*pod));
    else log_error("kubelet", "a static pod's manifest cannot be used", {{"file", path}, {"error", pod.error().message}});
  }
  return out;
}

std::string static_pods_fingerprint(const std::string& folder) {
  std::string out;
  for (const std::string& name : list_dir(folder)) {
    struct stat st;
    if (!is_manifest(name) || ::stat((folder + "/" + name).c_str(), &st) != 0) continue;
    out += fmt::format("{} {} {} {}.{}\n", name, st.st_ino, st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
  }
  return out;
}

}  // namespace kybern::kubelet
