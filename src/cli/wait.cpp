// wait: until objects meet a condition, have a field's value, or are gone.
#include <fmt/format.h>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/jsonpath.h"
#include "cli/subjects.h"

namespace kybern::cli {
namespace {

struct Goal {
  enum class Type { gone, created, condition, path } type = Type::condition;
  std::string name, value;  // of a condition
  bool any_value = false;   // of a path: that it is there is enough
  std::optional<JsonPath> path;

  bool met(Value object) const {
    if (type == Type::created) return true;
    if (type == Type::condition) {
      for (Value condition : object["status"]["conditions"].items()) {
        if (!equals_ignore_case(condition["type"].as_string(), name)) continue;
        const Value seen =
            condition["observedGeneration"].exists() ? condition["observedGeneration"] : object["status"]["observedGeneration"];
        if (seen.exists() && seen.as_int() < object["metadata"]["generation"].as_int()) return false;  // it speaks of an older state
        return equals_ignore_case(condition["status"].as_string(), value);
      }
      return false;
    }
    for (Value found : path->find(object)) {
      if (any_value) return true;
      if (plain_text(found) == value) return true;
    }
    return false;
  }
  bool leads_into(Value object) const {  // to no single value
    if (type != Type::path || any_value) return false;
    for (Value found : path->find(object))
      if (found.is_object() || found.is_array()) return true;
    return false;
  }
};

Result<Goal> read_goal(std::string_view text) {
  Goal out;
  if (equals_ignore_case(text, "delete")) return out.type = Goal::Type::gone, out;
  if (equals_ignore_case(text, "create")) return out.type = Goal::Type::created, out;
  if (text.starts_with("condition=")) {
    const std::string_view rest = text.substr(10);
    const std::size_t equals = rest.find('=');
    out.name = std::string(rest.substr(0, equals));
    out.value = equals == std::string_view::npos ? "true" : std::string(rest.substr(equals + 1));
    return out;
  }
  if (text.starts_with("jsonpath=")) {
    std::string_view rest = text.substr(9);
    if (rest.size() >= 2 && (rest.front() == '\'' || rest.front() == '"') && rest.back() == rest.front())
      rest = rest.substr(1, rest.size() - 2);
    const std::size_t brace = rest.rfind('}');
    std::size_t equals = rest.find('=', brace == std::string_view::npos ? 0 : brace);
    std::string_view expression = rest.substr(0, equals);
    if (expression.size() >= 2 && expression.front() == '\'' && expression.back() == '\'')
      expression = expression.substr(1, expression.size() - 2);
    if (equals == std::string_view::npos) {
      out.any_value = true;
    } else {
      std::string_view value = rest.substr(equals + 1);
      if (value.size() >= 2 && (value.front() == '\'' || value.front() == '"') && value.back() == value.front())
        value = value.substr(1, value.size() - 2);
      if (value.empty())
        return fail(Code::invalid,
                    "error: jsonpath wait has to have a value after equal sign, like --for=jsonpath='{.status.readyReplicas}'=3");
      out.value = std::string(value);
    }
    if (expression.empty()) return fail(Code::invalid, "error: jsonpath expression cannot be empty");
    auto path = JsonPath::parse_relaxed(expression);
    if (!path) return fail(Code::invalid, "error: " + path.error().message);
    out.type = Goal::Type::path;
    out.path = *std::move(path);
    return out;
  }
  return fail(Code::invalid, "error: unrecognized condition: " + go_quote(text));
}

Result<void> wait_one(Session& session, const Subject& subject, const Goal& goal, Deadline deadline, bool once) {
  const std::string path = subject.type->path(subject.ns), query = name_query(subject.name);
  Error erased;
  Observer observer;
  if (goal.type == Goal::Type::gone) {
    const std::string uid = subject.object["metadata"]["uid"].str();
    observer.seen = [&, uid](std::string_view type, Value object) {
      return type == "DELETED" || (!uid.empty() && object["metadata"]["uid"].as_string() != uid);
    };
    observer.listed = [](std::size_t count) { return count == 0; };
  } else {
    observer.seen = [&](std::string_view type, Value object) {
      if (type == "DELETED")
        return erased = shown(not_found(subject.type->group, subject.type->plural, subject.name)), goal.type != Goal::Type::created;
      if (goal.leads_into(object))
        return erased = Error{Code::invalid, "error: jsonpath leads to a nested object or list which is not supported"}, true;
      return goal.met(object);
    };
    if (goal.type != Goal::Type::created)
      observer.listed = [&](std::size_t count) {
        return count == 0 && (erased = shown(not_found(subject.type->group, subject.type->plural, subject.name)), true);
      };
  }
  auto met = observe(session, path, query, deadline, observer);
  if (!met) return std::unexpected(met.error());
  if (!*met && goal.type == Goal::Type::created) return fail(Code::timeout, "error: timed out waiting for the condition");
  if (!*met)
    return fail(Code::timeout, (once ? "error: condition not met for " : "error: timed out waiting for the condition on ") +
                                   subject.type->plural + "/" + subject.name);
  if (!erased.message.empty()) return std::unexpected(erased);
  return {};
}

Result<int> wait(Session& session, const Arguments& arguments) {
  if (arguments.list("for").empty()) return refuse("unrecognized condition: \"\"");
  std::vector<Goal> goals;
  for (const std::string& text : arguments.list("for")) {
    auto goal = read_goal(text);
    if (!goal) return std::unexpected(goal.error());
    goals.push_back(*std::move(goal));
  }
  auto timeout = arguments.duration("timeout");
  if (!timeout) return std::unexpected(timeout.error());
  if (timeout->count() < 0) *timeout = std::chrono::hours(24 * 7);
  const bool once = timeout->count() == 0;
  const Deadline deadline = deadline_after(*timeout);
  const bool gone = goals[0].type == Goal::Type::gone, created = goals[0].type == Goal::Type::created;
  auto subjects = select(session, arguments, arguments.words, {.fetch = !gone && !created, .manifests_from_server = !gone && !created});
  if (!subjects) return std::unexpected(subjects.error());
  if (subjects->empty()) {
    if (gone) return 0;
    return refuse("no matching resources found");
  }
  std::vector<std::string> errors;
  for (Subject& subject : *subjects) {
    if (gone) {
      auto now = session.call("GET", subject.path());
      if (!now && now.error().code == 404) continue;
      if (now) subject.object = *now;
    }
    Result<void> done;
    for (const Goal& goal : goals) {
      done = wait_one(session, subject, goal, deadline, once);
      if (!done) break;
    }
    if (!done) {
      errors.push_back(done.error().message);
      continue;
    }
    if (arguments.text("output") == "name") fmt::print("{}\n", subject.shown());
    else fmt::print("{} condition met\n", subject.shown());
    std::fflush(stdout);
  }
  if (errors.size() > 1)  // several are listed without the word that one begins with
    for (std::string& error : errors)
      if (error.starts_with("error: ")) error.erase(0, 7);
  if (!errors.empty()) return fail(Code::timeout, join(errors, "\n"));
  return 0;
}

}  // namespace

Command wait_command() {
  using namespace flags;
  return {
      "wait",
      "wait until objects meet a condition",
      "(TYPE/NAME... | TYPE --all | -l SELECTOR) --for=CONDITION [--timeout=30s]",
      {texts("for", "condition=NAME[=VALUE], jsonpath='{PATH}'[=VALUE], delete or create"),
       duration("timeout", "how long to wait; 0: look once; negative: a week", "30s"), boolean("all", "all of the type in the namespace"),
       boolean("all-namespaces", "of all namespaces", false, 'A'), selector(), field_selector(), filename(), recursive(), output()},
      wait};
}

}  // namespace kybern::cli
