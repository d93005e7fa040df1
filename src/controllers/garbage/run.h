// Runs the garbage collector: follows the metadata of every resource that can be watched, and deletes what lost its owners.
#pragma once

#include <memory>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::garbage {

std::unique_ptr<Controller> make_controller(const Environment& environment);

}  // namespace kybern::controllers::garbage
