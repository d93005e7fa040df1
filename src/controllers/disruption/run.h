// Runs the disruption controller.
#pragma once

#include <memory>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::disruption {

std::unique_ptr<Runner> make_runner(const Environment& environment);
std::unique_ptr<Runner> make_forgetting_runner(const Environment& environment);  // conditions DisruptionTarget of pods that stayed

}  // namespace kybern::controllers::disruption
