#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "machinery/patch/strategic.h"

namespace kybern {
namespace strategic {
namespace {

std::unexpected<Error> wrong(std::string_view message) { return fail(Code::invalid, std::string(message)); }

bool is_text(const Draft& value, std::string_view text) { return value.is_string() && value.as_string() == text; }

Result<std::string_view> key_after(std::string_view key, std::string_view prefix, std::string_view otherwise) {
  if (key.size() <= prefix.size() || key[prefix.size()] != '/') return wrong(otherwise);
  return key.substr(prefix.size() + 1);
}

void drop_nulls(Draft& value) {
  if (value.is_object()) {
    std::erase_if(value.fields(), [](const Draft::Field& field) { return field.value.is_null(); });
    for (Draft::Field& field : value.fields()) drop_nulls(field.value);
  } else if (value.is_array()) {
    for (Draft& item : value.items()) drop_nulls(item);
  }
}

bool is_directive(std::string_view key) {
  return key == patch_marker || key == retain_keys || key.starts_with(delete_list_prefix) || key.starts_with(order_prefix);
}

// What a patch adds where nothing was: its directives have nothing to act upon.
void drop_directives(Draft& value) {
  if (value.is_object()) {
    std::erase_if(value.fields(), [](const Draft::Field& field) { return is_directive(field.key); });
    for (Draft::Field& field : value.fields()) drop_directives(field.value);
  } else if (value.is_array()) {
    std::erase_if(value.items(), is_delete);
    for (Draft& item : value.items()) drop_directives(item);
  }
}

Draft adopted(Draft value, const Options& options) {
  if (options.ignore_unmatched_nulls) {
    drop_nulls(value);
    drop_directives(value);
  }
  return value;
}

// Keeps only what $retainKeys lists; everything in the patch must be listed.
Result<void> apply_retain_keys(Draft& original, Draft& patch, const Options& options) {
  Draft* found = patch.find(retain_keys);
  if (found == nullptr) return {};
  Draft keep = std::move(*found);
  patch.erase(retain_keys);
  if (!options.merge_parallel_list) {
    const Draft* other = original.find(retain_keys);
    if (other == nullptr) original[retain_keys] = std::move(keep);
    else if (!(*other == keep)) {
      return wrong(fmt::format("{} and {} are not deep equal: this may happen when calculating the 3-way diff patch", go_text(*other),
                               go_text(keep)));
    }
    return {};
  }
  if (!keep.is_array()) return wrong(bad_retain_keys);
  Positions kept(keep.items(), {});
  for (const Draft::Field& field : patch.fields()) {
    if (field.value.is_null() || field.key.starts_with(delete_list_prefix) || field.key.starts_with(order_prefix)) continue;
    if (!kept.has(Draft(field.key))) return wrong(bad_retain_keys);
  }
  std::erase_if(original.fields(), [&](const Draft::Field& field) { return !kept.has(Draft(field.key)); });
  return {};
}

Result<bool> same_merge_key(const Draft& a, const Draft& b, std::string_view merge_key) {
  if (merge_key.empty()) return a == b;
  if (!a.is_object()) return std::unexpected(not_a("map[string]interface {}", a));
  if (!b.is_object()) return std::unexpected(not_a("map[string]interface {}", b));
  const Draft *x = a.find(merge_key), *y = b.find(merge_key);
  if (x == nullptr) return std::unexpected(no_merge_key(a, merge_key));
  if (y == nullptr) return std::unexpected(no_merge_key(b, merge_key));
  return *x == *y;
}

// Every element of the patch must be in the order list, and in that order.
Result<void> check_order(const std::vector<Draft>& patch, const std::vector<Draft>& order, std::string_view merge_key) {
  if (order.empty() || patch.empty()) return {};
  std::vector<const Draft*> kept;
  for (const Draft& item : patch) {
    if (!merge_key.empty() && !item.is_object()) return std::unexpected(not_a("map[string]interface {}", item));
    if (merge_key.empty() || !is_delete(item)) kept.push_back(&item);
  }
  std::size_t p = 0, o = 0;
  while (p < kept.size() && o < order.size()) {
    if (kept[p]->find(patch_marker) != nullptr) {
      ++p;
      continue;
    }
    auto same = same_merge_key(*kept[p], order[o], merge_key);
    if (!same) return std::unexpected(same.error());
    if (*same) ++p;
    ++o;
  }
  if (p == kept.size()) return {};
  Draft patch_list = Draft::array(), order_list = Draft::array();
  for (const Draft& item : patch) patch_list.push_back(item);
  for (const Draft& item : order) order_list.push_back(item);
  return wrong(
      fmt::format("The order in patch list:\n{}\n doesn't match {} list:\n{}\n", go_text(patch_list), order_prefix, go_text(order_list)));
}

// The items that `by` names, and the others.
Result<std::pair<std::vector<Draft>, std::vector<Draft>>> partition(std::vector<Draft> items, const std::vector<Draft>& by,
                                                                    std::string_view merge_key) {
  std::pair<std::vector<Draft>, std::vector<Draft>> out;
  Positions named(by, merge_key);
  for (Draft& item : items) {
    if (!merge_key.empty()) {
      if (!item.is_object()) return std::unexpected(not_a("map[string]interface {}", item));
      if (item.find(merge_key) == nullptr) return std::unexpected(no_merge_key(item, merge_key));
    }
    (named.has(item) ? out.first : out.second).push_back(std::move(item));
  }
  return out;
}

// Two ordered lists as one, interleaved by the live object's order where that knows both.
std::vector<Draft> interleave(std::vector<Draft> server_only, std::vector<Draft> patch, const std::vector<Draft>& server_order,
                              std::string_view merge_key) {
  std::vector<Draft> out;
  Positions at_server(server_order, merge_key);
  std::size_t i = 0, j = 0;
  while (i < server_only.size() || j < patch.size()) {
    bool left = j == patch.size();
    if (!left && i < server_only.size()) {
      std::size_t a = at_server.of(server_only[i]), b = at_server.of(patch[j]);
      left = a != npos && b != npos && a < b;
    }
    out.push_back(std::move(left ? server_only[i++] : patch[j++]));
  }
  return out;
}

Result<std::vector<Draft>> ordered(std::vector<Draft> merged, const std::vector<Draft>& order, const std::vector<Draft>& server_order,
                                   std::string_view merge_key) {
  auto parts = partition(std::move(merged), order, merge_key);
  if (!parts) return std::unexpected(parts.error());
  if (auto done = sort_by_order(parts->first, order, merge_key); !done) return std::unexpected(done.error());
  if (auto done = sort_by_order(parts->second, server_order, merge_key); !done) return std::unexpected(done.error());
  return interleave(std::move(parts->second), std::move(parts->first), server_order, merge_key);
}

// Carries out the elements of a patch list that are directives. False when the list is to be replaced.
Result<bool> apply_special_elements(std::vector<Draft>& original, std::vector<Draft>& patch, std::string_view merge_key) {
  bool replace = false;
  std::vector<Draft> plain, gone;
  for (Draft& item : patch) {
    const Draft* directive = item.find(patch_marker);
    if (directive == nullptr) {
      plain.push_back(std::move(item));
    } else if (is_text(*directive, "delete")) {
      if (item.find(merge_key) == nullptr) return std::unexpected(no_merge_key(item, merge_key));
      gone.push_back(std::move(item));
    } else if (is_text(*directive, "replace")) {
      replace = true;
    } else if (is_text(*directive, "merge")) {
      return wrong("merging lists cannot yet be specified in the patch");
    } else {
      return wrong(fmt::format("unknown patch type: {} in map: {}", go_text(*directive), go_text(item)));
    }
  }
  patch = std::move(plain);
  Positions deleted(gone, merge_key);
  if (!gone.empty()) std::erase_if(original, [&](const Draft& old) { return deleted.has(old); });
  return !replace;
}

Result<std::vector<Draft>> merge_scalars(std::vector<Draft> original, const std::vector<Draft>& patch, bool deletes) {
  if (deletes) {
    Positions gone(patch, {});
    std::erase_if(original, [&](const Draft& item) { return gone.has(item); });
    return original;
  }
  Positions there(original, {});
  for (const Draft& item : patch) {
    if (!there.has(item)) original.push_back(item);
  }
  return original;
}

Result<std::vector<Draft>> merge_list(std::vector<Draft> original, std::vector<Draft> patch, const Meta& meta, bool deletes,
                                      const Options& options) {
  if (original.empty() && patch.empty()) return original;
  auto kind = element_kind(original, patch);
  if (!kind) return std::unexpected(kind.error());
  std::string_view merge_key = meta.merge_key;
  if (*kind != Kind::object) {
    auto merged = merge_scalars(original, patch, deletes && options.merge_parallel_list);
    if (deletes && options.merge_parallel_list) return merged;
    return ordered(std::move(*merged), patch, original, merge_key);
  }
  if (merge_key.empty()) return wrong("cannot merge lists without merge key for type slice");
  auto keep = apply_special_elements(original, patch, merge_key);
  if (!keep) return std::unexpected(keep.error());
  if (!*keep) {
    original = std::move(patch);
    patch.clear();
  }
  std::vector<Draft> merged = original;
  Positions there(merged, merge_key);
  for (const Draft& item : patch) {
    const Draft* key = item.find(merge_key);
    if (key == nullptr) return std::unexpected(no_merge_key(item, merge_key));
    std::size_t at = there.of(item);
    if (at == npos) {
      merged.push_back(adopted(item, options));
    } else if (auto done = merge_map(merged[at], item, meta.place, options); !done) {
      return std::unexpected(done.error());
    }
  }
  return ordered(std::move(merged), patch, original, merge_key);
}

Draft list_of(std::vector<Draft> items) {
  Draft list = Draft::array();
  list.items() = std::move(items);
  return list;
}

// $setElementOrder/x together with x: merges both and puts the elements into the order asked for.
Result<void> apply_order(Draft& original, Draft& patch, std::string_view directive, Draft order, const Place& place,
                         const Options& options) {
  if (!options.merge_parallel_list) {
    const Draft* other = original.find(directive);
    if (other == nullptr) original[directive] = order;
    else if (!(*other == order)) return wrong(bad_order_list);
  }
  if (!order.is_array()) return std::unexpected(not_a("[]interface {}", order));
  auto key = key_after(directive, order_prefix, bad_order_list);
  if (!key) return std::unexpected(key.error());
  std::vector<Draft> live, changes;
  Draft *old = original.find(*key), *change = patch.find(*key);
  if (old != nullptr && !old->is_array()) return std::unexpected(not_a("[]interface {}", *old));
  if (change != nullptr && !change->is_array()) return std::unexpected(not_a("[]interface {}", *change));
  if (old != nullptr) live = old->items();
  if (change != nullptr) changes = change->items();
  auto meta = lookup(place, *key);
  if (!meta) return std::unexpected(meta.error());
  if (auto done = check_order(changes, order.items(), meta->merge_key); !done) return done;
  if (old == nullptr && change == nullptr) return {};
  Result<std::vector<Draft>> merged = old == nullptr ? changes : live;
  if (old != nullptr && change != nullptr) {
    merged = meta->merge ? merge_list(live, changes, *meta, false, options) : Result<std::vector<Draft>>(changes);
  } else if (old == nullptr) {
    if (options.merge_parallel_list) std::erase_if(*merged, is_delete);
    for (Draft& item : *merged) item = adopted(std::move(item), options);
  }
  if (!merged) return std::unexpected(merged.error());
  auto result = ordered(std::move(*merged), order.items(), live, meta->merge_key);
  if (!result) return std::unexpected(result.error());
  original[*key] = list_of(std::move(*result));
  patch.erase(*key);
  return {};
}

Result<void> apply_orders(Draft& original, Draft& patch, const Place& place, const Options& options) {
  std::vector<std::string> directives;
  for (const Draft::Field& field : patch.fields()) {
    if (field.key.starts_with(order_prefix)) directives.push_back(field.key.str());
  }
  for (const std::string& directive : directives) {
    Draft order = std::move(*patch.find(directive));
    patch.erase(directive);
    if (auto done = apply_order(original, patch, directive, std::move(order), place, options); !done) return done;
  }
  return {};
}

Result<void> merge_field(Draft& original, std::string_view key, Draft change, const Place& place, const Options& options) {
  bool deletes = key.starts_with(delete_list_prefix);
  if (deletes) {
    if (!options.merge_parallel_list) {
      original[key] = std::move(change);
      return {};
    }
    auto name = key_after(key, delete_list_prefix, bad_primitive_list);
    if (!name) return std::unexpected(name.error());
    key = *name;
  }
  if (change.is_null()) {
    original.erase(key);
    if (options.ignore_unmatched_nulls) return {};
  }
  Draft* old = original.find(key);
  if (old == nullptr || old->kind() != change.kind()) {
    if (!deletes || !options.merge_parallel_list) original[key] = adopted(std::move(change), options);
    return {};
  }
  auto meta = lookup(place, key);
  if (!meta) return std::unexpected(meta.error());
  if (old->is_object()) return merge_map(*old, std::move(change), meta->place, options);
  if (!old->is_array() || !meta->merge) {
    *old = std::move(change);
    return {};
  }
  auto merged = merge_list(old->items(), change.items(), *meta, deletes, options);
  if (!merged) return std::unexpected(merged.error());
  *old = list_of(std::move(*merged));
  return {};
}

}  // namespace

Error no_merge_key(const Draft& map, std::string_view merge_key) {
  return {Code::internal, fmt::format("map: {} does not contain declared merge key: {}", go_text(map), merge_key)};
}

Error not_a(std::string_view wanted, const Draft& found) {
  std::string_view kind = "nil";
  switch (found.kind()) {
    case Kind::null: kind = "nil"; break;
    case Kind::boolean: kind = "bool"; break;
    case Kind::integer: kind = "int64"; break;
    case Kind::number: kind = "float64"; break;
    case Kind::string: kind = "string"; break;
    case Kind::array: kind = "[]interface {}"; break;
    case Kind::object: kind = "map[string]interface {}"; break;
  }
  return {Code::internal, fmt::format("expected a {}, but received a {}", wanted, kind)};
}

bool is_delete(const Draft& item) {
  const Draft* directive = item.find(patch_marker);
  return directive != nullptr && is_text(*directive, "delete");
}

Result<Kind> element_kind(const std::vector<Draft>& a, const std::vector<Draft>& b) {
  std::optional<Kind> kind;
  for (const std::vector<Draft>* list : {&a, &b}) {
    for (const Draft& item : *list) {
      if (item.is_array()) return fail(Code::unsupported, std::string(list_of_lists));
      if (kind && *kind != item.kind()) return wrong("list element types are not identical");
      kind = item.kind();
    }
  }
  return kind.value_or(Kind::null);
}

std::size_t position(const std::vector<Draft>& order, const Draft& item, std::string_view merge_key) {
  const Draft* wanted = merge_key.empty() ? &item : item.find(merge_key);
  if (wanted == nullptr) return npos;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const Draft* one = merge_key.empty() ? &order[i] : order[i].find(merge_key);
    if (one != nullptr && *one == *wanted) return i;
  }
  return npos;
}

std::size_t Positions::find(std::size_t hash, const Draft& key) const {
  auto [from, to] = by_hash_.equal_range(hash);
  for (; from != to; ++from)
    if (const Draft* one = key_of(list_[from->second]); one != nullptr && *one == key) return from->second;
  return npos;
}

std::size_t Positions::of(const Draft& item) {
  if (list_.size() <= short_list) return position(list_, item, merge_key_);
  auto hash_of = [](const Draft& key) {
    std::hash<std::string_view> hash;
    return key.is_string() ? hash(key.as_string()) : hash(go_text(key));
  };
  for (; indexed_ < list_.size(); ++indexed_) {
    const Draft* key = key_of(list_[indexed_]);
    if (key == nullptr) continue;
    std::size_t hash = hash_of(*key);
    if (find(hash, *key) == npos) by_hash_.emplace(hash, indexed_);
  }
  const Draft* key = key_of(item);
  return key == nullptr ? npos : find(hash_of(*key), *key);
}

Result<void> sort_by_order(std::vector<Draft>& items, const std::vector<Draft>& order, std::string_view merge_key) {
  Positions asked(order, merge_key);
  struct Ranked {
    bool last;
    std::size_t place;
    Draft item;
  };
  std::vector<Ranked> ranked;
  for (Draft& item : items) {
    if (!merge_key.empty() && item.find(merge_key) == nullptr) return std::unexpected(no_merge_key(item, merge_key));
    bool last = is_delete(item);
    std::size_t place = last ? 0 : asked.of(item);
    ranked.push_back({last, place, std::move(item)});
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const Ranked& a, const Ranked& b) { return a.last != b.last ? b.last : a.place < b.place; });
  items.clear();
  for (Ranked& one : ranked) items.push_back(std::move(one.item));
  return {};
}

Result<Meta> lookup(const Place& place, std::string_view key) {
  if (place.type == nullptr) return Meta{Place::of(place.element), false, false, {}};
  const schema::Field* field = place.type->find(key);
  if (field == nullptr) {
    return fail(Code::internal, fmt::format("unable to find api field in struct {} for the json field {}",
                                            place.type->name.substr(place.type->name.rfind('.') + 1), go_quote(key)));
  }
  const schema::Type* inner = field->scalar == schema::Scalar::object ? field->type : nullptr;
  Place inside = field->shape == schema::Shape::map ? Place{nullptr, inner} : Place::of(inner);
  return Meta{inside, field->patch_merge, field->patch_retain_keys, field->patch_key};
}

Result<void> merge_map(Draft& original, Draft patch, const Place& place, const Options& options) {
  if (const Draft* directive = patch.find(patch_marker)) {
    if (is_text(*directive, "replace")) {
      patch.erase(patch_marker);
      original = std::move(patch);
      return {};
    }
    if (is_text(*directive, "delete")) {
      original = Draft::object();
      return {};
    }
    return wrong(fmt::format("unknown patch type: {} in map: {}", go_text(*directive), go_text(patch)));
  }
  if (original.is_null()) original = Draft::object();
  if (auto done = apply_retain_keys(original, patch, options); !done) return done;
  if (auto done = apply_orders(original, patch, place, options); !done) return done;
  for (Draft::Field& field : patch.fields()) {
    if (auto done = merge_field(original, field.key, std::move(field.value), place, options); !done) return done;
  }
  return {};
}

}  // namespace strategic

ApiResult<Draft> strategic_merge(Value original, Value patch, const schema::Type& type) {
  if (!patch.is_object()) return fail(bad_request("error decoding patch: invalid JSON document"));
  Draft result(original);
  auto done = strategic::merge_map(result, Draft(patch), strategic::Place::of(&type), {});
  if (done) return result;
  const std::string& why = done.error().message;
  if (why == strategic::bad_primitive_list || why == strategic::bad_retain_keys || why == strategic::bad_order_list)
    return fail(bad_request(why));
  if (why == strategic::list_of_lists) return fail(generic_unprocessable());
  Status status;
  status.message = why;
  return fail(std::move(status));
}

}  // namespace kybern
