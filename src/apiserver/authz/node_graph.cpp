#include "apiserver/authz/node_graph.h"

namespace kybern::apiserver {
namespace {

constexpr std::string_view pods_prefix = "/pods/";
constexpr std::size_t graph_changes_per_take = 1024;
constexpr std::string_view mirror_annotation = "kubernetes.io/config.mirror";

std::string key_of(NodeGraph::Kind kind, std::string_view ns, std::string_view name) {
  std::string out(1, static_cast<char>('0' + static_cast<int>(kind)));
  out += ns;
  out += '/';
  out += name;
  return out;
}

void add(std::vector<std::string>& out, Value name) {
  if (!name.as_string().empty()) out.push_back(name.str());
}

void add_container(Value container, PodReferences& out) {
  for (Value env : container["env"].items()) {
    add(out.secrets, env["valueFrom"]["secretKeyRef"]["name"]);
    add(out.config_maps, env["valueFrom"]["configMapKeyRef"]["name"]);
  }
  for (Value from : container["envFrom"].items()) {
    add(out.secrets, from["secretRef"]["name"]);
    add(out.config_maps, from["configMapRef"]["name"]);
  }
}

void add_volume(Value pod, Value volume, PodReferences& out) {
  add(out.secrets, volume["secret"]["secretName"]);
  add(out.config_maps, volume["configMap"]["name"]);
  add(out.claims, volume["persistentVolumeClaim"]["claimName"]);
  if (volume["ephemeral"].is_object()) out.claims.push_back(pod["metadata"]["name"].str() + "-" + volume["name"].str());
  for (Value source : volume["projected"]["sources"].items()) {
    add(out.secrets, source["secret"]["name"]);
    add(out.config_maps, source["configMap"]["name"]);
  }
  add(out.secrets, volume["csi"]["nodePublishSecretRef"]["name"]);
  add(out.secrets, volume["azureFile"]["secretName"]);
  for (std::string_view driver : {"cephfs", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos", "cinder"})
    add(out.secrets, volume[driver]["secretRef"]["name"]);
}

}  // namespace

PodReferences references_of(Value pod) {
  PodReferences out;
  Value spec = pod["spec"];
  for (std::string_view list : {"initContainers", "containers", "ephemeralContainers"})
    for (Value container : spec[list].items()) add_container(container, out);
  for (Value volume : spec["volumes"].items()) add_volume(pod, volume, out);
  for (Value secret : spec["imagePullSecrets"].items()) add(out.secrets, secret["name"]);
  for (Value claim : spec["resourceClaims"].items()) add(out.resource_claims, claim["resourceClaimName"]);
  for (Value made : pod["status"]["resourceClaimStatuses"].items()) add(out.resource_claims, made["resourceClaimName"]);
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
  for (std::string_view field :
       {"controllerPublishSecretRef", "nodeStageSecretRef", "nodePublishSecretRef", "controllerExpandSecretRef", "nodeExpandSecretRef"})
    add_ref(spec["csi"][field]);
  Value azure = spec["azureFile"];
  if (!azure["secretName"].as_string().empty())
    out.emplace_back(azure["secretNamespace"].as_string().empty() ? claim_ns : azure["secretNamespace"].str(), azure["secretName"].str());
  return out;
}

bool NodeGraph::related(std::string_view node, Kind kind, std::string_view ns, std::string_view name) {
  std::lock_guard lock(mutex_);
  catch_up();
  auto object = objects_.find(key_of(kind, ns, name));
  return object != objects_.end() && object->second.contains(std::string(node));
}

void NodeGraph::catch_up() {
  std::vector<store::ChangePtr> changes;
  while (watch_) {
    changes.clear();
    if (!watch_->take(changes, graph_changes_per_take)) {
      watch_.reset();  // fell behind
      break;
    }
    for (const store::ChangePtr& change : changes) {
      if (change->before) count(change->before->value.root(), -1);
      if (change->now) count(change->now->value.root(), 1);
    }
    if (changes.size() < graph_changes_per_take) return;
  }
  rebuild();
}

void NodeGraph::rebuild() {
  objects_.clear();
  store::Snapshot snapshot = store_.snapshot();
  snapshot.scan(pods_prefix, "", [&](const store::EntryPtr& entry) {
    count(entry->value.root(), 1);
    return true;
  });
  // Nobody waits for changes here: they are taken when there is a question.
  if (auto watch = store_.watch(pods_prefix, snapshot.revision(), [] {})) watch_ = std::move(*watch);
}

void NodeGraph::count(Value pod, int n) {
  std::string node = pod["spec"]["nodeName"].str();
  if (node.empty()) return;
  std::string ns = pod["metadata"]["namespace"].str();
  count(key_of(Kind::pod, ns, pod["metadata"]["name"].as_string()), node, n);
  // The node itself says what a mirror pod refers to: it must gain nothing by it.
  if (pod["metadata"]["annotations"][mirror_annotation].exists()) return;
  PodReferences refs = references_of(pod);
  for (const std::string& name : refs.secrets) count(key_of(Kind::secret, ns, name), node, n);
  for (const std::string& name : refs.config_maps) count(key_of(Kind::config_map, ns, name), node, n);
  for (const std::string& name : refs.claims) count(key_of(Kind::claim, ns, name), node, n);
  for (const std::string& name : refs.resource_claims) count(key_of(Kind::resource_claim, ns, name), node, n);
  if (!refs.service_account.empty()) count(key_of(Kind::service_account, ns, refs.service_account), node, n);
}

void NodeGraph::count(std::string key, const std::string& node, int n) {
  auto object = objects_.try_emplace(std::move(key)).first;
  int& pods = object->second[node];
  pods += n;
  if (pods > 0) return;
  object->second.erase(node);
  if (object->second.empty()) objects_.erase(object);
}

}  // namespace kybern::apiserver
