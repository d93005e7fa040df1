// The ConfigMap kube-public/cluster-info: where the cluster is and whose certificates it has, for those who have nothing but
// a bootstrap token. The controllers sign it by each token (controllers/bootstraptokens).
#include "apiserver/bootstrap.h"
#include "base/strings.h"
#include "document/yaml.h"

namespace kybern::apiserver {

Result<void> ensure_cluster_info(Registry& registry, World world, const std::string& url, const std::string& ca_pem) {
  Draft cluster = Draft::object({{"certificate-authority-data", base64_encode(ca_pem)}, {"server", url}});
  Draft config = Draft::object({{"apiVersion", "v1"}});
  config["clusters"].push_back(Draft::object({{"cluster", std::move(cluster)}, {"name", ""}}));
  config["contexts"] = nullptr;
  config["current-context"] = "";
  config["kind"] = "Config";
  config["users"] = nullptr;
  std::string text;
  write_yaml(config.freeze().root(), text);
  const Place place{"", "configmaps", "kube-public", "cluster-info"};
  // Signatures stay: they are the controllers', who make new ones when the text is another.
  Document there = registry.read(place.group, "v1", place.plural, place.ns, place.name);
  Draft map = Draft::object();
  if (there && there["data"].is_object()) map["data"] = there["data"];
  map["data"]["kubeconfig"] = text;
  if (auto ok = ensure_fields(registry, world, place, map, {"data"}); !ok) return ok;
  constexpr std::string_view rbac = "rbac.authorization.k8s.io", name = "kubeadm:bootstrap-signer-clusterinfo";
  Draft role = Draft::object();
  role["rules"].push_back(Draft::object({{"verbs", Draft::array({"get"})},
                                         {"apiGroups", Draft::array({""})},
                                         {"resources", Draft::array({"configmaps"})},
                                         {"resourceNames", Draft::array({"cluster-info"})}}));
  if (auto ok = ensure(registry, world, {rbac, "roles", "kube-public", name}, role); !ok) return ok;
  Draft binding = Draft::object({{"roleRef", Draft::object({{"apiGroup", rbac}, {"kind", "Role"}, {"name", name}})}});
  binding["subjects"].push_back(Draft::object({{"apiGroup", rbac}, {"kind", "User"}, {"name", "system:anonymous"}}));
  return ensure(registry, world, {rbac, "rolebindings", "kube-public", name}, binding);
}

}  // namespace kybern::apiserver
