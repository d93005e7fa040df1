// The status of a job: what it may become. Whoever manages the job writes it, so clients are protected from odd ones; what
// does not change is let be, as the spec may have changed beneath it.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/strings.h"
#include "base/time.h"
#include "machinery/validate/job_rules.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

struct IndexInterval {
  std::int64_t first = 0, last = 0;
  std::string error;
};

IndexInterval read_interval(std::string_view written, std::int64_t completions) {
  auto wrong = [](std::string error) { return IndexInterval{.error = std::move(error)}; };
  std::vector<std::string_view> ends = split(written, '-');
  if (ends.size() > 2) {
    return wrong(fmt::format("the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
                             go_quote(written)));
  }
  std::int64_t numbers[2] = {};
  for (std::size_t i = 0; i < ends.size(); ++i) {
    auto number = parse_int(ends[i]);
    if (!number) return wrong(fmt::format("cannot convert string to integer for index: {}", go_quote(ends[i])));
    if (*number >= completions) return wrong(fmt::format("too large index: {}", go_quote(ends[i])));
    numbers[i] = *number;
  }
  if (ends.size() == 1) return {numbers[0], numbers[0], {}};
  if (numbers[0] >= numbers[1]) return wrong(fmt::format("non-increasing order, previous: {}, current: {}", numbers[0], numbers[1]));
  return {numbers[0], numbers[1], {}};
}

// An index that is in both lists; intervals that cannot be read are told of elsewhere.
std::optional<std::int64_t> shared_index(std::string_view completed, std::string_view failed, std::int64_t completions) {
  if (completed.empty() || failed.empty()) return std::nullopt;
  std::vector<std::string_view> left = split(completed, ','), right = split(failed, ',');
  for (std::size_t i = 0, j = 0; i < left.size() && j < right.size();) {
    IndexInterval a = read_interval(left[i], completions), b = read_interval(right[j], completions);
    if (!a.error.empty()) ++i;
    else if (!b.error.empty()) ++j;
    else if (a.first <= b.last && b.first <= a.last) return std::max(a.first, b.first);
    else if (a.first <= b.first) ++i;
    else ++j;
  }
  return std::nullopt;
}

bool has_condition(Value job, std::string_view type) {
  for (Value condition : job["status"]["conditions"].items()) {
    if (text(condition, "type") == type && text(condition, "status") == "True") return true;
  }
  return false;
}

struct JudgedJob {
  explicit JudgedJob(Value job)
      : spec(job["spec"]),
        status(job["status"]),
        complete(has_condition(job, "Complete")),
        failed(has_condition(job, "Failed")),
        target(has_condition(job, "FailureTarget")),
        met(has_condition(job, "SuccessCriteriaMet")) {}
  bool finished() const { return complete || failed; }
  bool ordered() const { return text(spec, "completionMode") == "Indexed"; }

  Value spec, status;
  bool complete, failed, target, met;
};

class JobStatusRules {
 public:
  JobStatusRules(Findings& f, Value now, Value old) : f_(f), now_(now), old_(old) {}

  void run() {
    numbers();
    uncounted();
    ends();
    indexes();
    pods();
    criteria();
    transitions();
  }

 private:
  bool changed(const char* field) const { return !same(now_.status[field], old_.status[field]); }
  void refuse(const char* words) { f_.wrong(conditions_, words); }

  void numbers() {
    for (const char* count : {"active", "succeeded", "failed", "ready", "terminating"})
      f_.nonnegative(status_.child(count), now_.status[count]);
  }

  void uncounted() {
    Value lists = now_.status["uncountedTerminatedPods"];
    Path path = status_.child("uncountedTerminatedPods");
    std::set<std::string_view> seen;
    for (const char* which : {"succeeded", "failed"}) {
      Path list = path.child(which);
      std::size_t i = 0;
      for (Value uid : lists[which].items()) {
        Path at = list.index(i++);
        if (uid.as_string().empty()) f_.invalid(at, uid.as_string(), "must not be empty");
        else if (!seen.insert(uid.as_string()).second) f_.duplicate(at, uid.as_string());
      }
    }
  }

  // How a job ends, and when.
  void ends() {
    bool complete = now_.complete != old_.complete, failed = now_.failed != old_.failed, target = now_.target != old_.target;
    bool completion = changed("completionTime"), start = changed("startTime"), finished = now_.finished() != old_.finished();
    Value start_time = now_.status["startTime"], completion_time = now_.status["completionTime"];
    Path completed_at = status_.child("completionTime");
    if ((complete || failed) && now_.complete && now_.failed) refuse("cannot set Complete=True and Failed=true conditions");
    if ((complete || target) && now_.complete && now_.target) refuse("cannot set Complete=True and FailureTarget=true conditions");
    if ((complete || completion) && !completion_time.is_null() && !now_.complete)
      f_.invalid(completed_at, completion_time, "cannot set completionTime when there is no Complete=True condition");
    if ((complete || completion) && completion_time.is_null() && now_.complete)
      f_.required(completed_at, "completionTime is required for Complete jobs");
    if ((start || completion) && earlier(completion_time, start_time))
      f_.invalid(completed_at, completion_time, "must be equal to or after `startTime`");
    if ((failed || changed("failedIndexes")) && now_.failed && !now_.target)
      refuse("cannot set Failed=True condition without the FailureTarget=true condition");
    if ((complete || now_.met != old_.met) && now_.complete && !now_.met)
      refuse("cannot set Complete=True condition without the SuccessCriteriaMet=true condition");
    if (!now_.finished()) return;
    std::int64_t active = now_.status["active"].as_int();
    if ((finished || changed("active")) && active > 0) f_.invalid(status_.child("active"), active, "active>0 is invalid for finished job");
    bool never_began = now_.spec["suspend"].as_bool() && now_.spec["completions"].as_int(1) == 0;
    if ((finished || start) && start_time.is_null() && !never_began)
      f_.required(status_.child("startTime"), "startTime is required for finished job");
    Value lists = now_.status["uncountedTerminatedPods"];
    if ((finished || changed("uncountedTerminatedPods")) && lists["failed"].size() + lists["succeeded"].size() > 0)
      f_.invalid(status_.child("uncountedTerminatedPods"), lists, "must be empty for finished job");
  }

  static bool earlier(Value a, Value b) {
    auto one = parse_rfc3339(a.as_string()), other = parse_rfc3339(b.as_string());
    return one && other && *one < *other;
  }

  void indexes() {
    Path completed_path = status_.child("completedIndexes"), failed_path = status_.child("failedIndexes");
    bool completed_changed = changed("completedIndexes"), failed_changed = changed("failedIndexes");
    std::string_view completed = text(now_.status, "completedIndexes"), failed = text(now_.status, "failedIndexes");
    bool any_failed = set(now_.status, "failedIndexes"), per_index = set(now_.spec, "backoffLimitPerIndex");
    bool counted = set(now_.spec, "completions");
    std::int64_t completions = now_.spec["completions"].as_int();
    if (completed_changed && counted) readable(completed_path, completed, completions, "completedIndexes");
    if (failed_changed && counted && per_index && any_failed) readable(failed_path, failed, completions, "failedIndexes");
    if (completed_changed && !completed.empty() && !now_.ordered())
      f_.invalid(completed_path, completed, "cannot set non-empty completedIndexes when non-indexed completion mode");
    if (failed_changed && !per_index && any_failed)
      f_.invalid(failed_path, failed, "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    if ((!completed_changed && !failed_changed) || !counted || !any_failed) return;
    if (auto both = shared_index(completed, failed, completions))
      f_.invalid(failed_path, failed, fmt::format("failedIndexes and completedIndexes overlap at index: {}", *both));
  }

  void readable(const Path& path, std::string_view written, std::int64_t completions, const char* field) {
    Indexes read = read_indexes(written, completions);
    if (!read.error.empty()) f_.invalid(path, written, fmt::format("error parsing {}: {}", field, read.error));
  }

  void pods() {
    std::int64_t terminating = now_.status["terminating"].as_int(), ready = now_.status["ready"].as_int();
    bool finished = now_.finished() != old_.finished();
    if ((finished || changed("terminating")) && terminating > 0 && now_.finished())
      f_.invalid(status_.child("terminating"), terminating, "terminating>0 is invalid for finished job");
    if ((changed("ready") || changed("active")) && set(now_.status, "ready") && ready > now_.status["active"].as_int())
      f_.invalid(status_.child("ready"), ready, "cannot set more ready pods than active");
  }

  void criteria() {
    if (now_.met && now_.failed) refuse("cannot set SuccessCriteriaMet=True and Failed=true conditions");
    if (now_.met && now_.target) refuse("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    if (set(now_.spec, "successPolicy") && !now_.met && now_.complete)
      refuse("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True");
  }

  // What has been said of a job stays said.
  void transitions() {
    if (old_.failed && !now_.failed) refuse("cannot disable the terminal Failed=True condition");
    if (old_.complete && !now_.complete) refuse("cannot disable the terminal Complete=True condition");
    if (old_.target && !now_.target) refuse("cannot disable the terminal FailureTarget=True condition");
    fewer("failed");
    // An indexed job can be made smaller, and forgets what it had done beyond.
    if (!now_.ordered() || !same(now_.spec["completions"], now_.spec["parallelism"])) fewer("succeeded");
    Value completion = now_.status["completionTime"], start = now_.status["startTime"];
    if (!completion.is_null() && set(old_.status, "completionTime") && changed("completionTime"))
      f_.invalid(status_.child("completionTime"), completion, "field is immutable");
    if (set(old_.status, "startTime") && changed("startTime") && !now_.spec["suspend"].as_bool())
      f_.invalid(status_.child("startTime"), start, "field is immutable for unsuspended job once set");
    if (old_.met && !now_.met) refuse("cannot disable the SuccessCriteriaMet=True condition");
    if (old_.complete && !old_.met && now_.met) refuse("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions");
  }

  void fewer(const char* count) {
    std::int64_t now = now_.status[count].as_int();
    if (now < old_.status[count].as_int()) f_.invalid(status_.child(count), now, fmt::format("cannot decrease the {} counter", count));
  }

  Findings& f_;
  JudgedJob now_, old_;
  const Path status_{"status"};
  const Path conditions_ = status_.child("conditions");
};

}  // namespace

Indexes read_indexes(std::string_view written, std::int64_t completions) {
  Indexes out;
  if (written.empty()) return out;
  std::optional<std::int64_t> last;
  for (std::string_view part : split(written, ',')) {
    IndexInterval one = read_interval(part, completions);
    if (!one.error.empty()) return {0, one.error};
    if (last && *last >= one.first) return {0, fmt::format("non-increasing order, previous: {}, current: {}", *last, one.first)};
    out.total += one.last - one.first + 1;
    last = one.last;
  }
  return out;
}

void job_status(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  JobStatusRules(f, object, old).run();
}

}  // namespace kybern::rules
