#include "apiserver/bootstrap.h"

#include <fmt/format.h>

#include "apiserver/authz/authorizer.h"
#include "apiserver/flow/flow_control.h"
#include "apiserver/registry/ip_addresses.h"
#include "apiserver/registry/services.h"
#include "base/log.h"

namespace kybern::apiserver {
namespace {

const User server_user{"system:apiserver", "", {"system:masters", "system:authenticated"}, {}};

Work work_at(Registry& registry, World world, const Place& place, std::string_view verb) {
  Work work{.registry = registry,
            .world = world,
            .user = server_user,
            .served = registry.catalog().find(place.group, "v1", place.plural),
            .ns = std::string(place.ns),
            .name = std::string(place.name)};
  work.verb = verb;
  return work;
}

}  // namespace

Result<void> ensure(Registry& registry, World world, const Place& place, Draft object) {
  if (registry.read(place.group, "v1", place.plural, place.ns, place.name)) return {};
  Work work = work_at(registry, world, place, "create");
  object["metadata"]["name"] = place.name;
  if (!place.ns.empty()) object["metadata"]["namespace"] = place.ns;
  auto made = registry.create(work, object.freeze());
  if (!made && made.error().reason != "AlreadyExists")
    return fail(Code::internal, fmt::format("{} {}: {}", place.plural, place.name, made.error().message));
  return {};
}

Result<void> remove(Registry& registry, World world, const Place& place) {
  Work work = work_at(registry, world, place, "delete");
  auto gone = registry.remove(work, {});
  if (!gone && gone.error().code != 404)
    return fail(Code::internal, fmt::format("{} {}: {}", place.plural, place.name, gone.error().message));
  return {};
}

Result<void> ensure_fields(Registry& registry, World world, const Place& place, const Draft& object,
                           std::initializer_list<std::string_view> fields, std::string_view subresource) {
  if (auto ok = ensure(registry, world, place, object); !ok) return ok;
  Work work = work_at(registry, world, place, "update");
  work.subresource = subresource;
  auto changed = registry.modify(
      work,
      [&](Value before) -> ApiResult<Draft> {
        Draft now(before);
        for (std::string_view field : fields)
          if (const Draft* wanted = object.find(field)) now[field] = *wanted;
        return now;
      },
      true);
  if (!changed) return fail(Code::internal, fmt::format("{} {}: {}", place.plural, place.name, changed.error().message));
  return {};
}

namespace {

Result<void> kubernetes_service(Registry& registry, World world, const std::string& address, int port) {
  Draft service = Draft::object();
  service["metadata"]["labels"] = Draft::object({{"component", "apiserver"}, {"provider", "kubernetes"}});
  service["spec"] = Draft::object({{"type", "ClusterIP"}, {"clusterIP", registry.services().first_ip()}, {"sessionAffinity", "None"}});
  service["spec"]["ports"].push_back(Draft::object({{"name", "https"}, {"protocol", "TCP"}, {"port", 443}, {"targetPort", port}}));
  if (auto ok = ensure(registry, world, {"", "services", "default", "kubernetes"}, service); !ok) return ok;
  if (address.empty() || address.starts_with("127.")) return {};  // nothing that pods could reach
  Draft endpoints = Draft::object();
  endpoints["metadata"]["labels"]["endpointslice.kubernetes.io/skip-mirror"] = "true";
  Draft subset = Draft::object();
  subset["addresses"].push_back(Draft::object({{"ip", address}}));
  subset["ports"].push_back(Draft::object({{"name", "https"}, {"port", port}, {"protocol", "TCP"}}));
  endpoints["subsets"].push_back(subset);
  if (auto ok = ensure_fields(registry, world, {"", "endpoints", "default", "kubernetes"}, endpoints, {"subsets"}); !ok) return ok;
  Draft slice = Draft::object({{"addressType", "IPv4"}});
  slice["metadata"]["labels"]["kubernetes.io/service-name"] = "kubernetes";
  Draft endpoint = Draft::object();
  endpoint["addresses"].push_back(address);
  endpoint["conditions"]["ready"] = true;
  slice["endpoints"].push_back(endpoint);
  slice["ports"].push_back(Draft::object({{"name", "https"}, {"port", port}, {"protocol", "TCP"}}));
  return ensure_fields(registry, world, {"discovery.k8s.io", "endpointslices", "default", "kubernetes"}, slice, {"endpoints", "ports"});
}

// The range that cluster IPs come from.
Result<void> service_range(Registry& registry, World world) {
  Place place{"networking.k8s.io", "servicecidrs", "", "kubernetes"};
  Draft range = Draft::object();
  range["metadata"]["finalizers"] = Draft::array({"networking.k8s.io/service-cidr-finalizer"});
  range["spec"]["cidrs"] = Draft::array({registry.services().cidr()});
  if (auto ok = ensure(registry, world, place, range); !ok) return ok;
  if (!registry.read(place.group, "v1", place.plural, "", place.name)["status"]["conditions"].empty()) return {};
  Draft condition = Draft::object({{"type", "Ready"},
                                   {"status", "True"},
                                   {"reason", ""},
                                   {"lastTransitionTime", format_rfc3339(world.clock.now())},
                                   {"message", "Kubernetes default Service CIDR is ready"}});
  Draft status = Draft::object();
  status["status"]["conditions"] = Draft::array({condition});
  return ensure_fields(registry, world, place, status, {"status"}, "status");
}

}  // namespace

Result<void> bootstrap_objects(Registry& registry, World world, const std::string& advertise_address, int secure_port) {
  for (std::string_view ns : {"default", "kube-system", "kube-public", "kube-node-lease"})
    if (auto ok = ensure(registry, world, {"", "namespaces", "", ns}, Draft::object()); !ok) return ok;
  struct PriorityClass {
    std::string_view name;
    std::int64_t value;
    std::string_view description;
  };
  for (const PriorityClass& c :
       {PriorityClass{"system-cluster-critical", 2000000000, "For pods that the cluster needs, on whichever node they run."},
        PriorityClass{"system-node-critical", 2000001000, "For pods that must stay on their node for the node to work."}}) {
    Draft object = Draft::object({{"value", c.value}, {"description", c.description}});
    if (auto ok = ensure(registry, world, {"scheduling.k8s.io", "priorityclasses", "", c.name}, object); !ok) return ok;
  }
  if (auto ok = kubernetes_service(registry, world, advertise_address, secure_port); !ok) return ok;
  repair_ip_addresses(registry);
  if (auto ok = service_range(registry, world); !ok) return ok;
  if (auto ok = ensure_apiservices(registry, world); !ok) return ok;
  if (auto ok = ensure_flow_objects(registry, world); !ok) return ok;
  return reconcile_bootstrap_policy(registry, world);
}

}  // namespace kybern::apiserver
