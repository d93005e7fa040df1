#include "controllers/service_pods.h"

#include <algorithm>

#include "controllers/objects.h"
#include "machinery/names.h"

namespace kybern::controllers {
namespace {

std::string_view family_of(std::string_view address) {
  switch (names::ip_family(address)) {
    case names::Family::ipv4: return "IPv4";
    case names::Family::ipv6: return "IPv6";
    case names::Family::none: break;
  }
  return "";
}

std::optional<std::int64_t> named_port(Value containers, std::string_view name, std::string_view protocol, bool sidecars_only) {
  for (Value container : containers.items()) {
    if (sidecars_only && container["restartPolicy"].as_string() != "Always") continue;
    for (Value port : container["ports"].items())
      if (port["name"].as_string() == name && port["protocol"].as_string("TCP") == protocol) return port["containerPort"].as_int();
  }
  return {};
}

std::optional<std::int64_t> target_port(Value service_port, Value pod) {
  const Value target = service_port["targetPort"];
  if (target.is_null()) return service_port["port"].as_int();
  if (target.is_int()) return target.as_int();
  const std::string_view protocol = service_port["protocol"].as_string("TCP");
  if (auto port = named_port(pod["spec"]["containers"], target.as_string(), protocol, false)) return port;
  return named_port(pod["spec"]["initContainers"], target.as_string(), protocol, true);
}

}  // namespace

bool is_headless(Value service) {
  const std::string_view ip = service["spec"]["clusterIP"].as_string();
  return ip.empty() || ip == "None";
}

bool can_be_endpoint(Value pod, bool terminating_too) {
  if (is_terminal(pod) || (!terminating_too && is_deleting(pod))) return false;
  return !pod["status"]["podIP"].as_string().empty() || !pod["status"]["podIPs"].empty();
}

std::vector<std::string_view> addresses_of(Value pod, std::string_view family) {
  std::vector<std::string_view> out;
  const Value list = pod["status"]["podIPs"];
  for (Value entry : list.items())
    if (const std::string_view ip = entry["ip"].as_string(); family_of(ip) == family) out.push_back(ip);
  if (list.empty())
    if (const std::string_view ip = pod["status"]["podIP"].as_string(); family_of(ip) == family) out.push_back(ip);
  return out;
}

Draft ports_of(Value service, Value pod, bool always_name) {
  Draft out = Draft::array();
  for (Value service_port : service["spec"]["ports"].items()) {
    const std::optional<std::int64_t> number = target_port(service_port, pod);
    if (!number) continue;
    const std::string_view name = service_port["name"].as_string();
    Draft port = Draft::object();
    if (always_name || !name.empty()) port["name"] = name;
    port["protocol"] = service_port["protocol"].as_string("TCP");
    port["port"] = *number;
    if (const Value protocol = service_port["appProtocol"]; !protocol.is_null()) port["appProtocol"] = protocol;
    out.push_back(std::move(port));
  }
  return out;
}

std::string_view hostname_for(Value service, Value pod) {
  const Value spec = pod["spec"];
  const bool member = spec["subdomain"].as_string() == name_of(service) && namespace_of(pod) == namespace_of(service);
  return member ? spec["hostname"].as_string() : std::string_view();
}

Draft pod_reference(Value pod) {
  return Draft::object({{"kind", "Pod"}, {"namespace", namespace_of(pod)}, {"name", name_of(pod)}, {"uid", uid_of(pod)}});
}

bool endpoint_changed(Value before, Value now) {
  if (before.is_null() || now.is_null()) return true;
  return is_deleting(before) != is_deleting(now) || is_terminal(before) != is_terminal(now) || is_ready(before) != is_ready(now) ||
         !(before["metadata"]["labels"] == now["metadata"]["labels"]) || !(before["status"]["podIP"] == now["status"]["podIP"]) ||
         !(before["status"]["podIPs"] == now["status"]["podIPs"]) || !(before["spec"]["nodeName"] == now["spec"]["nodeName"]) ||
         !(before["spec"]["hostname"] == now["spec"]["hostname"]) || !(before["spec"]["subdomain"] == now["spec"]["subdomain"]);
}

std::vector<std::string> families_of(Value service) {
  std::vector<std::string> out;
  for (Value family : service["spec"]["ipFamilies"].items()) out.push_back(family.str());
  if (!out.empty()) return out;
  const std::string_view family = family_of(service["spec"]["clusterIP"].as_string());
  return {family.empty() ? std::string("IPv4") : std::string(family)};
}

}  // namespace kybern::controllers
