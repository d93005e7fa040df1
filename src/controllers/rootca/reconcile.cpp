#include "controllers/rootca/reconcile.h"

#include "controllers/objects.h"

namespace kybern::controllers::rootca {

Plan reconcile(const Document& ns, const Document& map, std::string_view ca_pem) {
  constexpr std::string_view key = "kubernetes.io/description";
  constexpr std::string_view description = "The CA bundle with which pods verify the API server at its addresses inside the cluster.";
  Plan plan;
  if (is_deleting(ns) || ns["status"]["phase"].as_string() == "Terminating") return plan;
  Draft wanted = map ? Draft(map) : Draft::object({{"apiVersion", "v1"}, {"kind", "ConfigMap"}});
  Draft& meta = wanted["metadata"];
  meta["name"] = map_name;
  meta["namespace"] = name_of(ns);
  if (meta["annotations"][key].as_string().empty()) meta["annotations"][key] = description;
  wanted["data"] = Draft::object({{"ca.crt", ca_pem}});
  Document frozen = wanted.freeze();
  if (map && frozen.root() == map.root()) return plan;
  Action action = map ? replace_action("configmaps", frozen) : create_action("configmaps", frozen);
  action.exists_is_fine = true;
  plan.actions.push_back(std::move(action));
  return plan;
}

}  // namespace kybern::controllers::rootca
