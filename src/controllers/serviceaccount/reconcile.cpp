#include "controllers/serviceaccount/reconcile.h"

#include "controllers/objects.h"

namespace kybern::controllers::serviceaccount {

Plan reconcile(const Document& ns, const Document& account) {
  Plan plan;
  if (account || is_deleting(ns) || ns["status"]["phase"].as_string() == "Terminating") return plan;
  Draft made = Draft::object({{"apiVersion", "v1"}, {"kind", "ServiceAccount"}});
  made["metadata"] = Draft::object({{"name", "default"}, {"namespace", name_of(ns)}});
  Action action = create_action("serviceaccounts", made.freeze());
  action.exists_is_fine = true;
  plan.actions.push_back(std::move(action));
  return plan;
}

}  // namespace kybern::controllers::serviceaccount
