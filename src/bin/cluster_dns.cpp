#include "bin/cluster_dns.h"

#include <fmt/format.h>

namespace kybern::bin {
namespace {

// Creates, or overwrites what is there with the wanted fields.
Result<void> put(client::Transport& transport, std::string_view api_version, std::string_view resource, std::string_view name,
                 const Draft& object) {
  std::string collection = client::object_path(api_version, resource, "kube-system", ""),
              path = client::object_path(api_version, resource, "kube-system", name);
  bool there = transport.call({"GET", path, "", {}, {}}).has_value();
  auto made = there ? transport.call({"PATCH", path, "", object.freeze(), client::PatchType::merge})
                    : transport.call({"POST", collection, "", object.freeze(), {}});
  if (made) return {};
  return fail(Code::internal, fmt::format("{} {}: {}", resource, name, made.error().message));
}

}  // namespace

Result<std::unique_ptr<dns::DnsServer>> start_cluster_dns(client::Transport& installer, client::Transport& transport, World world,
                                                          ClusterDnsOptions options) {
  Draft service = Draft::object({{"apiVersion", "v1"}, {"kind", "Service"}});
  service["metadata"] = Draft::object({{"name", "kube-dns"}, {"namespace", "kube-system"}});
  service["metadata"]["labels"] =
      Draft::object({{"k8s-app", "kube-dns"}, {"kubernetes.io/name", "CoreDNS"}, {"kubernetes.io/cluster-service", "true"}});
  service["spec"]["clusterIP"] = options.service_ip;
  Draft ports = Draft::array(), slice_ports = Draft::array();
  for (auto [name, protocol] : {std::pair("dns", "UDP"), std::pair("dns-tcp", "TCP")}) {
    ports.push_back(Draft::object({{"name", name}, {"protocol", protocol}, {"port", 53}, {"targetPort", options.port}}));
    slice_ports.push_back(Draft::object({{"name", name}, {"protocol", protocol}, {"port", options.port}}));
  }
  service["spec"]["ports"] = std::move(ports);
  if (auto ok = put(installer, "v1", "services", "kube-dns", service); !ok) return std::unexpected(ok.error());
  Draft slice = Draft::object({{"apiVersion", "discovery.k8s.io/v1"}, {"kind", "EndpointSlice"}, {"addressType", "IPv4"}});
  slice["metadata"] = Draft::object({{"name", "kube-dns"}, {"namespace", "kube-system"}});
  slice["metadata"]["labels"] =
      Draft::object({{"kubernetes.io/service-name", "kube-dns"}, {"endpointslice.kubernetes.io/managed-by", "kybern"}});
  Draft endpoint = Draft::object();
  endpoint["addresses"].push_back(options.address);
  endpoint["conditions"]["ready"] = true;
  slice["endpoints"].push_back(std::move(endpoint));
  slice["ports"] = std::move(slice_ports);
  if (auto ok = put(installer, "discovery.k8s.io/v1", "endpointslices", "kube-dns", slice); !ok) return std::unexpected(ok.error());
  dns::DnsOptions dns_options;
  dns_options.addresses = {options.address};
  dns_options.port = options.port;
  dns_options.domain = options.domain;
  dns_options.resolv_conf = options.resolv_conf;
  dns_options.own_addresses = {options.service_ip};
  return dns::DnsServer::start(transport, world, std::move(dns_options));
}

}  // namespace kybern::bin
