// Storage classes, volume attachments, CSI drivers, nodes and capacities, classes of volume attributes.
#include <fmt/format.h>

#include <map>

#include "base/strings.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

constexpr std::size_t parameters_max = 512, parameters_max_bytes = 256 * 1024;
constexpr std::size_t attach_error_max_bytes = 256 * 1024;
constexpr std::size_t node_id_max_bytes = 256;
constexpr std::int64_t token_least_s = 10 * 60, token_most_s = std::int64_t{1} << 32;

void class_parameters(Findings& f, Value parameters, const Path& path) {
  if (parameters.size() > parameters_max) return f.too_long(path, parameters_max);
  std::size_t total = 0;
  for (Member one : parameters.members()) {
    if (one.key.empty()) f.invalid(path, one.key, "field can not be empty.");
    total += one.key.size() + one.value.as_string().size();
  }
  if (total > parameters_max_bytes) f.too_long(path, parameters_max_bytes);
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
  if (!inlined && !named) f.required(path, exactly_one);
  if (inlined && named) f.forbidden(path, exactly_one);
  std::string_view name = text(source, "persistentVolumeName");
  if (named && name.empty()) f.required(path.child("persistentVolumeName"), "must specify non empty persistentVolumeName");
  if (named && !name.empty()) dns_subdomain(f, name, path.child("persistentVolumeName"));
  if (inlined) persistent_volume_spec(f, source["inlineVolumeSpec"], {}, true, path.child("inlineVolumeSpec"));
}

void attachment_spec(Findings& f, Value spec) {
  const Path path("spec");
  if (text(spec, "attacher").empty()) f.required(path.child("attacher"));
  attachment_source(f, spec["source"], path.child("source"));
  dns_subdomain(f, text(spec, "nodeName"), path.child("nodeName"));
}

void attachment_error(Findings& f, Value error, const Path& path) {
  if (text(error, "message").size() > attach_error_max_bytes) f.too_long(path.child("message"), attach_error_max_bytes);
}

void token_requests(Findings& f, Value requests, const Path& path) {
  std::set<std::string, std::less<>> audiences;
  std::size_t i = 0;
  for (Value request : requests.items()) {
    Path at = path.index(i++);
    if (!audiences.emplace(text(request, "audience")).second) f.duplicate(at.child("audience"), text(request, "audience"));
    if (!set(request, "expirationSeconds")) continue;
    std::int64_t seconds = request["expirationSeconds"].as_int();
    if (seconds < token_least_s) f.invalid(at.child("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes");
    if (seconds > token_most_s) f.invalid(at.child("expirationSeconds"), seconds, "may not specify a duration larger than 2^32 seconds");
  }
}

void driver_spec(Findings& f, Value spec) {
  const Path path("spec");
  for (const char* field : {"attachRequired", "podInfoOnMount", "storageCapacity"}) {
    if (!set(spec, field)) f.required(path.child(field));
  }
  if (set(spec, "fsGroupPolicy"))
    f.enumerated(path.child("fsGroupPolicy"), text(spec, "fsGroupPolicy"), {"ReadWriteOnceWithFSType", "File", "None"});
  else f.required(path.child("fsGroupPolicy"));
  token_requests(f, spec["tokenRequests"], path.child("tokenRequests"));
  Path modes = path.child("volumeLifecycleModes");
  std::size_t i = 0;
  for (Value mode : spec["volumeLifecycleModes"].items()) f.enumerated(modes.index(i++), mode.as_string(), {"Persistent", "Ephemeral"});
  if (!set(spec, "seLinuxMount")) f.required(path.child("seLinuxMount"));
}

void node_driver(Findings& f, Value driver, const Path& path) {
  csi_driver_name(f, text(driver, "name"), path.child("name"));
  std::string_view id = text(driver, "nodeID");
  if (id.empty()) f.required(path.child("nodeID"));
  else if (id.size() > node_id_max_bytes)
    f.invalid(path.child("nodeID"), id, fmt::format("must be {} characters or less", node_id_max_bytes));
  Value count = driver["allocatable"]["count"];
  if (count.as_int() < 0) f.invalid(path.child("allocatable.count"), count.as_int(), "must be greater than or equal to 0");
  std::set<std::string, std::less<>> keys;
  for (Value key : driver["topologyKeys"].items()) {
    std::string_view name = key.as_string();
    if (name.empty() || !keys.emplace(name).second) f.duplicate(path, name);
    f.say(path.child("topologyKeys"), name, names::qualified_name(name));
  }
}

void node_drivers(Findings& f, Value drivers) {
  const Path path("spec.drivers");
  std::set<std::string, std::less<>> seen;
  std::size_t i = 0;
  for (Value driver : drivers.items()) {
    Path at = path.index(i++);
    node_driver(f, driver, at);
    if (!seen.emplace(text(driver, "name")).second) f.duplicate(at.child("name"), text(driver, "name"));
  }
}

void nonnegative_amount(Findings& f, Value amount, const Path& path) {
  if (!amount.is_null() && Quantity::of(amount).sign() < 0) f.invalid(path, amount, "must be greater than or equal to 0");
}

}  // namespace

void storage_class_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  const Path provisioner("provisioner");
  std::string_view name = text(object, "provisioner");
  if (name.empty()) f.required(provisioner);
  else f.say(provisioner, name, names::qualified_name(to_lower(name)));
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
  object_meta(f, object, false, name_is_subdomain);
  attachment_spec(f, object["spec"]);
  csi_driver_name(f, text(object["spec"], "attacher"), Path("spec.attacher"));
}

void volume_attachment_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  attachment_spec(f, object["spec"]);
  if (!same(object["spec"], old["spec"])) f.invalid(Path("spec"), object["spec"], "field is immutable");
}

void volume_attachment_status(Findings& f, Value object, Value old) {
  volume_attachment_update(f, object, old);
  const Path path("status");
  Value status = object["status"];
  for (const char* error : {"attachError", "detachError"}) attachment_error(f, status[error], path.child(error));
  std::size_t total = 0;
  for (Member one : status["attachmentMetadata"].members()) total += one.key.size() + one.value.as_string().size();
  if (total > parameters_max_bytes) f.too_long(path.child("attachmentMetadata"), parameters_max_bytes);
}

void csi_driver_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  csi_driver_name(f, text(object["metadata"], "name"), Path("metadata.name"));
  driver_spec(f, object["spec"]);
}

void csi_driver_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  const Path path("spec");
  Value now = object["spec"], before = old["spec"];
  for (const char* field : {"attachRequired", "fsGroupPolicy", "volumeLifecycleModes"})
    f.add(validate_immutable(now[field], before[field], path.child(field)));
  token_requests(f, now["tokenRequests"], path.child("tokenRequests"));
}

void csi_node_create(Findings& f, Value object) {
  for (int i = 0; i < 2; ++i) {  // as upstream, which says everything twice
    object_meta(f, object, false, name_is_subdomain);
    node_drivers(f, object["spec"]["drivers"]);
  }
}

void csi_node_update(Findings& f, Value object, Value old) {
  object_meta(f, object, false, name_is_subdomain);
  node_drivers(f, object["spec"]["drivers"]);
  object_meta_update(f, object, old);
  const Path path("spec.drivers");
  for (Value before : old["spec"]["drivers"].items()) {
    for (Value now : object["spec"]["drivers"].items()) {
      if (!(now["name"] == before["name"])) continue;
      for (const char* field : {"nodeID", "topologyKeys"}) {
        if (!same(now[field], before[field])) return f.invalid(path, object["spec"]["drivers"], "field is immutable");
      }
    }
  }
}

void csi_storage_capacity_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  dns_subdomain(f, text(object, "storageClassName"), Path("storageClassName"));
  f.add(validate_label_selector(object["nodeTopology"], Path("nodeTopology")));
  for (const char* amount : {"capacity", "maximumVolumeSize"}) nonnegative_amount(f, object[amount], Path(amount));
}

void csi_storage_capacity_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  for (const char* amount : {"capacity", "maximumVolumeSize"}) nonnegative_amount(f, object[amount], Path(amount));
  for (const char* field : {"nodeTopology", "storageClassName"}) f.add(validate_immutable(object[field], old[field], Path(field)));
}

void volume_attributes_class_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  csi_driver_name(f, text(object, "driverName"), Path("driverName"));
  class_parameters(f, object["parameters"], Path("parameters"));
}

void volume_attributes_class_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  if (!same(object["driverName"], old["driverName"])) f.forbidden(Path("driverName"), "updates to driverName are forbidden.");
  if (!(object["parameters"].empty() && old["parameters"].empty()) && !same(object["parameters"], old["parameters"])) {
    f.forbidden(Path("parameters"), "updates to parameters are forbidden.");
  }
}

}  // namespace kybern::rules
