// The certificate of a server that stands in for something outside the API server.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/world.h"
#include "net/certificates.h"

namespace kybern::apiserver::testing {

struct ServingPair {
  net::KeyPair ca, server;
};

// Good for an hour. A test that cannot make one ends.
inline ServingPair serving_pair(const std::string& name, std::vector<std::string> ip_addresses, std::vector<std::string> dns_names = {}) {
  const Time now = real_world().clock.now();
  net::CertificateSpec spec;
  spec.common_name = name;
  spec.ip_addresses = std::move(ip_addresses);
  spec.dns_names = std::move(dns_names);
  spec.server = true;
  spec.not_before = now - std::chrono::hours(1);
  spec.not_after = now + std::chrono::hours(1);
  ServingPair out{net::new_ca(name + "-ca", spec.not_before, spec.not_after).value(), {}};
  out.server = net::issue(out.ca, spec).value();
  return out;
}

}  // namespace kybern::apiserver::testing
