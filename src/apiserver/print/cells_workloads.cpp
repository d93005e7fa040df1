// What makes pods: deployments and their kin, jobs, and what scales and protects them.
#include <fmt/format.h>

#include "apiserver/print/row.h"
#include "base/strings.h"
#include "machinery/duration_text.h"
#include "machinery/labels.h"

namespace kybern::apiserver {
namespace {

// Replicas that are absent in a spec are one: what defaulting would have made of them.
std::int64_t wanted(const Row& row) { return row.spec()["replicas"].as_int(1); }
std::int64_t counted(const Row& row, std::string_view field) { return row.status()[field].as_int(); }

void add_containers(Row& row, Value pod_template) {
  auto [names, images] = container_texts(pod_template["spec"]["containers"]);
  row.add_all(names, images);
}

void add_replicas(Row& row, std::string selector) {
  row.add_all(row.name(), wanted(row), counted(row, "replicas"), counted(row, "readyReplicas"), row.age());
  add_containers(row, row.spec()["template"]);
  row.add(std::move(selector));
}

}  // namespace

void deployment_cells(Row& row) {
  row.add_all(row.name(), fmt::format("{}/{}", counted(row, "readyReplicas"), wanted(row)), counted(row, "updatedReplicas"),
              counted(row, "availableReplicas"), row.age());
  add_containers(row, row.spec()["template"]);
  auto selector = LabelSelector::from(row.spec()["selector"]);
  row.add(selector ? selector->str() : std::string("<invalid>"));
}

void replica_set_cells(Row& row) { add_replicas(row, selector_text(row.spec()["selector"])); }
void replication_controller_cells(Row& row) { add_replicas(row, labels_text(row.spec()["selector"])); }

void stateful_set_cells(Row& row) {
  row.add_all(row.name(), fmt::format("{}/{}", counted(row, "readyReplicas"), wanted(row)), row.age());
  add_containers(row, row.spec()["template"]);
}

void daemon_set_cells(Row& row) {
  row.add_all(row.name(), counted(row, "desiredNumberScheduled"), counted(row, "currentNumberScheduled"), counted(row, "numberReady"),
              counted(row, "updatedNumberScheduled"), counted(row, "numberAvailable"),
              labels_text(row.spec()["template"]["spec"]["nodeSelector"]), row.age());
  add_containers(row, row.spec()["template"]);
  row.add(selector_text(row.spec()["selector"]));
}

void controller_revision_cells(Row& row) {
  std::string controller = "<none>";
  for (Value owner : row.meta()["ownerReferences"].items()) {
    if (!owner["controller"].as_bool()) continue;
    std::string_view version = owner["apiVersion"].as_string();
    std::size_t slash = version.find('/');
    controller = to_lower(owner["kind"].as_string());
    if (slash != std::string_view::npos) controller += fmt::format(".{}", version.substr(0, slash));
    controller += fmt::format("/{}", owner["name"].as_string());
    break;
  }
  row.add_all(row.name(), controller, row.object["revision"].as_int(), row.age());
}

namespace {

std::string job_state(const Row& row) {
  Value conditions = row.status()["conditions"];
  for (std::string_view end : {"Complete", "Failed"})
    if (condition_is_true(conditions, end)) return std::string(end);
  if (row.in_deletion()) return "Terminating";
  for (std::string_view state : {"Suspended", "FailureTarget", "SuccessCriteriaMet"})
    if (condition_is_true(conditions, state)) return std::string(state);
  return "Running";
}

std::string job_completions(const Row& row) {
  std::int64_t succeeded = counted(row, "succeeded");
  if (Value wanted = row.spec()["completions"]; !wanted.is_null()) return fmt::format("{}/{}", succeeded, wanted.as_int());
  std::int64_t parallel = row.spec()["parallelism"].as_int();
  return parallel > 1 ? fmt::format("{}/1 of {}", succeeded, parallel) : fmt::format("{}/1", succeeded);
}

std::string job_duration(const Row& row) {
  auto begin = parse_rfc3339(row.status()["startTime"].as_string());
  auto end = parse_rfc3339(row.status()["completionTime"].as_string());
  if (!begin) return "";
  return human_duration(end.value_or(row.now) - *begin);
}

}  // namespace

void job_cells(Row& row) {
  row.add_all(row.name(), job_state(row), job_completions(row), job_duration(row), row.age());
  add_containers(row, row.spec()["template"]);
  row.add(selector_text(row.spec()["selector"]));
}

void cron_job_cells(Row& row) {
  Value suspend = row.spec()["suspend"], last = row.status()["lastScheduleTime"], job = row.spec()["jobTemplate"]["spec"];
  row.add_all(row.name(), row.spec()["schedule"], text_or(row.spec()["timeZone"], "<none>"),
              suspend.is_null()   ? "<unset>"
              : suspend.as_bool() ? "True"
                                  : "False",
              static_cast<std::int64_t>(row.status()["active"].size()), last.is_null() ? "<none>" : row.since(last), row.age());
  add_containers(row, job["template"]);
  row.add(selector_text(job["selector"]));
}

namespace {

std::string amount_or_unknown(Value quantity) { return quantity.is_null() ? "<unknown>" : quantity_text(quantity); }

std::string utilization(Value percent, std::string_view otherwise) {
  return percent.is_null() ? std::string(otherwise) : fmt::format("{}%", percent.as_int());
}

// One metric as "current/target"; `spec` and `status` are the members that the metric's type names.
std::string metric_text(std::string_view type, Value spec, Value status) {
  Value target = spec["target"], current = status["current"];
  if (type == "Resource" || type == "ContainerResource") {
    std::string text = target["averageValue"].is_null()
                           ? fmt::format("{}/{}", utilization(current["averageUtilization"], "<unknown>"),
                                         utilization(target["averageUtilization"], "<auto>"))
                           : fmt::format("{}/{}", amount_or_unknown(current["averageValue"]), quantity_text(target["averageValue"]));
    return fmt::format("{}: {}", spec["name"].as_string(), text);
  }
  if (type == "Pods") return fmt::format("{}/{}", amount_or_unknown(current["averageValue"]), quantity_text(target["averageValue"]));
  if (type != "External" && type != "Object") return "<unknown type>";
  if (!target["averageValue"].is_null())
    return fmt::format("{}/{} (avg)", amount_or_unknown(current["averageValue"]), quantity_text(target["averageValue"]));
  return fmt::format("{}/{}", amount_or_unknown(current["value"]), quantity_text(target["value"]));
}

std::string_view metric_member(std::string_view type) {
  if (type == "Resource") return "resource";
  if (type == "ContainerResource") return "containerResource";
  if (type == "Pods") return "pods";
  return type == "External" ? "external" : "object";
}

std::string metrics_text(const Row& row) {
  constexpr std::size_t shown_at_most = 2;
  // autoscaling/v1 knows the share of the CPU alone.
  if (Value percent = row.spec()["targetCPUUtilizationPercentage"]; !percent.is_null())
    return fmt::format("cpu: {}/{}%", utilization(row.status()["currentCPUUtilizationPercentage"], "<unknown>"), percent.as_int());
  Value metrics = row.spec()["metrics"];
  if (metrics.empty()) return "<none>";
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < metrics.size() && i < shown_at_most; ++i) {
    std::string_view type = metrics[i]["type"].as_string();
    texts.push_back(metric_text(type, metrics[i][metric_member(type)], row.status()["currentMetrics"][i][metric_member(type)]));
  }
  std::string text = join(texts, ", ");
  if (metrics.size() > shown_at_most) text += fmt::format(" + {} more...", metrics.size() - shown_at_most);
  return text;
}

}  // namespace

void autoscaler_cells(Row& row) {
  Value target = row.spec()["scaleTargetRef"], least = row.spec()["minReplicas"];
  row.add_all(row.name(), fmt::format("{}/{}", target["kind"].as_string(), target["name"].as_string()), metrics_text(row),
              least.is_null() ? std::string("<unset>") : std::to_string(least.as_int()), row.spec()["maxReplicas"].as_int(),
              counted(row, "currentReplicas"), row.age());
}

void disruption_budget_cells(Row& row) {
  auto bound = [&](std::string_view field) {
    return row.spec()[field].is_null() ? std::string("N/A") : int_or_string_text(row.spec()[field]);
  };
  row.add_all(row.name(), bound("minAvailable"), bound("maxUnavailable"), counted(row, "disruptionsAllowed"), row.age());
}

}  // namespace kybern::apiserver
