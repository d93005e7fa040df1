// A command: its name, its flags, what it does. One function for each file of commands.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cli/flags.h"
#include "cli/session.h"

namespace kybern::cli {

struct Command {
  std::string name, summary;
  std::string usage;  // what comes after "kubectl NAME": "(TYPE NAME | TYPE/NAME)"
  std::vector<Flag> flags{};
  Result<int> (*run)(Session&, const Arguments&) = nullptr;  // the exit status, or what to print on standard error
  std::vector<Command> children{};
  std::vector<std::string> aliases{};
  int failure = 1;  // the exit status when `run` fails
};

Command get_command();
Command describe_command();
Command apply_command();
Command create_command();
Command run_command();
Command delete_command();
Command scale_command();
Command logs_command();
Command exec_command();
Command attach_command();
Command port_forward_command();
Command rollout_command();
Command label_command();
Command annotate_command();
Command taint_command();
Command patch_command();
Command replace_command();
Command wait_command();
Command api_resources_command();
Command api_versions_command();
Command cluster_info_command();
Command version_command();
Command config_command();
Command explain_command();
Command auth_command();
Command cordon_command();
Command uncordon_command();
Command drain_command();
Command expose_command();
Command autoscale_command();
Command set_command();
Command edit_command();
Command diff_command();
Command certificate_command();
Command top_command();
Command proxy_command();
Command cp_command();
Command debug_command();
Command events_command();
Command completion_command();
Command complete_command();  // what the completion script runs; not shown
std::vector<Command> all_commands();

// `error: ...`, for a command's own complaints.
std::unexpected<Error> refuse(std::string what);
// The same, with `See 'kubectl create -h' for help and examples` below.
std::unexpected<Error> refuse_usage(const Arguments& arguments, std::string what);

}  // namespace kybern::cli
