// The kernel settings that services need, of the network namespace of the calling thread.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace kybern::proxy {

// net.ipv4.ip_forward and, for IPv6 pods, net.ipv6.conf.all.forwarding: without them no packet reaches a pod, so a failure
// is an error. net.bridge.bridge-nf-call-ip(6)tables (module br_netfilter is loaded when it is missing) and the limits of
// connection tracking: what cannot be set is told in `warnings`.
Result<void> prepare_kernel(bool ipv6, std::vector<std::string>& warnings);

Result<std::string> read_sysctl(const std::string& name);                      // "net.ipv4.ip_forward"
Result<void> write_sysctl(const std::string& name, const std::string& value);  // nothing is written when it is so already

}  // namespace kybern::proxy
