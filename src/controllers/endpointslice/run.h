// Runs the EndpointSlice controller.
#pragma once

#include <memory>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::endpointslice {

std::unique_ptr<Runner> make_runner(const Environment& environment);

}  // namespace kybern::controllers::endpointslice
