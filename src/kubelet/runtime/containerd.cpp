#include "kubelet/runtime/containerd.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "base/log.h"
#include "base/strings.h"
#include "document/document.h"
#include "document/json.h"
#include "kubelet/files.h"
#include "kubelet/runtime/cri.h"

namespace kybern::kubelet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using SteadyClock = std::chrono::steady_clock;

constexpr milliseconds first_restart_delay{500};
constexpr milliseconds longest_restart_delay{30'000};
constexpr seconds good_run{60};                   // a run this long starts the back-off anew
constexpr std::size_t longest_socket_path = 100;  // sockaddr_un has 108 bytes; containerd adds ".ttrpc"
constexpr int cap_sys_resource = 24;

std::string config_path(const std::string& dir) { return dir + "/config.toml"; }
std::string socket_path(const std::string& dir) { return dir + "/containerd.sock"; }
std::string pid_path(const std::string& dir) { return dir + "/containerd.pid"; }
std::string cni_dir(const std::string& dir) { return dir + "/cni"; }

int open_pidfd(int pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

// Field 22 of /proc/PID/stat: when the process started. A pid alone may have been given to another process since.
std::string start_time_of(int pid) {
  auto stat = read_file(fmt::format("/proc/{}/stat", pid));
  if (!stat) return {};
  std::size_t name_end = stat->rfind(") ");
  if (name_end == std::string::npos) return {};
  std::vector<std::string_view> fields = split(std::string_view(*stat).substr(name_end + 2), ' ');
  if (fields.size() < 20 || fields[0] == "Z") return {};
  return std::string(fields[19]);
}

std::vector<std::string> command_line_of(int pid) {
  std::vector<std::string> out;
  auto text = read_file(fmt::format("/proc/{}/cmdline", pid));
  if (!text) return out;
  for (std::string_view piece : split(*text, '\0')) out.emplace_back(piece);
  return out;
}

// The containerd that the pid file names, when it is alive and really is the one that runs with our configuration.
int running_pid(const std::string& dir) {
  auto text = read_file(pid_path(dir));
  if (!text) return 0;
  std::vector<std::string_view> fields = split(trim(*text), ' ');
  auto pid = parse_int(fields[0]);
  if (!pid || fields.size() < 2 || *pid <= 1) return 0;
  if (start_time_of(static_cast<int>(*pid)) != fields[1]) return 0;
  std::vector<std::string> command = command_line_of(static_cast<int>(*pid));
  bool ours = std::find(command.begin(), command.end(), config_path(dir)) != command.end();
  return ours ? static_cast<int>(*pid) : 0;
}

bool listens(const std::string& path) {
  int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), std::min(path.size(), sizeof address.sun_path - 1));
  bool ok = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  ::close(fd);
  return ok;
}

// Waits for the end of a process; false when the time is over first.
bool wait_gone(int pid, milliseconds limit) {
  int fd = open_pidfd(pid);
  if (fd < 0) return errno == ESRCH || errno == EINVAL;
  pollfd p{fd, POLLIN, 0};
  bool gone = ::poll(&p, 1, static_cast<int>(limit.count())) > 0;
  ::close(fd);
  if (gone) ::waitpid(pid, nullptr, WNOHANG);  // when it was our child
  return gone;
}

bool has_capability(int number) {
  auto status = read_file("/proc/self/status");
  if (!status) return false;
  std::size_t at = status->find("CapEff:");
  if (at == std::string::npos) return false;
  std::uint64_t bits = std::strtoull(status->c_str() + at + 7, nullptr, 16);
  return (bits >> number & 1) != 0;
}

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = std::getenv("PATH");
  std::string folders = fmt::format("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", path == nullptr ? "" : path);
  for (std::string_view folder : split(folders, ':')) {
    std::string candidate = fmt::format("{}/{}", folder, name);
    if (!folder.empty() && ::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return {};
}

Result<int> spawn(const std::string& dir, const std::string& program) {
  std::string log = dir + "/containerd.log", config = config_path(dir);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0640);
  posix_spawn_file_actions_adddup2(&files, 1, 2);
  posix_spawn_file_actions_addclosefrom_np(&files, 3);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const char* arguments[] = {program.c_str(), "--config", config.c_str(), nullptr};
  pid_t pid = 0;
  int failed = posix_spawn(&pid, program.c_str(), &files, &attributes, const_cast<char**>(arguments), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (failed != 0) return fail(Code::unavailable, fmt::format("start {}: {}", program, errno_text(failed)));
  auto noted = replace_file(pid_path(dir), fmt::format("{} {}\n", pid, start_time_of(pid)));
  if (!noted) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return std::unexpected(noted.error());
  }
  return pid;
}

// Writes a file when its content differs; true when it did.
Result<bool> write_if_changed(const std::string& path, const std::string& text) {
  if (auto now = read_file(path); now && *now == text) return false;
  if (auto wrote = replace_file(path, text); !wrote) return std::unexpected(wrote.error());
  return true;
}

}  // namespace

// Notes on the choices (they hold for containerd 1.6 and 1.7):
// - restrict_oom_score_adj: without CAP_SYS_RESOURCE a sandbox could not be given its score and would fail to start.
// - io.containerd.runtime.v1.linux stays enabled: 1.6 does not load CRI without it.
// - netns files lie under the state folder, so that nodes on one machine do not share them.
std::string containerd_config(const ContainerdOptions& o, bool may_lower_oom_score) {
  std::string bin = o.cni_bin_dir;
  if (bin.empty()) bin = is_dir("/opt/cni/bin") ? "/opt/cni/bin" : "/usr/lib/cni";
  std::string runtime = find_program(o.shim_runtime);
  if (runtime.empty()) runtime = o.shim_runtime;
  return fmt::format(R"(# Written by the kubelet at every start; changes are lost.
version = 2
root = "{dir}/root"
state = "{dir}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.restart", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "{dir}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = {restrict}
  disable_apparmor = {no_apparmor}
  enable_selinux = false
  sandbox_image = "{image}"
  netns_mounts_under_state_dir = true
  tolerate_missing_hugetlb_controller = true
  disable_hugetlb_controller = true
  max_concurrent_downloads = 3
  stats_collect_period = 30
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_bin}"
    conf_dir = "{dir}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{dir}/certs.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "{runtime}"
        Root = "{dir}/runc"
        SystemdCgroup = false
)",
                     fmt::arg("dir", o.dir), fmt::arg("restrict", !may_lower_oom_score),
                     fmt::arg("no_apparmor", !is_dir("/sys/kernel/security/apparmor")), fmt::arg("image", o.sandbox_image),
                     fmt::arg("cni_bin", bin), fmt::arg("runtime", runtime));
}

// A bridge with one address range per family, and host ports. Masquerading is the service proxy's.
std::string cni_config(const ContainerdOptions& o) {
  Draft ranges = Draft::array(), routes = Draft::array();
  for (const std::string& cidr : o.pod_cidrs) {
    bool v6 = cidr.find(':') != std::string::npos;
    ranges.push_back(Draft::array({Draft::object({{"subnet", cidr}})}));
    routes.push_back(Draft::object({{"dst", v6 ? "::/0" : "0.0.0.0/0"}}));
  }
  Draft bridge = Draft::object({{"type", "bridge"}, {"bridge", o.bridge}, {"isGateway", true}, {"ipMasq", false}, {"hairpinMode", true}});
  if (o.mtu > 0) bridge["mtu"] = o.mtu;
  bridge["ipam"] = Draft::object({{"type", "host-local"}, {"dataDir", o.dir + "/ipam"}, {"ranges", ranges}, {"routes", routes}});
  Draft ports = Draft::object({{"type", "portmap"}, {"capabilities", Draft::object({{"portMappings", true}})}, {"snat", true}});
  std::string out;
  write_json_indented(
      Draft::object({{"cniVersion", "1.0.0"}, {"name", "kybern"}, {"plugins", Draft::array({bridge, ports})}}).freeze().root(), out, 2);
  return out + "\n";
}

struct Containerd::State {
  ContainerdOptions options;
  std::string program;
  std::atomic<int> pid = 0, restarts = 0;
  bool adopted = false;
  int stop_event = -1;
  std::thread watcher;

  ~State() {
    if (watcher.joinable()) {
      std::uint64_t one = 1;
      [[maybe_unused]] ssize_t n = ::write(stop_event, &one, sizeof one);
      watcher.join();
    }
    if (stop_event >= 0) ::close(stop_event);
  }

  // True when stop was asked for within the time.
  bool stop_within(milliseconds limit) {
    pollfd p{stop_event, POLLIN, 0};
    return ::poll(&p, 1, static_cast<int>(limit.count())) > 0;
  }

  // True when the process ended, false when stop was asked for.
  bool wait_end(int current) {
    int fd = open_pidfd(current);
    if (fd < 0) return true;
    pollfd p[2] = {{fd, POLLIN, 0}, {stop_event, POLLIN, 0}};
    while (::poll(p, 2, -1) < 0 && errno == EINTR) {}
    ::close(fd);
    if (p[1].revents != 0) return false;
    ::waitpid(current, nullptr, WNOHANG);
    return true;
  }

  void watch() {
    milliseconds delay = first_restart_delay;
    while (true) {
      auto since = SteadyClock::now();
      if (int current = pid; current > 0) {
        if (!wait_end(current)) return;
        log_warn("kubelet", "containerd ended; it is started again", {{"pid", std::to_string(current)}});
        pid = 0;
        if (SteadyClock::now() - since > good_run) delay = first_restart_delay;
      }
      if (stop_within(delay)) return;
      delay = std::min(delay * 2, longest_restart_delay);
      auto next = spawn(options.dir, program);
      if (next) {
        pid = *next;
        ++restarts;
      } else {
        log_error("kubelet", "containerd cannot be started", {{"error", next.error().message}});
      }
    }
  }
};

Containerd::Containerd(std::unique_ptr<State> state) : state_(std::move(state)) {}
Containerd::~Containerd() = default;

std::string Containerd::endpoint() const { return "unix://" + socket_path(state_->options.dir); }
int Containerd::pid() const { return state_->pid; }
bool Containerd::adopted() const { return state_->adopted; }
int Containerd::restarts() const { return state_->restarts; }

Result<void> Containerd::set_pod_cidrs(const std::vector<std::string>& pod_cidrs) {
  state_->options.pod_cidrs = pod_cidrs;
  auto wrote = write_if_changed(cni_dir(state_->options.dir) + "/10-kybern.conflist", cni_config(state_->options));
  if (!wrote) return std::unexpected(wrote.error());
  return {};
}

Result<std::unique_ptr<Containerd>> Containerd::start(ContainerdOptions options, milliseconds wait) {
  auto state = std::make_unique<State>();
  state->program = find_program(options.program);
  if (state->program.empty()) {
    return fail(
        Code::not_found,
        fmt::format("{} is not installed; install it (apt-get install containerd) or name a runtime with --container-runtime-endpoint",
                    options.program));
  }
  if (socket_path(options.dir).size() > longest_socket_path) {
    return fail(Code::invalid,
                fmt::format("the path of containerd's socket, {}, is longer than {} bytes", socket_path(options.dir), longest_socket_path));
  }
  for (const char* folder : {"", "/root", "/state", "/cni", "/certs.d"}) {
    if (auto made = make_dirs(options.dir + folder, 0711); !made) return std::unexpected(made.error());
  }
  auto changed = write_if_changed(config_path(options.dir), containerd_config(options, has_capability(cap_sys_resource)));
  if (!changed) return std::unexpected(changed.error());
  state->options = std::move(options);
  state->stop_event = ::eventfd(0, EFD_CLOEXEC);
  auto owner = std::unique_ptr<Containerd>(new Containerd(std::move(state)));
  State& s = *owner->state_;
  if (!s.options.pod_cidrs.empty()) {
    if (auto set = owner->set_pod_cidrs(s.options.pod_cidrs); !set) return std::unexpected(set.error());
  }
  int pid = running_pid(s.options.dir);
  if (pid > 0 && *changed) {  // its pods go on under their shims while it restarts with the new configuration
    log_info("kubelet", "containerd's configuration changed; it is restarted", {{"pid", std::to_string(pid)}});
    ::kill(pid, SIGTERM);
    if (!wait_gone(pid, milliseconds(10'000))) {
      ::kill(pid, SIGKILL);
      wait_gone(pid, milliseconds(5'000));
    }
    pid = 0;
  }
  s.adopted = pid > 0;
  if (pid == 0) {
    auto started = spawn(s.options.dir, s.program);
    if (!started) return std::unexpected(started.error());
    pid = *started;
  }
  s.pid = pid;
  log_info("kubelet", s.adopted ? "containerd taken over" : "containerd started", {{"pid", std::to_string(pid)}, {"dir", s.options.dir}});
  s.watcher = std::thread([&s] { s.watch(); });
  auto deadline = SteadyClock::now() + wait;
  while (!listens(socket_path(s.options.dir))) {
    if (SteadyClock::now() > deadline) {
      return fail(Code::timeout, fmt::format("containerd does not listen on {} after {} ms; its log is {}/containerd.log",
                                             socket_path(s.options.dir), wait.count(), s.options.dir));
    }
    std::this_thread::sleep_for(milliseconds(20));
  }
  return owner;
}

namespace {

void remove_all_pods(const std::string& dir) {
  auto cri = Cri::connect("unix://" + socket_path(dir));
  if (!cri) return;
  auto sandboxes = (*cri)->list_sandboxes();
  if (!sandboxes) return;
  std::atomic<std::size_t> next = 0;
  std::vector<std::thread> workers;
  for (std::size_t i = 0; i < std::min<std::size_t>(8, sandboxes->size()); ++i) {
    workers.emplace_back([&] {
      for (std::size_t at = next++; at < sandboxes->size(); at = next++) {
        const std::string& id = (*sandboxes)[at].id;
        if (auto stopped = (*cri)->stop_sandbox(id); !stopped)
          log_warn("kubelet", "a sandbox does not stop", {{"error", stopped.error().message}});
        if (auto removed = (*cri)->remove_sandbox(id); !removed)
          log_warn("kubelet", "a sandbox stays", {{"error", removed.error().message}});
      }
    });
  }
  for (std::thread& w : workers) w.join();
}

// Shims carry their containerd's socket on the command line. Their children are first processes of containers.
void kill_left_over_shims(const std::string& dir) {
  std::string socket = socket_path(dir);
  std::vector<int> shims, doomed;
  for (const std::string& name : list_dir("/proc")) {
    auto pid = parse_int(name);
    if (!pid) continue;
    std::vector<std::string> command = command_line_of(static_cast<int>(*pid));
    bool ours = !command.empty() && command[0].find("containerd-shim") != std::string::npos &&
                std::find(command.begin(), command.end(), socket) != command.end();
    if (ours) shims.push_back(static_cast<int>(*pid));
  }
  for (int shim : shims) {
    for (const std::string& thread : list_dir(fmt::format("/proc/{}/task", shim))) {
      auto children = read_file(fmt::format("/proc/{}/task/{}/children", shim, thread));
      if (!children) continue;
      for (std::string_view child : split(trim(*children), ' ')) {
        if (auto pid = parse_int(child)) doomed.push_back(static_cast<int>(*pid));
      }
    }
  }
  doomed.insert(doomed.end(), shims.begin(), shims.end());
  for (int pid : doomed) ::kill(pid, SIGKILL);
  for (int pid : doomed) wait_gone(pid, milliseconds(2'000));
}

}  // namespace

Result<void> Containerd::shut_down(const std::string& dir, milliseconds wait) {
  int pid = running_pid(dir);
  if (pid > 0 && listens(socket_path(dir))) remove_all_pods(dir);
  if (pid > 0) {
    ::kill(pid, SIGTERM);
    if (!wait_gone(pid, wait)) {
      ::kill(pid, SIGKILL);
      wait_gone(pid, milliseconds(5'000));
    }
  }
  kill_left_over_shims(dir);
  ::unlink(pid_path(dir).c_str());
  return unmount_below(dir);
}

}  // namespace kybern::kubelet
