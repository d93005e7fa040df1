#include "machinery/apply/merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace kybern::apply {
namespace {

class Merger {
 public:
  Result<Draft> run(const Place& place, Value live, Value config) {
    Draft out = merge(place, live, config);
    if (!status_) return std::unexpected(status_.error());
    return out;
  }

 private:
  Draft merge(const Place& place, Value a, Value b) {
    if (!b.exists()) return Draft(a);
    if (!a.exists() || a.is_null()) return Draft(b);
    switch (place.rule(b.is_null() ? a : b)) {
      case Rule::scalar:
      case Rule::atomic: return Draft(b);
      case Rule::structure:
      case Rule::map: {
        if (!a.is_object() || a.empty()) return Draft(b);
        if (!b.is_object() || b.empty()) return Draft(a);
        Draft out(a);
        for (std::size_t i = 0; i < b.size(); ++i) {
          Member m = b.member(i);
          out[m.key] = merge(place.member(b, i), a[m.key], m.value);
        }
        return out;
      }
      case Rule::set:
      case Rule::keyed: {
        if (!a.is_array() || a.empty()) return Draft(b);
        if (!b.is_array() || b.empty()) return Draft(a);
        return merge_lists(place, a, b);
      }
    }
    return Draft(b);
  }

  // The items of a list under their elements; an item that cannot be told apart is an error.
  std::vector<std::string_view> elements(const Place& place, Value list) {
    std::vector<std::string_view> out;
    for (std::size_t i = 0; i < list.size(); ++i) {
      auto element = place.element(list[i], texts_);
      if (!element && status_) status_ = fail(Code::invalid, fmt::format("element {}: {}", i, element.error().message));
      out.push_back(element ? element->text : std::string_view());
    }
    return out;
  }

  // The items of both, each once: those of the configuration in its order, the others before the one that they stood before.
  Draft merge_lists(const Place& place, Value a, Value b) {
    std::vector<std::string_view> live = elements(place, a), given = elements(place, b);
    std::map<std::string_view, std::size_t> in_live, in_given;
    std::map<std::string_view, bool> twice;  // in the live list: such items are not merged
    for (std::size_t i = 0; i < live.size(); ++i)
      if (!in_live.emplace(live[i], i).second) twice[live[i]] = true;
    for (std::size_t i = 0; i < given.size(); ++i)
      if (!in_given.emplace(given[i], i).second && status_)
        status_ = fail(Code::invalid, fmt::format("duplicate entries for key {}", element_text(given[i])));
    if (!status_) return Draft(b);
    std::vector<std::string_view> shared;
    for (std::string_view element : given)
      if (in_live.contains(element)) shared.push_back(element);
    std::size_t next_shared = 0;
    Place inside = place.item();
    Draft out = Draft::array();
    std::map<std::string_view, bool> merged;
    auto take = [&](std::string_view element, std::size_t given_index) {
      merged[element] = true;
      auto found = in_live.find(element);
      bool usable = found != in_live.end() && !twice.contains(element);
      out.push_back(merge(inside, usable ? a[found->second] : Value(), b[given_index]));
      if (next_shared < shared.size() && shared[next_shared] == element) ++next_shared;
    };
    std::size_t i = 0, j = 0;
    while (i < live.size() || j < given.size()) {
      if (i < live.size() && j < given.size()) {
        if (live[i] == given[j]) {
          take(given[j], j);
          ++i, ++j;
          continue;
        }
        if (in_given.contains(live[i]) && next_shared < shared.size() && shared[next_shared] != live[i]) {
          ++i;  // its turn comes with the configuration's order
          continue;
        }
      }
      if (i < live.size()) {
        if (!in_given.contains(live[i])) {
          out.push_back(Draft(a[i++]));
          continue;
        }
        if (merged.contains(live[i])) ++i;
      }
      if (j < given.size()) {
        take(given[j], j);
        ++j;
      }
    }
    return out;
  }

  FieldTexts texts_;
  Result<void> status_;
};

const FieldNode* find(const std::vector<FieldNode>& nodes, const Element& element) {
  auto at = std::lower_bound(nodes.begin(), nodes.end(), element, [](const FieldNode& node, const Element& e) { return node.element < e; });
  return at != nodes.end() && at->element == element ? &*at : nullptr;
}

// A container of which nothing is left is null, as upstream leaves it.
Draft without(const Place& place, Value value, const std::vector<FieldNode>& gone, FieldTexts& texts) {
  switch (place.rule(value)) {
    case Rule::scalar: return Draft(value);
    case Rule::atomic: return Draft(nullptr);
    case Rule::structure:
    case Rule::map: {
      if (!value.is_object() || value.empty()) return Draft(nullptr);
      Draft out = Draft::object();
      for (std::size_t i = 0; i < value.size(); ++i) {
        Member m = value.member(i);
        const FieldNode* node = find(gone, member_element(value, i, texts));
        if (node && node->member) continue;
        out[m.key] = node && !node->children.empty() ? without(place.member(value, i), m.value, node->children, texts) : Draft(m.value);
      }
      return out.empty() ? Draft(nullptr) : std::move(out);
    }
    case Rule::set:
    case Rule::keyed: {
      if (!value.is_array() || value.empty()) return Draft(nullptr);
      Draft out = Draft::array();
      for (Value item : value.items()) {
        auto element = place.element(item, texts);
        const FieldNode* node = element ? find(gone, *element) : nullptr;
        if (node && node->member) continue;
        out.push_back(node && !node->children.empty() ? without(place.item(), item, node->children, texts) : Draft(item));
      }
      return out.empty() ? Draft(nullptr) : std::move(out);
    }
  }
  return Draft(value);
}

}  // namespace

Result<Draft> merge(const Place& root, Value live, Value config) { return Merger().run(root, live, config); }

Draft remove(const Place& root, Value object, const FieldSet& fields, FieldTexts& texts) {
  if (fields.empty()) return Draft(object);
  return without(root, object, fields.nodes, texts);
}

}  // namespace kybern::apply
