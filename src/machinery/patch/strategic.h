// What the two halves of strategic merge (applying, making patches) share. Not for other rooms.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "document/document.h"
#include "machinery/patch/patch.h"

namespace kybern::strategic {

inline constexpr std::string_view patch_marker = "$patch";
inline constexpr std::string_view retain_keys = "$retainKeys";
inline constexpr std::string_view delete_list_prefix = "$deleteFromPrimitiveList";
inline constexpr std::string_view order_prefix = "$setElementOrder";

inline constexpr std::string_view bad_primitive_list = "invalid patch format of primitive list";
inline constexpr std::string_view bad_retain_keys = "invalid patch format of retainKeys";
inline constexpr std::string_view bad_order_list = "invalid patch format of setElementOrder list";
inline constexpr std::string_view list_of_lists = "lists of lists are not supported";

// Where in the schema a value stands. A struct has a type; a map has the type of its elements, or none.
struct Place {
  const schema::Type* type = nullptr;     // of a struct
  const schema::Type* element = nullptr;  // of the values of a map
  static Place of(const schema::Type* type) { return {type, nullptr}; }
};

struct Meta {
  Place place;  // of the field's value; for a list: of its elements
  bool merge = false;
  bool retain = false;  // make $retainKeys
  std::string_view merge_key;
};

// How the member `key` of a value at `place` merges. The failure is upstream's for a field that the struct has not.
Result<Meta> lookup(const Place& place, std::string_view key);

// Merging also happens between two patches, where directives are kept and nulls mean something.
struct Options {
  bool merge_parallel_list = true;
  bool ignore_unmatched_nulls = true;
};
Result<void> merge_map(Draft& original, Draft patch, const Place& place, const Options& options);

// Items ordered as in `order`; entries to delete come last.
Result<void> sort_by_order(std::vector<Draft>& items, const std::vector<Draft>& order, std::string_view merge_key);
std::size_t position(const std::vector<Draft>& order, const Draft& item, std::string_view merge_key);  // npos: not there
inline constexpr std::size_t npos = static_cast<std::size_t>(-1);

// position() in a list that is asked often: each question takes the same time, however long the list. The list may grow
// meanwhile, and must not change otherwise.
class Positions {
 public:
  Positions(const std::vector<Draft>& list, std::string_view merge_key) : list_(list), merge_key_(merge_key) {}
  std::size_t of(const Draft& item);
  bool has(const Draft& item) { return of(item) != npos; }

 private:
  static constexpr std::size_t short_list = 16;
  const Draft* key_of(const Draft& item) const { return merge_key_.empty() ? &item : item.find(merge_key_); }
  std::size_t find(std::size_t hash, const Draft& key) const;
  const std::vector<Draft>& list_;
  std::string_view merge_key_;
  std::unordered_multimap<std::size_t, std::size_t> by_hash_;  // of the first item with each key
  std::size_t indexed_ = 0;
};

Error no_merge_key(const Draft& map, std::string_view merge_key);
Error not_a(std::string_view wanted, const Draft& found);
bool is_delete(const Draft& item);
// The one kind of all items, null kind for none. Lists of lists and mixtures are errors.
Result<Kind> element_kind(const std::vector<Draft>& a, const std::vector<Draft>& b);

}  // namespace kybern::strategic
