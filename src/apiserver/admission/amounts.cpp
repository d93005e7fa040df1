#include "apiserver/admission/amounts.h"

namespace kybern::apiserver::admission {

Amounts amounts_of(Value object) {
  Amounts out;
  for (Member m : object.members()) out[std::string(m.key)] = Quantity::of(m.value);
  return out;
}

void add(Amounts& to, const Amounts& more) {
  for (const auto& [name, amount] : more) to[name] += amount;
}

void raise(Amounts& to, const Amounts& at_least) {
  for (const auto& [name, amount] : at_least)
    if (auto found = to.find(name); found == to.end()) to.emplace(name, amount);
    else if (found->second < amount) found->second = amount;
}

Amounts amounts_of_pod(Value spec, std::string_view field, bool overhead) {
  Amounts out, sidecars, largest;
  for (Value c : spec["containers"].items()) add(out, amounts_of(c["resources"][field]));
  for (Value c : spec["initContainers"].items()) {
    Amounts one = amounts_of(c["resources"][field]);
    if (c["restartPolicy"].as_string() == "Always") {
      add(out, one);
      add(sidecars, one);
      raise(largest, sidecars);
    } else {
      // It runs beside the sidecars that were started before it.
      add(one, sidecars);
      raise(largest, one);
    }
  }
  raise(out, largest);
  for (auto& [name, amount] : amounts_of(spec["resources"][field])) out[name] = amount;
  if (overhead)
    for (auto& [name, amount] : amounts_of(spec["overhead"]))
      if (field == "requests" || out.contains(name)) out[name] += amount;
  return out;
}

}  // namespace kybern::apiserver::admission
