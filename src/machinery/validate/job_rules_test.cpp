// Jobs and cron jobs: a row per refusal.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "machinery/testing/judging.h"

namespace kybern {
namespace {

using namespace testing;

std::string job(std::string_view spec, std::string_view status = "", std::string_view pods = "", std::string_view name = "a") {
  const std::string pod = with_containers(pods);
  return fmt::format(
      "{{metadata: {{name: {}}}, spec: {{manualSelector: true, selector: {{matchLabels: {{a: b}}}}, template: {{metadata: "
      "{{labels: {{a: b}}}}, spec: {{restartPolicy: Never, {}}}}}{}{}}}, status: {{{}}}}}",
      name, pod, spec.empty() ? "" : ", ", spec, status);
}

std::string created(std::string_view spec, std::string_view name = "a") { return refused("batch", "v1", "Job", job(spec, "", "", name)); }

TEST(ValidateJobs, Names) {
  EXPECT_EQ(created("completionMode: Indexed, completions: 3", "a.b"),
            "metadata.name: Invalid value: \"a.b\": will not able to create pod with invalid DNS label: a.b-2");
  EXPECT_EQ(created("completions: 3", "a.b"), "");
  EXPECT_EQ(created("completionMode: Indexed, completions: 10", std::string(61, 'a')), "");
  EXPECT_EQ(created("completionMode: Indexed, completions: 11", std::string(61, 'a')),
            fmt::format("metadata.name: Invalid value: \"{0}\": will not able to create pod with invalid DNS label: {0}-10",
                        std::string(61, 'a')));
}

TEST(ValidateJobs, SuccessPolicies) {
  auto rule = [](std::string_view text) {
    return created("completionMode: Indexed, completions: 10, successPolicy: {rules: [" + std::string(text) + "]}");
  };
  const std::string at = "spec.successPolicy.rules[0]";
  EXPECT_EQ(rule("{succeededIndexes: \"1,3-5,7\", succeededCount: 5}"), "");
  EXPECT_EQ(rule("{succeededIndexes: \"1,3-5,7\", succeededCount: 6}"),
            at + ".succeededCount: Invalid value: 6: must be less than or equal to 5 (the number of indexes in the specified "
                 "succeededIndexes field)");
  EXPECT_EQ(rule("{succeededCount: 11}"),
            at + ".succeededCount: Invalid value: 11: must be less than or equal to 10 (the number of specified completions)");
  EXPECT_EQ(rule("{}"), at + ": Required value: at least one of succeededCount or succeededIndexes must be specified");
  for (auto [indexes, why] :
       {std::pair("1-2-3", R"(the fragment "1-2-3" violates the requirement that an index interval can have at most )"
                           R"(two parts separated by '-')"),
        std::pair("x", R"(cannot convert string to integer for index: "x")"), std::pair("10", R"(too large index: "10")"),
        std::pair("3-10", R"(too large index: "10")"), std::pair("5-3", "non-increasing order, previous: 5, current: 3"),
        std::pair("1-3,3", "non-increasing order, previous: 3, current: 3")}) {
    EXPECT_EQ(rule(fmt::format("{{succeededIndexes: \"{}\"}}", indexes)),
              fmt::format("{}.succeededIndexes: Invalid value: \"{}\": error parsing succeededIndexes: {}", at, indexes, why));
  }
}

TEST(ValidateJobs, GeneratedLabels) {
  constexpr const char* both =
      "{metadata: {name: a, uid: u}, spec: {selector: {matchLabels: {batch.kubernetes.io/controller-uid: u}}, template: {metadata: "
      "{labels: "
      "{batch.kubernetes.io/controller-uid: u, controller-uid: u, job-name: x}}, spec: {restartPolicy: Never, containers: [{name: c, "
      "image: "
      "i}]}}}}";
  EXPECT_EQ(refused("batch", "v1", "Job", both),
            "spec.template.metadata.labels[job-name]: Invalid value: "
            "{\"batch.kubernetes.io/controller-uid\":\"u\",\"controller-uid\":\"u\",\"job-name\":\"x\"}: must be 'a' | "
            "spec.template.metadata.labels[batch.kubernetes.io/job-name]: Required value: must be 'a'");
  // Those that are older than the labels with a prefix.
  constexpr const char* old =
      "{metadata: {name: a, uid: u}, spec: {selector: {matchLabels: {controller-uid: u}}, template: {metadata: {labels: {controller-uid: "
      "u, "
      "job-name: a}}, spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}";
  EXPECT_EQ(refused_change("batch", "v1", "Job", old, old), "");
}

struct StatusRow {
  const char *spec, *before, *after, *findings;
};

constexpr const char* begun = "startTime: 2026-01-01T00:00:00Z";
constexpr StatusRow statuses[] = {
    {"", "", "active: 1, ready: 1, terminating: 1", ""},
    {"", "", "active: -1, succeeded: -1, failed: -1, ready: -1, terminating: -1",
     "status.active: Invalid value: -1: must be greater than or equal to 0 | status.succeeded: Invalid value: -1: must be greater than or "
     "equal to 0 | status.failed: Invalid value: -1: must be greater than or equal to 0 | status.ready: Invalid value: -1: must be greater "
     "than or equal to 0 | status.terminating: Invalid value: -1: must be greater than or equal to 0 | status.failed: Invalid value: -1: "
     "cannot decrease the failed counter | status.succeeded: Invalid value: -1: cannot decrease the succeeded counter"},
    {"", "", "uncountedTerminatedPods: {succeeded: [a, \"\"], failed: [a, b]}",
     "status.uncountedTerminatedPods.succeeded[1]: Invalid value: \"\": must not be empty | status.uncountedTerminatedPods.failed[0]: "
     "Duplicate value: \"a\""},
    {"", begun,
     "startTime: 2026-01-01T00:00:00Z, completionTime: 2026-01-01T00:01:00Z, conditions: [{type: SuccessCriteriaMet, status: \"True\"}, "
     "{type: Complete, status: \"True\"}]",
     ""},
    {"", "", "conditions: [{type: Complete, status: \"True\"}, {type: Failed, status: \"True\"}]",
     "status.conditions: Invalid value: cannot set Complete=True and Failed=true conditions | status.completionTime: Required value: "
     "completionTime is required for Complete jobs | status.conditions: Invalid value: cannot set Failed=True condition without the "
     "FailureTarget=true condition | status.conditions: Invalid value: cannot set Complete=True condition without the "
     "SuccessCriteriaMet=true condition | status.startTime: Required value: startTime is required for finished job"},
    {"", begun,
     "startTime: 2026-01-01T00:00:00Z, completionTime: 2025-12-31T00:00:00Z, active: 1, terminating: 1, uncountedTerminatedPods: {failed: "
     "[a]}, conditions: [{type: SuccessCriteriaMet, status: \"True\"}, {type: Complete, status: \"True\"}]",
     "status.completionTime: Invalid value: \"2025-12-31T00:00:00Z\": must be equal to or after `startTime` | status.active: Invalid "
     "value: "
     "1: active>0 is invalid for finished job | status.uncountedTerminatedPods: Invalid value: {\"failed\":[\"a\"]}: must be empty for "
     "finished job | status.terminating: Invalid value: 1: terminating>0 is invalid for finished job"},
    {"", "", "completionTime: 2026-01-01T00:00:00Z",
     "status.completionTime: Invalid value: \"2026-01-01T00:00:00Z\": cannot set completionTime when there is no Complete=True condition"},
    {"", "", "completedIndexes: \"1\", failedIndexes: \"2\"",
     "status.completedIndexes: Invalid value: \"1\": error parsing completedIndexes: too large index: \"1\" | status.completedIndexes: "
     "Invalid value: \"1\": cannot set non-empty completedIndexes when non-indexed completion mode | status.failedIndexes: Invalid value: "
     "\"2\": cannot set non-null failedIndexes when backoffLimitPerIndex is null"},
    {"completionMode: Indexed, completions: 9, backoffLimitPerIndex: 1", "", "completedIndexes: \"1-3,5\", failedIndexes: \"0,3-4\"",
     "status.failedIndexes: Invalid value: \"0,3-4\": failedIndexes and completedIndexes overlap at index: 3"},
    {"completionMode: Indexed, completions: 9, backoffLimitPerIndex: 1", "", "completedIndexes: \"1-3,5\", failedIndexes: \"0,4\"", ""},
    {"", "", "active: 1, ready: 2", "status.ready: Invalid value: 2: cannot set more ready pods than active"},
    {"", "",
     "conditions: [{type: SuccessCriteriaMet, status: \"True\"}, {type: Failed, status: \"True\"}, {type: FailureTarget, status: "
     "\"True\"}], startTime: 2026-01-01T00:00:00Z",
     "status.conditions: Invalid value: cannot set SuccessCriteriaMet=True and Failed=true conditions | status.conditions: Invalid value: "
     "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"},
    {"", "failed: 2, succeeded: 2", "failed: 1, succeeded: 1",
     "status.failed: Invalid value: 1: cannot decrease the failed counter | status.succeeded: Invalid value: 1: cannot decrease the "
     "succeeded counter"},
    {"completionMode: Indexed, completions: 1, parallelism: 1", "succeeded: 2", "succeeded: 1", ""},
    {"", begun, "startTime: 2026-01-02T00:00:00Z",
     "status.startTime: Invalid value: \"2026-01-02T00:00:00Z\": field is immutable for unsuspended job once set"},
    {"suspend: true", begun, "", ""},
    {"", "startTime: 2026-01-01T00:00:00Z, conditions: [{type: FailureTarget, status: \"True\"}, {type: Failed, status: \"True\"}]",
     "startTime: 2026-01-01T00:00:00Z",
     "status.conditions: Invalid value: cannot disable the terminal Failed=True condition | status.conditions: Invalid value: cannot "
     "disable the terminal FailureTarget=True condition"},
    {"", "startTime: 2026-01-01T00:00:00Z, completionTime: 2026-01-01T00:01:00Z, conditions: [{type: Complete, status: \"True\"}]",
     "startTime: 2026-01-01T00:00:00Z, completionTime: 2026-01-01T00:02:00Z, conditions: [{type: Complete, status: \"True\"}, {type: "
     "SuccessCriteriaMet, status: \"True\"}]",
     "status.completionTime: Invalid value: \"2026-01-01T00:02:00Z\": field is immutable | status.conditions: Invalid value: cannot set "
     "SuccessCriteriaMet=True for Job already has Complete=true conditions"},
    {"", "conditions: [{type: SuccessCriteriaMet, status: \"True\"}]", "",
     "status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition"},
    {"suspend: true, completions: 0", "",
     "completionTime: 2026-01-01T00:01:00Z, conditions: [{type: SuccessCriteriaMet, status: \"True\"}, {type: Complete, status: \"True\"}]",
     ""},
    // What was odd before and does not change is let be.
    {"", "active: 1, ready: 2, completedIndexes: \"7\"", "active: 1, ready: 2, completedIndexes: \"7\", failed: 1", ""},
};

TEST(ValidateJobs, Statuses) {
  for (const StatusRow& row : statuses) {
    EXPECT_EQ(refused_change("batch", "v1", "Job", job(row.spec, row.before), job(row.spec, row.after), "status"), row.findings)
        << row.spec << " " << row.after;
  }
}

TEST(ValidateJobs, WhatChangesWhileNothingRuns) {
  auto changed = [](std::string_view before, std::string_view status, std::string_view after) {
    std::string suspended = "suspend: true";
    return refused_change("batch", "v1", "Job", job(suspended, status, before), job(suspended, status, after));
  };
  constexpr const char* placed =
      "nodeSelector: {x: z}, tolerations: [{operator: Exists}], affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
      "{nodeSelectorTerms: [{matchExpressions: [{key: k, operator: Exists}]}]}}}, schedulingGates: [{name: x.io/g}]";
  constexpr const char* larger = "containers: [{name: c, image: i, resources: {requests: {cpu: 2}}}]";
  EXPECT_EQ(changed("", "", placed), "");
  EXPECT_EQ(changed(placed, "", ""), "");
  EXPECT_EQ(changed("", "", larger), "");
  EXPECT_EQ(changed("", "startTime: 2026-01-01T00:00:00Z", larger), "");
  auto field = [&](std::string_view before, std::string_view status, std::string_view after) {
    std::string all = changed(before, status, after);
    return all.substr(0, all.find(':')) + (all.ends_with("field is immutable") ? "" : " " + all);
  };
  EXPECT_EQ(field("", "startTime: 2026-01-01T00:00:00Z, active: 1", larger), "spec.template");
  EXPECT_EQ(field("", "", "containers: [{name: c, image: other}]"), "spec.template.spec");
  EXPECT_EQ(field("", "", "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: k}]}}"),
            "spec.template.spec");
}

TEST(ValidateJobs, CronJobs) {
  auto cron = [](std::string_view spec) {
    return fmt::format(
        "{{spec: {{jobTemplate: {{spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: c, image: i}}]}}}}}}}}, "
        "{}}}}}",
        spec);
  };
  auto created = [&](std::string_view spec) { return refused("batch", "v1", "CronJob", cron(spec)); };
  EXPECT_EQ(
      created("schedule: TZ=UTC 0 * * *"),
      "spec.schedule: Invalid value: \"TZ=UTC 0 * * *\": expected exactly 5 fields, found 4: [0 * * *] | spec.schedule: Invalid value: "
      "\"TZ=UTC 0 * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
  EXPECT_EQ(created("schedule: CRON_TZ=UTC 0 * * * *, timeZone: UTC"),
            "spec.schedule: Invalid value: \"CRON_TZ=UTC 0 * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
  const std::string with_zone = cron("schedule: TZ=UTC 0 * * * *");
  EXPECT_EQ(refused_change("batch", "v1", "CronJob", with_zone, cron("schedule: TZ=UTC 5 * * * *")), "");
  EXPECT_EQ(refused_change("batch", "v1", "CronJob", with_zone, cron("schedule: TZ=UTC 5 * * * *, timeZone: UTC")),
            "spec.schedule: Invalid value: \"TZ=UTC 5 * * * *\": cannot use both timeZone field and TZ or CRON_TZ in schedule");
  auto zone = [&](std::string_view name) { return created(fmt::format("schedule: 0 * * * *, timeZone: \"{}\"", name)); };
  EXPECT_EQ(zone("America/Argentina/Buenos_Aires"), "");
  EXPECT_EQ(zone(""), "spec.timeZone: Invalid value: \"\": timeZone must be nil or non-empty string");
  for (const char* odd : {"../UTC", "/UTC", "Europe//Berlin", "-x", "Europe/Berlin ", "Europe/NowhereAtAllReally"})
    EXPECT_EQ(zone(odd), fmt::format("spec.timeZone: Invalid value: \"{0}\": unknown time zone {0}", odd));
  EXPECT_EQ(zone("Local"),
            "spec.timeZone: Invalid value: \"Local\": timeZone must be an explicit time zone as defined in "
            "https://www.iana.org/time-zones");
  // What is stored stays acceptable.
  EXPECT_EQ(
      refused_change("batch", "v1", "CronJob", cron("schedule: 0 * * * *, timeZone: Odd!"), cron("schedule: 5 * * * *, timeZone: Odd!")),
      "");
}

}  // namespace
}  // namespace kybern
