#include "scheduler/filter/filter.h"

#include <fmt/format.h>

#include "base/strings.h"
#include "document/names.h"

namespace kybern::scheduler {
namespace {

bool has(Value values, std::string_view text) {
  for (Value v : values.items())
    if (v.as_string() == text) return true;
  return false;
}

// One requirement of a node selector term; `found` is false when the label is not there.
bool requirement_holds(Value requirement, bool found, std::string_view text) {
  std::string_view op = requirement["operator"].as_string();
  Value values = requirement["values"];
  if (op == "In") return found && has(values, text);
  if (op == "NotIn") return !found || !has(values, text);
  if (op == "Exists") return found;
  if (op == "DoesNotExist") return !found;
  if (op == "Gt" || op == "Lt") {
    auto left = parse_int(text), right = parse_int(values[0].as_string());
    if (!found || values.size() != 1 || !left || !right) return false;
    return op == "Gt" ? *left > *right : *left < *right;
  }
  return false;
}

bool ports_clash(const HostPort& a, const HostPort& b) {
  return a.port == b.port && a.protocol == b.protocol && (a.ip == b.ip || a.ip == "0.0.0.0" || b.ip == "0.0.0.0");
}

Refusal refuse(std::string reason, bool resolvable) { return {{std::move(reason)}, resolvable}; }

Refusal check_resources(const PodNeeds& pod, const NodeState& node) {
  Refusal out;
  auto lacks = [&](std::string_view name, std::int64_t asked, std::int64_t room, std::int64_t used) {
    if (asked == 0 || asked <= room - used) return;
    out.reasons.push_back(fmt::format("Insufficient {}", name));
    if (asked > room) out.resolvable = false;  // more than the node has when it is empty
  };
  if (node.pods + 1 > node.pods_allowed) out.reasons.emplace_back("Too many pods");
  const Resources& r = pod.requests;
  lacks("cpu", r.cpu_milli, node.allocatable.cpu_milli, node.requested.cpu_milli);
  lacks("memory", r.memory, node.allocatable.memory, node.requested.memory);
  lacks("ephemeral-storage", r.ephemeral_storage, node.allocatable.ephemeral_storage, node.requested.ephemeral_storage);
  for (const auto& [name, amount] : r.extended) lacks(name, amount, node.allocatable.get(name), node.requested.get(name));
  return out;
}

}  // namespace

bool tolerates(Value tolerations, const Taint& taint) {
  for (Value t : tolerations.items()) {
    std::string_view effect = t["effect"].as_string(), key = t["key"].as_string(), op = t["operator"].as_string();
    if (!effect.empty() && effect != taint.effect) continue;
    if (!key.empty() && key != taint.key) continue;
    if (key.empty() && op != "Exists") continue;
    if (op == "Exists" || t["value"].as_string() == taint.value) return true;
  }
  return false;
}

bool matches_term(Value term, Value node) {
  Value expressions = term["matchExpressions"], fields = term["matchFields"];
  if (expressions.empty() && fields.empty()) return false;  // an empty term matches nothing
  Value labels = node["metadata"]["labels"];
  for (Value e : expressions.items()) {
    Value label = labels[e["key"].as_string()];
    if (!requirement_holds(e, label.exists(), label.as_string())) return false;
  }
  for (Value f : fields.items())
    if (f["key"].as_string() != "metadata.name" || !requirement_holds(f, true, node["metadata"]["name"].as_string())) return false;
  return true;
}

bool matches_terms(Value terms, Value node) {
  for (Value term : terms.items())
    if (matches_term(term, node)) return true;
  return false;
}

Refusal check_node(const PodNeeds& pod, const NodeState& node) {
  if (node.unschedulable && !tolerates(pod.tolerations, {"node.kubernetes.io/unschedulable", "", "NoSchedule"}))
    return refuse("node(s) were unschedulable", false);
  if (!pod.node_name.empty() && pod.node_name != node.name) return refuse("node(s) didn't match the requested node name", false);
  for (const Taint& taint : node.taints)
    if ((taint.effect == "NoSchedule" || taint.effect == "NoExecute") && !tolerates(pod.tolerations, taint))
      return refuse("node(s) had untolerated taint(s)", false);
  constexpr std::string_view no_match = "node(s) didn't match Pod's node affinity/selector";
  if (!pod.node_selector.empty()) {  // else the node's own document is not touched: that would be a miss of the cache for each
    Value labels = node.node[names::metadata][names::labels];
    for (Member m : pod.node_selector.members()) {
      Value label = labels[m.key];
      if (!label.exists() || label.as_string() != m.value.as_string()) return refuse(std::string(no_match), false);
    }
  }
  if (pod.required_terms.exists() && !matches_terms(pod.required_terms, node.node.root())) return refuse(std::string(no_match), false);
  for (const HostPort& wanted : pod.ports)
    for (const HostPort& taken : node.ports)
      if (ports_clash(wanted, taken)) return refuse("node(s) didn't have free ports for the requested pod ports", true);
  return check_resources(pod, node);
}

}  // namespace kybern::scheduler
