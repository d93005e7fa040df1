// How long from the creation of a pod to its being reported as running, against what the container runtime alone takes
// for the same pod: RunPodSandbox, CreateContainer and StartContainer on the same socket. The two alternate, so that they
// meet the same machine.
//
//   pod_start_bench KUBECONFIG CRI-ENDPOINT [pods=10] [cgroup parent=/kybern-bench]
//
// bench/pod_start.sh runs it against a cluster of its own.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <thread>
#include <vector>

#include "client/transport.h"
#include "kubelet/plan/cri_config.h"
#include "kubelet/runtime/cri.h"

using namespace kybern;
using SteadyClock = std::chrono::steady_clock;

namespace {

constexpr std::string_view image = "kybern.io/busybox:1";

Document make_pod(const std::string& name) {
  Draft p = Draft::object(
      {{"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", Draft::object({{"name", name}, {"namespace", "default"}, {"uid", name}})}});
  Draft c = Draft::object({{"name", "main"}, {"image", image}, {"imagePullPolicy", "IfNotPresent"}});
  c["command"] = Draft::array({"sleep", "3600"});
  p["spec"] = Draft::object({{"terminationGracePeriodSeconds", 0}});
  p["spec"]["containers"].push_back(std::move(c));
  return p.freeze();
}

double ms_since(SteadyClock::time_point begin) { return std::chrono::duration<double, std::milli>(SteadyClock::now() - begin).count(); }

struct Steps {
  double bound = 0, running = 0;
};

// Creates a pod and watches it until it runs; then deletes it and waits until it is gone.
std::optional<Steps> through_the_api(client::Transport& api, const std::string& name) {
  std::mutex mutex;
  std::condition_variable changed;
  bool gone = false;
  Steps steps;
  SteadyClock::time_point begin;
  auto look = [&](const Document& pod) {
    std::lock_guard lock(mutex);
    if (steps.bound == 0 && pod["spec"]["nodeName"].is_string()) steps.bound = ms_since(begin);
    if (steps.running == 0 && pod["status"]["phase"].as_string() == "Running") steps.running = ms_since(begin);
    changed.notify_all();
  };
  client::Listener listener;
  bool standing = false;
  listener.replaced = [&](std::vector<Document> objects) {
    for (const Document& pod : objects) look(pod);
    std::lock_guard lock(mutex);
    standing = true;
    changed.notify_all();
  };
  listener.changed = [&](std::vector<client::Event> events) {
    for (const client::Event& e : events) {
      if (e.type == client::Event::Type::put) {
        look(e.object);
        continue;
      }
      std::lock_guard lock(mutex);
      gone = true;
      changed.notify_all();
    }
  };
  auto watch = api.subscribe("/api/v1/namespaces/default/pods", "fieldSelector=metadata.name%3D" + name, std::move(listener));
  auto wait = [&](auto&& condition) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(60), condition);
  };
  if (!wait([&] { return standing; })) return std::nullopt;
  begin = SteadyClock::now();
  auto made = api.call({.method = "POST", .path = "/api/v1/namespaces/default/pods", .query = {}, .body = make_pod(name), .patch = {}});
  if (!made) return fmt::print(stderr, "{}\n", made.error().message), std::nullopt;
  if (!wait([&] { return steps.running > 0; })) return std::nullopt;
  (void)api.call({.method = "DELETE", .path = "/api/v1/namespaces/default/pods/" + name, .query = {}, .body = {}, .patch = {}});
  if (!wait([&] { return gone; })) return std::nullopt;
  return steps;
}

std::optional<double> by_the_runtime(kubelet::Cri& cri, const std::string& name, const std::string& cgroup, const std::string& logs) {
  kubelet::PodView pod = kubelet::PodView::read(make_pod(name));
  kubelet::SandboxFacts sandbox;
  sandbox.log_directory = logs + "/" + name;
  sandbox.cgroup_parent = cgroup + "/" + name;
  sandbox.host.name = name;
  std::filesystem::create_directories(sandbox.log_directory + "/main");
  kubelet::ContainerFacts facts;
  facts.image_ref = image;
  auto begin = SteadyClock::now();
  Document config = kubelet::sandbox_config(pod, sandbox);
  auto id = cri.run_sandbox(config, "");
  if (!id) return fmt::print(stderr, "{}\n", id.error().message), std::nullopt;
  auto container = kubelet::container_config(pod, pod.containers.front(), facts);
  auto made = container ? cri.create_container(*id, *container, config) : Result<std::string>(std::unexpected(container.error()));
  auto started = made ? cri.start_container(*made) : Result<void>(std::unexpected(made.error()));
  double took = ms_since(begin);
  if (!started) fmt::print(stderr, "{}\n", started.error().message);
  (void)cri.stop_sandbox(*id);
  (void)cri.remove_sandbox(*id);
  std::filesystem::remove_all(sandbox.log_directory);
  return started ? std::optional(took) : std::nullopt;
}

// True when nothing of the last pod is left: its end must not slow down what is measured next.
bool idle(kubelet::Cri& cri) {
  for (int i = 0; i < 3000; ++i) {
    auto sandboxes = cri.list_sandboxes();
    if (sandboxes && std::none_of(sandboxes->begin(), sandboxes->end(), [](const auto& s) { return s.pod.starts_with("start-"); }))
      return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return fmt::print(stderr, "usage: {} KUBECONFIG CRI-ENDPOINT [pods] [cgroup parent]\n", argv[0]), 2;
  int count = argc > 3 ? std::max(1, std::atoi(argv[3])) : 10;
  std::string cgroup = argc > 4 ? argv[4] : "/kybern-bench";
  auto options = client::read_kubeconfig(argv[1]);
  auto api =
      options ? client::http_transport(std::move(*options)) : Result<std::unique_ptr<client::Transport>>(std::unexpected(options.error()));
  if (!api) return fmt::print(stderr, "{}\n", api.error().message), 1;
  auto cri = kubelet::Cri::connect(argv[2]);
  if (!cri) return fmt::print(stderr, "{}\n", cri.error().message), 1;
  std::string logs = std::filesystem::temp_directory_path() / fmt::format("pod-start-{}", SteadyClock::now().time_since_epoch().count());
  std::vector<double> bound, running, alone;
  for (int i = -1; i < count; ++i) {  // the first round warms up
    auto steps = through_the_api(**api, fmt::format("start-{}", i + 1));
    if (!idle(**cri)) return fmt::print(stderr, "the runtime is still busy with the last pod\n"), 1;
    auto direct = by_the_runtime(**cri, fmt::format("alone-{}", i + 1), cgroup, logs);
    if (!steps || !direct) return fmt::print(stderr, "a pod did not start\n"), 1;
    if (i < 0) continue;
    bound.push_back(steps->bound);
    running.push_back(steps->running);
    alone.push_back(*direct);
  }
  std::filesystem::remove_all(logs);
  fmt::print(
      "{} pods, medians\ncreated -> bound to a node   {:7.1f} ms\ncreated -> running           {:7.1f} ms\nthe runtime alone            "
      "{:7.1f} ms\nratio                        {:7.2f}\n",
      count, median(bound), median(running), median(alone), median(running) / median(alone));
  return 0;
}
