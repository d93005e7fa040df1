#include <algorithm>

#include "machinery/patch/patch.h"

namespace kybern {
namespace {

// A value that comes in whole loses the nulls of its objects, in lists too.
void prune_nulls(Draft& value) {
  if (value.is_object()) {
    auto& fields = value.fields();
    std::erase_if(fields, [](const Draft::Field& field) { return field.value.is_null(); });
    for (Draft::Field& field : fields) prune_nulls(field.value);
  } else if (value.is_array()) {
    for (Draft& item : value.items()) prune_nulls(item);
  }
}

void merge_into(Draft& target, Value patch) {
  for (Member change : patch.members()) {
    if (change.value.is_null()) {
      target.erase(change.key);
      continue;
    }
    Draft* old = target.find(change.key);
    if (old != nullptr && old->is_object() && change.value.is_object()) {
      merge_into(*old, change.value);
      continue;
    }
    Draft added(change.value);
    if (old == nullptr || !old->is_object()) prune_nulls(added);
    target[change.key] = std::move(added);
  }
}

// Reuses the diff's two halves: `keep_changes` and `keep_deletions` select what goes into the patch.
Draft diff(Value original, Value modified, bool keep_changes, bool keep_deletions) {
  Draft patch = Draft::object();
  for (Member now : modified.members()) {
    Value before = original[now.key];
    if (before.is_object() && now.value.is_object()) {
      Draft inner = diff(before, now.value, keep_changes, keep_deletions);
      if (!inner.empty()) patch[now.key] = std::move(inner);
    } else if (keep_changes && (!before.exists() || !(before == now.value))) {
      patch[now.key] = Draft(now.value);
    }
  }
  if (keep_deletions) {
    for (Member before : original.members()) {
      if (!modified[before.key].exists()) patch[before.key] = Draft();
    }
  }
  return patch;
}

// Two patches as one: the nulls of both survive.
void merge_patches(Draft& into, const Draft& patch) {
  for (const Draft::Field& field : patch.fields()) {
    Draft* old = into.find(field.key);
    if (old != nullptr && old->is_object() && field.value.is_object()) merge_patches(*old, field.value);
    else into[field.key] = field.value;
  }
}

}  // namespace

ApiResult<Draft> merge_patch(Value original, Value patch) {
  if (!patch.is_object()) {
    std::string_view kind = patch.is_array() ? "array" : patch.is_string() ? "string" : patch.is_bool() ? "bool" : "number";
    return fail(bad_request("error decoding patch: json: cannot unmarshal " + std::string(kind) +
                            " into Go value of type map[string]interface {}"));
  }
  Draft result(original);
  if (!result.is_object()) result = Draft::object();
  merge_into(result, patch);
  return result;
}

Draft create_merge_patch(Value original, Value modified) { return diff(original, modified, true, true); }

Draft create_three_way_merge_patch(Value original, Value modified, Value current) {
  Draft patch = diff(current, modified, true, false);
  merge_patches(patch, diff(original, modified, false, true));
  return patch;
}

}  // namespace kybern
