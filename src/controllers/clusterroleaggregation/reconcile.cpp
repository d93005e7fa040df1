#include "controllers/clusterroleaggregation/reconcile.h"

#include <algorithm>

#include "controllers/objects.h"
#include "machinery/labels.h"

namespace kybern::controllers::clusterroleaggregation {
namespace {

Document collected(Value role, const std::vector<Document>& ordered) {
  Draft rules = Draft::array();
  for (Value of : role["aggregationRule"]["clusterRoleSelectors"].items()) {
    auto selector = LabelSelector::from(of);
    if (!selector) continue;  // validation lets none of these in
    for (const Document& part : ordered) {
      if (name_of(part) == name_of(role) || !selector->matches(part["metadata"]["labels"])) continue;
      for (Value rule : part["rules"].items())
        if (const Draft one(rule); std::find(rules.items().begin(), rules.items().end(), one) == rules.items().end()) rules.push_back(one);
    }
  }
  return rules.freeze();
}

}  // namespace

Plan reconcile(std::vector<Document> roles) {
  std::sort(roles.begin(), roles.end(), [](const Document& a, const Document& b) { return name_of(a) < name_of(b); });
  Plan plan;
  for (const Document& role : roles) {
    if (!role["aggregationRule"].is_object() || is_deleting(role)) continue;
    const Document rules = collected(role, roles);
    if (role["rules"] == rules.root() || (role["rules"].empty() && rules.root().empty())) continue;
    Draft now(role);
    now["rules"] = rules.root();
    Action action = replace_action("clusterroles", now.freeze());
    action.pace = Action::Pace::parallel;  // one that cannot be written keeps none of the others back
    plan.actions.push_back(std::move(action));
  }
  return plan;
}

}  // namespace kybern::controllers::clusterroleaggregation
