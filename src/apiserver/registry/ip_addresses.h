// IPAddress objects (networking.k8s.io/v1, KEP-1880) for the cluster IPs of Services. They tell clients which address is
// whose; what is taken is still read off the Services.
#pragma once

#include "apiserver/registry/registry.h"

namespace kybern::apiserver {

// After a Service was stored or deleted; either may be absent.
void write_ip_addresses(Registry& registry, Value before, Value now);
// At start: those of all Services, and none that no Service has.
void repair_ip_addresses(Registry& registry);

}  // namespace kybern::apiserver
