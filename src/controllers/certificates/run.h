// Runs the approval, signing and cleaning of CertificateSigningRequests.
#pragma once

#include <memory>
#include <string>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::certificates {

struct SigningOptions {
  std::string certificate_pem, key_pem;             // the CA's; without a key nothing is signed
  Duration duration{std::chrono::hours(24 * 365)};  // of a certificate, at most
};

std::unique_ptr<Controller> make_controller(const Environment& environment, SigningOptions options);

}  // namespace kybern::controllers::certificates
