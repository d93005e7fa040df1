// Strategic merge patches made from two or three versions of an object: the client side of `apply` and `edit`.
#include <fmt/format.h>

#include <algorithm>

#include "machinery/patch/strategic.h"

namespace kybern {
namespace strategic {
namespace {

struct DiffOptions {
  bool set_element_order = true;
  bool ignore_changes = false;  // changes and additions
  bool ignore_deletions = false;
  bool build_retain_keys = false;
};

// Upstream sorts by the printed form of a value.
bool by_text(const Draft& a, const Draft& b) { return go_text(a) < go_text(b); }

Result<Draft> diff_maps(const Draft& original, const Draft& modified, const Place& place, DiffOptions options);

struct ListDiff {
  std::vector<Draft> changes, deletions, order;
};

Result<const Draft*> key_of(const Draft& item, std::string_view merge_key) {
  if (!item.is_object()) return std::unexpected(not_a("map[string]interface {}", item));
  const Draft* key = item.find(merge_key);
  if (key == nullptr) return std::unexpected(no_merge_key(item, merge_key));
  return key;
}

// Elements in the order of their merge key's text.
Result<std::vector<std::pair<std::string, const Draft*>>> sorted_by_key(const std::vector<Draft>& items, std::string_view merge_key) {
  std::vector<std::pair<std::string, const Draft*>> out;
  for (const Draft& item : items) {
    auto key = key_of(item, merge_key);
    if (!key) return std::unexpected(key.error());
    out.emplace_back(go_text(**key), &item);
  }
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return out;
}

Result<ListDiff> diff_objects(const std::vector<Draft>& original, const std::vector<Draft>& modified, const Meta& meta,
                              const DiffOptions& options) {
  auto before = sorted_by_key(original, meta.merge_key), after = sorted_by_key(modified, meta.merge_key);
  if (!before) return std::unexpected(before.error());
  if (!after) return std::unexpected(after.error());
  ListDiff out;
  std::size_t i = 0, j = 0;
  while (i < before->size() || j < after->size()) {
    int order = i == before->size() ? 1 : j == after->size() ? -1 : (*before)[i].first.compare((*after)[j].first);
    if (order == 0) {
      const Draft& item = *(*after)[j].second;
      auto change = diff_maps(*(*before)[i].second, item, meta.place, options);
      if (!change) return std::unexpected(change.error());
      if (!change->empty()) {
        (*change)[meta.merge_key] = *item.find(meta.merge_key);
        out.changes.push_back(std::move(*change));
      }
      ++i, ++j;
    } else if (order > 0) {
      if (!options.ignore_changes) out.changes.push_back(*(*after)[j].second);
      ++j;
    } else {
      if (!options.ignore_deletions) {
        Draft gone = Draft::object();
        gone[meta.merge_key] = *(*before)[i].second->find(meta.merge_key);
        gone[patch_marker] = Draft("delete");
        out.deletions.push_back(std::move(gone));
      }
      ++i;
    }
  }
  return out;
}

ListDiff diff_scalars(std::vector<Draft> original, std::vector<Draft> modified, const DiffOptions& options) {
  std::stable_sort(original.begin(), original.end(), by_text);
  std::stable_sort(modified.begin(), modified.end(), by_text);
  ListDiff out;
  std::size_t i = 0, j = 0;
  while (i < original.size() || j < modified.size()) {
    int order = i == original.size() ? 1 : j == modified.size() ? -1 : go_text(original[i]).compare(go_text(modified[j]));
    if (order == 0) {
      ++i, ++j;
    } else if (order > 0) {
      if (!options.ignore_changes) out.changes.push_back(modified[j]);
      ++j;
    } else {
      bool known = std::find(out.deletions.begin(), out.deletions.end(), original[i]) != out.deletions.end();
      if (!options.ignore_deletions && !known) out.deletions.push_back(original[i]);
      ++i;
    }
  }
  return out;
}

bool same_order(const std::vector<Draft>& original, const std::vector<Draft>& modified, std::string_view merge_key) {
  return std::equal(original.begin(), original.end(), modified.begin(), modified.end(),
                    [&](const Draft& a, const Draft& b) { return *a.find(merge_key) == *b.find(merge_key); });
}

Result<ListDiff> diff_lists(const std::vector<Draft>& original, const std::vector<Draft>& modified, const Meta& meta,
                            const DiffOptions& options) {
  ListDiff out;
  if (original.empty()) {
    if (!options.ignore_changes) out.changes = modified;
    return out;
  }
  auto kind = element_kind(original, modified);
  if (!kind) return std::unexpected(kind.error());
  if (*kind != Kind::object) {
    out = diff_scalars(original, modified, options);
    if (auto done = sort_by_order(out.changes, modified, meta.merge_key); !done) return std::unexpected(done.error());
    bool changed = (!options.ignore_deletions && !out.deletions.empty()) || (!options.ignore_changes && original != modified);
    if (options.set_element_order && changed) out.order = modified;
    return out;
  }
  auto found = diff_objects(original, modified, meta, options);
  if (!found) return found;
  out.changes = std::move(found->changes);
  if (auto done = sort_by_order(out.changes, modified, meta.merge_key); !done) return std::unexpected(done.error());
  for (Draft& gone : found->deletions) out.changes.push_back(std::move(gone));
  bool changed = (!options.ignore_changes && (!out.changes.empty() || !same_order(original, modified, meta.merge_key))) ||
                 (!options.ignore_deletions && !out.changes.empty());
  if (options.set_element_order && changed) {
    for (const Draft& item : modified) out.order.push_back(Draft::object({{meta.merge_key, *item.find(meta.merge_key)}}));
  }
  return out;
}

void put_list(Draft& patch, std::string key, std::vector<Draft> items) {
  if (items.empty()) return;
  Draft list = Draft::array();
  list.items() = std::move(items);
  patch[key] = std::move(list);
}

Result<void> diff_member(Draft& patch, std::string_view key, const Draft& before, const Draft& after, const Place& place,
                         DiffOptions options) {
  if (before.kind() != after.kind() || (!before.is_object() && !before.is_array())) {
    if (!options.ignore_changes && !(before == after)) patch[key] = after;
    return {};
  }
  auto meta = lookup(place, key);
  if (!meta) {
    if (before == after) return {};
    return std::unexpected(meta.error());
  }
  if (before.is_object()) {
    options.build_retain_keys = meta->retain;
    auto inner = diff_maps(before, after, meta->place, options);
    if (!inner) return std::unexpected(inner.error());
    if (!inner->empty()) patch[key] = std::move(*inner);
    return {};
  }
  if (!meta->merge) {
    if (!options.ignore_changes && !(before == after)) patch[key] = after;
    return {};
  }
  options.build_retain_keys = meta->retain;
  auto lists = diff_lists(before.items(), after.items(), *meta, options);
  if (!lists) return std::unexpected(lists.error());
  put_list(patch, std::string(key), std::move(lists->changes));
  put_list(patch, fmt::format("{}/{}", delete_list_prefix, key), std::move(lists->deletions));
  put_list(patch, fmt::format("{}/{}", order_prefix, key), std::move(lists->order));
  return {};
}

Result<Draft> diff_maps(const Draft& original, const Draft& modified, const Place& place, DiffOptions options) {
  Draft patch = Draft::object();
  std::vector<Draft> keep;
  for (const Draft::Field& field : modified.fields()) {
    if (options.build_retain_keys && !field.value.is_null()) keep.push_back(Draft(field.key));
    const Draft* before = original.find(field.key);
    if (before == nullptr) {
      if (!options.ignore_changes) patch[field.key] = field.value;
      continue;
    }
    if (auto done = diff_member(patch, field.key, *before, field.value, place, options); !done) return std::unexpected(done.error());
  }
  bool more_in_original = false;
  for (const Draft::Field& field : original.fields()) {
    if (modified.find(field.key) != nullptr) continue;
    if (!field.value.is_null()) more_in_original = true;
    if (!options.ignore_deletions) patch[field.key] = Draft();
  }
  if (!keep.empty() && (!patch.empty() || more_in_original)) {
    std::stable_sort(keep.begin(), keep.end(), by_text);
    put_list(patch, std::string(retain_keys), std::move(keep));
  }
  return patch;
}

// Whether two patches change the same thing to different values.
bool conflict(const Draft& left, const Draft& right, const Place& place, const Meta& meta) {
  if (left.kind() != right.kind()) return true;
  if (left.is_array()) {
    const auto &a = left.items(), &b = right.items();
    if (!meta.merge) return a != b;
    if (meta.merge_key.empty()) return false;
    return std::any_of(a.begin(), a.end(), [&](const Draft& item) {
      std::size_t at = position(b, item, meta.merge_key);
      return at != npos && conflict(item, b[at], meta.place, Meta{});
    });
  }
  if (!left.is_object()) return !(left == right);
  const Draft *x = left.find(patch_marker), *y = right.find(patch_marker);
  if ((x == nullptr) != (y == nullptr) || (x != nullptr && !(*x == *y))) return true;
  for (const Draft::Field& field : left.fields()) {
    const Draft* other = right.find(field.key);
    if (other == nullptr || field.key == patch_marker || field.key == retain_keys || field.key.starts_with("$")) continue;
    auto inner = lookup(place, field.key);
    if (!inner) return true;
    if (conflict(field.value, *other, inner->place, *inner)) return true;
  }
  return false;
}

}  // namespace
}  // namespace strategic

using strategic::DiffOptions;
using strategic::Place;

Result<Draft> create_strategic_patch(Value original, Value modified, const schema::Type& type) {
  return strategic::diff_maps(Draft(original), Draft(modified), Place::of(&type), DiffOptions{});
}

Result<Draft> create_three_way_strategic_patch(Value original, Value modified, Value current, const schema::Type& type, bool overwrite) {
  Place place = Place::of(&type);
  Draft before = original.is_object() ? Draft(original) : Draft::object(), after(modified), live(current);
  auto delta = strategic::diff_maps(live, after, place, DiffOptions{.ignore_deletions = true});
  if (!delta) return delta;
  auto patch = strategic::diff_maps(before, after, place, DiffOptions{.ignore_changes = true});
  if (!patch) return patch;
  auto merged = strategic::merge_map(*patch, std::move(*delta), place, {.merge_parallel_list = false, .ignore_unmatched_nulls = false});
  if (!merged) return std::unexpected(merged.error());
  if (!overwrite) {
    auto changed = strategic::diff_maps(before, live, place, DiffOptions{.set_element_order = false});
    if (!changed) return changed;
    if (strategic::conflict(*patch, *changed, place, {})) {
      return fail(Code::conflict, fmt::format("patch:\n{}\nconflicts with changes made from original to current:\n{}\n", go_text(*patch),
                                              go_text(*changed)));
    }
  }
  return patch;
}

}  // namespace kybern
