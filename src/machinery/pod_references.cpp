#include "machinery/pod_references.h"

#include <string_view>

namespace kybern {
namespace {

void add_name(std::vector<std::string>& out, Value name) {
  if (!name.as_string().empty()) out.push_back(name.str());
}

void add_container(Value container, PodReferences& out) {
  for (Value env : container["env"].items()) {
    add_name(out.secrets, env["valueFrom"]["secretKeyRef"]["name"]);
    add_name(out.config_maps, env["valueFrom"]["configMapKeyRef"]["name"]);
  }
  for (Value from : container["envFrom"].items()) {
    add_name(out.secrets, from["secretRef"]["name"]);
    add_name(out.config_maps, from["configMapRef"]["name"]);
  }
}

void add_volume(Value pod, Value volume, PodReferences& out) {
  add_name(out.secrets, volume["secret"]["secretName"]);
  add_name(out.config_maps, volume["configMap"]["name"]);
  add_name(out.claims, volume["persistentVolumeClaim"]["claimName"]);
  if (volume["ephemeral"].is_object()) out.claims.push_back(pod["metadata"]["name"].str() + "-" + volume["name"].str());
  for (Value source : volume["projected"]["sources"].items()) {
    add_name(out.secrets, source["secret"]["name"]);
    add_name(out.config_maps, source["configMap"]["name"]);
  }
  add_name(out.secrets, volume["csi"]["nodePublishSecretRef"]["name"]);
  add_name(out.secrets, volume["azureFile"]["secretName"]);
  for (std::string_view driver : {"cephfs", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos", "cinder"})
    add_name(out.secrets, volume[driver]["secretRef"]["name"]);
}

// The claim that an entry of the spec names, or the one that was made for it.
void add_resource_claim(Value pod, Value entry, PodReferences& out) {
  if (!entry["resourceClaimName"].as_string().empty()) return out.resource_claims.push_back(entry["resourceClaimName"].str());
  if (entry["resourceClaimTemplateName"].as_string().empty()) return;
  for (Value made : pod["status"]["resourceClaimStatuses"].items())
    if (made["name"].as_string() == entry["name"].as_string()) add_name(out.resource_claims, made["resourceClaimName"]);
}

}  // namespace

PodReferences pod_references(Value pod) {
  PodReferences out;
  Value spec = pod["spec"];
  for (std::string_view list : {"initContainers", "containers", "ephemeralContainers"})
    for (Value container : spec[list].items()) add_container(container, out);
  for (Value volume : spec["volumes"].items()) add_volume(pod, volume, out);
  for (Value secret : spec["imagePullSecrets"].items()) add_name(out.secrets, secret["name"]);
  for (Value entry : spec["resourceClaims"].items()) add_resource_claim(pod, entry, out);
  add_name(out.resource_claims, pod["status"]["extendedResourceClaimStatus"]["resourceClaimName"]);
  out.service_account = spec["serviceAccountName"].str();
  return out;
}

std::vector<std::pair<std::string, std::string>> secrets_of_volume(Value volume) {
  std::vector<std::pair<std::string, std::string>> out;
  Value spec = volume["spec"];
  std::string claim_ns = spec["claimRef"]["namespace"].str();
  auto add_ref = [&](Value ref) {
    if (!ref["name"].as_string().empty())
      out.emplace_back(ref["namespace"].as_string().empty() ? claim_ns : ref["namespace"].str(), ref["name"].str());
  };
  for (std::string_view driver : {"cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"})
    add_ref(spec[driver]["secretRef"]);
  for (std::string_view field : {"nodeStageSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"}) add_ref(spec["csi"][field]);
  Value azure = spec["azureFile"];
  if (!azure["secretName"].as_string().empty())
    out.emplace_back(azure["secretNamespace"].as_string().empty() ? claim_ns : azure["secretNamespace"].str(), azure["secretName"].str());
  return out;
}

}  // namespace kybern
