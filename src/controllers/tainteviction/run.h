// Runs the eviction of pods from tainted nodes.
#pragma once

#include <cstddef>
#include <memory>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::tainteviction {

std::unique_ptr<Controller> make_controller(const Environment& environment);

}  // namespace kybern::controllers::tainteviction
