// What `apply` would make of an object.
#pragma once

#include "base/result.h"
#include "cli/subjects.h"

namespace kybern::cli {

// By a dry run on the server. The command has the flags field-manager, server-side, force-conflicts and force.
Result<Document> would_be(Session& session, const Arguments& arguments, const Subject& subject);

}  // namespace kybern::cli
