// The command line client: what `kybern kubectl ...` runs, and the program under the name kubectl.
#pragma once

#include <string>
#include <vector>

namespace kybern::cli {

// `arguments`: after the program's name ("get", "pods", "-A"). Gives the exit status.
int run(const std::vector<std::string>& arguments);

}  // namespace kybern::cli
