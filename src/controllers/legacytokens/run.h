// Runs the removal of accounts' tokens that nobody uses.
#pragma once

#include <memory>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::legacytokens {

// `period`: for how long a token has to be unused.
std::unique_ptr<Runner> make_cleaner(const Environment& environment, Duration period);

}  // namespace kybern::controllers::legacytokens
