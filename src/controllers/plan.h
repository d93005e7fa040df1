// What a controller decided: a Plan, which is data. `reconcile` functions make plans from what is desired and what is
// observed, without clock, client or queue; the runner (run.h) carries them out. A plan can be compared, printed, and
// thrown away: the next reconcile makes another one from what is true then.
//
//   Plan plan = replicaset::reconcile(desired, observed);
//   describe(plan)  ->  "create pods d/web-* x3 (slow start); status replicasets d/web"
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"
#include "document/document.h"

namespace kybern::controllers {

// An event (core/v1 Event) to record about the plan's object. "{name}" in the message stands for the name of the object
// that was acted on, "{error}" for what the API answered.
struct Notice {
  std::string type, reason, message;
};

struct Action {
  enum class Verb { create, replace, merge_patch, strategic_patch, json_patch, erase };
  // How neighbours of the same kind are carried out. alone: one after the other; a failure ends the plan.
  // slow_start: in batches of 1, 2, 4, ... at once, until one fails. parallel: all at once, each is tried.
  enum class Pace { alone, slow_start, parallel };
  // An object that has to be there still, read from the API and not from a mirror, before the action is carried out.
  struct Guard {
    std::string api_version, resource, ns, name, uid, what;  // what: "ReplicaSet default/web", for the message

    Guard(std::string_view version, std::string_view plural, std::string_view in, std::string_view called, std::string_view id,
          std::string_view text)
        : api_version(version), resource(plural), ns(in), name(called), uid(id), what(text) {}
  };

  Verb verb = Verb::create;
  std::string api_version, resource, ns, name, subresource;  // name "" for create
  Document body;                                             // the object, the patch; of erase: DeleteOptions, with the preconditions
  Pace pace = Pace::alone;
  std::optional<Guard> guard;
  std::optional<Notice> done, failed;
  Document about;               // whom these two are about, when it is not the plan's object
  bool gone_is_fine = false;    // 404 counts as success
  bool exists_is_fine = false;  // 409 AlreadyExists counts as success
};

// Why the last attempt of a plan ended early.
struct Failure {
  Action::Verb verb = Action::Verb::create;
  std::string resource, name, reason, message;  // of the Status
  int code = 0;
};

struct Plan {
  Document about;                // whom events are about
  std::vector<Action> actions;   // in this order
  std::optional<Action> status;  // written when no action is left to do, or when one failed
  std::vector<Notice> notices;
  std::optional<Duration> wake_after;  // look again after this time
};

// Builders.
Action create_action(std::string_view resource, const Document& object);  // namespace and apiVersion are the object's
Action replace_action(std::string_view resource, const Document& object,
                      std::string_view subresource = {});                                         // carries the object's resourceVersion
Action erase_action(std::string_view resource, Value object, std::string_view propagation = {});  // precondition: the object's uid
Action patch_action(Action::Verb verb, std::string_view resource, Value object, Document patch, std::string_view subresource = {});

std::string describe(const Action& action);
std::string describe(const Plan& plan);

}  // namespace kybern::controllers
