#include "controllers/resourcequota/reconcile.h"

#include <algorithm>

#include "controllers/objects.h"
#include "schema/schema.h"

namespace kybern::controllers::resourcequota {

std::vector<Counted> counted_by(Value quota) {
  std::vector<Counted> out;
  for (const schema::Resource& resource : schema::resources()) {
    if (!resource.namespaced || !(resource.verbs & schema::verb_list)) continue;
    if (std::any_of(out.begin(), out.end(), [&](const Counted& c) { return c.group == resource.group && c.plural == resource.plural; }))
      continue;
    bool counts = false;
    for (Member m : quota["spec"]["hard"].members()) counts = counts || kybern::quota::tracks({resource.group, resource.plural}, m.key);
    if (counts) out.push_back({std::string(resource.group), std::string(resource.version), std::string(resource.plural), {}});
  }
  return out;
}

Plan reconcile(const Document& quota, const std::vector<Counted>& counted) {
  Plan plan;
  plan.about = quota;
  plan.wake_after = resync;
  if (is_deleting(quota)) return plan;
  kybern::quota::Amounts used;
  for (const Counted& kind : counted) {
    const kybern::quota::Kind of{kind.group, kind.plural};
    for (const Document& object : kind.objects)
      if (kybern::quota::in_scopes(of, quota, object)) kybern::quota::add(used, kybern::quota::usage_of(of, object));
  }
  Draft wanted(quota);
  Draft status = Draft::object();
  if (quota["spec"]["hard"].exists()) {
    status["hard"] = quota["spec"]["hard"];
    status["used"] = Draft::object();
    for (Member m : quota["spec"]["hard"].members()) {
      auto found = used.find(std::string(m.key));
      status["used"][m.key] = found == used.end() ? std::string("0") : found->second.str();
    }
  }
  wanted["status"] = std::move(status);
  Document now = wanted.freeze();
  // As amounts, not as texts: 1000m is 1.
  const Value before = quota["status"];
  if (before["hard"] == now["status"]["hard"] &&
      kybern::quota::amounts_of(before["used"]) == kybern::quota::amounts_of(now["status"]["used"]))
    return plan;
  plan.status = replace_action("resourcequotas", now, "status");
  return plan;
}

bool changed(Value before, Value now) { return !(before["spec"] == now["spec"]) || !(now["spec"]["hard"] == now["status"]["hard"]); }

}  // namespace kybern::controllers::resourcequota
