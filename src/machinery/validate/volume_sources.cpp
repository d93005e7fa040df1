// The sources that volumes of pods and persistent volumes share, kind by kind.
#include <fmt/format.h>
#include <re2/re2.h>

#include <array>

#include "base/strings.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {

bool pod_only_source(Findings& f, Value volume, std::string_view kind, std::string_view name, std::string_view pod_name, const Path& path,
                     const Path& parent);

namespace {

constexpr std::size_t iscsi_name_max = 64, csi_driver_max = 63, quobyte_tenant_max = 64;

void need(Findings& f, Value source, const char* key, const Path& path) {
  if (text(source, key).empty()) f.required(path.child(key));
}

void host_path(Findings& f, Value source, const Path& path) {
  if (text(source, "path").empty()) return f.required(path.child("path"));
  no_backsteps(f, text(source, "path"), path.child("path"));
  if (set(source, "type")) {
    f.enumerated(path.child("type"), text(source, "type"),
                 {"", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"});
  }
}

void disk(Findings& f, Value source, const char* id, const Path& path) {
  need(f, source, id, path);
  std::int64_t partition = source["partition"].as_int();
  if (partition < 0 || partition > 255) f.invalid(path.child("partition"), partition, names::range_error(1, 255));
}

void nfs(Findings& f, Value source, const Path& path) {
  need(f, source, "server", path);
  need(f, source, "path", path);
  if (!text(source, "path").starts_with('/')) f.invalid(path.child("path"), text(source, "path"), "must be an absolute path");
}

// An initiator's or target's name: iqn.2001-04.com.example:storage, eui.0123456789abcdef, naa....
void iscsi_name(Findings& f, std::string_view name, const Path& path, bool say_prefixes) {
  static const RE2 iqn(R"(iqn\.\d{4}-\d{2}\.([[:alnum:]\-.]+)(:[^,;*&$|\s]+)$)"), eui(R"(^eui.[[:alnum:]]{16}$)"),
      naa(R"(^naa.[[:alnum:]]{32}$)");
  std::string whole(name);
  bool known = whole.starts_with("iqn") || whole.starts_with("eui") || whole.starts_with("naa");
  if (!known) return f.invalid(path, name, say_prefixes ? "must be valid format starting with iqn, eui, or naa" : "must be valid format");
  const RE2& grammar = whole.starts_with("iqn") ? iqn : whole.starts_with("eui") ? eui : naa;
  if (!RE2::PartialMatch(whole, grammar)) f.invalid(path, name, "must be valid format");
}

constexpr const char* iscsi_too_long =
    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";

bool iscsi_name_too_long(Value source, std::string_view volume) {
  return set(source, "initiatorName") && volume.size() + 1 + text(source, "targetPortal").size() > iscsi_name_max;
}

void iscsi(Findings& f, Value source, std::string_view volume, bool persistent, const Path& path) {
  need(f, source, "targetPortal", path);
  if (persistent && iscsi_name_too_long(source, volume))
    f.invalid(path.child("targetportal"), text(source, "targetPortal"), iscsi_too_long);
  if (text(source, "iqn").empty()) f.required(path.child("iqn"));
  else iscsi_name(f, text(source, "iqn"), path.child("iqn"), !persistent);
  std::int64_t lun = source["lun"].as_int();
  if (lun < 0 || lun > 255) f.invalid(path.child("lun"), lun, names::range_error(0, 255));
  bool authenticates = source["chapAuthDiscovery"].as_bool() || source["chapAuthSession"].as_bool();
  if (authenticates && !set(source, "secretRef")) f.required(path.child("secretRef"));
  if (persistent && set(source, "secretRef") && text(source["secretRef"], "name").empty()) f.required(path.child("secretRef.name"));
  if (set(source, "initiatorName")) iscsi_name(f, text(source, "initiatorName"), path.child("initiatorname"), !persistent);
}

void glusterfs(Findings& f, Value source, bool persistent, const Path& path) {
  need(f, source, "endpoints", path);
  need(f, source, "path", path);
  if (!persistent || !set(source, "endpointsNamespace")) return;
  std::string_view space = text(source, "endpointsNamespace");
  if (space.empty())
    f.invalid(path.child("endpointsNamespace"), space, "if the endpointnamespace is set, it must be a valid namespace name");
  else dns_label(f, space, path.child("endpointsNamespace"));
}

void flocker(Findings& f, Value source, const Path& path) {
  std::string_view name = text(source, "datasetName"), uuid = text(source, "datasetUUID");
  if (name.empty() && uuid.empty()) f.required(path, "one of datasetName and datasetUUID is required");
  if (!name.empty() && !uuid.empty()) f.invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously");
  if (name.find('/') != std::string_view::npos) f.invalid(path.child("datasetName"), name, "must not contain '/'");
}

void ceph(Findings& f, Value source, bool image, const Path& path) {
  if (source["monitors"].empty()) f.required(path.child("monitors"));
  if (image) need(f, source, "image", path);
}

void secret_reference(Findings& f, Value source, bool persistent, const Path& path) {
  if (!set(source, "secretRef")) return;
  if (text(source["secretRef"], "name").empty()) f.required(path.child("secretRef.name"));
  if (persistent && text(source["secretRef"], "namespace").empty()) f.required(path.child("secretRef.namespace"));
}

void quobyte(Findings& f, Value source, const Path& path) {
  constexpr const char* pairs = "must be a host:port pair or multiple pairs separated by commas";
  std::string_view registry = text(source, "registry");
  if (registry.empty()) {
    f.required(path.child("registry"), pairs);
  } else if (text(source, "tenant").size() > quobyte_tenant_max) {
    f.required(path.child("tenant"), "must be a UUID and may not exceed a length of 64 characters");
  } else {
    for (std::string_view pair : split(registry, ',')) {
      std::size_t colon = pair.rfind(':');
      bool good = colon != std::string_view::npos && (pair.find(':') == colon || pair.starts_with('['));
      if (!good) f.invalid(path.child("registry"), registry, pairs);
    }
  }
  need(f, source, "volume", path);
}

void fibre_channel(Findings& f, Value source, const Path& path) {
  Value targets = source["targetWWNs"], wwids = source["wwids"], lun = source["lun"];
  if (targets.empty() && wwids.empty()) f.required(path.child("targetWWNs"), "must specify either targetWWNs or wwids, but not both");
  if (!targets.empty() && !wwids.empty())
    f.invalid(path.child("targetWWNs"), targets, "targetWWNs and wwids can not be specified simultaneously");
  if (targets.empty()) return;
  if (lun.is_null()) f.required(path.child("lun"), "lun is required if targetWWNs is specified");
  else if (lun.as_int() < 0 || lun.as_int() > 255) f.invalid(path.child("lun"), lun.as_int(), names::range_error(0, 255));
}

void flex(Findings& f, Value source, const Path& path) {
  need(f, source, "driver", path);
  Path options = path.child("options");
  for (Member option : source["options"].members()) {
    std::string space = "." + to_lower(option.key.substr(0, option.key.find('/')));
    if (space.ends_with(".kubernetes.io") || space.ends_with(".k8s.io"))
      f.invalid(options.key(option.key), option.key, "kubernetes.io and k8s.io namespaces are reserved");
  }
}

void azure_file(Findings& f, Value source, bool persistent, const Path& path) {
  need(f, source, "secretName", path);
  need(f, source, "shareName", path);
  if (persistent && set(source, "secretNamespace")) need(f, source, "secretNamespace", path);
}

void azure_disk(Findings& f, Value source, const Path& path) {
  need(f, source, "diskName", path);
  need(f, source, "diskURI", path);
  std::string_view uri = text(source, "diskURI"), kind = text(source, "kind");
  if (set(source, "cachingMode")) f.enumerated(path.child("cachingMode"), text(source, "cachingMode"), {"None", "ReadOnly", "ReadWrite"});
  if (!set(source, "kind")) return;
  f.enumerated(path.child("kind"), kind, {"Dedicated", "Managed", "Shared"});
  if (kind == "Managed" && !uri.starts_with("/subscriptions/")) {
    f.not_supported(path.child("diskURI"), uri,
                    {"/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"});
  }
  if (kind != "Managed" && !uri.starts_with("https://")) {
    f.not_supported(path.child("diskURI"), uri, {"https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"});
  }
}

void scale_io(Findings& f, Value source, const Path& path) {
  for (const char* key : {"gateway", "system", "volumeName"}) need(f, source, key, path);
}

void storage_os(Findings& f, Value source, bool persistent, const Path& path) {
  std::string_view name = text(source, "volumeName"), space = text(source, "volumeNamespace");
  if (name.empty()) f.required(path.child("volumeName"));
  else dns_label(f, name, path.child("volumeName"));
  if (!space.empty()) dns_label(f, space, path.child("volumeNamespace"));
  secret_reference(f, source, persistent, path);
}

void csi_secret(Findings& f, Value reference, const Path& path) {
  if (reference.is_null()) return;
  if (text(reference, "name").empty()) f.required(path.child("name"));
  else dns_subdomain(f, text(reference, "name"), path.child("name"));
  if (text(reference, "namespace").empty()) f.required(path.child("namespace"));
  else dns_label(f, text(reference, "namespace"), path.child("namespace"));
}

void csi(Findings& f, Value source, bool persistent, const Path& path) {
  csi_driver_name(f, text(source, "driver"), path.child("driver"));
  if (persistent) {
    need(f, source, "volumeHandle", path);
    for (const char* key : {"controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"})
      csi_secret(f, source[key], path.child(key));
    return;
  }
  Value reference = source["nodePublishSecretRef"];
  if (reference.is_null()) return;
  if (text(reference, "name").empty()) f.required(path.child("nodePublishSecretRef.name"));
  else dns_subdomain(f, text(reference, "name"), path.child("name"));
}

void local(Findings& f, Value source, const Path& path) {
  if (text(source, "path").empty()) return f.required(path.child("path"));
  no_backsteps(f, text(source, "path"), path.child("path"));
}

void source_rules(Findings& f, Value source, std::string_view kind, std::string_view volume, bool persistent, const Path& path) {
  if (kind == "hostPath") host_path(f, source, path);
  else if (kind == "gcePersistentDisk") disk(f, source, "pdName", path);
  else if (kind == "awsElasticBlockStore") disk(f, source, "volumeID", path);
  else if (kind == "nfs") nfs(f, source, path);
  else if (kind == "iscsi") iscsi(f, source, volume, persistent, path);
  else if (kind == "glusterfs") glusterfs(f, source, persistent, path);
  else if (kind == "flocker") flocker(f, source, path);
  else if (kind == "rbd") ceph(f, source, true, path);
  else if (kind == "cephfs") ceph(f, source, false, path);
  else if (kind == "cinder") need(f, source, "volumeID", path), secret_reference(f, source, persistent, path);
  else if (kind == "quobyte") quobyte(f, source, path);
  else if (kind == "fc") fibre_channel(f, source, path);
  else if (kind == "flexVolume") flex(f, source, path);
  else if (kind == "azureFile") azure_file(f, source, persistent, path);
  else if (kind == "azureDisk") azure_disk(f, source, path);
  else if (kind == "vsphereVolume") need(f, source, "volumePath", path);
  else if (kind == "photonPersistentDisk") need(f, source, "pdID", path);
  else if (kind == "portworxVolume") need(f, source, "volumeID", path);
  else if (kind == "scaleIO") scale_io(f, source, path);
  else if (kind == "storageos") storage_os(f, source, persistent, path);
  else if (kind == "csi") csi(f, source, persistent, path);
  else if (kind == "local") local(f, source, path);
}

// The order in which upstream looks at sources decides which of two is the one too many.
constexpr std::string_view pod_kinds[] = {"emptyDir",
                                          "hostPath",
                                          "gitRepo",
                                          "gcePersistentDisk",
                                          "awsElasticBlockStore",
                                          "secret",
                                          "nfs",
                                          "iscsi",
                                          "glusterfs",
                                          "flocker",
                                          "persistentVolumeClaim",
                                          "rbd",
                                          "cinder",
                                          "cephfs",
                                          "quobyte",
                                          "downwardAPI",
                                          "fc",
                                          "flexVolume",
                                          "configMap",
                                          "azureFile",
                                          "vsphereVolume",
                                          "photonPersistentDisk",
                                          "portworxVolume",
                                          "azureDisk",
                                          "storageos",
                                          "projected",
                                          "scaleIO",
                                          "csi",
                                          "ephemeral",
                                          "image"};
constexpr std::string_view persistent_kinds[] = {"hostPath",
                                                 "gcePersistentDisk",
                                                 "awsElasticBlockStore",
                                                 "glusterfs",
                                                 "flocker",
                                                 "nfs",
                                                 "rbd",
                                                 "quobyte",
                                                 "cephfs",
                                                 "iscsi",
                                                 "cinder",
                                                 "fc",
                                                 "flexVolume",
                                                 "azureFile",
                                                 "vsphereVolume",
                                                 "photonPersistentDisk",
                                                 "portworxVolume",
                                                 "azureDisk",
                                                 "scaleIO",
                                                 "local",
                                                 "storageos",
                                                 "csi"};

constexpr const char* one_type = "may not specify more than 1 volume type";

// Some paths are not the field's name, for as long as the API has had them.
std::string_view path_name(std::string_view kind, bool too_many) {
  if (kind == "gcePersistentDisk" && !too_many) return "persistentDisk";
  if (kind == "cephfs" && too_many) return "cephFS";
  if (kind == "downwardAPI" && too_many) return "downwarAPI";
  return kind;
}

}  // namespace

void csi_driver_name(Findings& f, std::string_view name, const Path& path) {
  if (name.empty()) f.required(path);
  if (name.size() > csi_driver_max) f.too_long(path, csi_driver_max);
  f.say(path, name, names::dns1123_subdomain(to_lower(name)));
}

void volume_sources(Findings& f, Value volume, std::string_view name, std::string_view pod_name, const Path& path) {
  int found = 0;
  for (std::string_view kind : pod_kinds) {
    if (volume[kind].is_null()) continue;
    if (found++ > 0) {
      f.forbidden(path.child(path_name(kind, true)), one_type);
    } else {
      Path at = path.child(path_name(kind, false));
      if (!pod_only_source(f, volume, kind, name, pod_name, at, path)) source_rules(f, volume[kind], kind, name, false, at);
    }
    if (kind == "iscsi" && iscsi_name_too_long(volume[kind], name)) f.invalid(path.child("name"), name, iscsi_too_long);
  }
  if (found == 0) f.required(path, "must specify a volume type");
}

void persistent_volume_sources(Findings& f, Value spec, std::string_view name, const Path& path) {
  int found = 0;
  for (std::string_view kind : persistent_kinds) {
    if (spec[kind].is_null()) continue;
    bool first = found++ == 0 || kind == "flexVolume";
    if (!first) f.forbidden(path.child(path_name(kind, true)), one_type);
    else source_rules(f, spec[kind], kind, name, true, path.child(path_name(kind, false)));
    if (kind == "local" && first && !set(spec, "nodeAffinity"))
      f.required(path.child("nodeAffinity"), "Local volume requires node affinity");
  }
  if (found == 0) f.required(path, "must specify a volume type");
}

}  // namespace kybern::rules
