#include "machinery/apply/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <unordered_map>

namespace kybern::apply {
namespace {

using Nodes = std::vector<FieldNode>;

// What the walk found at one place: is it removed, modified or added, and what is in it.
struct Found {
  bool removed = false, modified = false, added = false;
  Nodes in_removed, in_modified, in_added;
};

void put(Nodes& out, const Element& element, bool member, Nodes&& children) {
  if (!member && children.empty()) return;
  sort_nodes(children);
  out.push_back({element, member, std::move(children)});
}

// The member of `in` that has the key of the index-th of `object`.
Value same_member(Value in, Value object, std::size_t index) {
  std::optional<Name> name = object.member_name(index);
  return name ? in[*name] : in[object.member(index).key];
}

bool hollow(Value v) { return !v.exists() || v.is_null() || (v.size() == 0 && (v.is_object() || v.is_array())); }

class Comparer {
 public:
  explicit Comparer(FieldTexts& texts) : texts_(texts) {}

  void compare(const Place& place, Value a, Value b, Found& out) {
    Rule rule = place.rule(b.exists() && !b.is_null() ? b : a);
    if (rule == Rule::scalar || rule == Rule::atomic || (hollow(a) && hollow(b))) {
      leaf(a, b, out);
      if (place.deduced() && a.is_object() && b.exists() && !b.is_object() && !hollow(a)) {
        Found inside;
        compare_maps(place, a, Value(), inside);
        out.in_removed = std::move(inside.in_removed);
      }
      return;
    }
    bool list = rule == Rule::set || rule == Rule::keyed;
    Kind wanted = list ? Kind::array : Kind::object;
    if (a.exists() && !a.is_null() && a.kind() != wanted) {
      // Only where the schema leaves the kind open: what was there is replaced, what is in the new value is added.
      leaf(a, b, out);
      a = Value();
      Found inside;
      descend(place, list, Value(), b, inside);
      out.in_added = std::move(inside.in_added);
      return;
    }
    descend(place, list, a, b, out);
    if (!a.exists()) out.added = true;
    else if (!b.exists()) out.removed = true;
  }

  // Everything in a value that was not there, each of it a member.
  void all(const Place& place, Value value, Nodes& out) {
    Rule rule = place.rule(value);
    if (rule == Rule::scalar || rule == Rule::atomic) return;
    if (rule == Rule::structure || rule == Rule::map) {
      out.reserve(value.size());
      for (std::size_t i = 0; i < value.size(); ++i) {
        FieldNode& node = out.emplace_back(FieldNode{member_element(value, i, texts_), true, {}});
        Value inside = value.member(i).value;
        if (inside.size()) all(place.member(value, i), inside, node.children);
      }
      return sort_nodes(out);
    }
    if (!value.is_array()) return;
    out.reserve(value.size());
    std::unordered_map<std::string_view, std::size_t> seen;
    Place inside = place.item();
    for (std::size_t i = 0; i < value.size(); ++i) {
      auto element = place.element(value[i], texts_);
      if (!element) {
        if (status_) status_ = fail(Code::invalid, fmt::format("element {}: {}", i, element.error().message));
        continue;
      }
      // Items that cannot be told apart are one value together.
      if (auto [twin, fresh] = seen.emplace(element->text, out.size()); !fresh) {
        out[twin->second].children.clear();
        continue;
      }
      FieldNode& node = out.emplace_back(FieldNode{*element, true, {}});
      all(inside, value[i], node.children);
    }
    sort_nodes(out);
  }

  const Result<void>& status() const { return status_; }

 private:
  void leaf(Value a, Value b, Found& out) {
    if (!a.exists()) out.added = true;
    else if (!b.exists()) out.removed = true;
    else if (!same_value(a, b)) out.modified = true;
  }

  void descend(const Place& place, bool list, Value a, Value b, Found& out) {
    if (list) compare_lists(place, a, b, out);
    else compare_maps(place, a, b, out);
  }

  template <class Tell>
  void one(const Place& place, Value a, Value b, Tell element, Found& out) {
    if (!a.exists()) {
      FieldNode node{element(), true, {}};
      if (b.size()) all(place, b, node.children);
      out.in_added.push_back(std::move(node));
      return;
    }
    if (b.exists() && a == b) return;
    Found inside;
    compare(place, a, b, inside);
    bool any = inside.removed || inside.modified || inside.added || !inside.in_removed.empty() || !inside.in_modified.empty() ||
               !inside.in_added.empty();
    if (!any) return;
    Element text = element();
    put(out.in_removed, text, inside.removed, std::move(inside.in_removed));
    put(out.in_modified, text, inside.modified, std::move(inside.in_modified));
    put(out.in_added, text, inside.added, std::move(inside.in_added));
  }

  void compare_maps(const Place& place, Value a, Value b, Found& out) {
    if (!a.exists()) out.in_added.reserve(b.size());
    for (std::size_t i = 0; i < b.size(); ++i) {
      Member m = b.member(i);
      one(
          place.member(b, i), a.size() ? same_member(a, b, i) : Value(), m.value, [&] { return member_element(b, i, texts_); }, out);
    }
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (same_member(b, a, i).exists()) continue;
      one(
          place.member(a, i), a.member(i).value, Value(), [&] { return member_element(a, i, texts_); }, out);
    }
  }

  struct Items {
    std::vector<Value> before, after;
  };

  void compare_lists(const Place& place, Value a, Value b, Found& out) {
    if (a.exists() && b.exists() && a == b) return;
    std::map<Element, Items> items;
    auto collect = [&](Value list, std::vector<Value> Items::*side) {
      for (std::size_t i = 0; i < list.size(); ++i) {
        auto element = place.element(list[i], texts_);
        if (element) (items[*element].*side).push_back(list[i]);
        else if (status_) status_ = fail(Code::invalid, fmt::format("element {}: {}", i, element.error().message));
      }
    };
    collect(a, &Items::before);
    collect(b, &Items::after);
    Place inside = place.item();
    for (auto& [text, found] : items) {
      Element element = text;
      std::size_t was = found.before.size(), is = found.after.size();
      if (was <= 1 && is <= 1) {
        one(
            inside, was ? found.before[0] : Value(), is ? found.after[0] : Value(), [&] { return element; }, out);
      } else if (was >= 2 && is >= 2) {
        // Items that cannot be told apart are one value together.
        if (!std::equal(found.before.begin(), found.before.end(), found.after.begin(), found.after.end(), same_value))
          put(out.in_modified, element, true, {});
      } else if (was >= 2) {
        if (is)
          one(
              inside, Value(), found.after[0], [&] { return element; }, out);
        put(out.in_removed, element, true, {});
      } else {
        if (was)
          one(
              inside, found.before[0], Value(), [&] { return element; }, out);
        put(out.in_added, element, true, {});
      }
    }
  }

  FieldTexts& texts_;
  Result<void> status_;
};

class Collector {
 public:
  explicit Collector(FieldTexts& texts) : texts_(texts) {}

  // Is the place itself a leaf? What is in it is appended.
  bool collect(const Place& place, Value value, Nodes& out) {
    switch (place.rule(value)) {
      case Rule::scalar:
      case Rule::atomic: return true;
      case Rule::structure:
      case Rule::map: members(place, value, out); return false;
      case Rule::set:
      case Rule::keyed: items(place, value, out); return false;
    }
    return false;
  }

  const Result<void>& status() const { return status_; }

 private:
  void members(const Place& place, Value value, Nodes& out) {
    if (!value.is_object()) return;
    out.reserve(value.size());
    for (std::size_t i = 0; i < value.size(); ++i) {
      Member m = value.member(i);
      Nodes inside;
      bool leaf = collect(place.member(value, i), m.value, inside);
      bool member = leaf || m.value.is_null() || (m.value.is_object() && m.value.empty()) || !place.named(m.key);
      put(out, member_element(value, i, texts_), member, std::move(inside));
    }
  }

  void items(const Place& place, Value value, Nodes& out) {
    if (!value.is_array()) return;
    std::map<Element, std::vector<Value>> all;
    for (std::size_t i = 0; i < value.size(); ++i) {
      auto element = place.element(value[i], texts_);
      if (element) all[*element].push_back(value[i]);
      else if (status_) status_ = fail(Code::invalid, fmt::format("element {}: {}", i, element.error().message));
    }
    Place inside = place.item();
    for (auto& [element, values] : all) {
      Nodes nodes;
      if (values.size() == 1) collect(inside, values[0], nodes);
      put(out, element, true, std::move(nodes));
    }
  }

  FieldTexts& texts_;
  Result<void> status_;
};

Nodes named(const Nodes& nodes, const Place& place) {
  Nodes out;
  out.reserve(nodes.size());
  for (const FieldNode& node : nodes) {
    bool field = node.element.text[0] == 'f';
    std::string_view key = node.element.text.substr(2);
    FieldNode copy{node.element, node.member, {}};
    if (!node.children.empty()) {
      if (field && place.rule({}) == Rule::structure && place.named(key)) copy.member = true;
      copy.children = named(node.children, field ? place.member(key) : place.item());
    }
    out.push_back(std::move(copy));
  }
  return out;
}

Nodes reconcile(const Nodes& nodes, const Place& place) {
  Nodes out;
  out.reserve(nodes.size());
  for (const FieldNode& node : nodes) {
    bool field = node.element.text[0] == 'f';
    Place inside = field ? place.member(node.element.text.substr(2)) : place.item();
    FieldNode copy{node.element, node.member, {}};
    if (!node.children.empty()) {
      if (!inside.deduced() && inside.rule({}) == Rule::atomic) copy.member = true;
      else copy.children = reconcile(node.children, inside);
    }
    out.push_back(std::move(copy));
  }
  return out;
}

}  // namespace

bool same_value(Value a, Value b) {
  auto number = [](Value v) { return v.is_int() || v.kind() == Kind::number; };
  if (number(a) && number(b)) return a.is_int() && b.is_int() ? a.as_int() == b.as_int() : a.as_double() == b.as_double();
  if (a.kind() != b.kind()) return false;
  if (a.is_array()) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
      if (!same_value(a[i], b[i])) return false;
    return true;
  }
  if (a.is_object()) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i) {
      Member m = a.member(i);
      Value other = b[m.key];
      if (!other.exists() || !same_value(m.value, other)) return false;
    }
    return true;
  }
  return a == b;
}

Result<Comparison> compare(const Place& root, Value before, Value after, FieldTexts& texts) {
  Comparer comparer(texts);
  Found found;
  comparer.compare(root, before, after, found);
  if (!comparer.status()) return std::unexpected(comparer.status().error());
  Comparison out{{std::move(found.in_removed)}, {std::move(found.in_modified)}, {std::move(found.in_added)}};
  for (FieldSet* set : {&out.removed, &out.modified, &out.added}) sort_nodes(set->nodes);
  return out;
}

Result<FieldSet> fields_of(const Place& root, Value object, FieldTexts& texts) {
  Collector collector(texts);
  FieldSet out;
  collector.collect(root, object, out.nodes);
  if (!collector.status()) return std::unexpected(collector.status().error());
  sort_nodes(out.nodes);
  return out;
}

FieldSet with_named_fields(const FieldSet& set, const Place& root) { return {named(set.nodes, root)}; }
FieldSet reconciled(const FieldSet& set, const Place& root) { return {reconcile(set.nodes, root)}; }

}  // namespace kybern::apply
