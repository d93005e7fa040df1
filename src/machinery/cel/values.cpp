// Values: made in the arena, read out of documents, compared.
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "base/strings.h"
#include "machinery/cel/civil.h"
#include "machinery/cel/evaluation.h"
#include "machinery/cel/functions.h"

namespace kybern::cel {

namespace {

std::uint64_t hash_key(const Val& key) {
  auto mix = [](std::uint64_t v) { return (v ^ v >> 31) * 0x9e3779b97f4a7c15ull; };
  switch (key.tag) {
    case Tag::boolean: return mix(key.boolean);
    case Tag::integer:
    case Tag::uint: return mix(key.uint);
    case Tag::number:
      return mix(key.number == std::floor(key.number) && std::fabs(key.number) < 9e18
                     ? static_cast<std::uint64_t>(static_cast<std::int64_t>(key.number))
                     : 0);
    case Tag::string: return std::hash<std::string_view>()(key.str());
    default: return 0;
  }
}

bool is_number(const Val& v) { return v.tag == Tag::integer || v.tag == Tag::uint || v.tag == Tag::number; }

template <class T>
int order(T a, T b) {
  return a < b ? -1 : b < a ? 1 : 0;
}

int compare_int_double(std::int64_t a, double b) {
  if (b < -9223372036854775808.0) return 1;
  if (b >= 9223372036854775808.0) return -1;
  auto whole = static_cast<std::int64_t>(b);
  if (a != whole) return order(a, whole);
  return order(0.0, b - std::trunc(b));
}

int compare_uint_double(std::uint64_t a, double b) {
  if (b < 0) return 1;
  if (b >= 18446744073709551616.0) return -1;
  auto whole = static_cast<std::uint64_t>(b);
  if (a != whole) return order(a, whole);
  return order(0.0, b - std::trunc(b));
}

int compare_numbers(const Val& a, const Val& b) {
  if ((a.tag == Tag::number && std::isnan(a.number)) || (b.tag == Tag::number && std::isnan(b.number))) return 3;
  if (a.tag == b.tag) {
    if (a.tag == Tag::integer) return order(a.integer, b.integer);
    if (a.tag == Tag::uint) return order(a.uint, b.uint);
    return order(a.number, b.number);
  }
  if (a.tag == Tag::integer && b.tag == Tag::uint) return a.integer < 0 ? -1 : order(static_cast<std::uint64_t>(a.integer), b.uint);
  if (a.tag == Tag::uint && b.tag == Tag::integer) return -compare_numbers(b, a);
  if (a.tag == Tag::integer) return compare_int_double(a.integer, b.number);
  if (b.tag == Tag::integer) return -compare_int_double(b.integer, a.number);
  if (a.tag == Tag::uint) return compare_uint_double(a.uint, b.number);
  return -compare_uint_double(b.uint, a.number);
}

}  // namespace

std::size_t characters(std::string_view utf8) {
  std::size_t n = 0;
  for (char c : utf8) n += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return n;
}

std::uint64_t size_of(const Val& v) {
  switch (v.tag) {
    case Tag::string: return characters(v.str());
    case Tag::bytes: return v.text.size;
    case Tag::list: return v.rep == Rep::document ? v.document.size() : v.list->size;
    case Tag::map: return v.rep == Rep::document ? v.document.size() : v.rep == Rep::built ? v.map->size : 1;
    case Tag::opaque: return v.opaque->size();
    default: return 1;
  }
}

std::string type_name(const Val& v) {
  static constexpr std::string_view names[] = {"error",
                                               "null_type",
                                               "bool",
                                               "int",
                                               "uint",
                                               "double",
                                               "string",
                                               "bytes",
                                               "google.protobuf.Timestamp",
                                               "google.protobuf.Duration",
                                               "list",
                                               "map",
                                               "type",
                                               "optional_type",
                                               ""};
  if (v.tag == Tag::opaque) return std::string(v.opaque->type_name());
  if (v.tag == Tag::map && v.type && v.type->kind == TypeKind::object) return v.type->name;
  return std::string(names[static_cast<std::size_t>(v.tag)]);
}

void* Evaluation::allocate(std::size_t bytes) {
  bytes = (bytes + 15) & ~std::size_t{15};
  if (bytes > left_) {
    std::size_t chunk = std::max<std::size_t>(bytes, 4096u << std::min<std::size_t>(chunks_.size(), 8));
    chunks_.push_back(std::make_unique<std::byte[]>(chunk));
    free_ = chunks_.back().get();
    left_ = chunk;
    held_bytes_ += chunk;
  }
  void* out = free_;
  free_ += bytes;
  left_ -= bytes;
  return out;
}

bool Evaluation::reserve(std::uint64_t bytes) {
  if (bytes <= memory_max_bytes && held_bytes_ + bytes <= memory_max_bytes) return true;
  cost_ = ~0ull;
  return false;
}

Val Evaluation::string(std::string_view text, Tag tag) {
  char* copy = static_cast<char*>(allocate(text.size()));
  if (!text.empty()) std::memcpy(copy, text.data(), text.size());
  return Val::of(std::string_view(copy, text.size()), tag);
}

Val Evaluation::error(std::string_view message) { return string(message, Tag::error); }
Val Evaluation::no_overload() { return Val::of(std::string_view("no such overload"), Tag::error); }
Val Evaluation::overflow(std::string_view what) { return string(std::string(what) + " overflow", Tag::error); }

BuiltList* Evaluation::new_list(std::size_t capacity) {
  auto* list = new (allocate(sizeof(BuiltList))) BuiltList;
  list->capacity = static_cast<std::uint32_t>(capacity);
  if (capacity) list->items = static_cast<Val*>(allocate(capacity * sizeof(Val)));
  return list;
}

void Evaluation::push(BuiltList& list, Val item) {
  if (list.size == list.capacity) {
    std::uint32_t capacity = std::max(4u, list.capacity * 2);
    Val* items = static_cast<Val*>(allocate(capacity * sizeof(Val)));
    std::uninitialized_copy_n(list.items, list.size, items);
    list.items = items;
    list.capacity = capacity;
  }
  new (&list.items[list.size++]) Val(item);
}

Val Evaluation::list(BuiltList* list) {
  Val v;
  v.tag = Tag::list, v.list = list;
  return v;
}

BuiltMap* Evaluation::new_map() { return new (allocate(sizeof(BuiltMap))) BuiltMap; }

Val Evaluation::map(BuiltMap* map, const Type* type) {
  Val v;
  v.tag = Tag::map, v.map = map, v.type = type;
  return v;
}

std::uint32_t Evaluation::find_entry(const BuiltMap& map, const Val& key) {
  if (map.index) {
    for (std::uint32_t i = static_cast<std::uint32_t>(hash_key(key)) & (map.index_size - 1); map.index[i];
         i = (i + 1) & (map.index_size - 1))
      if (equal(map.entries[(map.index[i] - 1) * 2], key)) return map.index[i] - 1;
    return map.size;
  }
  for (std::uint32_t i = 0; i < map.size; ++i)
    if (equal(map.entries[i * 2], key)) return i;
  return map.size;
}

void Evaluation::grow_index(BuiltMap& map) {
  map.index_size = std::max(32u, map.index_size * 2);
  map.index = static_cast<std::uint32_t*>(allocate(map.index_size * sizeof(std::uint32_t)));
  std::memset(map.index, 0, map.index_size * sizeof(std::uint32_t));
  for (std::uint32_t e = 0; e < map.size; ++e) {
    std::uint32_t i = static_cast<std::uint32_t>(hash_key(map.entries[e * 2])) & (map.index_size - 1);
    while (map.index[i]) i = (i + 1) & (map.index_size - 1);
    map.index[i] = e + 1;
  }
}

bool Evaluation::insert(BuiltMap& map, Val key, Val value) {
  if (find_entry(map, key) != map.size) return false;
  if (map.size == map.capacity) {
    std::uint32_t capacity = std::max(4u, map.capacity * 2);
    Val* entries = static_cast<Val*>(allocate(capacity * 2 * sizeof(Val)));
    std::uninitialized_copy_n(map.entries, map.size * 2, entries);
    map.entries = entries;
    map.capacity = capacity;
  }
  new (&map.entries[map.size * 2]) Val(key);
  new (&map.entries[map.size * 2 + 1]) Val(value);
  ++map.size;
  if (map.index && map.size * 2 <= map.index_size) {
    std::uint32_t i = static_cast<std::uint32_t>(hash_key(key)) & (map.index_size - 1);
    while (map.index[i]) i = (i + 1) & (map.index_size - 1);
    map.index[i] = map.size;
  } else if (map.size > BuiltMap::index_above) {
    grow_index(map);
  }
  return true;
}

Val Evaluation::some(Val inner) {
  Val* kept = new (allocate(sizeof(Val))) Val(inner);
  return Val::of_optional(kept);
}

// A document's value: by its schema when there is one, as its JSON says otherwise.
Val Evaluation::from(Value value, const Type* type) {
  Val v;
  TypeKind wanted = type ? type->kind : TypeKind::dyn;
  switch (value.kind()) {
    case Kind::null:
      if (wanted != TypeKind::dyn && !type->nullable) return error("invalid data, got null for schema with nullable=false");
      return Val::null();
    case Kind::boolean: return Val::of(value.as_bool());
    case Kind::integer:
      if (wanted == TypeKind::number) return Val::of(value.as_double());
      return Val::of(value.as_int());
    case Kind::number: {
      double d = value.as_double();
      if (wanted == TypeKind::integer && d == std::floor(d) && std::fabs(d) < 9e18) return Val::of(static_cast<std::int64_t>(d));
      return Val::of(d);
    }
    case Kind::string: {
      std::string_view text = value.as_string();
      if (wanted == TypeKind::timestamp) {
        auto time = parse_instant(text);
        return time ? Val::of_time(*time) : error(fmt::format("cannot convert {} to timestamp", go_quote(text)));
      }
      if (wanted == TypeKind::duration) {
        auto duration = parse_duration(text);
        return duration ? Val::of_duration(duration->count()) : error(fmt::format("cannot convert {} to duration", go_quote(text)));
      }
      if (wanted == TypeKind::bytes) {
        auto bytes = base64_decode(text);
        return bytes ? string(*bytes, Tag::bytes) : error("failed to decode base64");
      }
      return Val::of(text);
    }
    case Kind::array: v.tag = Tag::list; break;
    case Kind::object: v.tag = Tag::map; break;
  }
  v.rep = Rep::document;
  v.document = value;
  v.type = wanted == TypeKind::dyn ? nullptr : type;
  return v;
}

std::size_t Evaluation::length(const Val& v) {
  if (v.rep == Rep::document) return v.document.size();
  if (v.rep == Rep::lookup) return 0;
  return v.tag == Tag::list ? v.list->size : v.map->size;
}

Val Evaluation::at(const Val& list, std::size_t index) {
  if (list.rep == Rep::built) return list.list->items[index];
  return from(list.document[index], list.type ? list.type->item() : nullptr);
}

Val Evaluation::key_at(const Val& map, std::size_t index) {
  if (map.rep == Rep::built) return map.map->entries[index * 2];
  std::string_view property = map.document.member(index).key;
  if (map.type && map.type->kind == TypeKind::object)
    for (const TypeField& field : map.type->fields)
      if (field.property == property) return Val::of(std::string_view(field.name));
  return Val::of(property);
}

Val Evaluation::value_at(const Val& map, std::size_t index) {
  if (map.rep == Rep::built) return map.map->entries[index * 2 + 1];
  Member member = map.document.member(index);
  const Type* type = nullptr;
  if (map.type && map.type->kind == TypeKind::map) type = map.type->item();
  if (map.type && map.type->kind == TypeKind::object)
    for (const TypeField& field : map.type->fields)
      if (field.property == member.key) type = field.type;
  return from(member.value, type);
}

bool Evaluation::find(const Val& map, const Val& key, Val& out) {
  if (map.rep == Rep::built) {
    std::uint32_t entry = find_entry(*map.map, key);
    if (entry == map.map->size) return false;
    out = map.map->entries[entry * 2 + 1];
    return true;
  }
  if (key.tag != Tag::string) return false;
  if (map.rep == Rep::lookup) {
    if (!map.lookup->has(key.str())) return false;
    out = map.lookup->get(*this, key.str());
    return true;
  }
  const Type* type = nullptr;
  std::string_view property = key.str();
  if (map.type && map.type->kind == TypeKind::object) {
    const TypeField* field = map.type->find(property);
    if (!field) return false;
    property = field->property;
    type = field->type;
  } else if (map.type) {
    type = map.type->item();
  }
  Value found = map.document[property];
  if (!found.exists()) return false;
  out = from(found, type);
  return true;
}

int Evaluation::compare(const Val& a, const Val& b) {
  if (is_number(a) && is_number(b)) return compare_numbers(a, b);
  if (a.tag != b.tag) return 2;
  switch (a.tag) {
    case Tag::boolean: return order(a.boolean, b.boolean);
    case Tag::string:
    case Tag::bytes: return order(a.str().compare(b.str()), 0);
    case Tag::timestamp:
      return a.time.seconds != b.time.seconds ? order(a.time.seconds, b.time.seconds) : order(a.time.nanos, b.time.nanos);
    case Tag::duration: return order(a.integer, b.integer);
    default: return 2;
  }
}

bool Evaluation::equal(const Val& a, const Val& b) {
  if (is_number(a) && is_number(b)) return compare_numbers(a, b) == 0;
  if (a.tag != b.tag) return false;
  switch (a.tag) {
    case Tag::null: return true;
    case Tag::list: return equal_list_values(a, b);
    case Tag::map: return equal_map_values(a, b);
    case Tag::type: return same_type(*a.type, *b.type) || a.type->kind == b.type->kind;
    case Tag::optional: return !a.inner || !b.inner ? !a.inner && !b.inner : equal(*a.inner, *b.inner);
    case Tag::opaque: return a.opaque->equals(*b.opaque);
    case Tag::error: return false;
    default: return compare(a, b) == 0;
  }
}

// Lists of a schema may be sets or maps: then the order does not matter.
bool Evaluation::equal_list_values(const Val& a, const Val& b) {
  std::size_t n = length(a);
  if (n != length(b)) return false;
  const Type* type = a.type ? a.type : b.type;
  if (!type || type->semantics == ListSemantics::atomic) {
    for (std::size_t i = 0; i < n; ++i)
      if (!equal(at(a, i), at(b, i))) return false;
    return true;
  }
  for (std::size_t i = 0; i < n; ++i) {
    charge(n);
    if (exhausted() || !contains(b, at(a, i))) return false;
  }
  return true;
}

bool Evaluation::equal_map_values(const Val& a, const Val& b) {
  std::size_t n = length(a);
  if (n != length(b)) return false;
  for (std::size_t i = 0; i < n; ++i) {
    Val other;
    if (!find(b, key_at(a, i), other) || !equal(value_at(a, i), other)) return false;
  }
  return true;
}

bool Evaluation::contains(const Val& list, const Val& item) {
  for (std::size_t i = 0, n = length(list); i < n; ++i)
    if (equal(at(list, i), item)) return true;
  return false;
}

// Sets take in what they lack; maps replace the items that have the same keys; other lists follow one another.
Val Evaluation::concatenate(const Val& a, const Val& b) {
  std::size_t n = length(a), m = length(b);
  if (!reserve((n + m) * sizeof(Val))) return no_overload();
  BuiltList* out = new_list(n + m);
  for (std::size_t i = 0; i < n; ++i) push(*out, at(a, i));
  ListSemantics semantics = a.type ? a.type->semantics : ListSemantics::atomic;
  for (std::size_t i = 0; i < m; ++i) {
    Val item = at(b, i);
    if (semantics == ListSemantics::atomic) {
      push(*out, item);
      continue;
    }
    std::uint32_t same = 0;
    charge(out->size / 8);
    if (exhausted()) break;
    for (; same < out->size; ++same) {
      if (semantics == ListSemantics::set ? equal(out->items[same], item) : item.tag == Tag::map) {
        bool all = true;
        for (const std::string& key : a.type->keys) {
          Val left, right;
          bool has_left = out->items[same].tag == Tag::map && find(out->items[same], Val::of(std::string_view(key)), left);
          bool has_right = item.tag == Tag::map && find(item, Val::of(std::string_view(key)), right);
          all = all && has_left == has_right && (!has_left || equal(left, right));
        }
        if (all) break;
      }
    }
    if (same == out->size) push(*out, item);
    else if (semantics == ListSemantics::map) out->items[same] = item;
  }
  Val made = list(out);
  made.type = a.type;
  return made;
}

}  // namespace kybern::cel
