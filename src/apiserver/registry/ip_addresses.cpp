#include "apiserver/registry/ip_addresses.h"

#include <map>
#include <set>

#include "base/log.h"
#include "machinery/names.h"

namespace kybern::apiserver {
namespace {

constexpr std::string_view group = "networking.k8s.io";
constexpr std::string_view family_label = "ipaddress.kubernetes.io/ip-family", manager_label = "ipaddress.kubernetes.io/managed-by";
constexpr std::string_view manager = "ipallocator.k8s.io";

std::set<std::string> ips_of(Value service) {
  std::set<std::string> out;
  for (Value ip : service["spec"]["clusterIPs"].items())
    if (!ip.as_string().empty() && ip.as_string() != "None") out.insert(ip.str());
  return out;
}

Work work_for(Registry& registry, const std::string& ip, std::string_view verb) {
  Work work{.registry = registry,
            .world = registry.world(),
            .user = {"system:apiserver", "", {"system:masters"}, {}},
            .served = registry.catalog().find(group, "v1", "ipaddresses"),
            .name = ip};
  work.verb = verb;
  return work;
}

Draft parent_of(Value service) {
  Draft parent = Draft::object({{"resource", "services"}});
  parent["namespace"] = service["metadata"]["namespace"];
  parent["name"] = service["metadata"]["name"];
  return parent;
}

void create(Registry& registry, const std::string& ip, Value service) {
  Work work = work_for(registry, ip, "create");
  if (!work.served) return;
  Draft object = Draft::object();
  object["metadata"]["name"] = ip;
  object["metadata"]["labels"][family_label] = names::ip_family(ip) == names::Family::ipv6 ? "IPv6" : "IPv4";
  object["metadata"]["labels"][manager_label] = manager;
  object["spec"]["parentRef"] = parent_of(service);
  auto made = registry.create(work, object.freeze());
  if (!made && made.error().reason != "AlreadyExists")
    log_warn("apiserver", "an IPAddress could not be written", {{"ip", ip}, {"why", made.error().message}});
}

void erase(Registry& registry, const std::string& ip) {
  Work work = work_for(registry, ip, "delete");
  if (!work.served) return;
  auto gone = registry.remove(work, {});
  if (!gone && gone.error().code != 404)
    log_warn("apiserver", "an IPAddress could not be removed", {{"ip", ip}, {"why", gone.error().message}});
}

}  // namespace

void write_ip_addresses(Registry& registry, Value before, Value now) {
  std::set<std::string> had = ips_of(before), has = ips_of(now);
  for (const std::string& ip : has)
    if (!had.contains(ip)) create(registry, ip, now);
  for (const std::string& ip : had)
    if (!has.contains(ip)) erase(registry, ip);
}

void repair_ip_addresses(Registry& registry) {
  std::map<std::string, Document> wanted;
  registry.each("", "v1", "services", "", [&](Value service) {
    for (const std::string& ip : ips_of(service)) wanted.emplace(ip, service.document());
    return true;
  });
  std::vector<std::string> stale;
  registry.each(group, "v1", "ipaddresses", "", [&](Value address) {
    std::string ip = address["metadata"]["name"].str();
    auto service = wanted.find(ip);
    bool ours = address["metadata"]["labels"][manager_label].as_string() == manager;
    bool right = service != wanted.end() &&
                 address["spec"]["parentRef"]["name"].as_string() == service->second["metadata"]["name"].as_string() &&
                 address["spec"]["parentRef"]["namespace"].as_string() == service->second["metadata"]["namespace"].as_string();
    if (right) wanted.erase(service);
    else if (ours) stale.push_back(ip);
    return true;
  });
  for (const std::string& ip : stale) erase(registry, ip);
  for (const auto& [ip, service] : wanted) create(registry, ip, service.root());
}

}  // namespace kybern::apiserver
