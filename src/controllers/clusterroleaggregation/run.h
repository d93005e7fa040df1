// Runs the collecting of rules.
#pragma once

#include <memory>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::clusterroleaggregation {

std::unique_ptr<Runner> make_runner(const Environment& environment);

}  // namespace kybern::controllers::clusterroleaggregation
