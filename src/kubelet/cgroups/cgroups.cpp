#include "kubelet/cgroups/cgroups.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <set>
#include <thread>

#include "base/strings.h"
#include "kubelet/files.h"

namespace kybern::kubelet {
namespace {

constexpr std::string_view controllers_v2[] = {"cpuset", "cpu", "io", "memory", "pids"};
constexpr std::chrono::milliseconds removal_limit{3000};

std::optional<std::uint64_t> read_number(const std::string& path) {
  auto text = read_file(path);
  if (!text) return std::nullopt;
  auto number = parse_int(trim(*text));
  return number ? std::optional(static_cast<std::uint64_t>(*number)) : std::nullopt;
}

// "key value" lines, as of memory.stat.
std::map<std::string, std::uint64_t, std::less<>> read_stat(const std::string& path) {
  std::map<std::string, std::uint64_t, std::less<>> out;
  auto text = read_file(path);
  if (!text) return out;
  for (std::string_view line : split(*text, '\n')) {
    std::size_t space = line.find(' ');
    if (space == std::string_view::npos) continue;
    if (auto number = parse_int(trim(line.substr(space + 1)))) out.emplace(line.substr(0, space), static_cast<std::uint64_t>(*number));
  }
  return out;
}

// cgroup files take one write call and do not like O_TRUNC surprises; write_file does just that.
Result<void> put(const std::string& folder, const char* file, std::int64_t value, bool v2 = false) {
  if (folder.empty()) return {};
  return write_file(folder + "/" + file, v2 && value < 0 ? "max" : std::to_string(value));
}

// Folders of a tree, the deepest first.
void collect(const std::string& path, std::vector<std::string>& out) {
  for (const std::string& name : list_dir(path)) {
    std::string child = path + "/" + name;
    if (is_dir(child)) collect(child, out);
  }
  out.push_back(path);
}

void kill_all_in(const std::string& folder) {
  if (path_exists(folder + "/cgroup.kill")) {
    (void)write_file(folder + "/cgroup.kill", "1");
    return;
  }
  auto text = read_file(folder + "/cgroup.procs");
  if (!text) return;
  for (std::string_view line : split(*text, '\n')) {
    if (auto pid = parse_int(trim(line)); pid && *pid > 1) ::kill(static_cast<pid_t>(*pid), SIGKILL);
  }
}

// Processes leave a cgroup only when they are reaped, so the first attempts may find it busy.
Result<void> remove_cgroup_tree(const std::string& folder) {
  auto deadline = std::chrono::steady_clock::now() + removal_limit;
  while (is_dir(folder)) {
    std::vector<std::string> folders;
    collect(folder, folders);
    Result<void> outcome;
    for (const std::string& f : folders) {
      kill_all_in(f);
      if (::rmdir(f.c_str()) != 0 && errno != ENOENT) outcome = std::unexpected(system_error("rmdir", f));
    }
    if (outcome) return {};
    if (std::chrono::steady_clock::now() > deadline) return outcome;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Cgroups>> Cgroups::open(std::string base) {
  auto out = std::make_unique<Cgroups>();
  out->base_ = base == "/" ? "" : std::move(base);
  std::string v2_mount;
  for (const MountPoint& m : mount_points()) {
    if (m.type == "cgroup2") v2_mount = m.path;
    if (m.type != "cgroup" || m.root != "/") continue;
    for (std::string_view option : split(m.super_options, ',')) {
      if (option == "rw" || option == "ro" || option == "xattr") continue;
      out->hierarchies_[std::string(option.starts_with("name=") ? option.substr(5) : option)] = m.path;
    }
  }
  if (!out->hierarchies_.contains("memory")) {  // none, or only systemd's named one
    if (v2_mount.empty()) return fail(Code::unsupported, "no cgroup file system is mounted");
    out->hierarchies_.clear();
    out->unified_ = v2_mount;
  } else if (!v2_mount.empty()) {
    out->hierarchies_["unified"] = v2_mount;  // hybrid: runtimes make their groups there too
  }
  return out;
}

std::string Cgroups::folder(std::string_view controller, const std::string& path) const {
  if (v2()) return unified_ + path;
  auto found = hierarchies_.find(controller);
  return found == hierarchies_.end() ? std::string() : found->second + path;
}

std::string Cgroups::qos_path(std::string_view qos_class) const { return fmt::format("{}/{}", pods_path(), to_lower(qos_class)); }
std::string Cgroups::pod_path(const PodView& pod) const { return fmt::format("{}/pod{}", qos_path(qos_class(pod)), pod.uid); }

// In v2 a controller must be handed down at each level above the group that uses it.
Result<void> Cgroups::make(const std::string& path) {
  if (!v2()) {
    for (const auto& [controller, mount] : hierarchies_) {
      if (controller == "unified" || controller == "systemd") continue;
      if (auto made = make_dirs(mount + path); !made) return made;
    }
    return {};
  }
  std::string at = unified_;
  for (std::string_view piece : split(std::string_view(path).substr(1), '/')) {
    auto available = read_file(at + "/cgroup.controllers");
    if (!available) return std::unexpected(available.error());
    for (std::string_view controller : controllers_v2) {
      std::vector<std::string_view> names = split(trim(*available), ' ');
      if (std::find(names.begin(), names.end(), controller) != names.end())
        (void)write_file(at + "/cgroup.subtree_control", fmt::format("+{}", controller));
    }
    at = fmt::format("{}/{}", at, piece);
    if (auto made = make_dirs(at); !made) return made;
  }
  auto available = read_file(at + "/cgroup.controllers");
  if (!available) return std::unexpected(available.error());
  for (std::string_view controller : split(trim(*available), ' '))
    (void)write_file(at + "/cgroup.subtree_control", fmt::format("+{}", controller));
  return {};
}

Result<void> Cgroups::set(const std::string& path, const CgroupFigures& f) {
  Result<void> outcome;
  auto keep = [&](Result<void> result) {
    if (!result && outcome) outcome = std::move(result);
  };
  if (v2()) {
    std::string at = unified_ + path;
    if (f.cpu_shares) keep(put(at, "cpu.weight", weight_of_shares(*f.cpu_shares)));
    if (f.cpu_quota_us)
      keep(write_file(at + "/cpu.max", fmt::format("{} {}", *f.cpu_quota_us < 0 ? "max" : std::to_string(*f.cpu_quota_us),
                                                   f.cpu_period_us.value_or(100'000))));
    if (f.memory_bytes) keep(put(at, "memory.max", *f.memory_bytes, true));
    if (f.pids) keep(put(at, "pids.max", *f.pids, true));
    return outcome;
  }
  std::string cpu = folder("cpu", path);
  if (f.cpu_shares) keep(put(cpu, "cpu.shares", *f.cpu_shares));
  if (f.cpu_period_us) keep(put(cpu, "cpu.cfs_period_us", *f.cpu_period_us));
  if (f.cpu_quota_us) keep(put(cpu, "cpu.cfs_quota_us", *f.cpu_quota_us));
  if (f.memory_bytes) keep(put(folder("memory", path), "memory.limit_in_bytes", *f.memory_bytes));
  if (f.pids) keep(put(folder("pids", path), "pids.max", *f.pids));
  return outcome;
}

Result<void> Cgroups::make_roots(std::int64_t milli_cpu, std::int64_t memory_bytes) {
  for (std::string_view qos : {"besteffort", "burstable", "guaranteed"}) {
    if (auto made = make(qos_path(qos)); !made) return made;
  }
  CgroupFigures all;
  all.cpu_shares = shares_of_milli(milli_cpu);
  all.memory_bytes = memory_bytes;
  if (auto done = set(pods_path(), all); !done) return done;
  CgroupFigures least;
  least.cpu_shares = 2;
  if (auto done = set(qos_path("besteffort"), least); !done) return done;
  return set(qos_path("guaranteed"),
             {.cpu_shares = all.cpu_shares, .cpu_quota_us = {}, .cpu_period_us = {}, .memory_bytes = {}, .pids = {}});
}

Result<void> Cgroups::set_burstable_shares(std::int64_t shares) {
  CgroupFigures f;
  f.cpu_shares = std::max<std::int64_t>(2, shares);
  return set(qos_path("burstable"), f);
}

Result<void> Cgroups::make_pod(const std::string& path, const CgroupFigures& figures) {
  if (auto made = make(path); !made) return made;
  return set(path, figures);
}

Result<void> Cgroups::remove(const std::string& path) {
  Result<void> outcome;
  std::set<std::string> mounts;
  if (v2()) mounts.insert(unified_);
  for (const auto& [controller, mount] : hierarchies_) mounts.insert(mount);
  for (const std::string& mount : mounts) {
    auto removed = remove_cgroup_tree(mount + path);
    if (!removed && outcome) outcome = std::move(removed);
  }
  return outcome;
}

std::map<std::string, std::string> Cgroups::pods() const {
  std::map<std::string, std::string> out;
  std::set<std::string> mounts;
  if (v2()) mounts.insert(unified_);
  for (const auto& [controller, mount] : hierarchies_) mounts.insert(mount);
  for (const std::string& mount : mounts) {
    for (std::string_view qos : {"besteffort", "burstable", "guaranteed"}) {
      for (const std::string& name : list_dir(mount + qos_path(qos))) {
        if (name.starts_with("pod") && is_dir(mount + qos_path(qos) + "/" + name)) out[name.substr(3)] = qos_path(qos) + "/" + name;
      }
    }
  }
  return out;
}

std::optional<int> Cgroups::first_process(const std::string& path) const {
  auto text = read_file(folder("memory", path) + "/cgroup.procs");
  auto pid = text ? parse_int(split(*text, '\n')[0]) : std::nullopt;
  return pid ? std::optional(static_cast<int>(*pid)) : std::nullopt;
}

std::optional<std::int64_t> Cgroups::memory_limit(const std::string& path) const {
  auto limit = read_number(folder("memory", path) + (v2() ? "/memory.max" : "/memory.limit_in_bytes"));
  constexpr std::uint64_t unlimited = std::uint64_t(1) << 60;  // v1 has a number of its own for none, near 2^63
  return limit && *limit < unlimited ? std::optional(static_cast<std::int64_t>(*limit)) : std::nullopt;
}

bool Cgroups::matches(const std::string& path, const CgroupFigures& f) const {
  constexpr std::int64_t page = 4096;  // limits are rounded down to pages
  auto limit = memory_limit(path);
  if (limit.has_value() != f.memory_bytes.has_value() || (limit && *limit / page != *f.memory_bytes / page)) return false;
  if (v2()) {
    auto weight = read_number(unified_ + path + "/cpu.weight");
    auto quota = read_file(unified_ + path + "/cpu.max");
    if (!weight || !quota) return false;
    std::string_view first = split(*quota, ' ')[0];
    bool same_quota = f.cpu_quota_us ? first == std::to_string(*f.cpu_quota_us) : first == "max";
    return same_quota && (!f.cpu_shares || static_cast<std::int64_t>(*weight) == weight_of_shares(*f.cpu_shares));
  }
  auto shares = read_number(folder("cpu", path) + "/cpu.shares");
  auto quota = read_file(folder("cpu", path) + "/cpu.cfs_quota_us");
  if (!shares || !quota) return false;
  return (!f.cpu_shares || static_cast<std::int64_t>(*shares) == *f.cpu_shares) &&
         trim(*quota) == std::to_string(f.cpu_quota_us.value_or(-1));
}

bool Cgroups::exists(const std::string& path) const { return is_dir(folder("memory", path)); }

std::optional<CgroupUsage> Cgroups::usage(const std::string& path) const {
  CgroupUsage u;
  std::string memory = folder("memory", path);
  auto used = read_number(memory + (v2() ? "/memory.current" : "/memory.usage_in_bytes"));
  if (!used) {
    if (path.empty() || path == "/") used = 0;  // v2's root has no memory.current
    else return std::nullopt;
  }
  u.memory_bytes = *used;
  auto stat = read_stat(memory + "/memory.stat");
  auto number = [&](std::string_view v1_name, std::string_view v2_name) {
    auto found = stat.find(v2() ? v2_name : v1_name);
    return found == stat.end() ? std::uint64_t(0) : found->second;
  };
  std::uint64_t inactive = number("total_inactive_file", "inactive_file");
  u.working_set_bytes = u.memory_bytes > inactive ? u.memory_bytes - inactive : 0;
  u.rss_bytes = number("total_rss", "anon");
  u.page_faults = number("total_pgfault", "pgfault");
  u.major_page_faults = number("total_pgmajfault", "pgmajfault");
  if (v2()) {
    auto cpu = read_stat(unified_ + path + "/cpu.stat");
    u.cpu_nanoseconds = cpu["usage_usec"] * 1000;
  } else {
    u.cpu_nanoseconds = read_number(folder("cpuacct", path) + "/cpuacct.usage").value_or(0);
  }
  u.processes = read_number(folder("pids", path) + "/pids.current").value_or(0);
  return u;
}

}  // namespace kybern::kubelet
