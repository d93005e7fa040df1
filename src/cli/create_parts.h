// What the subcommands of `create` share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "document/document.h"

namespace kybern::cli {

std::vector<Flag> create_flags();  // -o, --dry-run, --validate, ...
// The one word that names what is made.
Result<std::string> one_name(const Arguments& arguments, std::size_t most = 1);
// apiVersion, kind and metadata; the namespace only when -n says it.
Draft new_object(std::string_view api_version, std::string_view kind, std::string_view name, Session& session, bool namespaced);
// Sends the object, or only shows it. `failure`: "failed to create job: ", in front of the server's message; "": as any other error.
Result<int> finish_create(Session& session, const Arguments& arguments, const Draft& object, std::string_view failure);

// --user, --group, --serviceaccount as the subjects of a binding.
Result<Draft> rbac_subjects(const Arguments& arguments);
std::vector<Flag> rbac_subject_flags();

std::vector<Command> create_rbac_commands();    // cli/create_rbac.cpp
std::vector<Command> create_policy_commands();  // cli/create_policy.cpp

}  // namespace kybern::cli
