// Which CA signs CertificateSigningRequests, and for how long; the files are read whenever it signs. And how long tokens
// without an end are kept.
#pragma once

#include <string>

#include "bin/flags.h"
#include "controllers/controllers.h"

namespace kybern::bin {

struct SigningFlags {
  std::string certificate, key, duration = "8760h0m0s", unused_tokens_period = "8760h0m0s";
  void add_to(Flags& flags);
  // Without flags the files given here are used; "" for none.
  Result<void> apply(controllers::Options& options, std::string default_certificate, std::string default_key) const;
};

}  // namespace kybern::bin
