// Runs the controller of default ServiceAccounts.
#pragma once

#include <memory>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::serviceaccount {

std::unique_ptr<Runner> make_runner(const Environment& environment);

}  // namespace kybern::controllers::serviceaccount
