// The cluster's DNS server with its Service: kube-dns in kube-system, whose one endpoint is this process.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/world.h"
#include "client/transport.h"
#include "dns/dns.h"

namespace kybern::bin {

struct ClusterDnsOptions {
  std::string address;     // of this node: where the server listens and the endpoint points
  std::string service_ip;  // the cluster IP of the kube-dns service
  std::string domain, resolv_conf;
  int port = 10053;  // the server's own; the service has 53
};
// `installer` writes the Service; the server reads by `transport`.
Result<std::unique_ptr<dns::DnsServer>> start_cluster_dns(client::Transport& installer, client::Transport& transport, World world,
                                                          ClusterDnsOptions options);

}  // namespace kybern::bin
