// Runs the cleaning of bootstrap tokens and the signing of cluster-info.
#pragma once

#include <memory>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::bootstraptokens {

std::unique_ptr<Runner> make_cleaner(const Environment& environment);
std::unique_ptr<Runner> make_signer(const Environment& environment);

}  // namespace kybern::controllers::bootstraptokens
