#include "kubelet/plan/pod_view.h"

#include <fmt/format.h>

#include <algorithm>

#include "document/json.h"

namespace kybern::kubelet {
namespace {

RestartPolicy read_policy(Value v, RestartPolicy fallback) {
  std::string_view text = v.as_string();
  if (text == "Always") return RestartPolicy::always;
  if (text == "OnFailure") return RestartPolicy::on_failure;
  if (text == "Never") return RestartPolicy::never;
  return fallback;
}

ContainerView read_container(Value spec, ContainerView::Role role, RestartPolicy pod_policy) {
  using Role = ContainerView::Role;
  ContainerView c;
  c.spec = spec;
  c.name = spec["name"].str();
  c.image = spec["image"].str();
  bool own = spec["restartPolicy"].is_string();
  if (role == Role::init && spec["restartPolicy"].as_string() == "Always") role = Role::sidecar;
  c.role = role;
  switch (role) {
    case Role::sidecar: c.restart = RestartPolicy::always; break;
    case Role::ephemeral: c.restart = RestartPolicy::never; break;
    // An init container has done its work once it succeeded; with the pod's policy Always a failure is retried.
    case Role::init:
      c.restart = read_policy(spec["restartPolicy"], pod_policy == RestartPolicy::never ? RestartPolicy::never : RestartPolicy::on_failure);
      break;
    case Role::regular: c.restart = read_policy(spec["restartPolicy"], pod_policy); break;
  }
  c.own_restart = own && role != Role::sidecar;
  c.liveness = spec["livenessProbe"].is_object();
  c.readiness = spec["readinessProbe"].is_object();
  c.startup = spec["startupProbe"].is_object();
  c.post_start = spec["lifecycle"]["postStart"].is_object();
  c.pre_stop = spec["lifecycle"]["preStop"].is_object();
  c.hash = container_hash(c.name, c.image);
  return c;
}

}  // namespace

bool ContainerView::restarts_after(int exit_code) const {
  for (Value rule : spec["restartPolicyRules"].items()) {
    Value codes = rule["exitCodes"];
    bool listed = false;
    for (Value code : codes["values"].items()) listed = listed || code.as_int() == exit_code;
    bool matches = codes["operator"].as_string() == "In" ? listed : codes["operator"].as_string() == "NotIn" && !listed;
    if (matches && rule["action"].as_string().starts_with("Restart")) return true;
  }
  switch (restart) {
    case RestartPolicy::always: return true;
    case RestartPolicy::on_failure: return exit_code != 0;
    case RestartPolicy::never: return false;
  }
  return false;
}

std::string ContainerView::field_path() const {
  std::string_view list = is_init() ? "initContainers" : role == Role::ephemeral ? "ephemeralContainers" : "containers";
  return fmt::format("spec.{}{{{}}}", list, name);
}

PodView PodView::read(Document pod) {
  PodView out;
  Value meta = pod["metadata"], spec = pod["spec"];
  out.ns = meta["namespace"].str();
  out.name = meta["name"].str();
  out.uid = meta["uid"].str();
  out.generation = meta["generation"].as_int();
  out.is_static = meta["annotations"][annotation_config_source].as_string("api") != "api";
  if (Value at = meta["deletionTimestamp"]; at.is_string()) out.deleted_at = parse_rfc3339(at.as_string());
  if (Value grace = meta["deletionGracePeriodSeconds"]; grace.is_int()) out.deletion_grace_s = grace.as_int();
  out.restart = read_policy(spec["restartPolicy"], RestartPolicy::always);
  out.host_network = spec["hostNetwork"].as_bool();
  out.grace_s = spec["terminationGracePeriodSeconds"].as_int(30);
  if (Value deadline = spec["activeDeadlineSeconds"]; deadline.is_int()) out.active_deadline_s = deadline.as_int();
  for (Value gate : spec["readinessGates"].items()) out.readiness_gates.push_back(gate["conditionType"].str());
  using Role = ContainerView::Role;
  for (Value c : spec["initContainers"].items()) out.containers.push_back(read_container(c, Role::init, out.restart));
  for (Value c : spec["containers"].items()) out.containers.push_back(read_container(c, Role::regular, out.restart));
  for (Value c : spec["ephemeralContainers"].items()) out.containers.push_back(read_container(c, Role::ephemeral, out.restart));
  if (!pod["kind"].is_string()) {  // an item of a list does not say what it is; events about it must
    Draft whole = Draft::object({{"apiVersion", "v1"}, {"kind", "Pod"}});
    for (Member m : pod.root().members()) whole[m.key] = m.value;
    return read(whole.freeze());
  }
  out.document = std::move(pod);
  return out;
}

std::string PodView::full_name() const { return fmt::format("{}_{}({})", name, ns, uid); }
std::string PodView::key() const { return fmt::format("{}/{}", ns, name); }

const ContainerView* PodView::find(std::string_view container) const {
  auto found = std::find_if(containers.begin(), containers.end(), [&](const ContainerView& c) { return c.name == container; });
  return found == containers.end() ? nullptr : &*found;
}

bool PodView::has_init() const { return !containers.empty() && containers.front().is_init(); }

Document with_resources(const Document& pod, const std::map<std::string, Document>& resources) {
  Draft out(pod);
  bool changed = false;
  for (const char* list : {"initContainers", "containers"}) {
    Draft* containers = out.find_path({"spec", list});
    if (containers == nullptr || !containers->is_array()) continue;
    for (Draft& c : containers->items()) {
      auto other = resources.find(c["name"].str());
      if (other == resources.end() || Draft(other->second) == c["resources"]) continue;
      c["resources"] = other->second;
      changed = true;
    }
  }
  return changed ? out.freeze() : pod;
}

std::string container_hash(std::string_view name, std::string_view image) {
  std::string text = to_json(Draft::object({{"image", image}, {"name", name}}));
  std::uint32_t hash = 2166136261u;
  for (unsigned char c : text) hash = (hash ^ c) * 16777619u;
  return fmt::format("{:x}", hash);
}

}  // namespace kybern::kubelet
