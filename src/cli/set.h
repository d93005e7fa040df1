// What the subcommands of `set` share: each changes objects that are there, and sends the difference.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "cli/subjects.h"

namespace kybern::cli {

// Changes the object; false: there is nothing to say about it. A failure is shown, and the other objects are changed nevertheless.
using Change = std::function<Result<bool>(Draft& object, const Subject& subject)>;
struct SetOptions {
  std::string_view operation;   // "image updated"
  bool quiet_when_same = true;  // an object that is as it should be is not spoken of
};
Result<int> set_objects(Session& session, const Arguments& arguments, const std::vector<std::string>& words, const SetOptions& options,
                        const Change& change);

// The pod's spec inside a workload; nullptr when it has none.
Draft* pod_spec_of(Draft& object);
std::string no_pod_spec(const Subject& subject, bool local);  // the complaint about it

std::vector<Flag> set_flags();
Command set_env_command();  // cli/set_env.cpp

}  // namespace kybern::cli
