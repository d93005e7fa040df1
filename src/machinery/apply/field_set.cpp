#include "machinery/apply/field_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/strings.h"
#include "document/json.h"
#include "document/names_table.h"

namespace kybern::apply {
namespace {

constexpr std::size_t texts_block_bytes = 2048;
constexpr int fields_depth_max = 500;  // of FieldsV1: deeper than any type of the API
constexpr std::uint16_t no_name = 0xffff;
constexpr std::size_t insertion_max = 24;  // nodes that are sorted where they are

// The name `f:x` of each name `x`, where the table has it.
const std::vector<std::uint16_t>& managed_names() {
  static const std::vector<std::uint16_t> table = [] {
    std::vector<std::uint16_t> out(detail::known_name_count, no_name);
    for (std::uint32_t i = 0; i < detail::known_name_count; ++i) {
      std::string text("f:");
      text += detail::known_names[i];
      if (auto name = find_name(text)) out[i] = static_cast<std::uint16_t>(name->id);
    }
    return out;
  }();
  return table;
}

bool less(const FieldNode& a, const FieldNode& b) { return a.element < b.element; }

using Nodes = std::vector<FieldNode>;

void unite_into(Nodes& out, const Nodes& a, const Nodes& b) {
  out.reserve(std::max(a.size(), b.size()));
  std::size_t i = 0, j = 0;
  while (i < a.size() || j < b.size()) {
    if (j == b.size() || (i < a.size() && a[i].element < b[j].element)) {
      out.push_back(a[i++]);
    } else if (i == a.size() || b[j].element < a[i].element) {
      out.push_back(b[j++]);
    } else {
      FieldNode node{a[i].element, a[i].member || b[j].member, {}};
      unite_into(node.children, a[i].children, b[j].children);
      out.push_back(std::move(node));
      ++i, ++j;
    }
  }
}

void intersect_into(Nodes& out, const Nodes& a, const Nodes& b) {
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    if (a[i].element < b[j].element) {
      ++i;
    } else if (b[j].element < a[i].element) {
      ++j;
    } else {
      FieldNode node{a[i].element, a[i].member && b[j].member, {}};
      intersect_into(node.children, a[i].children, b[j].children);
      if (node.member || !node.children.empty()) out.push_back(std::move(node));
      ++i, ++j;
    }
  }
}

void subtract_into(Nodes& out, const Nodes& a, const Nodes& b, bool deep) {
  std::size_t j = 0;
  for (const FieldNode& x : a) {
    while (j < b.size() && b[j].element < x.element) ++j;
    if (j == b.size() || !(b[j].element == x.element)) {
      out.push_back(x);
      continue;
    }
    if (deep && b[j].member) continue;
    FieldNode node{x.element, x.member && !b[j].member, {}};
    subtract_into(node.children, x.children, b[j].children, deep);
    if (node.member || !node.children.empty()) out.push_back(std::move(node));
  }
}

void take_from(Nodes& from, const Nodes& gone, bool deep) {
  for (const FieldNode& b : gone) {
    auto at = std::lower_bound(from.begin(), from.end(), b, less);
    if (at == from.end() || !(at->element == b.element)) continue;
    if (b.member) at->member = false;
    if (b.member && deep) at->children.clear();
    else take_from(at->children, b.children, deep);
    if (!at->member && at->children.empty()) from.erase(at);
  }
}

bool equal(const Nodes& a, const Nodes& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!(a[i].element == b[i].element) || a[i].member != b[i].member || !equal(a[i].children, b[i].children)) return false;
  return true;
}

std::size_t count(const Nodes& nodes) {
  std::size_t n = 0;
  for (const FieldNode& node : nodes) n += node.member + count(node.children);
  return n;
}

void visit_all(const Nodes& nodes, std::vector<std::string_view>& path,
               const std::function<void(std::span<const std::string_view>)>& visit) {
  for (const FieldNode& node : nodes) {
    path.push_back(node.element.text);
    if (node.member) visit(path);
    path.pop_back();
  }
  for (const FieldNode& node : nodes) {
    if (node.children.empty()) continue;
    path.push_back(node.element.text);
    visit_all(node.children, path, visit);
    path.pop_back();
  }
}

bool shares(const Nodes& a, Value fields) {
  for (const FieldNode& node : a) {
    Value there = node.element.name != Element::unknown ? fields[Name{node.element.name}] : fields[node.element.text];
    if (!there.is_object()) continue;
    if (node.member && (there.empty() || there["."].exists())) return true;
    if (!node.children.empty() && shares(node.children, there)) return true;
  }
  return false;
}

// Keys in the order of their names, values as the writer of JSON has them.
Result<std::string> canonical_key(std::string_view json) {
  auto parsed = parse_json(json);
  if (!parsed) return std::unexpected(parsed.error());
  Value root = parsed->root();
  if (!root.is_object()) return fail(Code::invalid, "ReadMapCB: expect { or n");
  std::vector<Member> members;
  for (Member m : root.members()) members.push_back(m);
  std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) { return a.key < b.key; });
  std::string out = "k:{";
  for (const Member& m : members) {
    if (out.size() > 3) out += ',';
    write_json(Draft(m.key).freeze(), out);
    out += ':';
    write_json(m.value, out);
  }
  out += '}';
  return out;
}

// "" for an element of a kind that is not known.
Result<std::string_view> read_element(std::string_view text, FieldTexts& texts, bool trusted) {
  if (text.size() < 2 || text[1] != ':') return fail(Code::invalid, "missing colon");
  std::string_view rest = text.substr(2);
  switch (text[0]) {
    case 'f': return text;
    case 'v': {
      if (trusted) return text;
      auto parsed = parse_json(rest);
      if (!parsed) return std::unexpected(parsed.error());
      return texts.keep("v:" + to_json(parsed->root()));
    }
    case 'k': {
      if (trusted) return text;
      auto key = canonical_key(rest);
      if (!key) return std::unexpected(key.error());
      return *key == text ? text : texts.keep(*key);
    }
    case 'i': {
      if (!parse_int(rest)) return fail(Code::invalid, fmt::format("strconv.Atoi: parsing {}: invalid syntax", go_quote(rest)));
      return text;
    }
    default: return std::string_view();
  }
}

Result<void> parse_into(Nodes& out, Value fields, FieldTexts& texts, bool trusted, int depth) {
  if (depth > fields_depth_max) return fail(Code::invalid, "exceeded max depth");
  out.reserve(fields.size());
  for (std::size_t i = 0; i < fields.size(); ++i) {
    Member m = fields.member(i);
    if (m.key == ".") continue;  // read by the one above
    auto text = read_element(m.key, texts, trusted);
    if (!text) return std::unexpected(text.error());
    if (text->empty()) continue;
    if (!m.value.is_object()) return fail(Code::invalid, "ReadMapCB: expect { or n");
    std::optional<Name> name = fields.member_name(i);
    Element element = name ? Element(*name) : Element(*text);
    FieldNode node{element, m.value.empty() || m.value["."].exists(), {}};
    if (auto done = parse_into(node.children, m.value, texts, trusted, depth + 1); !done) return done;
    if (node.member || !node.children.empty()) out.push_back(std::move(node));
  }
  sort_nodes(out);
  return {};
}

// --- the order that upstream writes in: fields, keys, values, indices; keys and values by what they are, not as text

int rank(std::string_view element) {
  switch (element[0]) {
    case 'f': return 0;
    case 'k': return 1;
    case 'v': return 2;
    default: return 3;
  }
}

int compare_scalars(Value a, Value b) {
  auto order = [](Value v) { return v.is_int() || v.kind() == Kind::number ? 0 : v.is_string() ? 1 : v.is_bool() ? 2 : 3; };
  if (order(a) != order(b)) return order(a) - order(b);
  switch (order(a)) {
    case 0: return a.as_double() < b.as_double() ? -1 : a.as_double() > b.as_double() ? 1 : 0;
    case 1: return a.as_string().compare(b.as_string());
    case 2: return static_cast<int>(a.as_bool()) - static_cast<int>(b.as_bool());
    default: return 0;
  }
}

// A node with what its element says, parsed once for all comparisons.
struct Ordered {
  explicit Ordered(const FieldNode& n) : node(&n), kind(rank(n.element.text)) {
    if (kind == 3) index = parse_int(n.element.text.substr(2));
  }
  void parse() const {
    if (value) return;
    if (auto parsed = parse_json(node->element.text.substr(2))) value = std::move(*parsed);
  }
  const FieldNode* node;
  int kind;
  std::optional<std::int64_t> index;
  mutable Document value;  // of a key or a value, when its text is not enough; empty when it is no JSON
};

// Two elements as texts, where that tells their order: -1, 1, or 0 when they must be parsed. Up to their first difference
// they have the same keys; there they differ in a text without escapes, or in a number.
int order_of_texts(std::string_view a, std::string_view b) {
  bool quoted = false;
  std::size_t number = 0, i = 2;
  for (; i < a.size() && i < b.size() && a[i] == b[i]; ++i) {
    if (a[i] == '\\') return 0;
    if (a[i] == '"') quoted = !quoted;
    if (!quoted && (a[i] == ':' || i == 2)) number = i + (a[i] == ':');
  }
  if (i == a.size() || i == b.size() || a[i] == '\\' || b[i] == '\\') return 0;
  if (quoted) {
    // The end of a text is before every character.
    if (a[i] == '"' || b[i] == '"') return a[i] == '"' ? -1 : 1;
    return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[i]) ? -1 : 1;
  }
  auto digits = [&](std::string_view text) {
    std::size_t end = number;
    while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
    bool whole = end > number && (end == text.size() || text[end] == ',' || text[end] == '}');
    return whole ? end - number : 0;
  };
  std::size_t x = digits(a), y = digits(b);
  if (!number || !x || !y) return 0;
  if (x != y) return x < y ? -1 : 1;
  return a[i] < b[i] ? -1 : 1;
}

bool written_before(const Ordered& a, const Ordered& b) {
  if (a.kind != b.kind) return a.kind < b.kind;
  if (a.kind == 0) return a.node->element < b.node->element;
  if (a.kind == 3) return a.index < b.index;
  if (int order = order_of_texts(a.node->element.text, b.node->element.text)) return order < 0;
  a.parse(), b.parse();
  if (!a.value || !b.value) return a.node->element < b.node->element;
  Value x = a.value.root(), y = b.value.root();
  if (a.kind == 2) return compare_scalars(x, y) < 0;
  for (std::size_t i = 0; i < x.size() && i < y.size(); ++i) {
    Member p = x.member(i), q = y.member(i);
    if (p.key != q.key) return p.key < q.key;
    if (int c = compare_scalars(p.value, q.value)) return c < 0;
  }
  return x.size() < y.size();
}

// What a text of the form k:{"name":"web"} begins with, up to its value; "" for any other key. A value with a character
// before '"' is none of these: its text need not be in the order of the value.
std::string_view one_text_key(std::string_view element) {
  if (!element.starts_with("k:{\"") || !element.ends_with("\"}")) return {};
  int quotes = 0;
  std::size_t value = 0;
  for (std::size_t i = 3; i < element.size(); ++i) {
    char c = element[i];
    if (c == '"' && ++quotes == 3) value = i + 1;
    if (c != '"' && (c == '\\' || static_cast<unsigned char>(c) < '"')) return {};
  }
  return quotes == 4 ? element.substr(0, value) : std::string_view();
}

// Nodes are in the order of their texts. Is that the order to write them in, without a look at what the texts say?
bool written_as_they_are(const Nodes& nodes) {
  if (nodes.size() < 2) return true;
  if (std::all_of(nodes.begin(), nodes.end(), [](const FieldNode& n) { return n.element.text[0] == 'f'; })) return true;
  std::string_view key = one_text_key(nodes.front().element.text);
  return !key.empty() && std::all_of(nodes.begin(), nodes.end(), [&](const FieldNode& n) { return one_text_key(n.element.text) == key; });
}

void write_nodes(const Nodes& nodes, BlockWriter& out) {
  static const Document empty = Draft::object().freeze();
  const Value nothing = empty.root();
  auto write = [&](const FieldNode& node) {
    if (node.element.name != Element::unknown) out.key(Name{node.element.name});
    else out.key(node.element.text);
    if (node.children.empty()) return out.copy(nothing);
    out.begin_object();
    if (node.member && !node.children.empty()) {
      out.key(".");
      out.copy(nothing);
    }
    write_nodes(node.children, out);
    out.end_object();
  };
  if (written_as_they_are(nodes)) {
    std::for_each(nodes.begin(), nodes.end(), write);
    return;
  }
  std::vector<Ordered> order;
  order.reserve(nodes.size());
  for (const FieldNode& node : nodes) order.emplace_back(node);
  std::stable_sort(order.begin(), order.end(), written_before);
  for (const Ordered& ordered : order) write(*ordered.node);
}

}  // namespace

std::string_view FieldTexts::keep(std::string_view text) {
  if (used_ + text.size() > room_ || blocks_.empty()) {
    room_ = std::max(texts_block_bytes, text.size());
    blocks_.push_back(std::make_unique_for_overwrite<char[]>(room_));
    used_ = 0;
  }
  char* at = blocks_.back().get() + used_;
  if (!text.empty()) std::memcpy(at, text.data(), text.size());
  used_ += text.size();
  return {at, text.size()};
}

Element::Element(std::string_view element) : text(element) {
  if (auto known = find_name(element)) name = known->id;
}

Element field_element(Name name, FieldTexts& texts) {
  std::uint16_t managed = managed_names()[name.id];
  if (managed != no_name) return Element(Name{managed});
  std::string text("f:");
  text += name.text();
  Element out;
  out.text = texts.keep(text);
  return out;
}

Element field_element(std::string_view name, FieldTexts& texts) {
  if (auto known = find_name(name)) return field_element(*known, texts);
  std::string text("f:");
  text += name;
  Element out;
  out.text = texts.keep(text);
  return out;
}

void sort_nodes(Nodes& nodes) {
  if (nodes.size() < 2) return;
  if (nodes.size() > insertion_max) {
    std::stable_sort(nodes.begin(), nodes.end(), less);
  } else {
    for (std::size_t i = 1; i < nodes.size(); ++i) {
      if (!less(nodes[i], nodes[i - 1])) continue;
      FieldNode node = std::move(nodes[i]);
      std::size_t at = i;
      for (; at > 0 && less(node, nodes[at - 1]); --at) nodes[at] = std::move(nodes[at - 1]);
      nodes[at] = std::move(node);
    }
  }
  // The same element twice: from keys that were written in two ways.
  for (std::size_t i = 1; i < nodes.size();) {
    if (!(nodes[i - 1].element == nodes[i].element)) {
      ++i;
      continue;
    }
    Nodes children;
    unite_into(children, nodes[i - 1].children, nodes[i].children);
    nodes[i - 1].children = std::move(children);
    nodes[i - 1].member |= nodes[i].member;
    nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

std::size_t FieldSet::size() const { return count(nodes); }

bool FieldSet::has(std::span<const std::string_view> path) const {
  const Nodes* at = &nodes;
  for (std::size_t i = 0; i < path.size(); ++i) {
    Element element(path[i]);
    auto found =
        std::lower_bound(at->begin(), at->end(), element, [](const FieldNode& node, const Element& e) { return node.element < e; });
    if (found == at->end() || !(found->element == element)) return false;
    if (i + 1 == path.size()) return found->member;
    at = &found->children;
  }
  return false;
}

void FieldSet::insert(std::span<const std::string_view> path) {
  Nodes* at = &nodes;
  for (std::size_t i = 0; i < path.size(); ++i) {
    Element element(path[i]);
    auto found =
        std::lower_bound(at->begin(), at->end(), element, [](const FieldNode& node, const Element& e) { return node.element < e; });
    if (found == at->end() || !(found->element == element)) found = at->insert(found, FieldNode{element, false, {}});
    if (i + 1 == path.size()) found->member = true;
    at = &found->children;
  }
}

void FieldSet::each(const std::function<void(std::span<const std::string_view>)>& visit) const {
  std::vector<std::string_view> path;
  visit_all(nodes, path, visit);
}

bool operator==(const FieldSet& a, const FieldSet& b) { return equal(a.nodes, b.nodes); }

FieldSet unite(const FieldSet& a, const FieldSet& b) {
  FieldSet out;
  unite_into(out.nodes, a.nodes, b.nodes);
  return out;
}
FieldSet intersect(const FieldSet& a, const FieldSet& b) {
  FieldSet out;
  intersect_into(out.nodes, a.nodes, b.nodes);
  return out;
}
FieldSet subtract(const FieldSet& a, const FieldSet& b) {
  FieldSet out;
  subtract_into(out.nodes, a.nodes, b.nodes, false);
  return out;
}
FieldSet subtract_deep(const FieldSet& a, const FieldSet& b) {
  FieldSet out;
  subtract_into(out.nodes, a.nodes, b.nodes, true);
  return out;
}

void take_out(FieldSet& from, const FieldSet& fields, bool deep) { take_from(from.nodes, fields.nodes, deep); }

bool intersects(const FieldSet& a, Value fields_v1) { return shares(a.nodes, fields_v1); }

Result<FieldSet> parse_fields_v1(Value fields, FieldTexts& texts, bool trusted) {
  FieldSet out;
  if (fields.is_null()) return out;
  if (!fields.is_object()) return fail(Code::invalid, "ReadMapCB: expect { or n");
  if (auto done = parse_into(out.nodes, fields, texts, trusted, 0); !done) return std::unexpected(done.error());
  return out;
}

void write_fields_v1(const FieldSet& set, BlockWriter& out) {
  out.begin_object();
  write_nodes(set.nodes, out);
  out.end_object();
}

Document fields_v1(const FieldSet& set) {
  BlockWriter out(256);
  write_fields_v1(set, out);
  return out.finish();
}

std::string element_text(std::string_view element) {
  if (element.size() < 2) return std::string(element);
  std::string_view rest = element.substr(2);
  switch (element[0]) {
    case 'f': return fmt::format(".{}", rest);
    case 'v': return fmt::format("[={}]", rest);
    case 'k': {
      std::string out;
      auto parsed = parse_json(rest);
      if (parsed)
        for (Member m : parsed->root().members()) out += fmt::format("{}{}={}", out.empty() ? "" : ",", m.key, to_json(m.value));
      return "[" + out + "]";
    }
    default: return fmt::format("[{}]", rest);
  }
}

std::string path_text(std::span<const std::string_view> path) {
  std::string out;
  for (std::string_view element : path) out += element_text(element);
  return out;
}

}  // namespace kybern::apply
