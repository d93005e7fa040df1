// RuntimeClass (KEP-585, KEP-688): the class that a pod names adds its overhead and where such pods may run.
#include <fmt/format.h>

#include <algorithm>

#include "apiserver/admission/plugins.h"
#include "machinery/quantity.h"

namespace kybern::apiserver::admission {
namespace {

Status rejected(const AdmissionAttributes& a, std::string why) { return forbidden("", "pods", a.work.name, why); }

bool same_amounts(const Draft& given, Value wanted) {
  if (!given.is_object() || given.size() != wanted.size()) return false;
  for (Member m : wanted.members()) {
    const Draft* one = given.find(m.key);
    if (!one || Quantity::parse(one->as_string()).value_or(Quantity(-1)) != Quantity::of(m.value)) return false;
  }
  return true;
}

// Whether everything that `t` tolerates is tolerated by `wide` too.
bool covers(Value wide, Value t) {
  if (wide == t) return true;
  std::string_view op = wide["operator"].as_string(), effect = wide["effect"].as_string();
  if (wide["key"].as_string() != t["key"].as_string() && !(wide["key"].as_string().empty() && op == "Exists")) return false;
  if (!effect.empty() && effect != t["effect"].as_string()) return false;
  Value limit = wide["tolerationSeconds"], seconds = t["tolerationSeconds"];
  if (effect == "NoExecute" && !limit.is_null() && (seconds.is_null() || seconds.as_int() > limit.as_int())) return false;
  if (op == "Exists") return true;
  return (op.empty() || op == "Equal") && t["operator"].as_string() == "Equal" && t["value"].as_string() == wide["value"].as_string();
}

// The pod's and the class's tolerations without those that another one covers; of equal ones the first stays.
Draft merged_tolerations(Value own, Value added) {
  std::vector<Value> all, kept;
  for (Value list : {own, added})
    for (Value t : list.items()) all.push_back(t);
  for (std::size_t i = 0; i < all.size(); ++i) {
    bool redundant = std::any_of(kept.begin(), kept.end(), [&](Value k) { return covers(k, all[i]); });
    for (std::size_t j = i + 1; j < all.size() && !redundant; ++j) redundant = !(all[j] == all[i]) && covers(all[j], all[i]);
    if (!redundant) kept.push_back(all[i]);
  }
  Draft out = Draft::array();
  for (Value t : kept) out.push_back(t);
  return out;
}

ApiResult<void> add_scheduling(const AdmissionAttributes& a, Draft& spec, Value scheduling) {
  for (Member m : scheduling["nodeSelector"].members()) {
    Draft& selector = spec["nodeSelector"];
    if (const Draft* there = selector.find(m.key); there && there->as_string() != m.value.as_string())
      return fail(rejected(a, fmt::format("conflict: runtimeClass.scheduling.nodeSelector[{}] = {}; pod.spec.nodeSelector[{}] = {}", m.key,
                                          m.value.as_string(), m.key, there->as_string())));
    selector[m.key] = m.value;
  }
  if (!scheduling["tolerations"].empty()) {
    Document own;
    if (const Draft* list = spec.find("tolerations"); list && list->is_array()) own = list->freeze();
    spec["tolerations"] = merged_tolerations(own, scheduling["tolerations"]);
  }
  return {};
}

}  // namespace

ApiResult<void> runtime_class(const AdmissionAttributes& a, Draft& pod) {
  if (a.operation != "CREATE" || !a.work.is("", "pods") || !a.work.subresource.empty()) return {};
  Draft& spec = pod["spec"];
  const Draft* named = spec.find("runtimeClassName");
  std::string name(named ? named->as_string() : "");
  Document found;
  if (!name.empty()) {
    found = a.work.registry.read("node.k8s.io", "v1", "runtimeclasses", "", name);
    if (!found) return fail(rejected(a, fmt::format("pod rejected: RuntimeClass \"{}\" not found", name)));
  }
  const Draft* overhead = spec.find("overhead");
  bool given = overhead && !overhead->is_null() && overhead->size() > 0;
  Value fixed = found["overhead"]["podFixed"];
  if (given && fixed.empty())
    return fail(rejected(a, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"));
  if (given && !same_amounts(*overhead, fixed))
    return fail(rejected(a, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"));
  if (!fixed.empty()) spec["overhead"] = fixed;
  return add_scheduling(a, spec, found["scheduling"]);
}

}  // namespace kybern::apiserver::admission
