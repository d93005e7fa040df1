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

ApiResult<void> add_scheduling(const AdmissionAttributes& a, Draft& spec, Value scheduling) {
  for (Member m : scheduling["nodeSelector"].members()) {
    Draft& selector = spec["nodeSelector"];
    if (const Draft* there = selector.find(m.key); there && there->as_string() != m.value.as_string())
      return fail(rejected(a, fmt::format("conflict: runtimeClass.scheduling.nodeSelector[{}] = {}; pod.spec.nodeSelector[{}] = {}", m.key, m.value.as_string(), m.key, there->as_string())));
    selector[m.key] = m.value;
  }
  for (Value toleration : scheduling["tolerations"].items()) {
    Draft& list = spec["tolerations"];
    bool there = list.is_array() && std::any_of(list.items().begin(), list.items().end(), [&](const Draft& t) { return t == Draft(toleration); });
    if (!there) list.push_back(toleration);
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
  if (given && fixed.empty()) return fail(rejected(a, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"));
  if (given && !same_amounts(*overhead, fixed)) return fail(rejected(a, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"));
  if (!fixed.empty()) spec["overhead"] = fixed;
  return add_scheduling(a, spec, found["scheduling"]);
}

}  // namespace kybern::apiserver::admission
