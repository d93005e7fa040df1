#include "kubelet/testing/isolation.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <set>

#include "base/strings.h"
#include "kubelet/cgroups/cgroups.h"
#include "kubelet/files.h"

namespace kybern::kubelet::testing {
namespace {

constexpr const char* folder_variable = "KYBERN_TEST_RUN";
constexpr std::string_view run_prefix = "kybern-kubelet-";

void bring_up_loopback() {
  int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  ::ioctl(fd, SIOCSIFFLAGS, &request);
  ::close(fd);
}

volatile sig_atomic_t child_to_end = 0;
void end_child(int) { ::kill(child_to_end, SIGKILL); }

void clear_run(const std::string& folder) {
  if (auto groups = Cgroups::open("")) (void)(*groups)->remove("/" + base_name(folder));
  (void)unmount_below(folder);
  (void)remove_tree(folder);
}

// Runs that were killed together with the process that would have cleared up after them.
void clear_dead_runs() {
  std::set<std::string> runs;
  for (const std::string& name : list_dir("/tmp")) runs.insert(name);
  for (const std::string& name : list_dir("/sys/fs/cgroup/memory")) runs.insert(name);
  for (const std::string& name : runs) {
    auto pid = name.starts_with(run_prefix) ? parse_int(std::string_view(name).substr(run_prefix.size())) : std::nullopt;
    if (pid && *pid > 1 && ::kill(static_cast<pid_t>(*pid), 0) != 0 && errno == ESRCH) clear_run(fmt::format("/tmp/{}", name));
  }
}

// Outside: waits for the tests, then clears what namespaces do not take with them.
[[noreturn]] void wait_outside(pid_t inside, const std::string& folder) {
  child_to_end = inside;
  for (int number : {SIGTERM, SIGINT, SIGHUP}) ::signal(number, end_child);
  int status = 0;
  while (::waitpid(inside, &status, 0) < 0 && errno == EINTR) {}
  clear_run(folder);
  if (WIFSIGNALED(status)) {
    ::signal(WTERMSIG(status), SIG_DFL);
    ::raise(WTERMSIG(status));
  }
  std::_Exit(WEXITSTATUS(status));
}

// Before main() and its threads. Without root, or when a namespace is refused, the tests simply run as they are.
bool isolate() {
  if (::geteuid() != 0 || std::getenv(folder_variable) != nullptr) return false;
  std::string folder = fmt::format("/tmp/{}{}", run_prefix, ::getpid());
  clear_dead_runs();
  if (!make_dirs(folder, 0711)) return false;
  pid_t between = ::fork();  // a new process namespace holds only for children, the other two at once: so twice
  if (between < 0) return false;
  if (between > 0) wait_outside(between, folder);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID) != 0) return false;
  pid_t inside = ::fork();
  if (inside > 0) {
    int status = 0;
    while (::waitpid(inside, &status, 0) < 0 && errno == EINTR) {}
    std::_Exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  ::mount("proc", "/proc", "proc", 0, nullptr);
  ::mount("none", "/", nullptr, MS_REC | MS_SHARED, nullptr);
  ::setenv(folder_variable, folder.c_str(), 1);
  bring_up_loopback();
  return true;
}

const bool isolated = isolate();

}  // namespace

std::string run_folder() {
  const char* folder = std::getenv(folder_variable);
  return folder == nullptr ? "" : folder;
}

std::string run_cgroup() { return fmt::format("/{}", base_name(run_folder())); }

std::string why_no_real_pods() {
  if (::geteuid() != 0) return "needs root";
  if (!isolated) return "namespaces of its own are refused";
  for (const char* program : {"containerd", "runc", "ctr", "busybox", "gcc"}) {
    bool found = false;
    for (const char* folder : {"/usr/local/bin/", "/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/"})
      found = found || ::access((std::string(folder) + program).c_str(), X_OK) == 0;
    if (!found) return fmt::format("{} is not installed", program);
  }
  if (!Cgroups::open("")) return "no cgroups are mounted";
  return "";
}

TEST(Isolation, NamespacesAreNewAndLoopbackIsUp) {
  if (std::string why = why_no_real_pods(); !why.empty()) GTEST_SKIP() << why;
  EXPECT_EQ(::getpid(), 1);
  EXPECT_TRUE(is_dir(run_folder()));
}

}  // namespace kybern::kubelet::testing
