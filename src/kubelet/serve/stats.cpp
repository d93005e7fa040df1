#include "kubelet/serve/stats.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <map>
#include <mutex>

#include "base/strings.h"
#include "kubelet/files.h"
#include "kubelet/run/pods.h"
#include "kubelet/run/tools.h"

namespace kybern::kubelet {
namespace {

// Nanocores need two looks: the last one of each cgroup is kept.
class Rates {
 public:
  std::uint64_t nanocores(const std::string& path, std::uint64_t cpu_nanoseconds, Time now) {
    std::lock_guard lock(mutex_);
    Last& last = last_[path];
    Duration passed = now - last.at;
    if (last.at != Time() && passed < std::chrono::seconds(1)) return last.rate;
    std::uint64_t used = cpu_nanoseconds >= last.cpu ? cpu_nanoseconds - last.cpu : 0;
    std::uint64_t rate =
        last.at == Time() ? 0 : static_cast<std::uint64_t>(static_cast<double>(used) * 1e9 / static_cast<double>(passed.count()));
    last = {cpu_nanoseconds, now, rate};
    if (last_.size() > most_kept) std::erase_if(last_, [&](const auto& e) { return now - e.second.at > std::chrono::minutes(10); });
    return rate;
  }

 private:
  static constexpr std::size_t most_kept = 4096;
  struct Last {
    std::uint64_t cpu = 0;
    Time at{};
    std::uint64_t rate = 0;
  };
  std::mutex mutex_;
  std::map<std::string, Last> last_;
};

Rates& rates() {
  static Rates shared;
  return shared;
}

Draft cpu_stats(const std::string& path, const CgroupUsage& u, Time now) {
  return Draft::object({{"time", format_rfc3339(now)},
                        {"usageNanoCores", rates().nanocores(path, u.cpu_nanoseconds, now)},
                        {"usageCoreNanoSeconds", u.cpu_nanoseconds}});
}

Draft memory_stats(const CgroupUsage& u, Time now) {
  return Draft::object({{"time", format_rfc3339(now)},
                        {"usageBytes", u.memory_bytes},
                        {"workingSetBytes", u.working_set_bytes},
                        {"rssBytes", u.rss_bytes},
                        {"pageFaults", u.page_faults},
                        {"majorPageFaults", u.major_page_faults}});
}

Draft filesystem(const std::string& path, Time now) {
  struct statvfs st;
  Draft out = Draft::object({{"time", format_rfc3339(now)}});
  if (::statvfs(path.c_str(), &st) != 0) return out;
  out["availableBytes"] = static_cast<std::int64_t>(st.f_bavail * st.f_frsize);
  out["capacityBytes"] = static_cast<std::int64_t>(st.f_blocks * st.f_frsize);
  out["usedBytes"] = static_cast<std::int64_t>((st.f_blocks - st.f_bfree) * st.f_frsize);
  out["inodesFree"] = static_cast<std::int64_t>(st.f_ffree);
  out["inodes"] = static_cast<std::int64_t>(st.f_files);
  out["inodesUsed"] = static_cast<std::int64_t>(st.f_files - st.f_ffree);
  return out;
}

// The interfaces of a network namespace, seen through one of its processes. "self" is the node.
Draft network(const std::string& pid, Time now) {
  Draft out = Draft::object({{"time", format_rfc3339(now)}});
  auto text = read_file(fmt::format("/proc/{}/net/dev", pid));
  if (!text) return out;
  Draft interfaces = Draft::array();
  for (std::string_view line : split(*text, '\n')) {
    std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    std::string name(trim(line.substr(0, colon)));
    if (name == "lo") continue;
    std::vector<std::int64_t> numbers;
    for (std::string_view word : split(line.substr(colon + 1), ' ')) {
      if (auto n = parse_int(word)) numbers.push_back(*n);
    }
    if (numbers.size() < 16) continue;
    Draft one = Draft::object(
        {{"name", name}, {"rxBytes", numbers[0]}, {"rxErrors", numbers[2]}, {"txBytes", numbers[8]}, {"txErrors", numbers[10]}});
    if (name == "eth0" || out.find("name") == nullptr) {
      for (const auto& f : one.fields()) out[f.key] = f.value;
    }
    interfaces.push_back(std::move(one));
  }
  out["interfaces"] = std::move(interfaces);
  return out;
}

struct Figures {
  PodView pod;
  RuntimeState runtime;
  std::string path;
};

std::vector<Figures> running_pods(const Pods& pods, Tools& tools) {
  std::vector<Figures> out;
  for (const auto& worker : pods.all()) {
    if (worker->is_finished()) continue;
    Figures f{worker->view(), worker->runtime(), ""};
    f.path = tools.cgroups.pod_path(f.pod);
    out.push_back(std::move(f));
  }
  return out;
}

}  // namespace

Document stats_summary(const Pods& pods, Tools& tools, const std::string& data_dir, Time started) {
  Time now = tools.world.clock.now();
  Draft summary = Draft::object();
  Draft node = Draft::object({{"nodeName", tools.node_name}, {"startTime", format_rfc3339(started)}});
  if (auto u = tools.cgroups.usage("/")) {
    node["cpu"] = cpu_stats("/", *u, now);
    node["memory"] = memory_stats(*u, now);
    node["memory"]["availableBytes"] = static_cast<std::int64_t>(tools.node_memory_bytes) - static_cast<std::int64_t>(u->working_set_bytes);
  }
  node["network"] = network("self", now);
  node["fs"] = filesystem(data_dir, now);
  node["runtime"] = Draft::object({{"imageFs", filesystem(data_dir, now)}});
  summary["node"] = std::move(node);
  std::map<std::string, ContainerUsage> layers;
  if (auto usage = tools.cri.usage()) {
    for (ContainerUsage& u : *usage) layers[u.container_id] = std::move(u);
  }
  Draft list = Draft::array();
  for (const Figures& f : running_pods(pods, tools)) {
    auto of_pod = tools.cgroups.usage(f.path);
    if (!of_pod) continue;
    Draft p = Draft::object({{"podRef", Draft::object({{"name", f.pod.name}, {"namespace", f.pod.ns}, {"uid", f.pod.uid}})}});
    p["startTime"] = f.pod.status()["startTime"].str();
    Draft containers = Draft::array();
    std::uint64_t stored = 0;
    for (const ObservedContainer& c : f.runtime.containers) {
      if (c.state != ContainerState::running) continue;
      std::string path = fmt::format("{}/{}", f.path, c.id);
      auto u = tools.cgroups.usage(path);
      if (!u) continue;
      Draft one = Draft::object({{"name", c.name},
                                 {"startTime", format_rfc3339(c.started_at)},
                                 {"cpu", cpu_stats(path, *u, now)},
                                 {"memory", memory_stats(*u, now)}});
      const ContainerUsage& layer = layers[c.id];
      stored += layer.layer_bytes;
      one["rootfs"] = Draft::object({{"time", format_rfc3339(now)}, {"usedBytes", layer.layer_bytes}, {"inodesUsed", layer.layer_inodes}});
      containers.push_back(std::move(one));
    }
    p["containers"] = std::move(containers);
    p["cpu"] = cpu_stats(f.path, *of_pod, now);
    p["memory"] = memory_stats(*of_pod, now);
    if (!f.pod.host_network && !f.runtime.sandboxes.empty()) {
      if (auto pid = tools.cgroups.first_process(fmt::format("{}/{}", f.path, f.runtime.sandboxes.front().id)))
        p["network"] = network(std::to_string(*pid), now);
    }
    p["ephemeral-storage"] = Draft::object({{"time", format_rfc3339(now)}, {"usedBytes", stored}});
    p["process_stats"] = Draft::object({{"process_count", of_pod->processes}});
    list.push_back(std::move(p));
  }
  summary["pods"] = std::move(list);
  return summary.freeze();
}

std::string resource_metrics(const Pods& pods, Tools& tools, Time started) {
  Time now = tools.world.clock.now();
  std::int64_t ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  std::string container_cpu, container_memory, container_start, pod_cpu, pod_memory;
  auto seconds = [](std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e9; };
  for (const Figures& f : running_pods(pods, tools)) {
    std::string of_pod = fmt::format("namespace=\"{}\",pod=\"{}\"", f.pod.ns, f.pod.name);
    for (const ObservedContainer& c : f.runtime.containers) {
      auto u = c.state == ContainerState::running ? tools.cgroups.usage(fmt::format("{}/{}", f.path, c.id)) : std::nullopt;
      if (!u) continue;
      std::string labels = fmt::format("container=\"{}\",{}", c.name, of_pod);
      container_cpu += fmt::format("container_cpu_usage_seconds_total{{{}}} {} {}\n", labels, seconds(u->cpu_nanoseconds), ms);
      container_memory += fmt::format("container_memory_working_set_bytes{{{}}} {} {}\n", labels, u->working_set_bytes, ms);
      container_start += fmt::format("container_start_time_seconds{{{}}} {}\n", labels,
                                     static_cast<double>(c.started_at.time_since_epoch().count()) / 1e9);
    }
    auto u = tools.cgroups.usage(f.path);
    if (!u) continue;
    pod_cpu += fmt::format("pod_cpu_usage_seconds_total{{{}}} {} {}\n", of_pod, seconds(u->cpu_nanoseconds), ms);
    pod_memory += fmt::format("pod_memory_working_set_bytes{{{}}} {} {}\n", of_pod, u->working_set_bytes, ms);
  }
  std::string out;
  auto family = [&](const char* name, const char* type, const char* help, const std::string& lines) {
    out += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n{3}", name, help, type, lines);
  };
  family("container_cpu_usage_seconds_total", "counter", "CPU time that the container has used, in seconds of one core.", container_cpu);
  family("container_memory_working_set_bytes", "gauge", "Memory of the container that could not be taken back at once.", container_memory);
  family("container_start_time_seconds", "gauge", "When the container was started, in seconds since 1970.", container_start);
  if (auto u = tools.cgroups.usage("/")) {
    family("node_cpu_usage_seconds_total", "counter", "CPU time that the node has used, in seconds of one core.",
           fmt::format("node_cpu_usage_seconds_total {} {}\n", seconds(u->cpu_nanoseconds), ms));
    family("node_memory_working_set_bytes", "gauge", "Memory of the node that could not be taken back at once.",
           fmt::format("node_memory_working_set_bytes {} {}\n", u->working_set_bytes, ms));
  }
  family("pod_cpu_usage_seconds_total", "counter", "CPU time that the pod has used, in seconds of one core.", pod_cpu);
  family("pod_memory_working_set_bytes", "gauge", "Memory of the pod that could not be taken back at once.", pod_memory);
  family("resource_scrape_error", "gauge", "1 when something could not be read, else 0.", "resource_scrape_error 0\n");
  family("process_start_time_seconds", "gauge", "When the kubelet was started, in seconds since 1970.",
         fmt::format("process_start_time_seconds {}\n", static_cast<double>(started.time_since_epoch().count()) / 1e9));
  return out;
}

}  // namespace kybern::kubelet
