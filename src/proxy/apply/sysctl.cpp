#include "proxy/apply/sysctl.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "base/strings.h"

extern char** environ;

namespace kybern::proxy {
namespace {

std::string path_of(const std::string& name) {
  std::string path = "/proc/sys/" + name;
  std::replace(path.begin() + 10, path.end(), '.', '/');
  return path;
}

bool exists(const std::string& name) { return ::access(path_of(name).c_str(), F_OK) == 0; }

// Loads a module; whether that worked shows in /proc.
void modprobe(const char* module) {
  const char* const arguments[] = {"modprobe", module, nullptr};
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  pid_t child = 0;
  for (const char* program : {"/sbin/modprobe", "/usr/sbin/modprobe"}) {
    if (::posix_spawn(&child, program, &actions, nullptr, const_cast<char* const*>(arguments), environ) != 0) continue;
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    break;
  }
  ::posix_spawn_file_actions_destroy(&actions);
}

void prefer(const std::string& name, const std::string& value, std::string_view why, std::vector<std::string>& warnings) {
  Result<void> done = write_sysctl(name, value);
  if (!done) warnings.push_back(fmt::format("{}: {}", done.error().message, why));
}

// As upstream's defaults: 32,768 tracked connections per core, at least 131,072; never lowered.
void raise_conntrack_limits() {
  const std::int64_t cores = std::max<std::int64_t>(1, std::thread::hardware_concurrency());
  const std::int64_t wanted = std::max<std::int64_t>(131072, 32768 * cores);
  const Result<std::string> now = read_sysctl("net.netfilter.nf_conntrack_max");
  if (now && parse_int(*now).value_or(wanted) < wanted) (void)write_sysctl("net.netfilter.nf_conntrack_max", std::to_string(wanted));
  (void)write_sysctl("net.netfilter.nf_conntrack_tcp_timeout_established", "86400");
  (void)write_sysctl("net.netfilter.nf_conntrack_tcp_timeout_close_wait", "3600");
}

}  // namespace

Result<std::string> read_sysctl(const std::string& name) {
  const int file = ::open(path_of(name).c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return fail(errno == ENOENT ? Code::not_found : Code::internal, fmt::format("sysctl {}: {}", name, std::strerror(errno)));
  char buffer[256];
  const ssize_t size = ::read(file, buffer, sizeof buffer);
  ::close(file);
  if (size < 0) return fail(Code::internal, fmt::format("sysctl {}: {}", name, std::strerror(errno)));
  return std::string(trim({buffer, static_cast<std::size_t>(size)}));
}

Result<void> write_sysctl(const std::string& name, const std::string& value) {
  if (const Result<std::string> now = read_sysctl(name); now && *now == value) return {};
  const int file = ::open(path_of(name).c_str(), O_WRONLY | O_CLOEXEC);
  const bool opened = file >= 0;
  const bool written = opened && ::write(file, value.data(), value.size()) == static_cast<ssize_t>(value.size());
  const int error = errno;
  if (opened) ::close(file);
  if (written) return {};
  const Code code = error == ENOENT                                       ? Code::not_found
                    : error == EACCES || error == EPERM || error == EROFS ? Code::forbidden
                                                                          : Code::internal;
  return fail(code, fmt::format("sysctl {} cannot be set to {}: {}", name, value, std::strerror(error)));
}

Result<void> prepare_kernel(bool ipv6, std::vector<std::string>& warnings) {
  if (Result<void> done = write_sysctl("net.ipv4.ip_forward", "1"); !done) return done;
  if (ipv6) {
    if (Result<void> done = write_sysctl("net.ipv6.conf.all.forwarding", "1"); !done) return done;
  }
  if (!exists("net.bridge.bridge-nf-call-iptables")) modprobe("br_netfilter");
  constexpr std::string_view why = "pods on one bridge do not reach each other through services";
  prefer("net.bridge.bridge-nf-call-iptables", "1", why, warnings);
  if (ipv6) prefer("net.bridge.bridge-nf-call-ip6tables", "1", why, warnings);
  raise_conntrack_limits();
  return {};
}

}  // namespace kybern::proxy
