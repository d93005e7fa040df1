// The components as commands: `kybern server`, `kybern apiserver`, ...
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kybern::bin {

struct Command {
  std::string_view name, summary;
  int (*run)(const std::vector<std::string>& arguments);  // exit status
};
const std::vector<Command>& commands();

int run_server(const std::vector<std::string>& arguments);  // bin/server_command.cpp
int run_apiserver(const std::vector<std::string>& arguments);
int run_controller_manager(const std::vector<std::string>& arguments);  // bin/component_commands.cpp
int run_scheduler(const std::vector<std::string>& arguments);
int run_kubelet(const std::vector<std::string>& arguments);
int run_shutdown(const std::vector<std::string>& arguments);
int run_proxy(const std::vector<std::string>& arguments);
int run_dns(const std::vector<std::string>& arguments);
int run_bench(const std::vector<std::string>& arguments);  // bin/bench_command.cpp
int run_sim(const std::vector<std::string>& arguments);    // bin/sim_command.cpp

// One line on standard error, `kybern: ...`; gives the exit status 1.
int complain(std::string_view what);
// Waits for SIGINT or SIGTERM, which main() has blocked.
void wait_for_stop();

}  // namespace kybern::bin
