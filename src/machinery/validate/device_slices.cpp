// What drivers offer: the slices of their pools of devices (resource.k8s.io).
#include <fmt/format.h>
#include <re2/re2.h>

#include "base/strings.h"
#include "machinery/validate/device_rules.h"

namespace kybern::rules {
namespace {

constexpr std::size_t devices_max = 128, advanced_devices_max = 64, taints_max = 16, counter_sets_max = 8, counters_max = 32,
                      consumptions_max = 2, attribute_max_bytes = 64, label_max_bytes = 63, policy_values_max = 10,
                      attribute_key_max_bytes = 63 + 1 + identifier_max_bytes;

// The middle of a long key is left out of a path.
std::string shortened(std::string_view key, std::size_t max) {
  if (key.size() <= max) return std::string(key);
  std::size_t kept = max - 3;
  return fmt::format("{}...{}", key.substr(0, (kept + 1) / 2), key.substr(key.size() - kept / 2));
}

void version(Findings& f, std::string_view value, const Path& path) {
  static const RE2 semantic(
      R"(^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$)");
  if (!RE2::PartialMatch(std::string(value), semantic)) f.invalid(path, value, "must be a string compatible with semver.org spec 2.0.0");
  if (value.size() > attribute_max_bytes) f.too_long(path, attribute_max_bytes);
}

void attribute(Findings& f, Value value, const Path& path) {
  int kinds = 0;
  for (const char* kind : {"bool", "int", "string", "version"}) kinds += set(value, kind);
  if (text(value, "string").size() > attribute_max_bytes) f.too_long(path.child("string"), attribute_max_bytes);
  if (set(value, "version")) version(f, text(value, "version"), path.child("version"));
  if (kinds == 0) f.invalid(path, "", "exactly one value must be specified");
  else if (kinds > 1) f.invalid(path, value, "exactly one value must be specified");
}

bool whole_steps(const Quantity& from, const Quantity& to, const Quantity& step) {
  return step.value() != 0 && (to.value() - from.value()) % step.value() == 0;
}

void policy_range(Findings& f, Value range, const Quantity& usual, const Quantity& all, const Path& path) {
  if (!set(range, "min")) return f.required(path.child("min"), "required when validRange is defined");
  Quantity least = Quantity::of(range["min"]), most = Quantity::of(range["max"]), step = Quantity::of(range["step"]);
  if (least > all) f.invalid(path.child("min"), least.str(), fmt::format("min is larger than capacity value: {}", all.str()));
  if (usual < least) f.invalid(path.child("default"), usual.str(), fmt::format("default is less than min: {}", least.str()));
  if (set(range, "max")) {
    if (least > most) f.invalid(path.child("max"), least.str(), fmt::format("min is larger than max: {}", most.str()));
    if (most > all) f.invalid(path.child("max"), most.str(), fmt::format("max is larger than capacity value: {}", all.str()));
    if (usual > most) f.invalid(path.child("default"), usual.str(), fmt::format("default is more than max: {}", most.str()));
  }
  if (!set(range, "step")) return;
  Path at = path.child("step");
  if (step.sign() <= 0) return f.invalid(at, step.str(), "must be greater than zero");
  Quantity next = least;
  next += step;
  if (next > all) f.invalid(at, step.str(), fmt::format("one step {} is larger than capacity value: {}", next.str(), all.str()));
  auto stepped = [&](const Quantity& to) {
    if (!whole_steps(least, to, step))
      f.invalid(at, to.str(), fmt::format("value is not a multiple of a given step ({}) from ({})", step.str(), least.str()));
  };
  stepped(usual);
  if (set(range, "max")) stepped(most);
}

void policy_values(Findings& f, Value values, const Quantity& usual, const Quantity& all, const Path& path) {
  bool found = false;
  for (std::size_t i = 0; i + 1 < values.size(); ++i) {
    Quantity next = Quantity::of(values[i + 1]);
    if (Quantity::of(values[i]) > next) f.invalid(path.index(i + 1), next.str(), "values must be sorted in ascending order");
  }
  if (values.size() > policy_values_max) {
    f.too_many(path, values.size(), policy_values_max);
  } else {
    for (std::size_t i = 0; i < values.size(); ++i) {
      Quantity value = Quantity::of(values[i]);
      if (value > all) f.invalid(path.index(i), value.str(), fmt::format("option is larger than capacity value: {}", all.str()));
      found = found || value == usual;
    }
    Seen seen;
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::string value = fmt::format("{}", Quantity::of(values[i]).value());
      if (!seen.insert(value).second) f.duplicate(path.index(i), value);
    }
  }
  if (!found) f.invalid(path, usual.str(), "default value is not valid according to the requestPolicy");
}

void capacity_policy(Findings& f, Value capacity, bool shared, const Path& path) {
  Value policy = capacity["requestPolicy"], values = policy["validValues"];
  if (policy.is_null()) return;
  Path at = path.child("requestPolicy");
  if (!shared) return f.forbidden(at, "allowMultipleAllocations must be true");
  bool range = set(policy, "validRange"), usual = set(policy, "default");
  Quantity all = Quantity::of(capacity["value"]), amount = Quantity::of(policy["default"]);
  if (!values.empty() && range)
    return f.forbidden(at, R"(exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time)");
  if (!values.empty() && !usual) f.required(at.child("default"), "required when validValues is defined");
  else if (!values.empty()) policy_values(f, values, amount, all, at.child("validValues"));
  else if (range && !usual) f.required(at.child("default"), "required when validRange is defined");
  else if (range) policy_range(f, policy["validRange"], amount, all, at.child("validRange"));
}

void counters(Findings& f, Value amounts, const Path& path) {
  if (amounts.empty()) return f.required(path);
  if (amounts.size() > counters_max) return f.too_many(path, amounts.size(), counters_max);
  for (Member amount : amounts.members()) dns_label(f, amount.key, path);
}

void counter_set(Findings& f, std::string_view name, const char* field, Value amounts, const Path& path) {
  if (name.empty()) f.required(path.child(field));
  else dns_label(f, name, path.child(field));
  counters(f, amounts, path.child("counters"));
}

void device_taints(Findings& f, Value list, const Path& path) {
  if (list.size() > taints_max) return f.too_many(path, list.size(), taints_max);
  std::size_t i = 0;
  for (Value taint : list.items()) {
    Path at = path.index(i++);
    f.add(validate_label_name(text(taint, "key"), at.child("key")));
    f.say(at.child("value"), text(taint, "value"), names::label_value(text(taint, "value")));
    f.one_of(at.child("effect"), text(taint, "effect"), {"NoExecute", "NoSchedule", "None"});
  }
}

// Which nodes reach a slice or a device. Answers the fields that say so: "`nodeName`, `allNodes`".
std::vector<std::string> reach(Findings& f, Value where, bool whole_slice, const Path& path) {
  constexpr const char* only_true = "must be either unset or set to true";
  std::vector<std::string> out;
  if (Value name = where["nodeName"]; !name.is_null()) {
    Path at = path.child("nodeName");
    if (name.as_string().empty())
      f.invalid(at, "", whole_slice ? "must be either unset or set to a non-empty string" : "must not be empty");
    else out.push_back("`nodeName`"), dns_subdomain(f, name.as_string(), at);
  }
  if (Value selector = where["nodeSelector"]; !selector.is_null()) {
    Path at = path.child("nodeSelector");
    out.push_back("`nodeSelector`");
    node_selector(f, selector, at);
    Value terms = selector["nodeSelectorTerms"];
    if (whole_slice && terms.size() != 1) f.invalid(at.child("nodeSelectorTerms"), terms, "must have exactly one node selector term");
  }
  for (const char* flag : {"allNodes", "perDeviceNodeSelection"}) {
    Value given = where[flag];
    if (given.is_null() || (!whole_slice && std::string_view(flag) == "perDeviceNodeSelection")) continue;
    if (given.as_bool()) out.push_back(fmt::format("`{}`", flag));
    else f.invalid(path.child(flag), given, only_true);
  }
  return out;
}

std::string braced(const std::vector<std::string>& fields) { return fmt::format("{{{}}}", join(fields, ", ")); }

void device_reach(Findings& f, Value device, bool per_device, const Path& path) {
  constexpr const char* one =
      "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the "
      "ResourceSlice spec";
  if (!per_device) {
    if (set(device, "nodeName") || set(device, "nodeSelector") || set(device, "allNodes"))
      f.invalid(path, Value(),
                "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the "
                "ResourceSlice spec");
    return;
  }
  std::vector<std::string> fields = reach(f, device, false, path);
  if (fields.empty()) f.required(path, one);
  else if (fields.size() > 1) f.invalid(path, braced(fields), one);
}

void device(Findings& f, Value device, Value old, bool per_device, const Path& path) {
  dns_label(f, text(device, "name"), path.child("name"));
  Value attributes = device["attributes"], capacities = device["capacity"], consumed = device["consumesCounters"];
  Path attribute_path = path.child("attributes"), capacity_path = path.child("capacity"), consumed_path = path.child("consumesCounters");
  if (std::size_t count = attributes.size() + capacities.size(); count > attributes_max)
    f.invalid(path, static_cast<std::int64_t>(count),
              fmt::format("the total number of attributes and capacities must not exceed {}", attributes_max));
  for (Member one : attributes.members()) {
    std::string key = shortened(one.key, attribute_key_max_bytes);
    qualified_attribute(f, one.key, attribute_path);
    attribute(f, one.value, attribute_path.key(key));
  }
  if (old.is_null() || !same(old["capacity"], capacities)) {
    for (Member one : capacities.members()) {
      std::string key = shortened(one.key, attribute_key_max_bytes);
      qualified_attribute(f, one.key, capacity_path);
      capacity_policy(f, one.value, device["allowMultipleAllocations"].as_bool(), capacity_path.key(key));
    }
  }
  if (old.is_null() || !same(old["taints"], device["taints"])) device_taints(f, device["taints"], path.child("taints"));
  if (consumed.size() > consumptions_max) f.too_many(consumed_path, consumed.size(), consumptions_max);
  for (std::size_t i = 0; consumed.size() <= consumptions_max && i < consumed.size(); ++i)
    counter_set(f, text(consumed[i], "counterSet"), "counterSet", consumed[i]["counters"], consumed_path.index(i));
  if (consumed.size() <= consumptions_max) unique_names(f, consumed, "counterSet", consumed_path);
  device_reach(f, device, per_device, path);
  binding_conditions(f, device, path);
}

Value find_device(Value spec, std::string_view name) {
  for (Value device : spec["devices"].items()) {
    if (text(device, "name") == name) return device;
  }
  return {};
}

void devices(Findings& f, Value spec, Value old, const Path& path) {
  Value list = spec["devices"];
  bool advanced = false;
  for (Value one : list.items()) advanced = advanced || !one["taints"].empty() || !one["consumesCounters"].empty();
  std::size_t most = advanced ? advanced_devices_max : devices_max;
  if (list.size() > most) return f.too_many(path, list.size(), most);
  bool per_device = spec["perDeviceNodeSelection"].as_bool();
  for (std::size_t i = 0; i < list.size(); ++i) device(f, list[i], find_device(old, text(list[i], "name")), per_device, path.index(i));
  unique_names(f, list, "name", path);
}

void slice_spec(Findings& f, Value spec, Value old) {
  const Path path("spec");
  Path pool = path.child("pool"), counter_path = path.child("sharedCounters");
  csi_driver_name(f, text(spec, "driver"), path.child("driver"));
  pool_name(f, text(spec["pool"], "name"), pool.child("name"));
  std::int64_t slices = spec["pool"]["resourceSliceCount"].as_int(), generation = spec["pool"]["generation"].as_int();
  if (slices <= 0) f.invalid(pool.child("resourceSliceCount"), slices, "must be greater than zero");
  if (generation < 0) f.invalid(pool.child("generation"), generation, "must be greater than or equal to zero");
  if (!old.is_null()) {
    f.add(validate_immutable(spec["pool"]["name"], old["pool"]["name"], pool.child("name")));
    for (const char* field : {"driver", "nodeName"}) f.add(validate_immutable(spec[field], old[field], path.child(field)));
  }
  constexpr const char* one = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
  std::vector<std::string> fields = reach(f, spec, true, path);
  if (fields.empty()) f.required(path, one);
  else if (fields.size() > 1) f.invalid(path, braced(fields), fmt::format("{}, but multiple fields are set", one));
  if (set(spec, "sharedCounters") && set(spec, "devices")) f.invalid(path, "", "only one of `sharedCounters` or `devices` is allowed");
  devices(f, spec, old, path.child("devices"));
  Value sets = spec["sharedCounters"];
  if (sets.size() > counter_sets_max) return f.too_many(counter_path, sets.size(), counter_sets_max);
  for (std::size_t i = 0; i < sets.size(); ++i) counter_set(f, text(sets[i], "name"), "name", sets[i]["counters"], counter_path.index(i));
  unique_names(f, sets, "name", counter_path);
}

}  // namespace

void resource_slice_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  slice_spec(f, object["spec"], {});
}

void resource_slice_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  slice_spec(f, object["spec"], old["spec"]);
}

}  // namespace kybern::rules
