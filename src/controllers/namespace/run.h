// Runs the namespace controller: asks everything in a terminating namespace to go, and looks at what remains.
#pragma once

#include <memory>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::namespaces {

std::unique_ptr<Controller> make_controller(const Environment& environment);

}  // namespace kybern::controllers::namespaces
