#include <unordered_map>
#include <variant>

#include "document/block.h"

namespace kybern {

// What a Draft holds once it is not (only) a shared subtree. An object with many members gets an index by key hash, so
// that a patch of a large map stays linear.
struct Draft::Node {
  struct Object {
    std::vector<Field> fields;
    std::unordered_multimap<std::size_t, std::size_t> index;  // hash of the key -> position
    std::size_t indexed = 0;                                  // fields in the index; 0: none is kept
    std::vector<bool> erased;                                 // fields that are no more, until all() is asked for; empty: none
    std::size_t erased_count = 0;
    static constexpr std::size_t index_above = 64;

    static constexpr std::size_t nowhere = static_cast<std::size_t>(-1);
    std::size_t position(std::string_view key) {
      if (fields.size() <= index_above) {
        for (std::size_t i = 0; i < fields.size(); ++i)
          if (fields[i].key == key) return i;
        return nowhere;
      }
      std::hash<std::string_view> hash;
      if (indexed == 0) index.clear();
      for (; indexed < fields.size(); ++indexed) index.emplace(hash(fields[indexed].key), indexed);
      auto [from, to] = index.equal_range(hash(key));
      for (; from != to; ++from)
        if (fields[from->second].key == key) return from->second;
      return nowhere;
    }

    Draft* find(std::string_view key) {
      std::size_t at = position(key);
      return at == nowhere ? nullptr : &fields[at].value;
    }

    bool erase(std::string_view key) {
      std::size_t at = position(key);
      if (at == nowhere) return false;
      if (fields.size() <= index_above) {
        fields.erase(fields.begin() + static_cast<std::ptrdiff_t>(at));
        return true;
      }
      // Its place stays, so that the index stays right.
      auto [from, to] = index.equal_range(std::hash<std::string_view>()(key));
      while (from != to && from->second != at) ++from;
      index.erase(from);
      fields[at] = Field();
      erased.resize(fields.size());
      erased[at] = true;
      ++erased_count;
      return true;
    }

    // The fields, each of them there; they may be changed.
    std::vector<Field>& all() {
      indexed = 0;
      if (erased_count == 0) return fields;
      std::size_t kept = 0;
      for (std::size_t i = 0; i < fields.size(); ++i) {
        if (i < erased.size() && erased[i]) continue;
        if (kept != i) fields[kept] = std::move(fields[i]);
        ++kept;
      }
      fields.resize(kept);
      erased.clear();
      erased_count = 0;
      return fields;
    }
  };
  std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, std::vector<Draft>, Object> value;
};

Draft::Draft() = default;
Draft::Draft(std::nullptr_t) {}
Draft::Draft(bool value) : node_(new Node{value}) {}
Draft::Draft(int value) : node_(new Node{std::int64_t{value}}) {}
Draft::Draft(unsigned value) : node_(new Node{std::int64_t{value}}) {}
Draft::Draft(long value) : node_(new Node{std::int64_t{value}}) {}
Draft::Draft(long long value) : node_(new Node{std::int64_t{value}}) {}
Draft::Draft(unsigned long value) : node_(new Node{static_cast<std::int64_t>(value)}) {}
Draft::Draft(double value) : node_(new Node{value}) {}
Draft::Draft(const char* value) : node_(new Node{std::string(value)}) {}
Draft::Draft(std::string_view value) : node_(new Node{std::string(value)}) {}
Draft::Draft(std::string value) : node_(new Node{std::move(value)}) {}
Draft::Draft(Value value) {
  if (!value.exists()) return;
  shared_ = value.document();
  slot_ = value.slot_;
}
Draft::Draft(const Document& value) : Draft(value.root()) {}
Draft::Draft(const Draft& other)
    : node_(other.node_ ? std::make_unique<Node>(*other.node_) : nullptr), shared_(other.shared_), slot_(other.slot_) {}
Draft::Draft(Draft&& other) noexcept
    : node_(std::move(other.node_)), shared_(std::move(other.shared_)), slot_(std::exchange(other.slot_, nullptr)) {}
Draft& Draft::operator=(const Draft& other) {
  if (this != &other) *this = Draft(other);
  return *this;
}
Draft& Draft::operator=(Draft&& other) noexcept {
  // Through a temporary: `other` may lie inside this value's tree.
  std::unique_ptr<Node> node = std::move(other.node_);
  Document shared = std::move(other.shared_);
  const detail::Slot* slot = std::exchange(other.slot_, nullptr);
  std::swap(node_, node);
  std::swap(shared_, shared);
  slot_ = slot;
  return *this;
}
Draft::~Draft() = default;

Draft Draft::object() {
  Draft d;
  d.node_ = std::make_unique<Node>();
  d.node_->value.emplace<Node::Object>();
  return d;
}
Draft Draft::object(std::initializer_list<std::pair<std::string_view, Draft>> members) {
  Draft d = object();
  for (const auto& [key, value] : members) d[key] = value;
  return d;
}
Draft Draft::array() {
  Draft d;
  d.node_ = std::make_unique<Node>();
  d.node_->value.emplace<std::vector<Draft>>();
  return d;
}
Draft Draft::array(std::initializer_list<Draft> items) {
  Draft d = array();
  for (const Draft& item : items) d.push_back(item);
  return d;
}

Draft Draft::strings(const std::vector<std::string>& texts) {
  Draft d = array();
  for (const std::string& text : texts) d.push_back(text);
  return d;
}

Draft::Node& Draft::open() const {
  if (node_) return *node_;
  node_ = std::make_unique<Node>();
  if (!slot_) return *node_;
  Value v(shared_.block_, slot_);
  switch (v.kind()) {
    case Kind::null: break;
    case Kind::boolean: node_->value = v.as_bool(); break;
    case Kind::integer: node_->value = v.as_int(); break;
    case Kind::number: node_->value = v.as_double(); break;
    case Kind::string: node_->value = v.str(); break;
    case Kind::array: {
      auto& items = node_->value.emplace<std::vector<Draft>>();
      items.reserve(v.size());
      for (Value item : v.items()) items.emplace_back(item);
      break;
    }
    case Kind::object: {
      auto& object = node_->value.emplace<Node::Object>();
      object.fields.reserve(v.size());
      for (Member m : v.members()) object.fields.push_back({std::string(m.key), Draft(m.value)});
      break;
    }
  }
  slot_ = nullptr;
  shared_ = Document();
  return *node_;
}

Kind Draft::kind() const {
  static constexpr Kind kinds[] = {Kind::null, Kind::boolean, Kind::integer, Kind::number, Kind::string, Kind::array, Kind::object};
  if (node_) return kinds[node_->value.index()];
  return borrowed().kind();
}

bool Draft::as_bool(bool fallback) const {
  if (!node_) return borrowed().as_bool(fallback);
  const bool* v = std::get_if<bool>(&node_->value);
  return v ? *v : fallback;
}
std::int64_t Draft::as_int(std::int64_t fallback) const {
  if (!node_) return borrowed().as_int(fallback);
  const auto* v = std::get_if<std::int64_t>(&node_->value);
  return v ? *v : fallback;
}
double Draft::as_double(double fallback) const {
  if (!node_) return borrowed().as_double(fallback);
  if (const auto* v = std::get_if<double>(&node_->value)) return *v;
  if (const auto* v = std::get_if<std::int64_t>(&node_->value)) return static_cast<double>(*v);
  return fallback;
}
std::string_view Draft::as_string(std::string_view fallback) const {
  if (!node_) return borrowed().as_string(fallback);
  const auto* v = std::get_if<std::string>(&node_->value);
  return v ? std::string_view(*v) : fallback;
}
std::size_t Draft::size() const {
  if (!node_) return borrowed().size();
  if (const auto* a = std::get_if<std::vector<Draft>>(&node_->value)) return a->size();
  if (const auto* o = std::get_if<Node::Object>(&node_->value)) return o->fields.size() - o->erased_count;
  return 0;
}

Draft* Draft::find(std::string_view key) {
  if (!is_object()) return nullptr;
  // A miss in a shared object leaves it shared.
  if (!node_ && !borrowed()[key].exists()) return nullptr;
  return std::get<Node::Object>(open().value).find(key);
}
const Draft* Draft::find(std::string_view key) const { return const_cast<Draft*>(this)->find(key); }

Draft* Draft::find_path(std::initializer_list<std::string_view> path) {
  Draft* at = this;
  for (std::string_view key : path)
    if (!(at = at->find(key))) return nullptr;
  return at;
}
const Draft* Draft::find_path(std::initializer_list<std::string_view> path) const { return const_cast<Draft*>(this)->find_path(path); }

Draft& Draft::operator[](std::string_view key) {
  if (is_null()) *this = object();
  KYBERN_CHECK(is_object(), "a member is set on an object or a null");
  auto& object = std::get<Node::Object>(open().value);
  if (Draft* found = object.find(key)) return *found;
  object.fields.push_back({std::string(key), Draft()});
  return object.fields.back().value;
}

bool Draft::erase(std::string_view key) {
  if (!is_object() || (!node_ && !borrowed()[key].exists())) return false;
  return std::get<Node::Object>(open().value).erase(key);
}

std::vector<Draft::Field>& Draft::fields() {
  KYBERN_CHECK(is_object(), "fields() is asked of an object");
  return std::get<Node::Object>(open().value).all();
}
const std::vector<Draft::Field>& Draft::fields() const {
  KYBERN_CHECK(is_object(), "fields() is asked of an object");
  auto& object = std::get<Node::Object>(open().value);
  return object.erased_count ? object.all() : object.fields;
}

Draft& Draft::push_back(Draft item) {
  if (is_null()) *this = array();
  KYBERN_CHECK(is_array(), "an item is added to an array or a null");
  auto& items = std::get<std::vector<Draft>>(open().value);
  items.push_back(std::move(item));
  return items.back();
}
std::vector<Draft>& Draft::items() {
  KYBERN_CHECK(is_array(), "items() is asked of an array");
  return std::get<std::vector<Draft>>(open().value);
}
const std::vector<Draft>& Draft::items() const { return const_cast<Draft*>(this)->items(); }

Document Draft::freeze() const {
  if (!node_ && !slot_) {
    BlockWriter w(64);
    w.null();
    return w.finish();
  }
  BlockWriter w(1024);
  auto write = [&](auto&& self, const Draft& d) -> void {
    if (!d.node_) return w.copy(d.borrowed());
    switch (d.kind()) {
      case Kind::null: return w.null();
      case Kind::boolean: return w.boolean(d.as_bool());
      case Kind::integer: return w.integer(d.as_int());
      case Kind::number: return w.number(d.as_double());
      case Kind::string: return w.string(d.as_string());
      case Kind::array:
        w.begin_array();
        for (const Draft& item : d.items()) self(self, item);
        return w.end_array();
      case Kind::object:
        w.begin_object();
        for (const Field& f : d.fields()) {
          w.key(f.key);
          self(self, f.value);
        }
        w.end_object();
    }
  };
  write(write, *this);
  return w.finish();
}

bool operator==(const Draft& a, const Draft& b) {
  if (a.kind() != b.kind()) return false;
  if (!a.node_ && !b.node_) return a.borrowed() == b.borrowed();
  switch (a.kind()) {
    case Kind::null: return true;
    case Kind::boolean: return a.as_bool() == b.as_bool();
    case Kind::integer: return a.as_int() == b.as_int();
    case Kind::number: return a.as_double() == b.as_double();
    case Kind::string: return a.as_string() == b.as_string();
    case Kind::array: return a.items() == b.items();
    case Kind::object:
      if (a.size() != b.size()) return false;
      for (const Draft::Field& f : a.fields()) {
        const Draft* other = b.find(f.key);
        if (!other || !(f.value == *other)) return false;
      }
      return true;
  }
  return false;
}

}  // namespace kybern
