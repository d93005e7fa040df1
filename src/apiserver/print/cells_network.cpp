// Services, the endpoints behind them, and what leads traffic to them.
#include <fmt/format.h>

#include <set>

#include "apiserver/print/row.h"
#include "base/strings.h"

namespace kybern::apiserver {
namespace {

// Addresses of a load balancer, each once, in order.
std::string balancer_addresses(Value load_balancer) {
  std::set<std::string> found;
  for (Value ingress : load_balancer["ingress"].items()) {
    std::string address = text_or(ingress["ip"], ingress["hostname"].as_string());
    if (!address.empty()) found.insert(address);
  }
  return join({found.begin(), found.end()}, ",");
}

std::string external_address(const Row& row, std::string_view type) {
  std::string external = list_text(row.spec()["externalIPs"], ",");
  if (type == "ExternalName") return row.spec()["externalName"].str();
  if (type == "ClusterIP" || type == "NodePort") return external.empty() ? "<none>" : external;
  if (type != "LoadBalancer") return "<unknown>";
  std::string balancer = balancer_addresses(row.status()["loadBalancer"]);
  if (balancer.empty() && external.empty()) return "<pending>";
  return balancer.empty() || external.empty() ? balancer + external : balancer + "," + external;
}

std::string service_ports(Value ports) {
  std::vector<std::string> texts;
  for (Value port : ports.items()) {
    std::string text = std::to_string(port["port"].as_int());
    if (port["nodePort"].as_int() > 0) text += fmt::format(":{}", port["nodePort"].as_int());
    texts.push_back(fmt::format("{}/{}", text, port["protocol"].as_string("TCP")));
  }
  return texts.empty() ? "<none>" : join(texts, ",");
}

std::string host_port(std::string_view host, std::int64_t port) {
  return host.find(':') == std::string_view::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

}  // namespace

void service_cells(Row& row) {
  std::string_view type = row.spec()["type"].as_string("ClusterIP");
  row.add_all(row.name(), type, text_or(row.spec()["clusterIPs"][0], text_or(row.spec()["clusterIP"], "<none>")),
              external_address(row, type), service_ports(row.spec()["ports"]), row.age(), labels_text(row.spec()["selector"]));
}

void endpoints_cells(Row& row) {
  ShortList list;
  Value subsets = row.object["subsets"];
  for (Value subset : subsets.items()) {
    if (subset["ports"].empty())
      for (Value address : subset["addresses"].items()) list.add(address["ip"].str());
    for (Value port : subset["ports"].items())
      for (Value address : subset["addresses"].items()) list.add(host_port(address["ip"].as_string(), port["port"].as_int()));
  }
  row.add_all(row.name(), subsets.empty() ? "<none>" : list.str(), row.age());
}

void endpoint_slice_cells(Row& row) {
  ShortList ports, addresses;
  for (Value port : row.object["ports"].items())
    ports.add(port["port"].is_null() ? text_or(port["name"], "*") : std::to_string(port["port"].as_int()));
  for (Value endpoint : row.object["endpoints"].items())
    for (Value address : endpoint["addresses"].items()) addresses.add(address.str());
  auto shown = [](const ShortList& list) { return list.str().empty() ? std::string("<unset>") : list.str(); };
  row.add_all(row.name(), row.object["addressType"], shown(ports), shown(addresses), row.age());
}

namespace {

// Up to three hosts. Rules without a host count once the three are full, as upstream counts them.
std::string hosts_of(Value rules) {
  constexpr std::size_t shown_at_most = 3;
  std::vector<std::string> hosts;
  bool more = false;
  for (Value rule : rules.items()) {
    if (hosts.size() == shown_at_most) more = true;
    else if (!rule["host"].as_string().empty()) hosts.push_back(rule["host"].str());
  }
  if (hosts.empty()) return "*";
  std::string text = join(hosts, ",");
  return more ? fmt::format("{} + {} more...", text, rules.size() - shown_at_most) : text;
}

}  // namespace

void ingress_cells(Row& row) {
  row.add_all(row.name(), text_or(row.spec()["ingressClassName"], "<none>"), hosts_of(row.spec()["rules"]),
              balancer_addresses(row.status()["loadBalancer"]), row.spec()["tls"].empty() ? "80" : "80, 443", row.age());
}

void ingress_class_cells(Row& row) {
  std::string text = "<none>";
  if (Value parameters = row.spec()["parameters"]; !parameters.is_null()) {
    text = parameters["kind"].str();
    if (!parameters["apiGroup"].is_null()) text += fmt::format(".{}", parameters["apiGroup"].as_string());
    text += fmt::format("/{}", parameters["name"].as_string());
  }
  row.add_all(row.name(), row.spec()["controller"].str(), text, row.age());
}

void network_policy_cells(Row& row) {
  Value selector = row.spec()["podSelector"];
  row.add_all(row.name(), selector_text(selector), row.age());
}

void ip_address_cells(Row& row) {
  std::string text = "<none>";
  if (Value parent = row.spec()["parentRef"]; !parent.is_null()) {
    text = to_lower(parent["resource"].as_string());
    if (std::string_view group = parent["group"].as_string(); !group.empty()) text += fmt::format(".{}", to_lower(group));
    if (std::string_view ns = parent["namespace"].as_string(); !ns.empty()) text += fmt::format("/{}", ns);
    text += fmt::format("/{}", parent["name"].as_string());
  }
  row.add_all(row.name(), text, row.age());
}

void service_cidr_cells(Row& row) { row.add_all(row.name(), list_text(row.spec()["cidrs"], ","), row.age()); }

}  // namespace kybern::apiserver
