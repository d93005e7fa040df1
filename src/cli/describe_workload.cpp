// describe: what makes pods.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cli/describe_page.h"
#include "cli/jsonpath.h"
#include "cli/table.h"
#include "machinery/duration_text.h"
#include "machinery/quantity.h"

namespace kybern::cli {
namespace {

void deployment(Page& page, Value o, const std::vector<Document>& sets) {
  const Value spec = o["spec"], status = o["status"];
  page.head(o);
  page.line(0, "CreationTimestamp", page.date(o["metadata"]["creationTimestamp"]));
  page.labels(o);
  page.line(0, "Selector", labels_text(spec["selector"]["matchLabels"]));
  page.line(0, "Replicas",
            fmt::format("{} desired | {} updated | {} total | {} available | {} unavailable", spec["replicas"].as_int(),
                        status["updatedReplicas"].as_int(), status["replicas"].as_int(), status["availableReplicas"].as_int(),
                        status["unavailableReplicas"].as_int()));
  page.line(0, "StrategyType", spec["strategy"]["type"].as_string());
  page.line(0, "MinReadySeconds", std::to_string(spec["minReadySeconds"].as_int()));
  if (const Value rolling = spec["strategy"]["rollingUpdate"]; rolling.exists())
    page.line(0, "RollingUpdateStrategy",
              plain_text(rolling["maxUnavailable"]) + " max unavailable, " + plain_text(rolling["maxSurge"]) + " max surge");
  page.pod_template(spec["template"]);
  page.conditions(status["conditions"]);
  const auto replicas = [](Value set) {
    return fmt::format("{} ({}/{} replicas created)", set["metadata"]["name"].as_string(), set["status"]["replicas"].as_int(),
                       set["spec"]["replicas"].as_int());
  };
  std::string current;
  std::vector<std::string> old;
  for (const Document& set : sets) {
    if (set["kind"].as_string() != "ReplicaSet") continue;
    const bool newest = set["metadata"]["annotations"]["deployment.kubernetes.io/revision"] ==
                        o["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
    if (newest) current = replicas(set);
    else old.push_back(replicas(set));
  }
  page.line(0, "OldReplicaSets", old.empty() ? "<none>" : join(old, ", "));
  page.line(0, "NewReplicaSet", current.empty() ? "<none>" : current);
}

struct Phases {
  std::size_t running = 0, waiting = 0, succeeded = 0, failed = 0;
};
Phases phases_of(Value object, const std::vector<Document>& related) {
  Phases out;
  for (const Document& pod : related) {
    if (pod["kind"].as_string() != "Pod") continue;
    bool owned = false;
    for (Value owner : pod["metadata"]["ownerReferences"].items())
      owned = owned || (owner["controller"].as_bool() && owner["uid"] == object["metadata"]["uid"]);
    if (!owned) continue;
    const std::string_view phase = pod["status"]["phase"].as_string();
    ++(phase == "Running" ? out.running : phase == "Pending" ? out.waiting : phase == "Succeeded" ? out.succeeded : out.failed);
  }
  return out;
}
void pods_status(Page& page, Value object, const std::vector<Document>& related) {
  const Phases p = phases_of(object, related);
  page.line(0, "Pods Status",
            fmt::format("{} Running / {} Waiting / {} Succeeded / {} Failed", p.running, p.waiting, p.succeeded, p.failed));
}

std::string selector_of(Value selector) {
  std::string out = labels_text(selector["matchLabels"]);
  for (Value e : selector["matchExpressions"].items()) {
    std::vector<std::string> values;
    for (Value v : e["values"].items()) values.push_back(v.str());
    const std::string_view op = e["operator"].as_string(), key = e["key"].as_string();
    const std::string text = op == "Exists"         ? std::string(key)
                             : op == "DoesNotExist" ? "!" + std::string(key)
                                                    : fmt::format("{} {} ({})", key, op == "In" ? "in" : "notin", join(values, ","));
    out = out == "<none>" ? text : out + "," + text;
  }
  return out;
}

void replica_set(Page& page, Value o, const std::vector<Document>& related) {
  const Value spec = o["spec"];
  page.head(o);
  page.line(0, "Selector", o["kind"].as_string() == "ReplicaSet" ? selector_of(spec["selector"]) : labels_text(spec["selector"]));
  page.labels(o);
  if (const std::string owner = owner_of(o); !owner.empty()) page.line(0, "Controlled By", owner);
  page.line(0, "Replicas", fmt::format("{} current / {} desired", o["status"]["replicas"].as_int(), spec["replicas"].as_int()));
  pods_status(page, o, related);
  page.pod_template(spec["template"]);
  page.conditions(o["status"]["conditions"]);
}

void stateful_set(Page& page, Value o, const std::vector<Document>& related) {
  const Value spec = o["spec"];
  page.head(o);
  page.line(0, "CreationTimestamp", page.date(o["metadata"]["creationTimestamp"]));
  page.line(0, "Selector", selector_of(spec["selector"]));
  page.labels(o);
  page.line(0, "Replicas", fmt::format("{} desired | {} total", spec["replicas"].as_int(), o["status"]["replicas"].as_int()));
  page.line(0, "Update Strategy", spec["updateStrategy"]["type"].as_string());
  if (const Value partition = spec["updateStrategy"]["rollingUpdate"]["partition"]; partition.exists())
    page.line(1, "Partition", plain_text(partition));
  pods_status(page, o, related);
  page.pod_template(spec["template"]);
  if (spec["volumeClaimTemplates"].empty()) return page.line(0, "Volume Claims", "<none>");
  page.title(0, "Volume Claims");
  for (Value claim : spec["volumeClaimTemplates"].items()) {
    page.line(1, "Name", claim["metadata"]["name"].as_string());
    page.line(1, "StorageClass", claim["spec"]["storageClassName"].as_string());
    page.map(1, "Labels", claim["metadata"]["labels"], "=");
    page.map(1, "Annotations", claim["metadata"]["annotations"], "=");
    page.line(1, "Capacity",
              claim["spec"]["resources"]["requests"]["storage"].exists() ? plain_text(claim["spec"]["resources"]["requests"]["storage"])
                                                                         : "<default>");
    std::vector<std::string> modes;
    for (Value mode : claim["spec"]["accessModes"].items()) modes.push_back(mode.str());
    page.line(1, "Access Modes", "[" + join(modes, " ") + "]");
  }
}

void daemon_set(Page& page, Value o, const std::vector<Document>& related) {
  const Value spec = o["spec"], status = o["status"];
  page.head(o);
  page.line(0, "Selector", selector_of(spec["selector"]));
  page.line(0, "Node-Selector", labels_text(spec["template"]["spec"]["nodeSelector"]));
  page.labels(o);
  for (const auto& [field, name] : {std::pair{"desiredNumberScheduled", "Desired Number of Nodes Scheduled"},
                                    std::pair{"currentNumberScheduled", "Current Number of Nodes Scheduled"},
                                    std::pair{"updatedNumberScheduled", "Number of Nodes Scheduled with Up-to-date Pods"},
                                    std::pair{"numberAvailable", "Number of Nodes Scheduled with Available Pods"},
                                    std::pair{"numberMisscheduled", "Number of Nodes Misscheduled"}})
    page.raw(0, fmt::format("{}: {}", name, status[field].as_int()));
  pods_status(page, o, related);
  page.pod_template(spec["template"]);
}

void job(Page& page, Value o) {
  const Value spec = o["spec"], status = o["status"];
  page.head(o);
  page.line(0, "Selector", selector_of(spec["selector"]));
  page.labels(o);
  if (const std::string owner = owner_of(o); !owner.empty()) page.line(0, "Controlled By", owner);
  page.line(0, "Parallelism", spec["parallelism"].exists() ? plain_text(spec["parallelism"]) : "<unset>");
  page.line(0, "Completions", spec["completions"].exists() ? plain_text(spec["completions"]) : "<unset>");
  if (spec["completionMode"].exists()) page.line(0, "Completion Mode", spec["completionMode"].as_string());
  if (spec["suspend"].exists()) page.line(0, "Suspend", plain_text(spec["suspend"]));
  if (spec["backoffLimit"].exists()) page.line(0, "Backoff Limit", plain_text(spec["backoffLimit"]));
  if (spec["ttlSecondsAfterFinished"].exists()) page.line(0, "TTL Seconds After Finished", plain_text(spec["ttlSecondsAfterFinished"]));
  if (status["startTime"].exists()) page.line(0, "Start Time", page.date(status["startTime"]));
  if (status["completionTime"].exists()) page.line(0, "Completed At", page.date(status["completionTime"]));
  if (const auto from = parse_rfc3339(status["startTime"].as_string()), to = parse_rfc3339(status["completionTime"].as_string());
      from && to)
    page.line(0, "Duration", human_age(*from, *to));
  if (spec["activeDeadlineSeconds"].exists()) page.line(0, "Active Deadline Seconds", plain_text(spec["activeDeadlineSeconds"]) + "s");
  const std::string ready = status["ready"].exists() ? fmt::format(" ({} Ready)", status["ready"].as_int()) : "";
  page.line(0, "Pods Statuses",
            fmt::format("{} Active{} / {} Succeeded / {} Failed", status["active"].as_int(), ready, status["succeeded"].as_int(),
                        status["failed"].as_int()));
  page.pod_template(spec["template"]);
}

void cron_job(Page& page, Value o) {
  const Value spec = o["spec"], job = spec["jobTemplate"]["spec"];
  const auto number = [](Value value) { return value.exists() ? plain_text(value) : std::string("<unset>"); };
  page.head(o);
  page.labels(o);
  page.line(0, "Schedule", spec["schedule"].as_string());
  if (spec["timeZone"].exists()) page.line(0, "Time Zone", spec["timeZone"].as_string());
  page.line(0, "Concurrency Policy", spec["concurrencyPolicy"].as_string());
  page.line(0, "Suspend", spec["suspend"].as_bool() ? "True" : "False");
  page.line(0, "Successful Job History Limit", number(spec["successfulJobsHistoryLimit"]));
  page.line(0, "Failed Job History Limit", number(spec["failedJobsHistoryLimit"]));
  page.line(0, "Starting Deadline Seconds",
            spec["startingDeadlineSeconds"].exists() ? number(spec["startingDeadlineSeconds"]) + "s" : "<unset>");
  page.line(0, "Selector", job["selector"].exists() ? selector_of(job["selector"]) : "<unset>");
  page.line(0, "Parallelism", number(job["parallelism"]));
  page.line(0, "Completions", number(job["completions"]));
  page.pod_template(job["template"]);
  page.line(0, "Last Schedule Time", page.date(o["status"]["lastScheduleTime"]));
  std::vector<std::string> active;
  for (Value item : o["status"]["active"].items()) active.push_back(item["name"].str());
  page.line(0, "Active Jobs", active.empty() ? "<none>" : join(active, ", "));
}

}  // namespace

bool describe_workload(Page& page, Value object, const std::vector<Document>& related) {
  const std::string_view kind = object["kind"].as_string();
  if (kind == "Deployment") deployment(page, object, related);
  else if (kind == "ReplicaSet" || kind == "ReplicationController") replica_set(page, object, related);
  else if (kind == "StatefulSet") stateful_set(page, object, related);
  else if (kind == "DaemonSet") daemon_set(page, object, related);
  else if (kind == "Job") job(page, object);
  else if (kind == "CronJob") cron_job(page, object);
  else return false;
  return true;
}

}  // namespace kybern::cli
