#include "cli/typed.h"

#include <string_view>

#include "document/json.h"

namespace kybern::cli {
namespace {

void fill(Draft& object, std::string_view key, Draft value) {
  if (!object.find(key)) object[key] = std::move(value);
}

void fill_pod(Draft& spec) {
  for (const char* list : {"containers", "initContainers", "ephemeralContainers"})
    if (Draft* containers = spec.find(list); containers && containers->is_array())
      for (Draft& container : containers->items()) fill(container, "resources", Draft::object());
}

void fill_template(Draft& spec) {
  Draft* pod = spec.find("template");
  if (!pod) return;
  fill(*pod, "metadata", Draft::object());
  if (Draft* inner = pod->find("spec")) fill_pod(*inner);
}

struct Shape {
  std::string_view kind;
  const char* status;    // JSON; nullptr: the kind has none
  const char* strategy;  // an empty struct of the spec
};
constexpr Shape shapes[] = {
    {"Namespace", "{}", nullptr},
    {"Pod", "{}", nullptr},
    {"Service", R"({"loadBalancer":{}})", nullptr},
    {"Deployment", "{}", "strategy"},
    {"ReplicaSet", R"({"replicas":0})", nullptr},
    {"ReplicationController", R"({"replicas":0})", nullptr},
    {"StatefulSet", R"({"availableReplicas":0,"replicas":0})", "updateStrategy"},
    {"DaemonSet", R"({"currentNumberScheduled":0,"desiredNumberScheduled":0,"numberMisscheduled":0,"numberReady":0})", "updateStrategy"},
    {"Job", "{}", nullptr},
    {"CronJob", "{}", nullptr},
    {"Ingress", R"({"loadBalancer":{}})", nullptr},
    {"ResourceQuota", "{}", nullptr},
    {"PodDisruptionBudget", R"({"currentHealthy":0,"desiredHealthy":0,"disruptionsAllowed":0,"expectedPods":0})", nullptr},
    {"HorizontalPodAutoscaler", R"({"currentMetrics":null,"desiredReplicas":0})", nullptr},
};

}  // namespace

Document as_typed(Value object) {
  Draft out(object);
  for (const Shape& shape : shapes) {
    if (object["kind"].as_string() != shape.kind) continue;
    fill(out, "spec", Draft::object());
    fill(out, "status", Draft(*parse_json(shape.status)));
    Draft& spec = out["spec"];
    if (shape.strategy) fill(spec, shape.strategy, Draft::object());
    if (shape.kind == "Pod") fill_pod(spec);
    fill_template(spec);
    if (Draft* job = spec.find_path({"jobTemplate", "spec"})) fill_template(*job);
    if (Draft* job = spec.find("jobTemplate")) fill(*job, "metadata", Draft::object());
  }
  return out.freeze();
}

}  // namespace kybern::cli
