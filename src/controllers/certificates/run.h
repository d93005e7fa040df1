// Runs the approval, signing and cleaning of CertificateSigningRequests.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::certificates {

struct SigningOptions {
  std::function<std::pair<std::string, std::string>()> authority;  // certificate and key of the CA; none: nothing is signed
  Duration duration{std::chrono::hours(24 * 365)};                 // of a certificate, at most
};

std::unique_ptr<Controller> make_controller(const Environment& environment, SigningOptions options);

}  // namespace kybern::controllers::certificates
