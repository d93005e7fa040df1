// Runs the filling and removal of Secrets with accounts' tokens.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::serviceaccount {

struct TokenOptions {
  std::function<std::string()> key_pem;    // signs; asked each time
  std::function<std::string()> ca_bundle;  // what ca.crt holds
};

std::unique_ptr<Runner> make_token_runner(const Environment& environment, TokenOptions options);

}  // namespace kybern::controllers::serviceaccount
