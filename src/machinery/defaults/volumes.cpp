#include <algorithm>
#include <array>

#include "machinery/defaults/defaults.h"
#include "machinery/defaults/fill.h"

namespace kybern::defaults {
namespace {

constexpr int readable_mode = 0644;
constexpr int token_expiration_s = 60 * 60;

void field_refs(Draft& source) {
  each(source, "items", [](Draft& item) {
    if (Draft* ref = inner(item, "fieldRef")) put_text(*ref, "apiVersion", "v1");
  });
}

void azure_disk(Draft& disk) {
  put(disk, "cachingMode", "ReadWrite");
  put(disk, "fsType", "ext4");
  put(disk, "readOnly", false);
  put(disk, "kind", "Shared");
}

void rbd(Draft& source) {
  put_text(source, "pool", "rbd");
  put_text(source, "user", "admin");
  put_text(source, "keyring", "/etc/ceph/keyring");
}

void scale_io(Draft& source) {
  put_text(source, "storageMode", "ThinProvisioned");
  put_text(source, "fsType", "xfs");
}

}  // namespace

// Sources that a pod's volume and a persistent volume share.
void persistent_source(Draft& spec) {
  if (Draft* source = inner(spec, "hostPath")) put(*source, "type", "");
  if (Draft* source = inner(spec, "iscsi")) put_text(*source, "iscsiInterface", "default");
  if (Draft* source = inner(spec, "rbd")) rbd(*source);
  if (Draft* source = inner(spec, "azureDisk")) azure_disk(*source);
  if (Draft* source = inner(spec, "scaleIO")) scale_io(*source);
}

void volume(Draft& volume) {
  bool sourceless = std::all_of(volume.fields().begin(), volume.fields().end(),
                                [](const Draft::Field& f) { return f.key == "name" || f.value.is_null(); });
  if (sourceless) volume["emptyDir"] = Draft::object();
  persistent_source(volume);
  for (const char* kind : {"secret", "configMap", "downwardAPI"}) {
    if (Draft* source = inner(volume, kind)) put(*source, "defaultMode", readable_mode);
  }
  if (Draft* source = inner(volume, "downwardAPI")) field_refs(*source);
  if (Draft* source = inner(volume, "projected")) {
    put(*source, "defaultMode", readable_mode);
    each(*source, "sources", [](Draft& one) {
      if (Draft* api = inner(one, "downwardAPI")) field_refs(*api);
      if (Draft* token = inner(one, "serviceAccountToken")) put(*token, "expirationSeconds", token_expiration_s);
    });
  }
  if (Draft* source = inner(volume, "ephemeral")) {
    if (Draft* claim = inner(*source, "volumeClaimTemplate")) {
      if (Draft* spec = open(*claim, "spec")) claim_spec(*spec);
    }
  }
  if (Draft* source = inner(volume, "image")) image_pull_policy(*source, "pullPolicy", text(*source, "reference"));
}

}  // namespace kybern::defaults
