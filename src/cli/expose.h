// Objects made beside another one.
#pragma once

#include <string>
#include <string_view>

#include "cli/flags.h"
#include "cli/session.h"

namespace kybern::cli {

// Sends a new object, as --dry-run says, and prints `service/web exposed`.
Result<void> make_related(Session& session, const Arguments& arguments, Draft object, const std::string& ns, std::string_view operation);

}  // namespace kybern::cli
