// Claims for devices and their templates, classes of devices (resource.k8s.io). What drivers offer: device_slices.cpp.
#include <fmt/format.h>

#include <map>

#include "base/strings.h"
#include "document/json.h"
#include "machinery/cel/cel.h"
#include "machinery/cel/functions.h"
#include "machinery/validate/device_rules.h"

namespace kybern::rules {
namespace {

constexpr std::size_t requests_max = 32, constraints_max = 32, configs_max = 32, selectors_max = 32, alternatives_max = 8, results_max = 32,
                      reservations_max = 256, device_tolerations_max = 16, expression_max_bytes = 10 * 1024,
                      parameters_max_bytes = 10 * 1024, status_conditions_max = 8, status_data_max_bytes = 10 * 1024, addresses_max = 16,
                      interface_name_max_bytes = 256, hardware_address_max_bytes = 128;
constexpr std::uint64_t selector_cost_max = 1'000'000;
constexpr const char* request_reference =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

// Requests by name, each with the names of its alternatives.
using RequestNames = std::map<std::string, std::set<std::string, std::less<>>, std::less<>>;

RequestNames request_names(Value devices) {
  RequestNames out;
  for (Value request : devices["requests"].items()) {
    auto& alternatives = out[request["name"].str()];
    for (Value one : request["firstAvailable"].items()) alternatives.insert(one["name"].str());
  }
  return out;
}

bool names_request(const RequestNames& known, const std::vector<std::string_view>& parts) {
  auto request = known.find(parts[0]);
  return request != known.end() && (parts.size() == 1 || request->second.contains(parts[1]));
}

void request_name(Findings& f, std::string_view name, const RequestNames& known, const Path& path) {
  std::vector<std::string_view> parts = split(name, '/');
  if (parts.size() > 2) return f.invalid(path, name, request_reference);
  for (std::string_view part : parts) dns_label(f, part, path);
  if (!names_request(known, parts)) f.invalid(path, name, request_reference);
}

void request_references(Findings& f, Value list, const RequestNames& known, const Path& path) {
  if (list.size() > requests_max) return f.too_many(path, list.size(), requests_max);
  for (std::size_t i = 0; i < list.size(); ++i) request_name(f, list[i].as_string(), known, path.index(i));
  Seen seen;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!seen.emplace(list[i].as_string()).second) f.duplicate(path.index(i), list[i].as_string());
  }
}

// What an expression may ask of a device: its driver, and attributes and capacities by domain and name.
const cel::Environment& device_environment() {
  static const cel::Environment made = [] {
    static cel::TypePool pool;
    auto by_domain = [](const cel::Type* of) {
      cel::Type *inner = pool.make(cel::TypeKind::map), *outer = pool.make(cel::TypeKind::map);
      inner->params = {&cel::types::string, of};
      outer->params = {&cel::types::string, inner};
      inner->max_size = outer->max_size = attributes_max;
      return outer;
    };
    cel::Type* device = pool.make(cel::TypeKind::object);
    device->name = "kubernetes.DRADevice";
    device->fields = {{"allowMultipleAllocations", "allowMultipleAllocations", &cel::types::boolean},
                      {"attributes", "attributes", by_domain(&cel::types::dyn)},
                      {"capacity", "capacity", by_domain(cel::named_type("kubernetes.Quantity"))},
                      {"driver", "driver", &cel::types::string}};
    cel::Environment environment;
    environment.declare("device", device);
    environment.allow_bindings();
    return environment;
  }();
  return made;
}

void expression(Findings& f, std::string_view written, const Path& path) {
  if (written.size() > expression_max_bytes) return f.too_long(path, expression_max_bytes);
  auto program = cel::Program::compile(device_environment(), written);
  if (!program) return f.invalid(path, written, "compilation failed: " + program.error());
  cel::TypeKind kind = program->type()->kind;
  if (kind != cel::TypeKind::boolean && kind != cel::TypeKind::dyn)
    return f.invalid(path, written, fmt::format("must evaluate to bool or the unknown type, not {}", program->type()->str()));
  if (program->estimate().high > selector_cost_max) f.forbidden(path, "too complex, exceeds cost limit");
}

// `settled`: stored like this, so its expressions were judged when they were written.
void selectors(Findings& f, Value list, bool settled, const Path& path) {
  if (list.size() > selectors_max) return f.too_many(path, list.size(), selectors_max);
  std::size_t i = 0;
  for (Value selector : list.items()) {
    Path at = path.index(i++), cel = at.child("cel");
    if (!set(selector, "cel")) f.required(cel);
    else if (!settled) expression(f, text(selector["cel"], "expression"), cel.child("expression"));
  }
}

void device_tolerations(Findings& f, Value list, const Path& path) {
  if (list.size() > device_tolerations_max) return f.too_many(path, list.size(), device_tolerations_max);
  std::size_t i = 0;
  for (Value toleration : list.items()) {
    Path at = path.index(i++);
    std::string_view key = text(toleration, "key"), op = text(toleration, "operator"), value = text(toleration, "value"),
                     effect = text(toleration, "effect");
    if (!key.empty()) f.add(validate_label_name(key, at.child("key")));
    if (op == "Exists" && !value.empty()) f.invalid(at.child("value"), value, "must be empty for operator `Exists`");
    else if (op == "Equal") f.say(at.child("value"), value, names::label_value(value));
    else f.one_of(at.child("operator"), op, {"Equal", "Exists"});
    if (!effect.empty()) f.enumerated(at.child("effect"), effect, {"NoExecute", "NoSchedule", "None"});
  }
}

// What one request, or one of its alternatives, asks for.
void wanted(Findings& f, Value request, const Path& path) {
  std::string_view device_class = text(request, "deviceClassName"), mode = text(request, "allocationMode");
  std::int64_t count = request["count"].as_int();
  if (device_class.empty()) f.required(path.child("deviceClassName"));
  else dns_subdomain(f, device_class, path.child("deviceClassName"));
  selectors(f, request["selectors"], false, path.child("selectors"));
  if (mode == "All") {
    if (count != 0) f.invalid(path.child("count"), count, "must not be specified when allocationMode is 'All'");
  } else if (mode == "ExactCount") {
    if (count <= 0) f.invalid(path.child("count"), count, "must be greater than zero");
  } else {
    f.not_supported(path.child("allocationMode"), mode, {"All", "ExactCount"});
  }
  device_tolerations(f, request["tolerations"], path.child("tolerations"));
}

void request(Findings& f, Value request, const Path& path) {
  dns_label(f, text(request, "name"), path.child("name"));
  Value alternatives = request["firstAvailable"];
  bool exactly = set(request, "exactly");
  if (alternatives.empty() && !exactly) return f.required(path, "exactly one of `exactly` or `firstAvailable` is required");
  if (!alternatives.empty() && exactly)
    return f.invalid(path, Value(), "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set");
  if (exactly) return wanted(f, request["exactly"], path.child("exactly"));
  Path list = path.child("firstAvailable");
  if (alternatives.size() > alternatives_max) return f.too_many(list, alternatives.size(), alternatives_max);
  for (std::size_t i = 0; i < alternatives.size(); ++i) {
    Path at = list.index(i);
    dns_label(f, text(alternatives[i], "name"), at.child("name"));
    wanted(f, alternatives[i], at);
  }
  unique_names(f, alternatives, "name", list);
}

void constraint(Findings& f, Value one, const RequestNames& known, const Path& path) {
  request_references(f, one["requests"], known, path.child("requests"));
  if (set(one, "matchAttribute")) fully_qualified_attribute(f, text(one, "matchAttribute"), path.child("matchAttribute"));
  else if (set(one, "distinctAttribute")) fully_qualified_attribute(f, text(one, "distinctAttribute"), path.child("distinctAttribute"));
  else f.required(path, R"(exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set)");
}

// `settled`: its size was judged when it was stored.
void raw_object(Findings& f, Value raw, bool settled, std::size_t max_bytes, const Path& path) {
  if (raw.is_null()) f.required(path);
  else if (!settled && to_json(raw).size() > max_bytes) f.too_long(path, max_bytes);
  else if (!raw.is_object()) f.invalid(path, "<value omitted>", "must be a valid JSON object");
}

void configuration(Findings& f, Value config, bool settled, const Path& path) {
  Value opaque = config["opaque"];
  Path at = path.child("opaque");
  if (opaque.is_null()) return f.required(at);
  csi_driver_name(f, text(opaque, "driver"), at.child("driver"));
  raw_object(f, opaque["parameters"], settled, parameters_max_bytes, at.child("parameters"));
}

void claimed(Findings& f, Value spec, const Path& path) {
  Value devices = spec["devices"], requests = devices["requests"], constraints = devices["constraints"], configs = devices["config"];
  Path at = path.child("devices");
  Path request_path = at.child("requests"), constraint_path = at.child("constraints"), config_path = at.child("config");
  RequestNames known = request_names(devices);
  if (requests.size() > requests_max) {
    f.too_many(request_path, requests.size(), requests_max);
  } else {
    for (std::size_t i = 0; i < requests.size(); ++i) request(f, requests[i], request_path.index(i));
    unique_names(f, requests, "name", request_path);
  }
  if (constraints.size() > constraints_max) f.too_many(constraint_path, constraints.size(), constraints_max);
  for (std::size_t i = 0; constraints.size() <= constraints_max && i < constraints.size(); ++i)
    constraint(f, constraints[i], known, constraint_path.index(i));
  if (configs.size() > configs_max) return f.too_many(config_path, configs.size(), configs_max);
  for (std::size_t i = 0; i < configs.size(); ++i) {
    Path one = config_path.index(i);
    request_references(f, configs[i]["requests"], known, one.child("requests"));
    configuration(f, configs[i], false, one);
  }
}

std::string allocated_id(Value device) {
  std::string id = fmt::format("{}/{}/{}", text(device, "driver"), text(device, "pool"), text(device, "device"));
  if (set(device, "shareID")) id += fmt::format("/{}", text(device, "shareID"));
  return id;
}

void share_id(Findings& f, Value device, const Path& path) {
  if (!set(device, "shareID")) return;
  std::string_view id = text(device, "shareID");
  auto hexadecimal = [](std::string_view text) { return text.find_first_not_of("0123456789abcdefABCDEF-") == text.npos; };
  auto dashed = [&](std::string_view text) {
    bool fits = hexadecimal(text);
    for (std::size_t i = 0; i < text.size(); ++i) fits = fits && (text[i] == '-') == (i == 8 || i == 13 || i == 18 || i == 23);
    return fits;
  };
  std::string why;
  std::string_view bare = id.starts_with("urn:uuid:") ? id.substr(9) : id.starts_with('{') ? id.substr(1, 36) : id;
  if (id.size() != 36 && id.size() != 45 && id.size() != 38 && id.size() != 32) why = fmt::format("invalid UUID length: {}", id.size());
  else if (id.size() == 32 ? !hexadecimal(id) : bare.size() != 36 || !dashed(bare)) why = "invalid UUID format";
  if (!why.empty()) return f.invalid(path, id, "error validating uid: " + why);
  if (id.size() != 36 || to_lower(id) != id)
    f.invalid(path, id,
              "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters");
}

void interface_address(Findings& f, std::string_view address, const Path& path) {
  std::size_t slash = address.rfind('/');
  if (names::cidr_family(address) == names::Family::none)
    return f.invalid(path, address, "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)");
  std::string network = names::canonical_cidr(address), canonical = names::canonical_ip(address.substr(0, slash));
  canonical += network.substr(network.rfind('/'));
  if (canonical != address) f.invalid(path, address, fmt::format("must be in canonical form ({})", go_quote(canonical)));
}

void network_data(Findings& f, Value data, const Path& path) {
  if (text(data, "interfaceName").size() > interface_name_max_bytes) f.too_long(path.child("interfaceName"), interface_name_max_bytes);
  if (text(data, "hardwareAddress").size() > hardware_address_max_bytes)
    f.too_long(path.child("hardwareAddress"), hardware_address_max_bytes);
  Value list = data["ips"];
  Path ips = path.child("ips");
  if (list.size() > addresses_max) return f.too_many(ips, list.size(), addresses_max);
  for (std::size_t i = 0; i < list.size(); ++i) interface_address(f, list[i].as_string(), ips.index(i));
  Seen seen;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!seen.emplace(list[i].as_string()).second) f.duplicate(ips.index(i), list[i].as_string());
  }
}

void device_status(Findings& f, Value device, const Seen& allocated, const Path& path) {
  csi_driver_name(f, text(device, "driver"), path.child("driver"));
  pool_name(f, text(device, "pool"), path.child("pool"));
  dns_label(f, text(device, "device"), path.child("device"));
  share_id(f, device, path.child("shareID"));
  if (std::string id = allocated_id(device); !allocated.contains(id)) {
    FieldError error = field::invalid(path, "", "must be an allocated device in the claim");
    error.value = id;
    f.add(std::move(error));
  }
  Value conditions = device["conditions"];
  if (conditions.size() > status_conditions_max) f.too_many(path.child("conditions"), conditions.size(), status_conditions_max);
  f.add(validate_conditions(conditions, path.child("conditions")));
  if (set(device, "data")) raw_object(f, device["data"], false, status_data_max_bytes, path.child("data"));
  network_data(f, device["networkData"], path.child("networkData"));
}

void allocation(Findings& f, Value allocation, const RequestNames& known, const Path& path) {
  Path devices = path.child("devices");
  Path result_path = devices.child("results"), config_path = devices.child("config");
  Value results = allocation["devices"]["results"], configs = allocation["devices"]["config"];
  if (results.size() > results_max) f.too_many(result_path, results.size(), results_max);
  for (std::size_t i = 0; results.size() <= results_max && i < results.size(); ++i) {
    Path at = result_path.index(i);
    request_name(f, text(results[i], "request"), known, at.child("request"));
    csi_driver_name(f, text(results[i], "driver"), at.child("driver"));
    pool_name(f, text(results[i], "pool"), at.child("pool"));
    dns_label(f, text(results[i], "device"), at.child("device"));
    binding_conditions(f, results[i], at);
    device_tolerations(f, results[i]["tolerations"], at.child("tolerations"));
    share_id(f, results[i], at.child("shareID"));
  }
  if (configs.size() > 2 * configs_max) f.too_many(config_path, configs.size(), 2 * configs_max);  // of the class and of the claim
  for (std::size_t i = 0; configs.size() <= 2 * configs_max && i < configs.size(); ++i) {
    Path at = config_path.index(i);
    f.one_of(at.child("source"), text(configs[i], "source"), {"FromClaim", "FromClass"});
    request_references(f, configs[i]["requests"], known, at.child("requests"));
    configuration(f, configs[i], false, at);
  }
  if (set(allocation, "nodeSelector")) node_selector(f, allocation["nodeSelector"], path.child("nodeSelector"));
}

void reservations(Findings& f, Value list, const Path& path) {
  if (list.size() > reservations_max) return f.too_many(path, list.size(), reservations_max);
  for (std::size_t i = 0; i < list.size(); ++i) {
    Path at = path.index(i);
    for (const char* field : {"resource", "name", "uid"}) {
      if (text(list[i], field).empty()) f.required(at.child(field));
    }
  }
  unique_names(f, list, "uid", path);
}

bool added(Value now, Value before) {
  for (Value one : now.items()) {
    bool known = false;
    for (Value old : before.items()) known = known || same(one, old);
    if (!known) return true;
  }
  return false;
}

void class_spec(Findings& f, Value spec, Value old) {
  const Path path("spec");
  Path configs = path.child("config");
  selectors(f, spec["selectors"], !old.is_null() && same(spec["selectors"], old["selectors"]), path.child("selectors"));
  bool settled = !old.is_null() && same(spec["config"], old["config"]);
  if (spec["config"].size() > configs_max) f.too_many(configs, spec["config"].size(), configs_max);
  for (std::size_t i = 0; spec["config"].size() <= configs_max && i < spec["config"].size(); ++i)
    configuration(f, spec["config"][i], settled, configs.index(i));
  std::string_view resource = text(spec, "extendedResourceName");
  if (set(spec, "extendedResourceName") && !is_extended_resource(resource))
    f.invalid(path.child("extendedResourceName"), resource, "must be a valid extended resource name");
}

}  // namespace

void unique_names(Findings& f, Value list, const char* key, const Path& path) {
  Seen seen;
  std::size_t i = 0;
  for (Value one : list.items()) {
    Path at = path.index(i++);
    if (!seen.emplace(text(one, key)).second) f.duplicate(at, text(one, key));
  }
}

void pool_name(Findings& f, std::string_view name, const Path& path) {
  if (name.empty()) return f.required(path);
  if (name.size() > pool_name_max_bytes) f.too_long(path, pool_name_max_bytes);
  for (std::string_view part : split(name, '/')) dns_subdomain(f, part, path);
}

void qualified_attribute(Findings& f, std::string_view name, const Path& path) {
  std::vector<std::string_view> parts = split(name, '/');
  auto identifier = [&](std::string_view id) {
    if (id.size() > identifier_max_bytes) f.too_long(path, identifier_max_bytes);
    f.say(path, id, names::c_identifier(id));
  };
  if (parts.size() > 2) return f.invalid(path, name, "must not contain more than one slash");
  if (parts.size() == 1) return identifier(parts[0]);
  if (parts[0].empty()) f.invalid(path, "", "the domain must not be empty");
  else csi_driver_name(f, parts[0], path);
  if (parts[1].empty()) f.invalid(path, "", "the name must not be empty");
  else identifier(parts[1]);
}

void fully_qualified_attribute(Findings& f, std::string_view name, const Path& path) {
  qualified_attribute(f, name, path);
  if (name.find('/') == name.npos) f.invalid(path, name, "a fully qualified name must be a domain and a name separated by a slash");
}

void binding_conditions(Findings& f, Value device, const Path& path) {
  Value conditions = device["bindingConditions"], failures = device["bindingFailureConditions"];
  Path condition_path = path.child("bindingConditions"), failure_path = path.child("bindingFailureConditions");
  auto labels = [&](Value list, const Path& at) {
    if (list.size() > binding_conditions_max) return f.too_many(at, list.size(), binding_conditions_max);
    for (std::size_t i = 0; i < list.size(); ++i) f.add(validate_label_name(list[i].as_string(), at.index(i)));
  };
  labels(conditions, condition_path);
  labels(failures, failure_path);
  Seen seen, failed;
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    if (!seen.emplace(conditions[i].as_string()).second) f.duplicate(condition_path.index(i), conditions[i].as_string());
  }
  for (std::size_t i = 0; i < failures.size(); ++i) {
    std::string_view failure = failures[i].as_string();
    Path at = failure_path.index(i);
    if (!failed.emplace(failure).second) f.duplicate(at, failure);
    if (seen.contains(failure)) f.invalid(at, failure, "bindingFailureConditions must not overlap with bindingConditions");
  }
  if (conditions.empty() && !failures.empty())
    f.invalid(condition_path, conditions, "bindingConditions are required to use bindingFailureConditions");
  if (failures.empty() && !conditions.empty())
    f.invalid(failure_path, failures, "bindingFailureConditions are required to use bindingConditions");
}

void resource_claim_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  claimed(f, object["spec"], Path("spec"));
}

void resource_claim_update(Findings& f, Value object, Value old) {
  object_meta(f, object, true, name_is_subdomain);
  object_meta_update(f, object, old);
  f.add(validate_immutable(object["spec"], old["spec"], Path("spec")));
}

void resource_claim_status(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  const Path path("status");
  Value status = object["status"], before = old["status"], given = status["allocation"], reserved = status["reservedFor"];
  Path reserved_path = path.child("reservedFor"), devices = path.child("devices");
  reservations(f, reserved, reserved_path);
  Seen allocated, told;
  for (Value result : given["devices"]["results"].items()) allocated.insert(allocated_id(result));
  std::size_t i = 0;
  for (Value device : status["devices"].items()) device_status(f, device, allocated, devices.index(i++));
  i = 0;
  for (Value device : status["devices"].items()) {
    Path at = devices.index(i++);
    if (std::string id = allocated_id(device); !told.insert(id).second) {
      FieldError error = field::duplicate(at, "");
      error.value = id;
      f.add(std::move(error));
    }
  }
  if (!reserved.empty() && given.is_null()) f.forbidden(reserved_path, "may not be specified when `allocated` is not set");
  else if (set(object["metadata"], "deletionTimestamp") && reserved.size() <= reservations_max && added(reserved, before["reservedFor"]))
    f.forbidden(reserved_path, "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set");
  if (given.is_null()) return;
  if (set(before, "allocation")) f.add(validate_immutable(given, before["allocation"], path.child("allocation")));
  else allocation(f, given, request_names(object["spec"]["devices"]), path.child("allocation"));
}

void resource_claim_template_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  const Path path("spec");
  template_meta(f, object["spec"]["metadata"], path.child("metadata"));
  claimed(f, object["spec"]["spec"], path.child("spec"));
}

void resource_claim_template_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  f.add(validate_immutable(object["spec"], old["spec"], Path("spec")));
}

void device_class_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  class_spec(f, object["spec"], {});
}

void device_class_update(Findings& f, Value object, Value old) {
  object_meta(f, object, false, name_is_subdomain);
  object_meta_update(f, object, old);
  class_spec(f, object["spec"], old["spec"]);
}

}  // namespace kybern::rules
