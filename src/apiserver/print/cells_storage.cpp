// Volumes, claims, and the drivers that provide them.
#include "apiserver/print/row.h"
#include "base/strings.h"

namespace kybern::apiserver {
namespace {

constexpr std::pair<std::string_view, std::string_view> mode_names[] = {
    {"ReadWriteOnce", "RWO"},
    {"ReadOnlyMany", "ROX"},
    {"ReadWriteMany", "RWX"},
    {"ReadWriteOncePod", "RWOP"},
};

std::string access_modes(Value modes) {
  std::vector<std::string> found;
  for (auto [mode, text] : mode_names)
    for (Value one : modes.items())
      if (one.as_string() == mode) {
        found.emplace_back(text);
        break;
      }
  return join(found, ",");
}

// An old annotation stands above the field.
std::string storage_class_of(const Row& row) {
  return text_or(row.meta()["annotations"]["volume.beta.kubernetes.io/storage-class"], row.spec()["storageClassName"].as_string());
}

std::string phase_of(const Row& row) { return row.in_deletion() ? "Terminating" : row.status()["phase"].str(); }

}  // namespace

void volume_cells(Row& row) {
  Value claim = row.spec()["claimRef"];
  row.add_all(row.name(), quantity_text(row.spec()["capacity"]["storage"]), access_modes(row.spec()["accessModes"]),
              row.spec()["persistentVolumeReclaimPolicy"].str(), phase_of(row),
              claim.is_null() ? std::string() : claim["namespace"].str() + "/" + claim["name"].str(), storage_class_of(row),
              text_or(row.spec()["volumeAttributesClassName"], "<unset>"), row.status()["reason"].str(), row.age(),
              text_or(row.spec()["volumeMode"], "<unset>"));
}

void volume_claim_cells(Row& row) {
  bool bound = !row.spec()["volumeName"].as_string().empty();
  row.add_all(row.name(), phase_of(row), row.spec()["volumeName"].str(),
              bound ? quantity_text(row.status()["capacity"]["storage"]) : std::string(),
              bound ? access_modes(row.status()["accessModes"]) : std::string(), storage_class_of(row),
              text_or(row.spec()["volumeAttributesClassName"], "<unset>"), row.age(), text_or(row.spec()["volumeMode"], "<unset>"));
}

void storage_class_cells(Row& row) {
  std::string name = row.name();
  Value annotations = row.meta()["annotations"];
  if (annotations["storageclass.kubernetes.io/is-default-class"].as_string() == "true" ||
      annotations["storageclass.beta.kubernetes.io/is-default-class"].as_string() == "true")
    name += " (default)";
  row.add_all(name, row.object["provisioner"].str(), text_or(row.object["reclaimPolicy"], "Delete"),
              text_or(row.object["volumeBindingMode"], "Immediate"), row.object["allowVolumeExpansion"].as_bool(), row.age());
}

void csi_driver_cells(Row& row) {
  std::vector<std::string> audiences;
  for (Value request : row.spec()["tokenRequests"].items()) audiences.push_back(request["audience"].str());
  Value modes = row.spec()["volumeLifecycleModes"];
  row.add_all(row.name(), row.spec()["attachRequired"].as_bool(true), row.spec()["podInfoOnMount"].as_bool(),
              row.spec()["storageCapacity"].as_bool(), audiences.empty() ? "<unset>" : join(audiences, ","),
              row.spec()["requiresRepublish"].as_bool(), modes.empty() ? "<none>" : list_text(modes, ","), row.age());
}

void csi_node_cells(Row& row) { row.add_all(row.name(), static_cast<std::int64_t>(row.spec()["drivers"].size()), row.age()); }

void csi_capacity_cells(Row& row) {
  Value capacity = row.object["capacity"];
  row.add_all(row.name(), row.object["storageClassName"].str(), capacity.is_null() ? "<unset>" : quantity_text(capacity));
}

void volume_attachment_cells(Row& row) {
  row.add_all(row.name(), row.spec()["attacher"].str(), row.spec()["source"]["persistentVolumeName"].str(), row.spec()["nodeName"].str(),
              row.status()["attached"].as_bool(), row.age());
}

void volume_attributes_class_cells(Row& row) { row.add_all(row.name(), row.object["driverName"].str(), row.age()); }

}  // namespace kybern::apiserver
