// Pod security standards (KEP-2579): what a pod must not do at a level, and which level a namespace's labels ask for.
//
//   LevelVersion enforce = read_labels(ns["metadata"]["labels"]).policy.enforce;   // restricted:v1.30
//   Verdict verdict = evaluate(enforce, pod["metadata"], pod["spec"]);
//   verdict.details()  ->  `privileged (container "c" must not set securityContext.privileged=true), ...`
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "document/document.h"
#include "machinery/status.h"

namespace kybern::pod_security {

enum class Level { privileged, baseline, restricted };

constexpr int latest = 1 << 20;  // the minor version of "latest"

struct LevelVersion {
  Level level = Level::privileged;
  int minor = latest;       // of v1.minor
  std::string str() const;  // "baseline:v1.30", "restricted:latest"
  friend bool operator==(const LevelVersion&, const LevelVersion&) = default;
};

struct Policy {
  LevelVersion enforce, audit, warn;
};

// A label that cannot be read: enforce is then restricted, audit and warn privileged, a version the latest.
struct Asked {
  Policy policy;
  FieldErrors errors;  // "metadata.labels[pod-security.kubernetes.io/enforce]"
};
Asked read_labels(Value labels);

struct Finding {
  std::string reason, detail;
};

struct Verdict {
  std::vector<Finding> findings;  // none: the pod may run
  bool allowed() const { return findings.empty(); }
  std::string reasons() const;  // "hostPort, privileged"
  std::string details() const;  // each with its detail in parentheses
};
Verdict evaluate(LevelVersion policy, Value metadata, Value spec);

// Whether an update of a pod changes what the standards look at: its images and its containers.
bool significant_update(Value pod, Value old);

// What a namespace's admins are told of the pods that run there when enforce becomes stricter.
constexpr std::size_t namespace_pods_max = 3000;
std::vector<std::string> warnings_about(std::string_view ns, LevelVersion enforce, const std::vector<Document>& pods);

// The pod template of an object of these resources; absent when it has none.
Value template_of(std::string_view group, std::string_view plural, Value object);
bool has_template(std::string_view group, std::string_view plural);

}  // namespace kybern::pod_security
