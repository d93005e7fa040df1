#include "kubelet/testing/real_node.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "base/strings.h"
#include "document/json.h"
#include "kubelet/cgroups/cgroups.h"
#include "kubelet/files.h"
#include "kubelet/runtime/cri.h"
#include "kubelet/serve/log_file.h"
#include "kubelet/testing/isolation.h"

namespace kybern::kubelet::testing {

RealNode& RealNode::shared() {
  static RealNode* node = new RealNode();  // lives until the program's namespaces end it
  return *node;
}

RealNode::RealNode() {
  std::string images = run_folder() + "/images";
  std::string command = fmt::format("{}/tools/images/build.sh {} >{}.log 2>&1", KYBERN_SOURCE_DIR, images, images);
  if (std::system(command.c_str()) != 0) {
    problem_ = "tools/images/build.sh failed: " + read_file(images + ".log").value_or("");
    return;
  }
  options_.node_name = "test-node";
  options_.node_ips = {"127.0.0.1"};
  options_.data_dir = run_folder() + "/data";
  options_.image_archives = {images + "/pause.tar", images + "/busybox.tar", images + "/sample-web.tar"};
  options_.pod_cidrs = {"10.199.0.0/24"};
  options_.cgroup_base = run_cgroup();
  options_.bind_address = "127.0.0.1";
  options_.port = 0;
  auto started = Kubelet::start(api_, real_world(), options_);
  if (!started) problem_ = started.error().message;
  else kubelet_ = std::move(*started);
}

void RealNode::restart_kubelet() {
  kubelet_.reset();
  auto started = Kubelet::start(api_, real_world(), options_);
  if (!started) problem_ = started.error().message;
  else kubelet_ = std::move(*started);
}

bool RealNode::eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

Document RealNode::node() { return api_.get("/api/v1/nodes/test-node"); }
Document RealNode::pod(const std::string& name) { return api_.get("/api/v1/namespaces/default/pods/" + name); }

std::string RealNode::condition(const Document& object, std::string_view type) {
  for (Value c : object["status"]["conditions"].items()) {
    if (c["type"].as_string() == type) return c["status"].str();
  }
  return "";
}

void RealNode::run(const std::string& json) {
  auto parsed = parse_json(json);
  if (!parsed) throw std::runtime_error(parsed.error().message);
  Draft pod(*parsed);
  pod["apiVersion"] = "v1";
  pod["kind"] = "Pod";
  pod["spec"]["nodeName"] = "test-node";
  if (pod.find_path({"metadata", "namespace"}) == nullptr) pod["metadata"]["namespace"] = "default";
  pod["status"] = Draft::object({{"phase", "Pending"}});
  api_.put("/api/v1/namespaces/default/pods", to_json(pod));
}

bool RealNode::phase_becomes(const std::string& name, const std::string& phase) {
  return eventually([&] { return pod(name)["status"]["phase"].as_string() == phase; });
}

void RealNode::remove(const std::string& name, std::int64_t grace_s) { api_.mark_deleted("/api/v1/namespaces/default/pods/" + name, grace_s); }

bool RealNode::remove_and_wait(const std::string& name) {
  std::string uid = pod(name)["metadata"]["uid"].str();
  remove(name, 0);
  return eventually([&] { return !pod(name); }) && eventually([&] { return nothing_left_of(uid); });
}

bool RealNode::has_event(const std::string& name, const std::string& line) {
  std::vector<std::string> events = api_.events_of(name);
  return std::find(events.begin(), events.end(), line) != events.end();
}

std::string RealNode::describe(const std::string& name) {
  std::string out;
  write_json_indented(pod(name)["status"], out, 1);
  return fmt::format("{}\n{}", out, join(api_.events_of(name), "\n"));
}

std::string RealNode::log(const std::string& name, const std::string& container, int attempt) {
  std::string uid = pod(name)["metadata"]["uid"].str();
  return last_log_lines(fmt::format("{}/logs/pods/default_{}_{}/{}/{}.log", options_.data_dir, name, uid, container, attempt), 10000, 1 << 20);
}

bool RealNode::nothing_left_of(const std::string& uid) {
  auto cri = Cri::connect(kubelet_->runtime_endpoint());
  if (!cri) return false;
  auto sandboxes = (*cri)->list_sandboxes(uid);
  auto containers = (*cri)->list_containers(uid);
  if (!sandboxes || !containers || !sandboxes->empty() || !containers->empty()) return false;
  auto groups = Cgroups::open(options_.cgroup_base);
  if (!groups || (*groups)->pods().contains(uid)) return false;
  for (const MountPoint& m : mount_points()) {
    if (m.path.find(uid) != std::string::npos) return false;
  }
  return !path_exists(fmt::format("{}/kubelet/pods/{}", options_.data_dir, uid));
}

}  // namespace kybern::kubelet::testing
