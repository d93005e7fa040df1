// The names a pod sees: its host name, resolv.conf and /etc/hosts.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kubelet/plan/pod_view.h"

namespace kybern::kubelet {

struct ResolverConfig {
  std::vector<std::string> servers, searches, options;
  friend bool operator==(const ResolverConfig&, const ResolverConfig&) = default;
};
ResolverConfig parse_resolv_conf(std::string_view text);

struct DnsFacts {
  std::vector<std::string> cluster_servers;  // empty: the cluster has no DNS
  std::string cluster_domain;                // "cluster.local"
  ResolverConfig node;                       // of the node's resolv.conf
};
// By dnsPolicy and dnsConfig. At most 3 servers and 32 search domains of 2048 characters are kept; `cut` tells that some were not.
ResolverConfig pod_resolver(const PodView& pod, const DnsFacts& facts, bool* cut = nullptr);

struct HostName {
  std::string name;    // what `hostname` prints; empty: the node's (hostNetwork)
  std::string domain;  // "sub.ns.svc.cluster.local" with a subdomain, else ""
};
HostName pod_host_name(const PodView& pod, std::string_view cluster_domain);

std::string hosts_file(const PodView& pod, const std::vector<std::string>& pod_ips, const HostName& host);
std::string hosts_file_of_node(const PodView& pod, std::string_view node_hosts);  // hostNetwork

}  // namespace kybern::kubelet
