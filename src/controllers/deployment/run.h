// Runs the Deployment controller: which events concern which Deployment, and what it observes.
#pragma once

#include <memory>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::deployment {

std::unique_ptr<Runner> make_runner(const Environment& environment);

}  // namespace kybern::controllers::deployment
