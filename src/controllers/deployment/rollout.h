// Inside of the Deployment's reconcile: its ReplicaSets, sorted into new and old, and what is asked of them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controllers/deployment/reconcile.h"

namespace kybern::controllers::deployment {

inline constexpr std::string_view revision_annotation = "deployment.kubernetes.io/revision";
inline constexpr std::string_view history_annotation = "deployment.kubernetes.io/revision-history";
inline constexpr std::string_view desired_annotation = "deployment.kubernetes.io/desired-replicas";
inline constexpr std::string_view maximum_annotation = "deployment.kubernetes.io/max-replicas";
inline constexpr std::string_view hash_label = "pod-template-hash";

struct Rollout {
  Document deployment;
  const Observed& observed;
  std::vector<Document> all;  // owned, by creation
  Document fresh;             // the one with the current template; empty when there is none
  std::vector<Document> old;  // the others, by creation
  std::int64_t replicas = 0;
  Fenceposts posts;
};

// replica_sets.cpp
Rollout sort_out(const Document& deployment, const Observed& observed, std::vector<Document> owned);
bool same_template(Value a, Value b);       // but for the hash label
std::int64_t size(Value replica_set);       // spec.replicas
std::int64_t actual(Value replica_set);     // status.replicas
std::int64_t available(Value replica_set);  // status.availableReplicas
std::int64_t revision(Value object);        // 0 when there is none
std::int64_t total_size(const std::vector<Document>& sets);
std::optional<std::int64_t> annotated(Value replica_set, std::string_view annotation);
bool is_rolling(Value deployment);
std::string new_name(const Rollout& rollout);  // of the ReplicaSet for the current template
Document new_replica_set(const Rollout& rollout);
Document with_annotations(const Rollout& rollout,
                          const Document& fresh);  // what the new one should look like; the same content when it is so already
Document with_size(const Rollout& rollout, const Document& set, std::int64_t replicas);
Action scale(const Rollout& rollout, const Document& set, std::int64_t replicas);

// scale.cpp: sizes to set, as actions
std::int64_t new_size(const Rollout& rollout, std::int64_t current);  // of the new ReplicaSet
std::vector<Action> scale_new(const Rollout& rollout);
std::vector<Action> scale_old_rolling(const Rollout& rollout);
std::vector<Action> scale_proportionally(const Rollout& rollout);  // after a change of spec.replicas, and while paused
bool is_scaling_event(const Rollout& rollout);

// status.cpp
bool has_progress_deadline(Value deployment);
bool is_complete(Value deployment, Value status);
Document with_status(const Rollout& rollout, bool rolling_out);  // the deployment with its new status
std::optional<Duration> wake_for_deadline(Value deployment, Time now);

}  // namespace kybern::controllers::deployment
