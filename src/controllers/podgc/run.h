// Runs the pod garbage collector.
#pragma once

#include <cstddef>
#include <memory>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::podgc {

std::unique_ptr<Controller> make_controller(const Environment& environment, std::size_t finished_limit);

}  // namespace kybern::controllers::podgc
