#include "cli/rollout_status.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace kybern::cli {
namespace {

Result<RolloutState> deployment(Value o, std::int64_t revision) {
  const Value spec = o["spec"], status = o["status"];
  const std::string name = go_quote(o["metadata"]["name"].as_string());
  if (revision > 0) {
    const auto current = parse_int(o["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_string("0")).value_or(0);
    if (current != revision)
      return fail(Code::conflict,
                  fmt::format("error: desired revision ({}) is different from the running revision ({})", revision, current));
  }
  if (o["metadata"]["generation"].as_int() > status["observedGeneration"].as_int())
    return RolloutState{"Waiting for deployment spec update to be observed...\n"};
  for (Value c : status["conditions"].items())
    if (c["type"].as_string() == "Progressing" && c["reason"].as_string() == "ProgressDeadlineExceeded")
      return fail(Code::timeout, fmt::format("error: deployment {} exceeded its progress deadline", name));
  const std::int64_t replicas = spec["replicas"].as_int(1), all = status["replicas"].as_int(), updated = status["updatedReplicas"].as_int(),
                     available = status["availableReplicas"].as_int();
  if (updated < replicas)
    return RolloutState{fmt::format("Waiting for deployment {} rollout to finish: {} out of {} new replicas have been updated...\n", name,
                                    updated, replicas)};
  if (all > updated)
    return RolloutState{
        fmt::format("Waiting for deployment {} rollout to finish: {} old replicas are pending termination...\n", name, all - updated)};
  if (available < updated)
    return RolloutState{
        fmt::format("Waiting for deployment {} rollout to finish: {} of {} updated replicas are available...\n", name, available, updated)};
  return RolloutState{fmt::format("deployment {} successfully rolled out\n", name), true};
}

Result<RolloutState> daemon_set(Value o) {
  const Value status = o["status"];
  const std::string name = go_quote(o["metadata"]["name"].as_string());
  if (o["spec"]["updateStrategy"]["type"].as_string() != "RollingUpdate")
    return fail(Code::unsupported, fmt::format("error: rollout status is only available for RollingUpdate strategy type"));
  if (o["metadata"]["generation"].as_int() > status["observedGeneration"].as_int())
    return RolloutState{"Waiting for daemon set spec update to be observed...\n"};
  const std::int64_t wanted = status["desiredNumberScheduled"].as_int(), updated = status["updatedNumberScheduled"].as_int(),
                     available = status["numberAvailable"].as_int();
  if (updated < wanted)
    return RolloutState{
        fmt::format("Waiting for daemon set {} rollout to finish: {} out of {} new pods have been updated...\n", name, updated, wanted)};
  if (available < wanted)
    return RolloutState{
        fmt::format("Waiting for daemon set {} rollout to finish: {} of {} updated pods are available...\n", name, available, wanted)};
  return RolloutState{fmt::format("daemon set {} successfully rolled out\n", name), true};
}

Result<RolloutState> stateful_set(Value o) {
  const Value spec = o["spec"], status = o["status"];
  if (spec["updateStrategy"]["type"].as_string() != "RollingUpdate")
    return fail(Code::unsupported, "error: rollout status is only available for RollingUpdate strategy type");
  if (status["observedGeneration"].as_int() == 0 || o["metadata"]["generation"].as_int() > status["observedGeneration"].as_int())
    return RolloutState{"Waiting for statefulset spec update to be observed...\n"};
  const std::int64_t replicas = spec["replicas"].as_int(1), ready = status["readyReplicas"].as_int(),
                     updated = status["updatedReplicas"].as_int();
  if (ready < replicas) return RolloutState{fmt::format("Waiting for {} pods to be ready...\n", replicas - ready)};
  const Value partition = spec["updateStrategy"]["rollingUpdate"]["partition"];
  if (partition.as_int() > 0) {
    if (updated < replicas - partition.as_int())
      return RolloutState{fmt::format("Waiting for partitioned roll out to finish: {} out of {} new pods have been updated...\n", updated,
                                      replicas - partition.as_int())};
    return RolloutState{fmt::format("partitioned roll out complete: {} new pods have been updated...\n", updated), true};
  }
  if (status["updateRevision"] != status["currentRevision"])
    return RolloutState{fmt::format("waiting for statefulset rolling update to complete {} pods at revision {}...\n", updated,
                                    status["updateRevision"].as_string())};
  return RolloutState{fmt::format("statefulset rolling update complete {} pods at revision {}...\n", status["currentReplicas"].as_int(),
                                  status["currentRevision"].as_string()),
                      true};
}

}  // namespace

Result<RolloutState> rollout_state(Value object, std::int64_t revision) {
  const std::string_view kind = object["kind"].as_string();
  if (kind == "Deployment") return deployment(object, revision);
  if (kind == "DaemonSet") return daemon_set(object);
  if (kind == "StatefulSet") return stateful_set(object);
  return fail(Code::unsupported, "error: no status viewer has been implemented for " + std::string(kind));
}

}  // namespace kybern::cli
