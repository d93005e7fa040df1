#!/bin/bash
# mkimage.sh ROOTFS NAME:TAG OUT.tar [CONFIG-JSON]
# Packs a folder into an image archive (OCI image layout, one uncompressed layer) with nothing but tar and sha256sum.
# CONFIG-JSON is the "config" object of the OCI image configuration: Entrypoint, Cmd, Env, User, ExposedPorts...
# Same input, same bytes: times and owners are fixed.
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,5p' "$0" >&2; exit 2; }
rootfs=$1 name=$2 out=$3 config=${4:-'{}'}
case $(uname -m) in x86_64) arch=amd64 ;; aarch64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
layout=$(mktemp -d)
trap 'rm -rf "$layout"' EXIT
mkdir -p "$layout/blobs/sha256"

# Moves a file into the layout under its digest; sets `digest` and `size`.
store() {
  digest=$(sha256sum <"$1" | cut -d' ' -f1)
  size=$(stat -c %s "$1")
  mv "$1" "$layout/blobs/sha256/$digest"
}
descriptor() { printf '{"mediaType":"application/vnd.oci.image.%s","digest":"sha256:%s","size":%s%s}' "$1" "$digest" "$size" "${2:-}"; }

tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --format=gnu -C "$rootfs" -cf "$layout/layer" .
store "$layout/layer"
layer=$(descriptor layer.v1.tar) diff_id=$digest

printf '{"architecture":"%s","os":"linux","created":"1970-01-01T00:00:00Z","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
  "$arch" "$config" "$diff_id" >"$layout/config"
store "$layout/config"
config_descriptor=$(descriptor config.v1+json)

printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}' \
  "$config_descriptor" "$layer" >"$layout/manifest"
store "$layout/manifest"
# The first annotation makes containerd's importer use exactly this name.
annotations=$(printf ',"annotations":{"io.containerd.image.name":"%s","org.opencontainers.image.ref.name":"%s"}' "$name" "${name##*:}")
printf '{"schemaVersion":2,"manifests":[%s]}' "$(descriptor manifest.v1+json "$annotations")" >"$layout/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
tar --sort=name --mtime=@0 -C "$layout" -cf "$out" oci-layout index.json blobs
