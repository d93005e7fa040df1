#include "controllers/plan.h"

#include <fmt/format.h>

namespace kybern::controllers {
namespace {

Action for_object(Action::Verb verb, std::string_view resource, Value object) {
  Action action;
  action.verb = verb;
  action.api_version = object["apiVersion"].str();
  action.resource = resource;
  action.ns = object["metadata"]["namespace"].str();
  action.name = object["metadata"]["name"].str();
  return action;
}

}  // namespace

Action create_action(std::string_view resource, const Document& object) {
  Action action = for_object(Action::Verb::create, resource, object);
  action.name.clear();
  action.body = object;
  return action;
}

Action replace_action(std::string_view resource, const Document& object, std::string_view subresource) {
  Action action = for_object(Action::Verb::replace, resource, object);
  action.subresource = subresource;
  action.body = object;
  return action;
}

Action erase_action(std::string_view resource, Value object, std::string_view propagation) {
  Action action = for_object(Action::Verb::erase, resource, object);
  Draft options = Draft::object({{"kind", "DeleteOptions"}, {"apiVersion", "v1"}});
  options["preconditions"] = Draft::object({{"uid", object["metadata"]["uid"]}});
  if (!propagation.empty()) options["propagationPolicy"] = propagation;
  action.body = options.freeze();
  action.gone_is_fine = true;
  return action;
}

Action patch_action(Action::Verb verb, std::string_view resource, Value object, Document patch, std::string_view subresource) {
  Action action = for_object(verb, resource, object);
  action.subresource = subresource;
  action.body = std::move(patch);
  return action;
}

std::string describe(const Action& action) {
  const char* verb = "";
  switch (action.verb) {
    case Action::Verb::create: verb = "create"; break;
    case Action::Verb::replace: verb = "replace"; break;
    case Action::Verb::merge_patch:
    case Action::Verb::strategic_patch:
    case Action::Verb::json_patch: verb = "patch"; break;
    case Action::Verb::erase: verb = "delete"; break;
  }
  std::string name = action.name;
  if (action.verb == Action::Verb::create) {
    const Value meta = action.body["metadata"];
    name = meta["name"].exists() ? meta["name"].str() : meta["generateName"].str() + "*";
  }
  return fmt::format("{} {}{}{} {}{}{}", verb, action.resource, action.subresource.empty() ? "" : "/", action.subresource, action.ns,
                     action.ns.empty() ? "" : "/", name);
}

// Equal neighbours are counted: "create pods d/web-* x3".
std::string describe(const Plan& plan) {
  std::string out;
  const auto add = [&](const std::string& text) {
    if (!out.empty()) out += "; ";
    out += text;
  };
  for (std::size_t i = 0; i < plan.actions.size();) {
    const std::string text = describe(plan.actions[i]);
    std::size_t end = i + 1;
    while (end < plan.actions.size() && describe(plan.actions[end]) == text) ++end;
    add(end - i > 1 ? fmt::format("{} x{}", text, end - i) : text);
    i = end;
  }
  if (plan.status) add("status " + plan.status->resource);
  for (const Notice& notice : plan.notices) add("event " + notice.reason);
  if (plan.wake_after) add("wake after " + format_duration(*plan.wake_after));
  return out;
}

}  // namespace kybern::controllers
