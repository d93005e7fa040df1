// Storage classes, volume attachments, CSI drivers, nodes and capacities, classes of volume attributes.
#include <fmt/format.h>

#include <limits>
#include <map>

#include "base/strings.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

constexpr std::size_t parameters_max = 512, parameters_max_bytes = 256 * 1024;
constexpr std::size_t attach_error_max_bytes = 1024, attach_metadata_max_bytes = 256 * 1024;
constexpr std::size_t node_id_max_bytes = 256;
constexpr std::int64_t token_least_s = 10 * 60, token_most_s = std::int64_t{1} << 32;
constexpr std::int64_t allocatable_period_least_s = 10;

void class_parameters(Findings& f, Value parameters, const Path& path) {
  if (parameters.size() > parameters_max) return f.too_long(path, parameters_max);
  std::size_t total = 0;
  for (Member one : parameters.members()) {
    if (one.key.empty()) f.invalid(path, one.key, "field can not be empty.");
    total += one.key.size() + one.value.as_string().size();
  }
  if (total > parameters_max_bytes) f.too_long(path, parameters_max_bytes);
}

// A driver's name; what is wrong is said of it in lower case.
void provisioner(Findings& f, std::string_view name, const Path& path) {
  if (name.empty()) f.required(path);
  else qualified(f, to_lower(name), path);
}

// Terms that allow the same.
void repeated_terms(Findings& f, Value terms) {
  const Path path("allowedTopologies");
  std::set<std::map<std::string, std::set<std::string>>> seen;
  std::size_t i = 0;
  for (Value term : terms.items()) {
    Path at = path.index(i++, "matchLabelExpressions");
    std::map<std::string, std::set<std::string>> allowed;
    for (Value expression : term["matchLabelExpressions"].items()) {
      for (Value value : expression["values"].items()) allowed[expression["key"].str()].insert(value.str());
    }
    if (!seen.insert(std::move(allowed)).second) f.duplicate(at, "");
  }
}

void attachment_source(Findings& f, Value source, const Path& path) {
  bool inlined = set(source, "inlineVolumeSpec"), named = set(source, "persistentVolumeName");
  constexpr const char* exactly_one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
  if (!inlined && !named) return f.required(path, exactly_one);
  if (inlined && named) return f.forbidden(path, exactly_one);
  if (named && text(source, "persistentVolumeName").empty())
    f.required(path.child("persistentVolumeName"), "must specify non empty persistentVolumeName");
  if (inlined) persistent_volume_spec(f, source["inlineVolumeSpec"], {}, true, path.child("inlineVolumeSpec"));
}

// An error's text may be four times 256 bytes long; upstream tells another limit than the one it holds to.
void attachment_error(Findings& f, Value error, const Path& path) {
  if (text(error, "message").size() > attach_error_max_bytes) f.too_long(path.child("message"), attach_metadata_max_bytes);
  std::int64_t code = error["errorCode"].as_int();
  if (code < 0) f.invalid(path.child("errorCode"), code, names::range_error(0, std::numeric_limits<std::int32_t>::max()));
}

void attachment_rules(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  const Path spec_path("spec"), status_path("status");
  Value spec = object["spec"], status = object["status"];
  if (text(spec, "attacher").empty()) f.required(spec_path.child("attacher"));
  attachment_source(f, spec["source"], spec_path.child("source"));
  dns_subdomain(f, text(spec, "nodeName"), spec_path.child("nodeName"));
  std::size_t total = 0;
  for (Member one : status["attachmentMetadata"].members()) total += one.key.size() + one.value.as_string().size();
  if (total > attach_metadata_max_bytes) f.too_long(status_path.child("attachmentMetadata"), attach_metadata_max_bytes);
  for (const char* error : {"attachError", "detachError"}) attachment_error(f, status[error], status_path.child(error));
}

void token_requests(Findings& f, Value requests, const Path& path) {
  std::set<std::string, std::less<>> audiences;
  std::size_t i = 0;
  for (Value request : requests.items()) {
    Path at = path.index(i++);
    if (!audiences.emplace(text(request, "audience")).second) {
      f.duplicate(at.child("audience"), text(request, "audience"));
      continue;
    }
    if (!set(request, "expirationSeconds")) continue;
    std::int64_t seconds = request["expirationSeconds"].as_int();
    if (seconds < token_least_s) f.invalid(at.child("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes");
    if (seconds > token_most_s) f.invalid(at.child("expirationSeconds"), seconds, "may not specify a duration larger than 2^32 seconds");
  }
}

void driver_spec(Findings& f, Value spec) {
  const Path path("spec");
  if (!set(spec, "attachRequired")) f.required(path.child("attachedRequired"));  // upstream's path is not the field's name
  for (const char* field : {"podInfoOnMount", "storageCapacity"}) {
    if (!set(spec, field)) f.required(path.child(field));
  }
  if (set(spec, "fsGroupPolicy"))
    f.enumerated(path.child("fsGroupPolicy"), text(spec, "fsGroupPolicy"), {"File", "None", "ReadWriteOnceWithFSType"});
  token_requests(f, spec["tokenRequests"], path.child("tokenRequests"));
  for (Value mode : spec["volumeLifecycleModes"].items())
    f.enumerated(path.child("volumeLifecycleModes"), mode.as_string(), {"Persistent", "Ephemeral"});
  if (!set(spec, "seLinuxMount")) f.required(path.child("seLinuxMount"));
  Value period = spec["nodeAllocatableUpdatePeriodSeconds"];
  if (!period.is_null() && period.as_int() < allocatable_period_least_s)
    f.invalid(path.child("nodeAllocatableUpdatePeriodSeconds"), period.as_int(), "must be greater than or equal to 10 seconds");
  if (set(spec, "serviceAccountTokenInSecrets") && spec["tokenRequests"].empty())
    f.invalid(path.child("serviceAccountTokenInSecrets"), spec["serviceAccountTokenInSecrets"],
              "serviceAccountTokenInSecrets is set but no tokenRequests are specified");
}

void node_driver(Findings& f, Value driver, bool repeated, const Path& path) {
  csi_driver_name(f, text(driver, "name"), path.child("name"));
  std::string_view id = text(driver, "nodeID");
  if (id.empty()) f.required(path.child("nodeID"));
  else if (id.size() > node_id_max_bytes)
    f.invalid(path.child("nodeID"), id, fmt::format("must be {} characters or less", node_id_max_bytes));
  Value count = driver["allocatable"]["count"];
  if (count.as_int() < 0) f.invalid(path.child("allocatable.count"), count.as_int(), "must be greater than or equal to 0");
  if (repeated) f.duplicate(path.child("name"), text(driver, "name"));
  std::set<std::string, std::less<>> keys;
  for (Value key : driver["topologyKeys"].items()) {
    std::string_view name = key.as_string();
    if (name.empty()) f.required(path);
    if (!keys.emplace(name).second) f.duplicate(path, name);
    qualified(f, name, path);
  }
}

void node_drivers(Findings& f, Value drivers) {
  const Path path("spec.drivers");
  std::set<std::string, std::less<>> seen;
  std::size_t i = 0;
  for (Value driver : drivers.items()) {
    Path at = path.index(i++);
    node_driver(f, driver, !seen.emplace(text(driver, "name")).second, at);
  }
}

void nonnegative_amount(Findings& f, Value amount, const Path& path) {
  if (!amount.is_null() && Quantity::of(amount).sign() < 0) f.invalid(path, amount, "must be greater than or equal to 0");
}

}  // namespace

void storage_class_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  provisioner(f, text(object, "provisioner"), Path("provisioner"));
  class_parameters(f, object["parameters"], Path("parameters"));
  if (set(object, "reclaimPolicy")) f.enumerated(Path("reclaimPolicy"), text(object, "reclaimPolicy"), {"Delete", "Retain"});
  if (set(object, "volumeBindingMode"))
    f.enumerated(Path("volumeBindingMode"), text(object, "volumeBindingMode"), {"Immediate", "WaitForFirstConsumer"});
  else f.required(Path("volumeBindingMode"));
  topology_selector_terms(f, object["allowedTopologies"], Path("allowedTopologies"));
  repeated_terms(f, object["allowedTopologies"]);
}

void storage_class_update(Findings& f, Value object, Value old) {
  storage_class_create(f, object);
  object_meta_update(f, object, old);
  for (const char* field : {"parameters", "provisioner", "reclaimPolicy"}) {
    bool both_empty = object[field].empty() && old[field].empty() && std::string_view(field) == "parameters";
    if (!both_empty && !same(object[field], old[field])) f.forbidden(Path(field), fmt::format("updates to {} are forbidden.", field));
  }
  f.add(validate_immutable(object["volumeBindingMode"], old["volumeBindingMode"], Path("volumeBindingMode")));
}

void volume_attachment_create(Findings& f, Value object) {
  attachment_rules(f, object);
  const Path spec("spec"), source = spec.child("source");
  csi_driver_name(f, text(object["spec"], "attacher"), spec.child("attacher"));
  Value volume = object["spec"]["source"]["persistentVolumeName"];
  if (!volume.is_null()) dns_subdomain(f, volume.as_string(), source.child("persistentVolumeName"));
}

void volume_attachment_update(Findings& f, Value object, Value old) {
  attachment_rules(f, object);
  if (!same(object["spec"], old["spec"])) f.invalid(Path("spec"), object["spec"], "field is immutable");
}

void volume_attachment_status(Findings& f, Value object, Value old) { volume_attachment_update(f, object, old); }

// As upstream, which says everything twice.
void csi_driver_create(Findings& f, Value object) {
  for (int i = 0; i < 2; ++i) {
    object_meta(f, object, false, name_is_subdomain);
    driver_spec(f, object["spec"]);
  }
}

void csi_driver_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  driver_spec(f, object["spec"]);
  const Path path("spec");
  Value now = object["spec"], before = old["spec"];
  f.add(validate_immutable(now["attachRequired"], before["attachRequired"], path.child("attachedRequired")));
  f.add(validate_immutable(now["volumeLifecycleModes"], before["volumeLifecycleModes"], path.child("volumeLifecycleModes")));
}

void csi_node_create(Findings& f, Value object) {
  for (int i = 0; i < 2; ++i) {  // as upstream, which says everything twice
    object_meta(f, object, false, name_is_subdomain);
    node_drivers(f, object["spec"]["drivers"]);
  }
}

// A driver stays what it is, but for how many volumes it has room for.
void csi_node_update(Findings& f, Value object, Value old) {
  object_meta(f, object, false, name_is_subdomain);
  node_drivers(f, object["spec"]["drivers"]);
  std::map<std::string_view, Value> drivers;
  for (Value now : object["spec"]["drivers"].items()) drivers.emplace(text(now, "name"), now);
  for (Value before : old["spec"]["drivers"].items()) {
    auto found = drivers.find(text(before, "name"));
    if (found == drivers.end()) continue;
    Value now = found->second;
    bool same_keys = same(now["topologyKeys"], before["topologyKeys"]) || (now["topologyKeys"].empty() && before["topologyKeys"].empty());
    if (same_keys && now["nodeID"] == before["nodeID"]) continue;
    // As upstream's struct prints.
    Document shown = Draft::object({{"Name", Draft(now["name"])},
                                    {"NodeID", Draft(now["nodeID"])},
                                    {"TopologyKeys", now["topologyKeys"].is_null() ? Draft(nullptr) : Draft(now["topologyKeys"])},
                                    {"Allocatable", nullptr}})
                         .freeze();
    f.invalid(Path("spec.drivers"), shown.root(), "field is immutable");
  }
}

void csi_storage_capacity_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  f.add(validate_label_selector(object["nodeTopology"], Path("nodeTopology")));
  dns_subdomain(f, text(object, "storageClassName"), Path("storageClassName"));
  for (const char* amount : {"capacity", "maximumVolumeSize"}) nonnegative_amount(f, object[amount], Path(amount));
}

void csi_storage_capacity_update(Findings& f, Value object, Value old) {
  csi_storage_capacity_create(f, object);
  object_meta_update(f, object, old);
  for (const char* field : {"nodeTopology", "storageClassName"}) f.add(validate_immutable(object[field], old[field], Path(field)));
}

void volume_attributes_class_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  provisioner(f, text(object, "driverName"), Path("driverName"));
  class_parameters(f, object["parameters"], Path("parameters"));
  if (object["parameters"].empty()) f.required(Path("parameters"), "must contain at least one key/value pair");
}

void volume_attributes_class_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  if (!same(object["driverName"], old["driverName"])) f.forbidden(Path("driverName"), "updates to driverName are forbidden.");
  if (!(object["parameters"].empty() && old["parameters"].empty()) && !same(object["parameters"], old["parameters"])) {
    f.forbidden(Path("parameters"), "updates to parameters are forbidden.");
  }
  volume_attributes_class_create(f, object);
}

}  // namespace kybern::rules
