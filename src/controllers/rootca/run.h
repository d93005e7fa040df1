// Runs the publisher of the cluster's CA.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::rootca {

// `ca_bundle` is asked again every ten minutes: the authority may have changed.
std::unique_ptr<Runner> make_runner(const Environment& environment, std::function<std::string()> ca_bundle);

}  // namespace kybern::controllers::rootca
