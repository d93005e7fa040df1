// Sets of fields: what metadata.managedFields says that a manager owns (FieldsV1, KEP-555).
//
// A set is a tree. An element of a path is written as FieldsV1 writes it:
//   f:replicas                 a field of a struct, or a key of a map
//   k:{"name":"web"}           an item of a list of type map, by its keys (sorted by their names)
//   v:"x.io/done"              an item of a list of type set, by its value
//   i:3                        an item by its index
// A node may be a member, lead to members, or both: {"f:data":{".":{},"f:k":{}}} holds .data and .data.k.
//
// Elements are borrowed: from the table of names, from a FieldTexts, or from a Document. All of them must outlive the set.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "document/document.h"

namespace kybern::apply {

// Keeps the texts of elements that lie nowhere else, for the length of one operation.
class FieldTexts {
 public:
  FieldTexts() = default;
  FieldTexts(const FieldTexts&) = delete;
  FieldTexts& operator=(const FieldTexts&) = delete;
  std::string_view keep(std::string_view text);

 private:
  std::vector<std::unique_ptr<char[]>> blocks_;
  std::size_t used_ = 0, room_ = 0;
};

// One element, with its number where the table of names has it: numbers are in the order of the texts.
struct Element {
  static constexpr std::uint32_t unknown = 0xffffffffu;
  Element() = default;
  Element(std::string_view element);
  explicit Element(Name name) : text(name.text()), name(name.id) {}
  std::string_view text;
  std::uint32_t name = unknown;
  friend bool operator<(const Element& a, const Element& b) {
    return a.name != unknown && b.name != unknown ? a.name < b.name : a.text < b.text;
  }
  friend bool operator==(const Element& a, const Element& b) {
    return a.name != unknown && b.name != unknown ? a.name == b.name : a.text == b.text;
  }
};

// f:name, without a copy when the name is one of the API's.
Element field_element(std::string_view name, FieldTexts& texts);
Element field_element(Name name, FieldTexts& texts);

struct FieldNode {
  Element element;
  bool member = false;
  std::vector<FieldNode> children;  // sorted by element; none of them is empty
};

struct FieldSet {
  std::vector<FieldNode> nodes;  // sorted by element; none of them is empty

  bool empty() const { return nodes.empty(); }
  std::size_t size() const;  // members
  bool has(std::span<const std::string_view> path) const;
  bool has(std::initializer_list<std::string_view> path) const { return has(std::span(path.begin(), path.size())); }
  void insert(std::span<const std::string_view> path);
  void insert(std::initializer_list<std::string_view> path) { insert(std::span(path.begin(), path.size())); }
  // The members, each after the one that it lies in.
  void each(const std::function<void(std::span<const std::string_view> path)>& visit) const;
};
bool operator==(const FieldSet& a, const FieldSet& b);

FieldSet unite(const FieldSet& a, const FieldSet& b);
FieldSet intersect(const FieldSet& a, const FieldSet& b);
FieldSet subtract(const FieldSet& a, const FieldSet& b);                   // what lies in a removed field stays
FieldSet subtract_deep(const FieldSet& a, const FieldSet& b);              // what lies in a removed field goes too
void take_out(FieldSet& from, const FieldSet& fields, bool deep = false);  // the same, in place

// Does a set share a member with one that is still in FieldsV1? Nothing is decoded.
bool intersects(const FieldSet& a, Value fields_v1);

// Elements of a kind that is not known are left out, as upstream does. Code::invalid for what is no FieldsV1. With `trusted`
// the elements are taken as they stand (written by this server); otherwise keys and values get their one form.
Result<FieldSet> parse_fields_v1(Value fields_v1, FieldTexts& texts, bool trusted);
void write_fields_v1(const FieldSet& set, BlockWriter& out);
Document fields_v1(const FieldSet& set);

// .spec.containers[name="web"].image, as conflicts are told.
std::string path_text(std::span<const std::string_view> path);
std::string element_text(std::string_view element);

// Nodes collected in any order become a set's. Of nodes with the same element one is left, with what all have.
void sort_nodes(std::vector<FieldNode>& nodes);

}  // namespace kybern::apply
