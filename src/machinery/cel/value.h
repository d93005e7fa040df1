// A value while an expression is evaluated: 32 bytes, copied freely. What it points to lies in the evaluation's arena, in
// the program's constants or in a Document that outlives the evaluation: a document's lists and maps are read in place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "document/document.h"
#include "machinery/cel/type.h"

namespace kybern::cel {

class Evaluation;
struct BuiltList;
struct BuiltMap;
struct Val;

enum class Tag : std::uint8_t {
  error,
  null,
  boolean,
  integer,
  uint,
  number,
  string,
  bytes,
  timestamp,
  duration,
  list,
  map,
  type,
  optional,
  opaque
};

// Where a list or map lies: in a document, in the arena, or behind an interface (map only).
enum class Rep : std::uint8_t { document, built, lookup };

// A map whose values are found on demand: `variables` of an admission policy.
class Lookup {
 public:
  virtual ~Lookup() = default;
  virtual bool has(std::string_view key) = 0;
  virtual Val get(Evaluation& evaluation, std::string_view key) = 0;  // an error when there is none
};

// A value of a type that only its library looks into: quantities, addresses, versions.
struct Opaque {
  virtual ~Opaque() = default;
  virtual std::string_view type_name() const = 0;
  virtual bool equals(const Opaque& other) const = 0;
  virtual std::uint64_t size() const { return 1; }  // as cost counts it
};

struct Instant64 {
  std::int64_t seconds;  // since 1970, UTC; years 1 to 9999
  std::int32_t nanos;    // 0 to 999,999,999
};

struct Val {
  Tag tag = Tag::null;
  Rep rep = Rep::built;
  const Type* type = nullptr;  // of a document's value with a schema; of a made object; the type that a type value names
  union {
    bool boolean;
    std::int64_t integer;  // also a duration, in nanoseconds
    std::uint64_t uint;
    double number;
    Instant64 time;
    struct {
      const char* data;
      std::size_t size;
    } text;  // also bytes, and the message of an error
    Value document;
    BuiltList* list;
    BuiltMap* map;
    Lookup* lookup;
    const Val* inner;  // of an optional; nullptr: none
    const Opaque* opaque;
  };

  Val() : integer(0) {}
  static Val null() { return {}; }
  static Val of(bool value) {
    Val v;
    v.tag = Tag::boolean, v.boolean = value;
    return v;
  }
  static Val of(std::int64_t value) {
    Val v;
    v.tag = Tag::integer, v.integer = value;
    return v;
  }
  static Val of_uint(std::uint64_t value) {
    Val v;
    v.tag = Tag::uint, v.uint = value;
    return v;
  }
  static Val of(double value) {
    Val v;
    v.tag = Tag::number, v.number = value;
    return v;
  }
  static Val of(std::string_view value, Tag tag = Tag::string) {
    Val v;
    v.tag = tag, v.text = {value.data(), value.size()};
    return v;
  }  // borrowed
  static Val of(const char*) = delete;
  static Val of_time(Instant64 value) {
    Val v;
    v.tag = Tag::timestamp, v.time = value;
    return v;
  }
  static Val of_duration(std::int64_t nanos) {
    Val v;
    v.tag = Tag::duration, v.integer = nanos;
    return v;
  }
  static Val of_type(const Type* type) {
    Val v;
    v.tag = Tag::type, v.type = type;
    return v;
  }
  static Val of(Lookup* lookup) {
    Val v;
    v.tag = Tag::map, v.rep = Rep::lookup, v.lookup = lookup;
    return v;
  }
  static Val of(const Opaque* opaque) {
    Val v;
    v.tag = Tag::opaque, v.opaque = opaque;
    return v;
  }
  static Val of_optional(const Val* inner) {
    Val v;
    v.tag = Tag::optional, v.inner = inner;
    return v;
  }

  bool is_error() const { return tag == Tag::error; }
  bool is(Tag wanted) const { return tag == wanted; }
  bool is_true() const { return tag == Tag::boolean && boolean; }
  bool is_false() const { return tag == Tag::boolean && !boolean; }
  std::string_view str() const { return {text.data, text.size}; }  // of a string, bytes, or an error's message
};
static_assert(sizeof(Val) == 32);

struct BuiltList {
  Val* items = nullptr;
  std::uint32_t size = 0, capacity = 0;
};

// Entries in the order they were made; above `index_above` of them a hash index finds keys.
struct BuiltMap {
  static constexpr std::uint32_t index_above = 8;
  Val* entries = nullptr;  // key, value, key, value
  std::uint32_t size = 0, capacity = 0;
  std::uint32_t* index = nullptr;  // open addressing, entry + 1
  std::uint32_t index_size = 0;
};

// Of lists, maps, strings (characters), bytes; 1 of anything else: what cost counts.
std::uint64_t size_of(const Val& value);
std::size_t characters(std::string_view utf8);
std::string type_name(const Val& value);  // `int`, `google.protobuf.Timestamp`, `list`

}  // namespace kybern::cel
