#include <cstdlib>
#include <unordered_map>

#include "document/block.h"

namespace kybern {

using namespace detail;

// ---------------------------------------------------------------------------------------------------------------------
// Keys

Draft::Key::Key(FieldKey key) : id_(key.is_name() ? key.name().id : key.is_no_name() ? far_key : name_id(key.text())) {
  std::string_view text = id_ == far_key ? key.text() : known_names[id_];
  text_ = text.data();
  size_ = static_cast<std::uint32_t>(text.size());
  if (id_ != far_key) return;
  char* own = new char[std::size_t{size_} + 1];
  text.copy(own, size_);
  text_ = own;
}

// ---------------------------------------------------------------------------------------------------------------------
// What a Draft owns once it is not (only) a shared subtree

struct Draft::Text {
  std::size_t size;
  std::string_view view() const { return {reinterpret_cast<const char*>(this + 1), size}; }
};

// With many members it gets an index by key hash, so that a patch of a large map stays linear.
struct Draft::Object {
  struct Index {
    std::unordered_multimap<std::size_t, std::size_t> places;  // hash of the key -> position
    std::size_t indexed = 0;                                   // fields in it; 0: none is kept
    std::vector<bool> erased;                                  // fields that are no more, until all() is asked for
    std::size_t erased_count = 0;
  };
  std::vector<Field> fields;
  std::unique_ptr<Index> index;
  static constexpr std::size_t index_above = 64;
  static constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

  Object() = default;
  Object(const Object& other) : fields(other.fields), index(other.index ? std::make_unique<Index>(*other.index) : nullptr) {}

  std::size_t size() const { return fields.size() - erased_count(); }
  std::size_t erased_count() const { return index ? index->erased_count : 0; }

  std::size_t position(FieldKey key) {
    if (fields.size() <= index_above) {
      for (std::size_t i = 0; i < fields.size(); ++i)
        if (fields[i].key.is(key)) return i;
      return nowhere;
    }
    std::hash<std::string_view> hash;
    if (!index) index = std::make_unique<Index>();
    Index& x = *index;
    if (x.indexed == 0) x.places.clear();
    for (; x.indexed < fields.size(); ++x.indexed) x.places.emplace(hash(fields[x.indexed].key), x.indexed);
    auto [from, to] = x.places.equal_range(hash(key.text()));
    for (; from != to; ++from)
      if (fields[from->second].key.is(key)) return from->second;
    return nowhere;
  }

  Draft* find(FieldKey key) {
    std::size_t at = position(key);
    return at == nowhere ? nullptr : &fields[at].value;
  }

  bool erase(FieldKey key) {
    std::size_t at = position(key);
    if (at == nowhere) return false;
    if (fields.size() <= index_above) {
      fields.erase(fields.begin() + static_cast<std::ptrdiff_t>(at));
      return true;
    }
    // Its place stays, so that the index stays right.
    Index& x = *index;
    auto [from, to] = x.places.equal_range(std::hash<std::string_view>()(key.text()));
    while (from != to && from->second != at) ++from;
    x.places.erase(from);
    fields[at] = Field();
    x.erased.resize(fields.size());
    x.erased[at] = true;
    ++x.erased_count;
    return true;
  }

  // The fields, each of them there; they may be changed.
  std::vector<Field>& all() {
    if (!index) return fields;
    Index& x = *index;
    x.indexed = 0;
    if (x.erased_count == 0) return fields;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < fields.size(); ++i) {
      if (i < x.erased.size() && x.erased[i]) continue;
      if (kept != i) fields[kept] = std::move(fields[i]);
      ++kept;
    }
    fields.resize(kept);
    x.erased.clear();
    x.erased_count = 0;
    return fields;
  }
};

void Draft::hold(Tag tag, void* what) const { held_ = reinterpret_cast<std::uintptr_t>(what) | tag; }

void Draft::release() {
  switch (tag()) {
    case holds_shared: detail::release(as<const Block>()); break;
    case holds_object: delete as<Object>(); break;
    case holds_array: delete as<std::vector<Draft>>(); break;
    case holds_text: std::free(as<Text>()); break;
    default: break;
  }
  held_ = 0;
}

Draft::Draft(double value) : held_(holds_number) { std::memcpy(&word_, &value, sizeof word_); }
Draft::Draft(std::string_view value) {
  auto* text = static_cast<Text*>(std::malloc(sizeof(Text) + value.size()));
  KYBERN_CHECK(text, "memory is there");
  text->size = value.size();
  if (!value.empty()) std::memcpy(static_cast<void*>(text + 1), value.data(), value.size());
  hold(holds_text, text);
}
Draft::Draft(Value value) {
  switch (value.kind()) {
    case Kind::null: return;
    case Kind::boolean: *this = Draft(value.as_bool()); return;
    case Kind::integer: *this = Draft(value.as_int()); return;
    case Kind::number: *this = Draft(value.as_double()); return;
    default:
      value.block_->references.fetch_add(1, std::memory_order_relaxed);
      hold(holds_shared, const_cast<Block*>(value.block_));
      word_ = reinterpret_cast<std::uint64_t>(value.slot_);
  }
}
Draft::Draft(const Draft& other) : word_(other.word_) {
  switch (other.tag()) {
    case holds_shared:
      if (other.held_) other.as<const Block>()->references.fetch_add(1, std::memory_order_relaxed);
      held_ = other.held_;
      break;
    case holds_object: hold(holds_object, new Object(*other.as<Object>())); break;
    case holds_array: hold(holds_array, new std::vector<Draft>(*other.as<std::vector<Draft>>())); break;
    case holds_text: *this = Draft(other.as<Text>()->view()); break;
    default: held_ = other.held_;
  }
}
Draft& Draft::operator=(const Draft& other) {
  if (this != &other) *this = Draft(other);
  return *this;
}

Draft Draft::object() {
  Draft d;
  d.hold(holds_object, new Object());
  return d;
}
Draft Draft::object(std::initializer_list<Entry> members) {
  Draft d = object();
  for (const auto& [key, value] : members) d[key] = value;
  return d;
}
Draft Draft::array() {
  Draft d;
  d.hold(holds_array, new std::vector<Draft>());
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

Draft::Object* Draft::open_object() const {
  if (tag() == holds_object) return as<Object>();
  if (!borrows() || !borrowed().is_object()) return nullptr;
  Value shared = borrowed();
  auto* object = new Object();
  object->fields.reserve(shared.size());
  for (std::size_t i = 0; i < shared.size(); ++i) {
    std::optional<Name> name = shared.member_name(i);
    object->fields.push_back({Key(name ? FieldKey(*name) : FieldKey(shared.member(i).key, far_key)), Draft(shared.member_value(i))});
  }
  detail::release(as<const Block>());
  hold(holds_object, object);
  return object;
}

std::vector<Draft>* Draft::open_array() const {
  if (tag() == holds_array) return as<std::vector<Draft>>();
  if (!borrows() || !borrowed().is_array()) return nullptr;
  Value shared = borrowed();
  auto* items = new std::vector<Draft>();
  items->reserve(shared.size());
  for (Value item : shared.items()) items->emplace_back(item);
  detail::release(as<const Block>());
  hold(holds_array, items);
  return items;
}

Kind Draft::kind() const {
  static constexpr Kind kinds[] = {Kind::null, Kind::object, Kind::array, Kind::string, Kind::boolean, Kind::integer, Kind::number};
  return borrows() ? borrowed().kind() : kinds[tag()];
}

bool Draft::as_bool(bool fallback) const { return tag() == holds_boolean ? word_ != 0 : fallback; }
std::int64_t Draft::as_int(std::int64_t fallback) const { return tag() == holds_integer ? static_cast<std::int64_t>(word_) : fallback; }
double Draft::as_double(double fallback) const {
  if (tag() == holds_integer) return static_cast<double>(as_int());
  if (tag() != holds_number) return fallback;
  double value;
  std::memcpy(&value, &word_, sizeof value);
  return value;
}
std::string_view Draft::as_string(std::string_view fallback) const {
  if (borrows()) return borrowed().as_string(fallback);
  return tag() == holds_text ? as<Text>()->view() : fallback;
}
std::size_t Draft::size() const {
  if (borrows()) return borrowed().size();
  if (tag() == holds_array) return as<std::vector<Draft>>()->size();
  return tag() == holds_object ? as<Object>()->size() : 0;
}

Draft* Draft::find(FieldKey key) {
  // A miss in a shared object leaves it shared.
  if (borrows() && !borrowed()[key].exists()) return nullptr;
  Object* object = open_object();
  return object ? object->find(key) : nullptr;
}

Draft* Draft::find_path(std::initializer_list<FieldKey> path) {
  Draft* at = this;
  for (FieldKey key : path)
    if (!(at = at->find(key))) return nullptr;
  return at;
}

Draft& Draft::operator[](FieldKey key) {
  if (is_null()) *this = object();
  Object* object = open_object();
  KYBERN_CHECK(object, "a member is set on an object or a null");
  if (Draft* found = object->find(key)) return *found;
  object->fields.push_back({Key(key), Draft()});
  return object->fields.back().value;
}

bool Draft::erase(FieldKey key) {
  if (borrows() && !borrowed()[key].exists()) return false;
  Object* object = open_object();
  return object && object->erase(key);
}

std::vector<Draft::Field>& Draft::fields() {
  Object* object = open_object();
  KYBERN_CHECK(object, "fields() is asked of an object");
  return object->all();
}
const std::vector<Draft::Field>& Draft::fields() const {
  Object* object = open_object();
  KYBERN_CHECK(object, "fields() is asked of an object");
  return object->erased_count() ? object->all() : object->fields;
}

Draft& Draft::push_back(Draft item) {
  if (is_null()) *this = array();
  std::vector<Draft>* items = open_array();
  KYBERN_CHECK(items, "an item is added to an array or a null");
  items->push_back(std::move(item));
  return items->back();
}
std::vector<Draft>& Draft::items() {
  std::vector<Draft>* items = open_array();
  KYBERN_CHECK(items, "items() is asked of an array");
  return *items;
}

Document Draft::freeze() const {
  BlockWriter w(1024);
  auto write = [&](auto&& self, const Draft& d) -> void {
    switch (d.tag()) {
      case holds_shared: return w.copy(d.borrowed());
      case holds_boolean: return w.boolean(d.as_bool());
      case holds_integer: return w.integer(d.as_int());
      case holds_number: return w.number(d.as_double());
      case holds_text: return w.string(d.as_string());
      case holds_array:
        w.begin_array();
        for (const Draft& item : d.items()) self(self, item);
        return w.end_array();
      default:
        w.begin_object();
        for (const Field& f : d.fields()) {
          w.key(f.key.view());
          self(self, f.value);
        }
        w.end_object();
    }
  };
  write(write, *this);
  return w.finish();
}

bool operator==(const Draft& a, const Draft& b) {
  if (a.borrows() && b.borrows()) return a.borrowed() == b.borrowed();
  if (a.kind() != b.kind()) return false;
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
        const Draft* other = b.find(f.key.view());
        if (!other || !(f.value == *other)) return false;
      }
      return true;
  }
  return false;
}

}  // namespace kybern
