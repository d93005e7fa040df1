// For the DNS tests: an index from YAML, and answers as lines of text.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/strings.h"
#include "dns/answer/answer.h"
#include "document/yaml.h"

namespace kybern::dns::test {

inline constexpr const char* cluster_yaml = R"(
kind: Namespace
metadata: {name: default}
---
kind: Namespace
metadata: {name: empty}
---
kind: Namespace
metadata: {name: kube-system}
---
kind: Service
metadata: {namespace: kube-system, name: kube-dns}
spec: {clusterIP: 10.96.0.10, clusterIPs: [10.96.0.10], ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]}
---
kind: Service
metadata: {namespace: default, name: web}
spec: {clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1], ports: [{name: http, port: 80, protocol: TCP}, {name: metrics, port: 9090, protocol: TCP}]}
---
kind: EndpointSlice
metadata: {namespace: default, name: web-a, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.244.0.9]}]
ports: [{name: http, port: 8080, protocol: TCP}, {name: metrics, port: 9091, protocol: TCP}]
---
kind: Service
metadata: {namespace: default, name: dual}
spec: {clusterIP: 10.96.0.3, clusterIPs: [10.96.0.3, "fd00::3"], ports: [{port: 80, protocol: TCP}]}
---
kind: Service
metadata: {namespace: default, name: six}
spec: {clusterIP: "fd00::6", clusterIPs: ["fd00::6"], ports: [{name: http, port: 80, protocol: TCP}]}
---
kind: Service
metadata: {namespace: default, name: db}
spec: {clusterIP: None, clusterIPs: [None], ports: [{name: sql, port: 5432, protocol: TCP}]}
---
kind: EndpointSlice
metadata: {namespace: default, name: db-a, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
endpoints:
- {addresses: [10.244.0.5], hostname: db-0, conditions: {ready: true}}
- {addresses: [10.244.0.6], hostname: db-1, conditions: {ready: false}}
- {addresses: [10.244.0.7], conditions: {ready: true}}
ports: [{name: sql, port: 5432, protocol: TCP}]
---
kind: EndpointSlice
metadata: {namespace: default, name: db-b, labels: {kubernetes.io/service-name: db}}
addressType: IPv6
endpoints: [{addresses: ["fd01::5"], hostname: db-0}, {addresses: ["fd01::7"]}]
ports: [{name: sql, port: 5432, protocol: TCP}]
---
kind: Service
metadata: {namespace: default, name: portless}
spec: {clusterIP: None}
---
kind: EndpointSlice
metadata: {namespace: default, name: portless-a, labels: {kubernetes.io/service-name: portless}}
addressType: IPv4
endpoints: [{addresses: [10.244.0.20]}]
---
kind: Service
metadata: {namespace: default, name: nobody}
spec: {clusterIP: None, ports: [{port: 80}]}
---
kind: Service
metadata: {namespace: default, name: ext}
spec: {type: ExternalName, externalName: www.example.com}
---
kind: Service
metadata: {namespace: default, name: ext-web}
spec: {type: ExternalName, externalName: web.default.svc.cluster.local.}
---
kind: Service
metadata: {namespace: default, name: ext-gone}
spec: {type: ExternalName, externalName: gone.default.svc.cluster.local}
---
kind: Service
metadata: {namespace: default, name: ext-address}
spec: {type: ExternalName, externalName: 192.0.2.7}
---
kind: Service
metadata: {namespace: default, name: loop-a}
spec: {type: ExternalName, externalName: loop-b.default.svc.cluster.local}
---
kind: Service
metadata: {namespace: default, name: loop-b}
spec: {type: ExternalName, externalName: loop-a.default.svc.cluster.local}
---
kind: Service
metadata: {namespace: default, name: pending}
spec: {ports: [{port: 80}]}
)";

inline std::shared_ptr<const Index> index_of(std::string_view yaml, std::uint32_t serial = 1700000000) {
  const auto documents = *parse_yaml(yaml);
  IndexWriter writer(Index{});
  for (const Document& document : documents) {
    const std::string name = document["metadata"]["name"].str(), ns = document["metadata"]["namespace"].str();
    if (document["kind"].as_string() == "Namespace") writer.put_namespace(name, true);
    if (document["kind"].as_string() != "Service") continue;
    std::vector<api::discovery_v1::EndpointSlice> slices;
    for (const Document& slice : documents) {
      const bool of_service = slice["kind"].as_string() == "EndpointSlice" && slice["metadata"]["namespace"].as_string() == ns &&
                              slice["metadata"]["labels"]["kubernetes.io/service-name"].as_string() == name;
      if (of_service) slices.emplace_back(slice);
    }
    writer.put_service(ns + "/" + name, read_service(api::core_v1::Service(document), slices));
  }
  return writer.finish(true, serial);
}

inline std::string text_of(const Record& record) {
  static const std::map<Type, std::string> types = {{Type::a, "A"},     {Type::aaaa, "AAAA"}, {Type::cname, "CNAME"}, {Type::soa, "SOA"},
                                                    {Type::ptr, "PTR"}, {Type::txt, "TXT"},   {Type::srv, "SRV"},     {Type::ns, "NS"}};
  std::string out = (record.owner.empty() ? "@" : record.owner) + " " + std::to_string(record.ttl_s) + " " + types.at(record.type) + " ";
  if (const Ip* ip = std::get_if<Ip>(&record.data)) return out + ip->text();
  if (const NameData* name = std::get_if<NameData>(&record.data)) return out + name->name;
  if (const TextData* text = std::get_if<TextData>(&record.data)) return out + text->text;
  if (const SrvData* srv = std::get_if<SrvData>(&record.data)) {
    return out + std::to_string(srv->priority) + " " + std::to_string(srv->weight) + " " + std::to_string(srv->port) + " " + srv->target;
  }
  const SoaData& soa = std::get<SoaData>(record.data);
  return out + soa.primary + " " + soa.mailbox + " " + std::to_string(soa.serial) + " " + std::to_string(soa.minimum);
}

// "NOERROR; @ 30 A 10.96.0.1; + web.default.svc.cluster.local 30 A 10.96.0.1" (+: additional, -: the zone's SOA record).
inline std::string text_of(const Answer& answer) {
  static const std::map<Rcode, std::string> rcodes = {
      {Rcode::no_error, "NOERROR"}, {Rcode::name_error, "NXDOMAIN"}, {Rcode::server_failure, "SERVFAIL"}};
  if (answer.forward) return "forward";
  std::string out = rcodes.at(answer.rcode);
  for (const Record& record : answer.answers) out += "; " + text_of(record);
  for (const Record& record : answer.authority) out += record.type == Type::soa ? "; -" : "; ? " + text_of(record);
  for (const Record& record : answer.additional) out += "; + " + text_of(record);
  if (!answer.chase.empty()) out += "; chase " + answer.chase;
  return out;
}

inline Question question(std::string_view name, Type type) {
  Question out;
  out.type = type;
  if (name.ends_with('.')) name.remove_suffix(1);
  if (!name.empty()) {
    for (std::string_view label : split(name, '.')) out.labels.push_back(to_lower(label));
  }
  return out;
}

}  // namespace kybern::dns::test
