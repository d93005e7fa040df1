// The managers of a Scale: those of the object's replicas, as if they had written the Scale (KEP-555, scale subresource).
#include <algorithm>

#include "machinery/apply/apply.h"

namespace kybern::apply {
namespace {

constexpr std::string_view scale_version = "autoscaling/v1";

FieldSet scale_replicas() {
  FieldSet set;
  set.insert({"f:spec", "f:replicas"});
  return set;
}

}  // namespace

Document scale_managers(Value parent, std::string_view api_version, std::span<const std::string_view> replicas) {
  FieldTexts texts;
  Managed all(texts), scale(texts);
  if (!all.read(parent, true)) return {};
  for (Manager& entry : all.entries) {
    if (entry.api_version != api_version || !all.fields(entry).has(replicas)) continue;
    Manager seen = entry;
    seen.api_version = scale_version;
    seen.decoded = scale_replicas();
    scale.entries.push_back(std::move(seen));
  }
  return scale.document();
}

Document parent_managers(Value parent, Value written, std::string_view api_version, std::span<const std::string_view> replicas) {
  FieldTexts texts;
  Managed all(texts), scale(texts);
  if (!all.read(parent, true) || !scale.read(written, true)) return parent.exists() ? Draft(parent).freeze() : Document();
  FieldSet path;
  path.insert(replicas);
  // An entry of the Scale is the same manager's as the object's, but for the version that it shows.
  auto same = [&](const Manager& entry, const Manager& seen) {
    return entry.name == seen.name && entry.applies == seen.applies && entry.subresource == seen.subresource;
  };
  for (Manager& entry : all.entries) {
    if (entry.api_version != api_version || !all.fields(entry).has(replicas)) continue;
    auto kept = std::find_if(scale.entries.begin(), scale.entries.end(), [&](const Manager& seen) { return same(entry, seen); });
    if (kept == scale.entries.end()) entry.decoded = subtract(all.fields(entry), path);
    else scale.entries.erase(kept);
  }
  all.drop_empty();
  for (Manager& seen : scale.entries) {
    if (!scale.fields(seen).has({"f:spec", "f:replicas"})) continue;
    Manager entry = seen;
    entry.api_version = api_version;
    entry.decoded = path;
    if (Manager* there = all.find(entry)) there->decoded = unite(all.fields(*there), path);
    else all.entries.push_back(std::move(entry));
  }
  return all.document();
}

}  // namespace kybern::apply
