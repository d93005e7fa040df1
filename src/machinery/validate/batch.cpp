// Jobs and cron jobs.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/strings.h"
#include "machinery/cel/civil.h"
#include "machinery/cron.h"
#include "machinery/validate/job_rules.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

constexpr std::int64_t indexed_parallelism_max = 100'000, indexed_failures_max = 100'000;
constexpr std::int64_t many_completions = 100'000, few_with_many_completions = 10'000;
constexpr std::size_t policy_rules_max = 20, policy_exit_codes_max = 255, policy_conditions_max = 20;
constexpr std::size_t managed_by_max_bytes = 63;
constexpr std::size_t cron_job_name_max = 63 - 11;  // the controller appends eleven characters
constexpr std::size_t succeeded_indexes_max_bytes = 64 * 1024;

bool indexed(Value spec) { return text(spec, "completionMode") == "Indexed"; }

void at_most(Findings& f, Value number, std::int64_t max, std::string_view detail, const Path& path) {
  if (number.as_int() > max) f.invalid(path, number.as_int(), detail);
}

void completion_mode(Findings& f, Value spec, const Path& path) {
  Path completions = path.child("completions"), parallelism = path.child("parallelism"), failed = path.child("maxFailedIndexes");
  if (set(spec, "completionMode")) f.enumerated(path.child("completionMode"), text(spec, "completionMode"), {"NonIndexed", "Indexed"});
  if (!indexed(spec)) {
    for (const char* field : {"backoffLimitPerIndex", "maxFailedIndexes"}) {
      if (set(spec, field)) f.invalid(path.child(field), spec[field].as_int(), "requires indexed completion mode");
    }
    return;
  }
  if (!set(spec, "completions")) f.required(completions, "when completion mode is Indexed");
  at_most(f, spec["parallelism"], indexed_parallelism_max,
          fmt::format("must be less than or equal to {} when completion mode is Indexed", indexed_parallelism_max), parallelism);
  if (set(spec, "completions"))
    at_most(f, spec["maxFailedIndexes"], spec["completions"].as_int(), "must be less than or equal to completions", failed);
  at_most(f, spec["maxFailedIndexes"], indexed_failures_max, fmt::format("must be less than or equal to {}", indexed_failures_max), failed);
  if (spec["completions"].as_int() <= many_completions || !set(spec, "backoffLimitPerIndex")) return;
  if (!set(spec, "maxFailedIndexes")) f.required(failed, fmt::format("must be specified when completions is above {}", many_completions));
  std::string words = fmt::format("must be less than or equal to {} when completions are above {} and used with backoff limit per index",
                                  few_with_many_completions, many_completions);
  at_most(f, spec["parallelism"], few_with_many_completions, words, parallelism);
  at_most(f, spec["maxFailedIndexes"], few_with_many_completions, words, failed);
}

void exit_codes(Findings& f, Value requirement, const std::set<std::string_view>& containers, const Path& path) {
  std::string_view op = text(requirement, "operator");
  if (op.empty()) f.required(path.child("operator"), R"(valid values: ["In" "NotIn"])");
  else f.enumerated(path.child("operator"), op, {"In", "NotIn"});
  if (Value name = requirement["containerName"]; !name.is_null()) {
    if (!containers.contains(name.as_string()))
      f.invalid(path.child("containerName"), name.as_string(), "must be one of the container or initContainer names in the pod template");
  }
  Value values = requirement["values"];
  Path values_path = path.child("values");
  if (values.empty()) f.invalid(values_path, values, "at least one value is required");
  else if (values.size() > policy_exit_codes_max) f.too_many(values_path, values.size(), policy_exit_codes_max);
  std::set<std::int64_t> seen;
  bool ordered = true;
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::int64_t value = values[i].as_int();
    if (op == "In" && value == 0) f.invalid(values_path.index(i), value, "must not be 0 for the In operator");
    if (!seen.insert(value).second) f.duplicate(values_path.index(i), values[i]);
    ordered &= i == 0 || values[i - 1].as_int() <= value;
  }
  if (!ordered) f.invalid(values_path, values, "must be ordered");
}

void pod_conditions(Findings& f, Value patterns, const Path& path) {
  if (patterns.size() > policy_conditions_max) f.too_many(path, patterns.size(), policy_conditions_max);
  std::size_t i = 0;
  for (Value pattern : patterns.items()) {
    Path at = path.index(i++);
    qualified(f, text(pattern, "type"), at.child("type"));
    std::string_view status = text(pattern, "status");
    if (status.empty()) f.required(at.child("status"), R"(valid values: ["False" "True" "Unknown"])");
    else f.enumerated(at.child("status"), status, {"False", "True", "Unknown"});
  }
}

void failure_policy(Findings& f, Value spec, const Path& path) {
  Path rules = path.child("rules");
  Value list = spec["podFailurePolicy"]["rules"];
  if (list.size() > policy_rules_max) f.too_many(rules, list.size(), policy_rules_max);
  std::set<std::string_view> containers;
  for (const char* kind : {"containers", "initContainers"}) {
    for (Value container : spec["template"]["spec"][kind].items()) containers.insert(text(container, "name"));
  }
  std::size_t i = 0;
  for (Value rule : list.items()) {
    Path at = rules.index(i++), action_path = at.child("action");
    std::string_view action = text(rule, "action");
    if (action.empty()) f.required(action_path, R"(valid values: ["Count" "FailIndex" "FailJob" "Ignore"])");
    else if (action == "FailIndex" && !set(spec, "backoffLimitPerIndex"))
      f.invalid(action_path, action, "requires the backoffLimitPerIndex to be set");
    else f.enumerated(action_path, action, {"Count", "FailIndex", "FailJob", "Ignore"});
    bool codes = set(rule, "onExitCodes"), conditions = !rule["onPodConditions"].empty();
    if (codes) exit_codes(f, rule["onExitCodes"], containers, at.child("onExitCodes"));
    if (conditions) pod_conditions(f, rule["onPodConditions"], at.child("onPodConditions"));
    if (codes && conditions) f.wrong(at, "specifying both OnExitCodes and OnPodConditions is not supported");
    if (!codes && !conditions) f.wrong(at, "specifying one of OnExitCodes and OnPodConditions is required");
  }
}

void success_policy(Findings& f, Value spec, const Path& path) {
  Path rules = path.child("rules");
  Value list = spec["successPolicy"]["rules"];
  if (list.empty()) f.required(rules, "at least one rules must be specified when the successPolicy is specified");
  if (list.size() > policy_rules_max) f.too_many(rules, list.size(), policy_rules_max);
  std::size_t i = 0;
  for (Value rule : list.items()) {
    Path at = rules.index(i++);
    Value count = rule["succeededCount"], indexes = rule["succeededIndexes"];
    if (count.is_null() && indexes.is_null()) f.required(at, "at least one of succeededCount or succeededIndexes must be specified");
    if (indexes.as_string().size() > succeeded_indexes_max_bytes) f.too_long(at.child("succeededIndexes"), succeeded_indexes_max_bytes);
    std::int64_t completions = spec["completions"].as_int(std::numeric_limits<std::int32_t>::max());
    Indexes listed = read_indexes(indexes.as_string(), completions);
    if (!listed.error.empty()) {
      f.invalid(at.child("succeededIndexes"), indexes.as_string(), fmt::format("error parsing succeededIndexes: {}", listed.error));
    }
    if (count.is_null()) continue;
    f.nonnegative(at.child("succeededCount"), count);
    if (set(spec, "completions")) {
      at_most(f, count, spec["completions"].as_int(),
              fmt::format("must be less than or equal to {} (the number of specified completions)", spec["completions"].as_int()),
              at.child("succeededCount"));
    }
    if (indexes.is_null()) continue;
    at_most(f, count, listed.total,
            fmt::format("must be less than or equal to {} (the number of indexes in the specified succeededIndexes field)", listed.total),
            at.child("succeededCount"));
  }
}

void replacement_policy(Findings& f, Value spec, const Path& path) {
  if (!set(spec, "podReplacementPolicy")) return;
  if (set(spec, "podFailurePolicy")) f.enumerated(path, text(spec, "podReplacementPolicy"), {"Failed"});
  else f.enumerated(path, text(spec, "podReplacementPolicy"), {"Failed", "TerminatingOrFailed"});
}

void job_template_policies(Findings& f, Value spec, const Path& path) {
  for (const char* field : {"parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
                            "backoffLimitPerIndex", "maxFailedIndexes"}) {
    f.nonnegative(path.child(field), spec[field]);
  }
  if (set(spec, "maxFailedIndexes") && !set(spec, "backoffLimitPerIndex"))
    f.required(path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
  if (set(spec, "managedBy")) {
    Path at = path.child("managedBy");
    f.say(at, text(spec, "managedBy"), names::domain_prefixed_path(text(spec, "managedBy")));
    if (text(spec, "managedBy").size() > managed_by_max_bytes) f.too_long(at, managed_by_max_bytes);
  }
  completion_mode(f, spec, path);
  if (set(spec, "podFailurePolicy")) failure_policy(f, spec, path.child("podFailurePolicy"));
  if (set(spec, "successPolicy")) {
    if (indexed(spec)) success_policy(f, spec, path.child("successPolicy"));
    else f.invalid(path.child("successPolicy"), spec["successPolicy"], "requires indexed completion mode");
  }
  replacement_policy(f, spec, path.child("podReplacementPolicy"));
}

// A job's spec but for the selector, as cron jobs have it too.
void unselected_job(Findings& f, Value spec, Value before, const Path& path) {
  job_template_policies(f, spec, path);
  Path template_path = path.child("template");
  Path restart_path = template_path.child("spec.restartPolicy");
  pod_template(f, spec["template"], template_path, before["template"]);
  std::string_view restart = text(spec["template"]["spec"], "restartPolicy");
  if (restart.empty() || restart == "Always") f.required(restart_path, R"(valid values: "OnFailure", "Never")");
  else if (restart != "OnFailure" && restart != "Never") f.not_supported(restart_path, restart, {"OnFailure", "Never"});
  else if (set(spec, "podFailurePolicy") && restart != "Never")
    f.invalid(restart_path, restart, R"(only "Never" is supported when podFailurePolicy is specified)");
}

void job_spec(Findings& f, Value spec, Value before = {}) {
  const Path path("spec");
  unselected_job(f, spec, before, path);
  Value selector = spec["selector"], labels = spec["template"]["metadata"]["labels"];
  if (selector.is_null()) f.required(path.child("selector"));
  else f.add(validate_label_selector(selector, path.child("selector")));
  auto parsed = LabelSelector::from(selector);
  if (parsed && !parsed->matches(labels))
    f.invalid(path.child("template.metadata.labels"), labels, "`selector` does not match template `labels`");
}

constexpr const char* job_labels[] = {"controller-uid", "job-name"};
constexpr const char* job_label_prefix = "batch.kubernetes.io/";

// Jobs that are older than the labels with a prefix need not have them.
bool needs_prefixed_labels(Value old) {
  Value labels = old["spec"]["template"]["metadata"]["labels"];
  bool all = true;
  for (const char* label : job_labels) all = all && labels[fmt::format("{}{}", job_label_prefix, label)].exists();
  return old.is_null() || all;
}

// What was generated must be what the uid and name of the job demand.
void generated_selector(Findings& f, Value object, Value old = {}) {
  Value spec = object["spec"], labels = spec["template"]["metadata"]["labels"], meta = object["metadata"];
  if (spec["manualSelector"].as_bool() || spec["selector"].is_null()) return;
  if (text(meta, "uid").empty()) f.required(Path("metadata.uid"));
  const Path path("spec.template.metadata.labels");
  Draft expected = Draft::object();
  for (std::string_view prefix : {"", job_label_prefix}) {
    if (!prefix.empty() && !needs_prefixed_labels(old)) continue;
    for (const char* what : job_labels) {
      std::string key = fmt::format("{}{}", prefix, what);
      std::string_view value = text(meta, std::string_view(what) == "job-name" ? "name" : "uid");
      expected[key] = value;
      std::string words = fmt::format("must be '{}'", value);
      if (!labels[key].exists()) f.required(path.key(key), words);
      else if (labels[key].as_string() != value) f.invalid(path.key(key), labels, words);
    }
  }
  auto selector = LabelSelector::from(spec["selector"]);
  if (selector && !selector->matches(expected.freeze()))
    f.invalid(Path("spec.selector"), spec["selector"], "`selector` not auto-generated");
}

// Each pod of an indexed job has its index behind the job's name for a host name; the last is the longest.
void last_host_name(Findings& f, Value object) {
  std::int64_t completions = object["spec"]["completions"].as_int();
  if (!indexed(object["spec"]) || completions <= 0) return;
  std::string_view name = text(object["metadata"], "name");
  std::string last = fmt::format("{}-{}", name, completions - 1);
  if (!names::dns1123_label(last).empty())
    f.invalid(Path("metadata.name"), name, fmt::format("will not able to create pod with invalid DNS label: {}", last));
}

void take_field(Draft& into, Value from, const char* field) {
  if (from[field].exists()) into[field] = Draft(from[field]);
  else into.erase(field);
}

// The template as it was, but placed as the new one is and with its amounts: all that may change while nothing runs.
Document waiting_template(Value now, Value old) {
  Draft out(old);
  for (const char* field : {"labels", "annotations"}) take_field(out["metadata"], now["metadata"], field);
  for (const char* field : {"nodeSelector", "tolerations", "schedulingGates"}) take_field(out["spec"], now["spec"], field);
  Draft affinity = set(old["spec"], "affinity") ? Draft(old["spec"]["affinity"]) : Draft::object();
  take_field(affinity, now["spec"]["affinity"], "nodeAffinity");
  if (affinity.empty() && !set(now["spec"], "affinity")) out["spec"].erase("affinity");
  else out["spec"]["affinity"] = std::move(affinity);
  for (const char* list : {"containers", "initContainers"}) {
    Draft* containers = out["spec"].find(list);
    if (containers == nullptr || containers->size() != now["spec"][list].size()) continue;
    for (std::size_t i = 0; i < containers->size(); ++i) {
      if (text(old["spec"][list][i], "name") == text(now["spec"][list][i], "name"))
        take_field(containers->items()[i], now["spec"][list][i], "resources");
    }
  }
  return out.freeze();
}

void job_template_update(Findings& f, Value object, Value old) {
  Value now = object["spec"]["template"], before = old["spec"]["template"];
  bool stopped = old["spec"]["suspend"].as_bool() && old["status"]["active"].as_int() == 0;
  if (!stopped) {
    f.add(validate_immutable(now, before, Path("spec.template")));
  } else if (!same(now, before)) {
    Document settled = waiting_template(now, before);
    f.add(validate_immutable(now["spec"], settled["spec"], Path("spec.template.spec")));
  }
}

bool names_zone(std::string_view written) { return written.find("TZ") != std::string_view::npos; }

// Whether the zone files have it. Where there are none, nobody can say.
bool known_zone(const std::string& name) {
  static const bool zone_files = cel::zone_offset("Europe/Berlin", 0).has_value();
  return !zone_files || name == "Local" || cel::zone_offset(name, 0).has_value();
}

// "TZ=Europe/Berlin 0 4 * * *"
std::string schedule_fault(std::string_view written) {
  std::size_t space = written.find(' ');
  if ((written.starts_with("TZ=") || written.starts_with("CRON_TZ=")) && space != std::string_view::npos) {
    std::size_t zone_at = written.find('=') + 1;
    std::string zone(written.substr(zone_at, std::max(space, zone_at) - zone_at));
    if (!zone.empty() && !known_zone(zone)) return fmt::format("provided bad location {}: unknown time zone {}", zone, zone);
    written = trim(written.substr(space));
  }
  auto parsed = CronSchedule::parse(written);
  return parsed ? std::string() : parsed.error().message;
}

// A schedule that had a zone in it may keep one.
void schedule(Findings& f, Value spec, Value before, const Path& path) {
  std::string_view written = text(spec, "schedule");
  if (written.empty()) return f.required(path);
  if (std::string fault = schedule_fault(written); !fault.empty()) f.invalid(path, written, fault);
  if (!names_zone(written)) return;
  bool may = names_zone(text(before, "schedule"));
  if (!may) f.invalid(path, written, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
  else if (set(spec, "timeZone")) f.invalid(path, written, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
}

bool zone_name_part(std::string_view part) {
  constexpr std::size_t most = 14;
  if (part.empty() || part.size() > most || part == "." || part == ".." || part[0] == '-') return false;
  return std::all_of(part.begin(), part.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' || c == '+';
  });
}

void time_zone(Findings& f, Value zone, const Path& path) {
  if (zone.is_null()) return;
  std::string name = zone.str();
  if (name.empty()) return f.invalid(path, name, "timeZone must be nil or non-empty string");
  for (std::string_view part : split(name, '/')) {
    if (!zone_name_part(part)) return f.invalid(path, name, fmt::format("unknown time zone {}", name));
  }
  if (to_lower(name) == "local")
    f.invalid(path, name, "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
  if (!known_zone(name)) f.invalid(path, name, fmt::format("unknown time zone {}", name));
}

void cron_spec(Findings& f, Value spec, Value before = {}) {
  const Path path("spec");
  schedule(f, spec, before, path.child("schedule"));
  f.nonnegative(path.child("startingDeadlineSeconds"), spec["startingDeadlineSeconds"]);
  if (before.is_null() || !same(spec["timeZone"], before["timeZone"])) time_zone(f, spec["timeZone"], path.child("timeZone"));
  f.one_of(path.child("concurrencyPolicy"), text(spec, "concurrencyPolicy"), {"Allow", "Forbid", "Replace"});
  Path job = path.child("jobTemplate.spec");
  Value job_spec_value = spec["jobTemplate"]["spec"];
  unselected_job(f, job_spec_value, before["jobTemplate"]["spec"], job);
  if (set(job_spec_value, "selector")) f.invalid(job.child("selector"), job_spec_value["selector"], "`selector` will be auto-generated");
  if (job_spec_value["manualSelector"].as_bool())
    f.not_supported(job.child("manualSelector"), job_spec_value["manualSelector"], {"nil", "false"});
  f.nonnegative(path.child("successfulJobsHistoryLimit"), spec["successfulJobsHistoryLimit"]);
  f.nonnegative(path.child("failedJobsHistoryLimit"), spec["failedJobsHistoryLimit"]);
}

}  // namespace

void job_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  generated_selector(f, object);
  job_spec(f, object["spec"]);
  last_host_name(f, object);
}

void job_update(Findings& f, Value object, Value old) {
  Value now = object["spec"], before = old["spec"];
  const Path path("spec");
  object_meta(f, object, true, name_is_subdomain);  // upstream judges it twice
  generated_selector(f, object, old);
  job_spec(f, now, before);
  last_host_name(f, object);
  object_meta_update(f, object, old);
  job_spec(f, now, before);
  if (!indexed(now)) {
    f.add(validate_immutable(now["completions"], before["completions"], path.child("completions")));
  } else if (set(now, "completions") && !same(now["completions"], before["completions"]) && !same(now["completions"], now["parallelism"])) {
    f.invalid(path.child("completions"), now["completions"], "can only be modified in tandem with spec.parallelism");
  }
  f.add(validate_immutable(now["selector"], before["selector"], path.child("selector")));
  job_template_update(f, object, old);
  for (const char* field : {"completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"}) {
    f.add(validate_immutable(now[field], before[field], path.child(field)));
  }
}

void cron_job_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  cron_spec(f, object["spec"]);
  std::string_view name = text(object["metadata"], "name");
  if (name.size() > cron_job_name_max)
    f.invalid(Path("metadata.name"), name, fmt::format("must be no more than {} characters", cron_job_name_max));
}

void cron_job_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  cron_spec(f, object["spec"], old["spec"]);
}

}  // namespace kybern::rules
