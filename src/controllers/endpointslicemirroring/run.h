// Runs the mirroring of Endpoints.
#pragma once

#include <memory>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::endpointslicemirroring {

std::unique_ptr<Runner> make_runner(const Environment& environment);

}  // namespace kybern::controllers::endpointslicemirroring
