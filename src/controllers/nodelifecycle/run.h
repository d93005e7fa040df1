// Runs the node lifecycle controller: heartbeats, zones, and how fast nodes may be given up.
#pragma once

#include <cstddef>
#include <memory>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::nodelifecycle {

std::unique_ptr<Controller> make_controller(const Environment& environment, Duration grace);

}  // namespace kybern::controllers::nodelifecycle
