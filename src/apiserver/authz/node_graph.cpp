#include "apiserver/authz/node_graph.h"

#include "machinery/pod_references.h"

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

}  // namespace

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
  PodReferences refs = pod_references(pod);
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
