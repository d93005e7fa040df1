#include "machinery/data_sources.h"

namespace kybern {
namespace {

bool has(const Draft& spec, const char* field) {
  const Draft* found = spec.find(field);
  return found != nullptr && found->is_object();
}

std::string_view word(const Draft& source, const char* field) {
  const Draft* found = source.find(field);
  return found == nullptr ? std::string_view() : found->as_string();
}

bool is_claim_or_snapshot(const Draft& source) {
  std::string_view kind = word(source, "kind"), group = word(source, "apiGroup");
  return (kind == "PersistentVolumeClaim" && group.empty()) || (kind == "VolumeSnapshot" && group == "snapshot.storage.k8s.io");
}

}  // namespace

void copy_data_sources(Draft& spec) {
  bool source = has(spec, "dataSource"), reference = has(spec, "dataSourceRef");
  if (source == reference) return;
  const char *from = source ? "dataSource" : "dataSourceRef", *to = source ? "dataSourceRef" : "dataSource";
  if (reference && !word(spec["dataSourceRef"], "namespace").empty()) return;
  Draft copy = spec[from];
  copy.erase("namespace");
  spec[to] = std::move(copy);
}

void settle_data_sources(Draft& spec, Value before) {
  bool source_before = !before["dataSource"].is_null() || !before["dataSourceRef"].is_null();
  bool elsewhere = has(spec, "dataSourceRef") && !word(spec["dataSourceRef"], "namespace").empty();
  if (elsewhere && before["dataSourceRef"].is_null()) spec.erase("dataSourceRef");
  if (!source_before && has(spec, "dataSource") && !is_claim_or_snapshot(spec["dataSource"])) spec.erase("dataSource");
  copy_data_sources(spec);
}

}  // namespace kybern
