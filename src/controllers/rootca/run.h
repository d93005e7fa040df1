// Runs the publisher of the cluster's CA.
#pragma once

#include <memory>
#include <string>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::rootca {

std::unique_ptr<Runner> make_runner(const Environment& environment, std::string ca_pem);

}  // namespace kybern::controllers::rootca
