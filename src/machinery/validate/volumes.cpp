// A pod's volumes, and what may project fields of the pod into them.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

constexpr std::int64_t token_min_s = 10 * 60, token_max_s = std::int64_t{1} << 32;
constexpr const char* divisors[] = {"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"};
constexpr std::string_view divisor_list = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei";

void key_to_path(Findings& f, Value item, const Path& path) {
  if (text(item, "key").empty()) f.required(path.child("key"));
  if (text(item, "path").empty()) f.required(path.child("path"));
  unreserved_local_path(f, text(item, "path"), path.child("path"));
  file_mode(f, item["mode"], path.child("mode"));
}

void key_paths(Findings& f, Value items, const Path& path) {
  std::size_t i = 0;
  for (Value item : items.items()) key_to_path(f, item, path.index(i++));
}

void downward_file(Findings& f, Value file, const Path& path) {
  if (text(file, "path").empty()) f.required(path.child("path"));
  unreserved_local_path(f, text(file, "path"), path.child("path"));
  if (set(file, "fieldRef")) {
    object_field_selector(f, file["fieldRef"], true, path.child("fieldRef"));
    if (set(file, "resourceFieldRef")) f.invalid(path, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
  } else if (set(file, "resourceFieldRef")) {
    resource_field_selector(f, file["resourceFieldRef"], true, path.child("resourceFieldRef"));
  } else {
    f.required(path, "one of fieldRef and resourceFieldRef is required");
  }
  file_mode(f, file["mode"], path.child("mode"));
}

using Seen = std::set<std::string, std::less<>>;

void unique_path(Findings& f, Seen& seen, std::string_view target, std::string_view shown, const Path& path) {
  if (!target.empty() && !seen.emplace(target).second) f.invalid(path, shown, "conflicting duplicate paths");
}

void projected_keys(Findings& f, Value source, Seen& seen, const Path& path, const Path& volume) {
  if (text(source, "name").empty()) f.required(path.child("name"));
  Path items = path.child("items");
  std::size_t i = 0;
  for (Value item : source["items"].items()) {
    key_to_path(f, item, items.index(i++));
    unique_path(f, seen, text(item, "path"), text(source, "name"), volume);
  }
}

void service_account_token(Findings& f, Value token, const Path& path, const Path& volume) {
  std::int64_t seconds = token["expirationSeconds"].as_int();
  if (seconds < token_min_s) f.invalid(path.child("expirationSeconds"), seconds, "may not specify a duration less than 10 minutes");
  if (seconds > token_max_s) f.invalid(path.child("expirationSeconds"), seconds, "may not specify a duration larger than 2^32 seconds");
  if (text(token, "path").empty()) f.required(volume.child("path"));
  else unreserved_local_path(f, text(token, "path"), volume.child("path"));
}

void trust_bundle(Findings& f, Value bundle, Seen& seen, const Path& path, const Path& volume) {
  bool name = set(bundle, "name"), signer = set(bundle, "signerName");
  if (name && signer) f.invalid(path, bundle, "only one of name and signerName may be used");
  if (!name && !signer) f.required(path, "either name or signerName must be specified");
  if (name && !signer) {
    if (text(bundle, "name").empty()) f.required(path.child("name"), "must be a valid object name");
    if (set(bundle, "labelSelector"))
      f.invalid(path.child("labelSelector"), bundle["labelSelector"], "labelSelector must be unset if name is specified");
  }
  if (signer && !name) {
    if (text(bundle, "signerName").empty()) f.required(path.child("signerName"), "must be a valid signer name");
    f.add(validate_label_selector(bundle["labelSelector"], path.child("labelSelector")));
  }
  if (text(bundle, "path").empty()) f.required(path.child("path"));
  unreserved_local_path(f, text(bundle, "path"), path.child("path"));
  unique_path(f, seen, text(bundle, "path"), text(bundle, "path"), volume);
}

void projected(Findings& f, Value volume, const Path& path) {
  file_mode(f, volume["defaultMode"], path.child("defaultMode"));
  Seen seen;
  Path sources = path.child("sources");
  std::size_t i = 0;
  for (Value source : volume["sources"].items()) {
    Path at = sources.index(i++);
    int kinds = 0;
    for (const char* kind : {"secret", "configMap"}) {
      if (!set(source, kind)) continue;
      ++kinds;
      projected_keys(f, source[kind], seen, at.child(kind), path);
    }
    if (set(source, "downwardAPI")) {
      ++kinds;
      Path api = at.child("downwardAPI");
      for (Value file : source["downwardAPI"]["items"].items()) {
        downward_file(f, file, api);
        unique_path(f, seen, text(file, "path"), text(file, "path"), path);
      }
    }
    if (set(source, "serviceAccountToken")) {
      ++kinds;
      service_account_token(f, source["serviceAccountToken"], at.child("serviceAccountToken"), path);
    }
    if (set(source, "clusterTrustBundle")) {
      ++kinds;
      trust_bundle(f, source["clusterTrustBundle"], seen, at.child("clusterTrustBundlePEM"), path);
    }
    if (kinds > 1) f.forbidden(at, "may not specify more than 1 volume type");
  }
}

void keyed(Findings& f, Value source, const char* name, const Path& path) {
  if (text(source, name).empty()) f.required(path.child(name));
  file_mode(f, source["defaultMode"], path.child("defaultMode"));
  key_paths(f, source["items"], path.child("items"));
}

void downward(Findings& f, Value source, const Path& path) {
  file_mode(f, source["defaultMode"], path.child("defaultMode"));
  // Upstream names the volume, not the item.
  for (Value file : source["items"].items()) downward_file(f, file, path);
}

void ephemeral(Findings& f, Value source, std::string_view volume, std::string_view pod, const Path& path, const Path& parent) {
  Value claim = source["volumeClaimTemplate"];
  if (claim.is_null()) {
    f.required(path.child("volumeClaimTemplate"));
  } else {
    Path at = path.child("volumeClaimTemplate");
    template_meta(f, claim["metadata"], at.child("metadata"));
    claim_spec(f, claim["spec"], true, at.child("spec"));
  }
  if (pod.empty() || volume.empty()) return;
  std::string name = fmt::format("{}-{}", pod, volume);
  for (const std::string& message : names::dns1123_subdomain(name)) {
    f.invalid(parent.child("name"), volume, fmt::format("PVC name {}: {}", go_quote(name), message));
  }
}

// Splits metadata.labels['key'] into its field and key.
bool subscripted(std::string_view path, std::string_view& field, std::string_view& key) {
  if (!path.ends_with("']")) return false;
  std::size_t open = path.find("['");
  if (open == std::string_view::npos || open == 0) return false;
  field = path.substr(0, open);
  key = path.substr(open + 2, path.size() - open - 4);
  return true;
}

std::string convert_field_label(std::string_view version, std::string_view label) {
  if (version != "v1") return fmt::format("unsupported pod version: {}", version);
  std::string_view field, key;
  if (subscripted(label, field, key)) {
    if (field == "metadata.annotations" || field == "metadata.labels") return "";
    return fmt::format("field label does not support subscript: {}", label);
  }
  for (std::string_view known : {"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid",
                                 "spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "spec.schedulerName", "status.phase",
                                 "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs", "spec.host"}) {
    if (label == known) return "";
  }
  return fmt::format("field label not supported: {}", label);
}

void divisor(Findings& f, std::string_view resource, Value value, const Path& path) {
  Quantity amount = Quantity::of(value);
  if (amount.is_zero()) return;
  std::string shown = amount.str();
  auto wrong = [&](std::string_view allowed, std::string_view what) {
    f.invalid(path.child("divisor"), resource, fmt::format("only divisor's values {} are supported with the {} resource", allowed, what));
  };
  bool usual = std::find(std::begin(divisors), std::end(divisors), shown) != std::end(divisors);
  std::string_view kind = resource.substr(std::min(resource.size(), resource.find('.') + 1));
  if (kind == "cpu" && shown != "1m" && shown != "1") wrong("1m and 1", "cpu");
  if (kind == "memory" && !usual) wrong(divisor_list, "memory");
  if (kind == "ephemeral-storage" && !usual) wrong(divisor_list, "local ephemeral storage");
  if (is_hugepage(kind) && !usual) wrong(divisor_list, "hugepages");
}

}  // namespace

void template_meta(Findings& f, Value meta, const Path& path) {
  f.add(validate_annotations(meta["annotations"], path.child("annotations")));
  f.add(validate_labels(meta["labels"], path.child("labels")));
  for (Member member : meta.members()) {
    bool allowed = member.key == "labels" || member.key == "annotations" || member.value.is_null();
    if (!allowed) f.forbidden(path.child(member.key), "cannot be set");
  }
}

void object_field_selector(Findings& f, Value selector, bool for_volume, const Path& path) {
  std::string_view version = text(selector, "apiVersion"), label = text(selector, "fieldPath");
  if (version.empty()) return f.required(path.child("apiVersion"));
  if (label.empty()) return f.required(path.child("fieldPath"));
  if (std::string why = convert_field_label(version, label); !why.empty()) {
    return f.invalid(path.child("fieldPath"), label, "error converting fieldPath: " + why);
  }
  std::string_view field, key;
  if (subscripted(label, field, key)) {
    if (field == "metadata.annotations") return qualified(f, to_lower(key), path);
    return qualified(f, key, path);
  }
  if (label == "spec.host") label = "spec.nodeName";
  if (for_volume) {
    f.enumerated(path.child("fieldPath"), label,
                 {"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"});
  } else {
    f.enumerated(path.child("fieldPath"), label,
                 {"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
                  "status.hostIPs", "status.podIP", "status.podIPs"});
  }
}

void resource_field_selector(Findings& f, Value selector, bool for_volume, const Path& path) {
  std::string_view resource = text(selector, "resource");
  if (for_volume && text(selector, "containerName").empty()) f.required(path.child("containerName"));
  else if (resource.empty()) f.required(path.child("resource"));
  else if (!resource.starts_with("limits.hugepages-") && !resource.starts_with("requests.hugepages-")) {
    f.enumerated(
        path.child("resource"), resource,
        {"limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu", "requests.ephemeral-storage", "requests.memory"});
  }
  divisor(f, resource, selector["divisor"], path);
}

// Sources that pods alone have; the others are in volume_sources.cpp. Answers whether `kind` was one of these.
bool pod_only_source(Findings& f, Value volume, std::string_view kind, std::string_view name, std::string_view pod_name, const Path& path,
                     const Path& parent) {
  Value source = volume[kind];
  if (kind == "emptyDir") {
    if (set(source, "sizeLimit") && Quantity::of(source["sizeLimit"]).sign() < 0)
      f.forbidden(path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity");
  } else if (kind == "gitRepo") {
    if (text(source, "repository").empty()) f.required(path.child("repository"));
    descending_path(f, text(source, "directory"), path.child("directory"));
  } else if (kind == "secret") {
    keyed(f, source, "secretName", path);
  } else if (kind == "configMap") {
    keyed(f, source, "name", path);
  } else if (kind == "downwardAPI") {
    downward(f, source, path);
  } else if (kind == "projected") {
    projected(f, source, path);
  } else if (kind == "persistentVolumeClaim") {
    if (text(source, "claimName").empty()) f.required(path.child("claimName"));
  } else if (kind == "ephemeral") {
    ephemeral(f, source, name, pod_name, path, parent);
  } else if (kind == "image") {
    if (text(source, "reference").empty()) f.required(path.child("reference"));
    f.one_of(path.child("pullPolicy"), text(source, "pullPolicy"), {"Always", "IfNotPresent", "Never"});
  } else {
    return false;
  }
  return true;
}

Volumes volumes(Findings& f, Value list, std::string_view pod_name, const Path& path) {
  Volumes out;
  Seen created;
  for (Value volume : list.items()) {
    if (!pod_name.empty() && set(volume, "ephemeral")) created.insert(fmt::format("{}-{}", pod_name, text(volume, "name")));
  }
  std::size_t i = 0;
  for (Value volume : list.items()) {
    Path at = path.index(i++);
    std::string_view name = text(volume, "name");
    Findings own;
    volume_sources(own, volume, name, pod_name, at);
    if (name.empty()) own.required(at.child("name"));
    else dns_label(own, name, at.child("name"));
    if (out.find(name).exists()) own.duplicate(at.child("name"), name);
    if (own.empty()) out.known.emplace(name, volume);
    else f.add(own.take());
    std::string_view claim = text(volume["persistentVolumeClaim"], "claimName");
    if (set(volume, "persistentVolumeClaim") && created.contains(claim)) {
      Path source = at.child("persistentVolumeClaim");
      f.invalid(source.child("claimName"), claim, "must not reference a PVC that gets created for an ephemeral volume");
    }
  }
  return out;
}

}  // namespace kybern::rules
