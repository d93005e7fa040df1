// The status of a Deployment: counts, and the conditions Available, Progressing and ReplicaFailure.
#include <algorithm>
#include <chrono>
#include <limits>

#include "base/strings.h"
#include "controllers/deployment/rollout.h"
#include "controllers/objects.h"

namespace kybern::controllers::deployment {
namespace {

struct Condition {
  std::string type, status, reason, message, updated, changed;  // times in RFC 3339
};

Condition read(Value entry) {
  return {entry["type"].str(),    entry["status"].str(),         entry["reason"].str(),
          entry["message"].str(), entry["lastUpdateTime"].str(), entry["lastTransitionTime"].str()};
}

class Conditions {
 public:
  Conditions(Value list, Time now) : now_(format_rfc3339(now)) {
    for (Value entry : list.items()) list_.push_back(read(entry));
  }
  const Condition* find(std::string_view type) const {
    for (const Condition& c : list_)
      if (c.type == type) return &c;
    return nullptr;
  }
  void remove(std::string_view type) {
    std::erase_if(list_, [&](const Condition& c) { return c.type == type; });
  }
  Condition make(std::string type, std::string status, std::string reason, std::string message) const {
    return {std::move(type), std::move(status), std::move(reason), std::move(message), now_, now_};
  }
  // One with the same status and reason stays as it is.
  void set(Condition wanted) {
    if (const Condition* current = find(wanted.type)) {
      if (current->status == wanted.status && current->reason == wanted.reason) return;
      if (current->status == wanted.status) wanted.changed = current->changed;
      remove(wanted.type);
    }
    list_.push_back(std::move(wanted));
  }
  void replace(Condition wanted) {  // even one with the same reason: its time is new
    remove(wanted.type);
    list_.push_back(std::move(wanted));
  }
  Draft write() const {
    Draft out = Draft::array();
    for (const Condition& c : list_) {
      Draft entry =
          Draft::object({{"type", c.type}, {"status", c.status}, {"lastUpdateTime", c.updated}, {"lastTransitionTime", c.changed}});
      if (!c.reason.empty()) entry["reason"] = c.reason;
      if (!c.message.empty()) entry["message"] = c.message;
      out.push_back(std::move(entry));
    }
    return out;
  }
  bool empty() const { return list_.empty(); }

 private:
  std::string now_;
  std::vector<Condition> list_;
};

struct Counts {
  std::int64_t replicas = 0, updated = 0, ready = 0, available = 0, unavailable = 0;
  std::optional<std::int64_t> terminating = 0;
};

Counts count(const Rollout& rollout) {
  Counts out;
  for (const Document& set : rollout.all) {
    out.replicas += actual(set);
    out.ready += set["status"]["readyReplicas"].as_int();
    out.available += available(set);
    const Value terminating = set["status"]["terminatingReplicas"];
    if (terminating.is_null()) out.terminating.reset();
    else if (out.terminating) *out.terminating += terminating.as_int();
  }
  if (rollout.fresh) out.updated = actual(rollout.fresh);
  out.unavailable = std::max<std::int64_t>(0, total_size(rollout.all) - out.available);
  return out;
}

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

// "ReplicaSet "x" is progressing.", or about the Deployment while there is no new ReplicaSet.
std::string about(const Rollout& rollout, std::string_view what) {
  const std::string whom =
      rollout.fresh ? "ReplicaSet " + quoted(name_of(rollout.fresh)) : "Deployment " + quoted(name_of(rollout.deployment));
  return whom + " " + std::string(what);
}

void note_pause(const Rollout& rollout, Conditions& conditions) {
  const Condition* current = conditions.find("Progressing");
  if (current && current->reason == "ProgressDeadlineExceeded") return;  // kept: it says more
  const bool noted = current && current->reason == "DeploymentPaused", paused = rollout.deployment["spec"]["paused"].as_bool();
  if (paused && !noted) conditions.set(conditions.make("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused"));
  if (!paused && noted) conditions.set(conditions.make("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed"));
}

void note_new_replica_set(const Rollout& rollout, Conditions& conditions) {
  if (const Failure* failure = rollout.observed.failure; failure && failure->verb == Action::Verb::create && !rollout.fresh) {
    if (failure->reason == "AlreadyExists") return;  // the mirror will show whose it is
    const std::string message = "Failed to create new replica set " + quoted(new_name(rollout)) + ": " + failure->message;
    conditions.set(conditions.make("Progressing", "False", "ReplicaSetCreateError", message));
    return;
  }
  if (!rollout.fresh) return;
  const Condition* current = conditions.find("Progressing");
  const std::string name = quoted(name_of(rollout.fresh));
  const bool is_young = rollout.fresh["status"]["observedGeneration"].as_int() == 0;
  const bool since_then = current && current->message.find(name) == std::string::npos &&
                          current->updated <= rollout.fresh["metadata"]["creationTimestamp"].as_string();
  if (since_then || (!current && is_young))
    conditions.set(conditions.make("Progressing", "True", "NewReplicaSetCreated", "Created new replica set " + name));
  else if (!current) conditions.set(conditions.make("Progressing", "True", "FoundNewReplicaSet", "Found new replica set " + name));
}

bool has_timed_out(const Rollout& rollout, const Condition* current) {
  if (!current || current->reason == "NewReplicaSetAvailable") return false;
  if (current->reason == "ProgressDeadlineExceeded") return true;
  const std::optional<Time> from = parse_rfc3339(current->updated);
  const Duration limit = std::chrono::seconds(rollout.deployment["spec"]["progressDeadlineSeconds"].as_int());
  return from && *from + limit < rollout.observed.now;
}

bool has_progressed(Value before, const Counts& now) {
  const std::int64_t old_before = before["replicas"].as_int() - before["updatedReplicas"].as_int();
  return now.updated > before["updatedReplicas"].as_int() || now.replicas - now.updated < old_before ||
         now.ready > before["readyReplicas"].as_int() || now.available > before["availableReplicas"].as_int();
}

bool is_complete(const Rollout& rollout, const Counts& now) {
  return now.updated == rollout.replicas && now.replicas == rollout.replicas && now.available == rollout.replicas;
}

void note_progress(const Rollout& rollout, const Counts& now, Conditions& conditions) {
  if (!has_progress_deadline(rollout.deployment)) return conditions.remove("Progressing");
  const Condition* current = conditions.find("Progressing");
  if (now.replicas == now.updated && current && current->reason == "NewReplicaSetAvailable") return;  // only its size changes
  if (is_complete(rollout, now)) {
    conditions.set(conditions.make("Progressing", "True", "NewReplicaSetAvailable", about(rollout, "has successfully progressed.")));
  } else if (has_progressed(rollout.deployment["status"], now)) {
    Condition wanted = conditions.make("Progressing", "True", "ReplicaSetUpdated", about(rollout, "is progressing."));
    if (current && current->status == "True") wanted.changed = current->changed;
    conditions.replace(std::move(wanted));
  } else if (has_timed_out(rollout, current)) {
    conditions.set(conditions.make("Progressing", "False", "ProgressDeadlineExceeded", about(rollout, "has timed out progressing.")));
  }
}

void note_failures(const Rollout& rollout, Conditions& conditions) {
  Value failure = rollout.fresh ? condition(rollout.fresh["status"]["conditions"], "ReplicaFailure") : Value();
  for (std::size_t i = 0; i < rollout.all.size() && !failure.exists(); ++i)
    failure = condition(rollout.all[i]["status"]["conditions"], "ReplicaFailure");
  if (!failure.exists()) return conditions.remove("ReplicaFailure");
  Condition copy = read(failure);
  copy.updated = copy.changed;
  conditions.set(std::move(copy));
}

void note_availability(const Rollout& rollout, const Counts& now, Conditions& conditions) {
  if (now.available >= rollout.replicas - rollout.posts.unavailable)
    conditions.set(conditions.make("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability."));
  else
    conditions.set(conditions.make("Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."));
}

Draft write(const Rollout& rollout, const Counts& now, const Conditions& conditions) {
  Draft status(rollout.deployment["status"]);
  if (!status.is_object()) status = Draft::object();
  const auto set = [&](const char* field, std::int64_t value) {
    if (value != 0) status[field] = value;
    else status.erase(field);
  };
  set("observedGeneration", rollout.deployment["metadata"]["generation"].as_int());
  set("replicas", now.replicas);
  set("updatedReplicas", now.updated);
  set("readyReplicas", now.ready);
  set("availableReplicas", now.available);
  set("unavailableReplicas", now.unavailable);
  if (now.terminating) status["terminatingReplicas"] = *now.terminating;
  else status.erase("terminatingReplicas");
  if (conditions.empty()) status.erase("conditions");
  else status["conditions"] = conditions.write();
  return status;
}

}  // namespace

bool has_progress_deadline(Value deployment) {
  const Value seconds = deployment["spec"]["progressDeadlineSeconds"];
  return !seconds.is_null() && seconds.as_int() != std::numeric_limits<std::int32_t>::max();
}

bool is_complete(Value deployment, Value status) {
  const std::int64_t replicas = deployment["spec"]["replicas"].as_int(1);
  return status["updatedReplicas"].as_int() == replicas && status["replicas"].as_int() == replicas &&
         status["availableReplicas"].as_int() == replicas &&
         status["observedGeneration"].as_int() >= deployment["metadata"]["generation"].as_int();
}

Document with_status(const Rollout& rollout, bool rolling_out) {
  const Counts now = count(rollout);
  Conditions conditions(rollout.deployment["status"]["conditions"], rollout.observed.now);
  if (!is_deleting(rollout.deployment) && has_progress_deadline(rollout.deployment)) {
    note_pause(rollout, conditions);
    note_new_replica_set(rollout, conditions);
  }
  note_availability(rollout, now, conditions);
  if (rolling_out && !rollout.observed.failure) {
    note_progress(rollout, now, conditions);
    note_failures(rollout, conditions);
  }
  Draft out(rollout.deployment);
  out["status"] = write(rollout, now, conditions);
  return out.freeze();
}

std::optional<Duration> wake_for_deadline(Value deployment, Time now) {
  const Value status = deployment["status"];
  const Value current = condition(status["conditions"], "Progressing");
  if (!has_progress_deadline(deployment) || !current.exists() || is_complete(deployment, status)) return {};
  const std::string_view reason = current["reason"].as_string();
  if (reason == "ProgressDeadlineExceeded" || reason == "NewReplicaSetAvailable") return {};
  const std::optional<Time> from = time_of(current["lastUpdateTime"]);
  if (!from) return {};
  const Duration left = *from + std::chrono::seconds(deployment["spec"]["progressDeadlineSeconds"].as_int()) - now;
  return std::max<Duration>(left, Duration::zero()) + std::chrono::seconds(1);  // times are whole seconds
}

}  // namespace kybern::controllers::deployment
