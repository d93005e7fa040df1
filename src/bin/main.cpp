// kybern: one program, many components. This folder is the one place where rooms meet.
#include <fmt/format.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>

#include "base/strings.h"
#include "bin/commands.h"
#include "cli/cli.h"
#include "net/tls_buffers.h"

using namespace kybern;

namespace kybern::bin {

const std::vector<Command>& commands() {
  static const std::vector<Command> all{
      {"server", "a whole cluster in one process: control plane, node agent, proxy and DNS", run_server},
      {"apiserver", "the API server alone", run_apiserver},
      {"controller-manager", "the controllers, against any Kubernetes API", run_controller_manager},
      {"scheduler", "the scheduler, against any Kubernetes API", run_scheduler},
      {"kubelet", "the node agent", run_kubelet},
      {"proxy", "the service proxy of one node", run_proxy},
      {"dns", "the cluster's DNS server", run_dns},
      {"shutdown", "ends the pods and the containerd that a node left running", run_shutdown},
      {"sim", "a cluster of simulated nodes in one thread, from a seed: measured, or with faults and checks", run_sim},
      {"bench", "measures any Kubernetes API: throughput, latencies, the server's processor time and memory", run_bench},
      {"kubectl", "the command line client (also under the name kubectl)", [](const std::vector<std::string>& a) { return cli::run(a); }},
      {"version", "what this program is",
       [](const std::vector<std::string>&) { return fmt::print("kybern v0.1.0, Kubernetes v1.36.0\n"), 0; }},
  };
  return all;
}

int complain(std::string_view what) {
  fmt::print(stderr, "kybern: {}\n", what);
  return 1;
}

void wait_for_stop() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  int caught = 0;
  sigwait(&signals, &caught);
}

namespace {

std::string usage() {
  std::string out = "Kubernetes in one small program.\n\nUsage: kybern COMMAND [flags]\n\nCommands:\n";
  for (const Command& command : commands()) out += fmt::format("  {:<20}{}\n", command.name, command.summary);
  return out + "\n`kybern COMMAND --help` lists the flags of a command.\n";
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h" || arguments[0] == "help") {
    fmt::print("{}", usage());
    return arguments.empty() ? 1 : 0;
  }
  std::vector<std::string> names;
  for (const Command& command : commands()) {
    if (command.name == arguments[0] || (command.name == "version" && arguments[0] == "--version"))
      return command.run({arguments.begin() + 1, arguments.end()});
    names.emplace_back(command.name);
  }
  std::string near = edit_nearest(arguments[0], names);
  return complain(fmt::format("unknown command {}{}", go_quote(arguments[0]),
                              near.empty() ? "; see `kybern --help`" : fmt::format("; did you mean {}?", near)));
}

}  // namespace
}  // namespace kybern::bin

// A thousand idle connections, as many files as a process commonly may have open, must not keep others out.
static void raise_file_limit() {
  constexpr rlim_t enough = 65536;
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= enough) return;
  files.rlim_cur = files.rlim_max == RLIM_INFINITY ? enough : std::min(enough, files.rlim_max);
  ::setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  signal(SIGPIPE, SIG_IGN);
  net::keep_tls_buffers();
  std::string_view program = argv[0];
  if (auto slash = program.rfind('/'); slash != std::string_view::npos) program.remove_prefix(slash + 1);
  if (program == "kubectl") return cli::run(arguments);
  if (arguments.empty() || arguments[0] != "kubectl") {
    // Servers end in order; before any thread is there, so that all inherit it.
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    if (!arguments.empty() && arguments[0] == "bench") return bin::run(arguments);  // many busy threads, each with an arena
    mallopt(M_ARENA_MAX, 2);  // memory is given back rather than spread over an arena for each thread
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
    raise_file_limit();
  }
  return bin::run(arguments);
}
