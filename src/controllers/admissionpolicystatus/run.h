// Runs the check of admission policies' types.
#pragma once

#include <memory>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::admissionpolicystatus {

std::unique_ptr<Controller> make_controller(const Environment& environment);

}  // namespace kybern::controllers::admissionpolicystatus
