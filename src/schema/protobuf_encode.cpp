// Documents to protobuf, written back to front: a message's length is known when its beginning is reached, so nothing is
// measured beforehand. Upstream's encoders do the same, and write fields in ascending order and zero scalars too.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <span>
#include <utility>

#include "base/check.h"
#include "base/copy.h"
#include "base/strings.h"
#include "base/time.h"
#include "document/json.h"
#include "document/names.h"
#include "schema/protobuf.h"
#include "schema/protobuf_parts.h"
#include "schema/wire.h"

namespace kybern::schema {

namespace {

class Encoder {
 public:
  Encoder() : begin_(std::exchange(spare.begin, nullptr)) {
    if (!begin_) { begin_ = static_cast<char*>(std::malloc(first_size)); }
    KYBERN_CHECK(begin_, "memory is there");
    at_ = end_ = begin_ + first_size;
  }
  ~Encoder() {
    if (spare.begin || end_ - begin_ != first_size) {
      std::free(begin_);
    } else {
      spare.begin = begin_;
    }
  }
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  std::string_view text() const { return {at_, size()}; }

  void raw(std::string_view bytes) {
    room(bytes.size());
    at_ = put(at_, bytes);
  }

  void varint(std::uint64_t value) {
    room(varint_max);
    at_ = put(at_, value);
  }

  void tag(std::uint32_t number, WireType wire) { varint(number << 3 | static_cast<std::uint32_t>(wire)); }

  // Room is asked for once, for all three parts.
  void text_field(std::uint32_t number, std::string_view bytes) {
    room(bytes.size() + 2 * varint_max);
    at_ = put(put(put(at_, bytes), bytes.size()), number << 3 | static_cast<std::uint32_t>(WireType::bytes));
  }

  void varint_field(std::uint32_t number, std::uint64_t value) {
    room(2 * varint_max);
    at_ = put(put(at_, value), number << 3 | static_cast<std::uint32_t>(WireType::varint));
  }

  // The length and tag of what was written since `before`, a size().
  void close(std::uint32_t number, std::size_t before) {
    room(2 * varint_max);
    at_ = put(put(at_, size() - before), number << 3 | static_cast<std::uint32_t>(WireType::bytes));
  }

  std::size_t size() const { return static_cast<std::size_t>(end_ - at_); }

  void fields(const Type& type, Value object);

 private:
  static constexpr std::size_t varint_max = 10;
  static constexpr std::ptrdiff_t first_size = 8192;  // of most objects; left to the thread's next encoder

  struct Spare {
    char* begin = nullptr;
    ~Spare() { std::free(begin); }
  };
  static thread_local Spare spare;

  // Each writes what ends at `at` and returns where that begins.
  static char* put(char* at, std::string_view bytes) {
    at -= bytes.size();
    copy_short(at, bytes.data(), bytes.size());
    return at;
  }

  static char* put(char* at, std::uint64_t value) {
    if (value < 0x80) [[likely]] {
      *--at = static_cast<char>(value);
      return at;
    }
    at -= (static_cast<std::size_t>(std::bit_width(value)) + 6) / 7;
    char* out = at;
    for (; value >= 0x80; value >>= 7) { *out++ = static_cast<char>(value | 0x80); }
    *out = static_cast<char>(value);
    return at;
  }

  void room(std::size_t count) {
    if (static_cast<std::size_t>(at_ - begin_) < count) [[unlikely]] { grow(count); }
  }

  void grow(std::size_t count) {
    std::size_t used = size(), larger = std::max(static_cast<std::size_t>(end_ - begin_) * 2, used + count + 256);
    auto* begin = static_cast<char*>(std::malloc(larger));
    KYBERN_CHECK(begin, "memory is there");
    std::memcpy(begin + larger - used, at_, used);
    std::free(begin_);
    begin_ = begin;
    end_ = begin + larger;
    at_ = end_ - used;
  }

  void field(const Type& type, const Field& field, Value value);
  void list(const Type& type, const Field& field, Value value);
  void map(const Type& type, const Field& field, Value value);
  void wrapped(std::uint32_t number, Value strings);
  void one(const Type& type, const Field& field, std::uint32_t number, Value value);
  void schema_or(const Field& field, std::uint32_t number, Value value);
  void embedded(Value value);

  char *begin_, *at_, *end_;  // what is written lies from at_ to end_
};

thread_local Encoder::Spare Encoder::spare;

bool is_number(Scalar scalar) { return scalar <= Scalar::float64; }

std::uint64_t bits_of(Scalar scalar, Value value) {
  switch (scalar) {
    case Scalar::boolean: return value.as_bool();
    case Scalar::int32: return static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int32_t>(value.as_int())));
    case Scalar::int64: return static_cast<std::uint64_t>(value.as_int());
    default: {
      double number = value.as_double();
      std::uint64_t bits;
      std::memcpy(&bits, &number, 8);
      return bits;
    }
  }
}

// Goes by the members, of which there are far fewer than units: each is put beside its unit, then the units that are there
// or are written anyway come in descending order.
void Encoder::fields(const Type& type, Value object) {
  std::array<std::uint32_t, 128> members;  // of the units in `there`
  std::array<std::uint64_t, 2> there{};
  for (std::size_t i = 0, n = object.is_object() ? object.size() : 0; i < n; ++i) {
    auto name = object.member_name(i);
    if (const Unit* unit = name ? type.unit_of(*name) : nullptr) {
      auto number = static_cast<std::size_t>(unit - type.units.data());
      members[number] = static_cast<std::uint32_t>(i);
      there[number / 64] |= std::uint64_t{1} << number % 64;
    }
  }
  for (std::size_t word = there.size(); word-- > 0;) {
    for (std::uint64_t bits = there[word] | type.written[word]; bits != 0;) {
      auto bit = static_cast<std::size_t>(63 - std::countl_zero(bits));
      bits &= ~(std::uint64_t{1} << bit);
      const Unit& unit = type.units[word * 64 + bit];
      if (unit.field) {
        field(type, *unit.field, there[word] >> bit & 1 ? object.member_value(members[word * 64 + bit]) : Value());
        continue;
      }
      std::size_t before = size();
      fields(*unit.inlined, object);
      close(unit.number, before);
    }
  }
}

void Encoder::field(const Type& type, const Field& field, Value value) {
  if (field.shape == Shape::list) {
    list(type, field, value);
  } else if (field.shape == Shape::map) {
    map(type, field, value);
  } else if (value.is_null() && (field.pointer || type.proto3 || field.scalar == Scalar::bytes)) {
    return;
  } else if (type.proto3 && !field.pointer &&
             (is_number(field.scalar) ? bits_of(field.scalar, value) == 0 : field.scalar != Scalar::object && value.as_string().empty())) {
    return;
  } else {
    one(type, field, field.wire, value);
  }
}

void Encoder::list(const Type& type, const Field& field, Value value) {
  if (!value.is_array()) { return; }
  if (field.inner_list) {
    wrapped(field.wire, value);
    return;
  }
  bool packed = type.proto3 && is_number(field.scalar);
  if (packed && value.empty()) { return; }
  std::size_t before = size();
  for (std::size_t i = value.size(); i-- > 0;) {
    if (!packed) {
      one(type, field, field.wire, value[i]);
    } else if (field.scalar == Scalar::float64) {
      std::uint64_t bits = bits_of(field.scalar, value[i]);
      raw({reinterpret_cast<const char*>(&bits), 8});
    } else {
      varint(bits_of(field.scalar, value[i]));
    }
  }
  if (packed) { close(field.wire, before); }
}

void Encoder::wrapped(std::uint32_t number, Value strings) {
  std::size_t before = size();
  for (std::size_t i = strings.size(); i-- > 0;) { text_field(1, strings[i].as_string()); }
  close(number, before);
}

void Encoder::map(const Type& type, const Field& field, Value value) {
  if (!value.is_object()) { return; }
  std::array<Member, 16> few;  // most maps are small
  std::vector<Member> many(value.size() > few.size() ? value.size() : 0);
  std::span<Member> members(many.empty() ? few.data() : many.data(), value.size());
  for (std::size_t i = 0; i < members.size(); ++i) { members[i] = value.member(i); }
  std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) { return a.key > b.key; });
  for (const Member& member : members) {
    std::size_t before = size();
    if (field.inner_list) {
      wrapped(2, member.value);
    } else if (!(field.scalar == Scalar::bytes && member.value.is_null())) {
      one(type, field, 2, member.value);
    }
    text_field(1, member.key);
    close(field.wire, before);
  }
}

void Encoder::embedded(Value value) {
  if (value.is_null()) { return; }
  std::string json;
  write_json(value, json);
  text_field(1, json);
}

void Encoder::one(const Type& type, const Field& field, std::uint32_t number, Value value) {
  switch (field.scalar) {
    case Scalar::boolean:
    case Scalar::int32:
    case Scalar::int64: varint_field(number, bits_of(field.scalar, value)); return;
    case Scalar::float64: {
      std::uint64_t bits = bits_of(field.scalar, value);
      raw({reinterpret_cast<const char*>(&bits), 8});
      tag(number, WireType::fixed64);
      return;
    }
    case Scalar::string: text_field(number, value.as_string()); return;
    case Scalar::bytes:
      text_field(number, type.proto3 ? std::string(value.as_string()) : base64_decode(value.as_string()).value_or(""));
      return;
    default: break;
  }
  std::size_t before = size();
  switch (field.scalar) {
    case Scalar::time:
    case Scalar::micro_time:
      if (auto time = parse_wire_time(value.as_string())) {
        varint_field(2, field.scalar == Scalar::micro_time ? static_cast<std::uint64_t>(time->nanos / 1000 * 1000) : 0);
        varint_field(1, static_cast<std::uint64_t>(time->seconds));
      }
      break;
    case Scalar::duration: {
      auto duration = parse_duration(value.as_string());
      varint_field(1, static_cast<std::uint64_t>(duration ? duration->count() : 0));
      break;
    }
    case Scalar::quantity:
      text_field(1, value.is_string() ? value.as_string() : value.is_null() ? "0" : std::string_view(to_json(value)));
      break;
    case Scalar::int_or_string:
      text_field(3, value.as_string());
      varint_field(2, static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int32_t>(value.as_int()))));
      varint_field(1, value.is_string());
      break;
    case Scalar::raw:
    case Scalar::fields_v1:
    case Scalar::json: embedded(value); break;
    case Scalar::object: fields(*field.type, value); break;
    default: schema_or(field, number, value); return;
  }
  close(number, before);
}

void Encoder::schema_or(const Field& field, std::uint32_t number, Value value) {
  std::size_t before = size();
  std::uint32_t schema_number = field.scalar == Scalar::json_or_bool ? 2 : 1;
  if (value.is_array()) {
    for (std::size_t i = value.size(); i-- > 0;) {
      if (field.scalar == Scalar::json_or_strings) {
        text_field(2, value[i].as_string());
        continue;
      }
      std::size_t item = size();
      fields(*field.type, value[i]);
      close(2, item);
    }
  } else if (value.is_object()) {
    std::size_t schema = size();
    fields(*field.type, value);
    close(schema_number, schema);
  }
  if (field.scalar == Scalar::json_or_bool) { varint_field(1, value.is_object() || value.as_bool()); }
  close(number, before);
}

}  // namespace

namespace {

// Back to front, as all is written.
void write_envelope_tail(Encoder& encoder) {
  encoder.text_field(4, "");  // contentType
  encoder.text_field(3, "");  // contentEncoding
}

void write_envelope_head(Encoder& encoder, std::string_view api_version, std::string_view kind) {
  std::size_t end = encoder.size();
  encoder.text_field(2, kind);
  encoder.text_field(1, api_version);
  encoder.close(1, end);
  encoder.raw(std::string_view("k8s\0", 4));
}

Result<void> envelope(Encoder& encoder, Value object) {
  std::string_view api_version = object[names::apiVersion].as_string(), kind = object[names::kind].as_string();
  const Type* type = find_type(api_version, kind);
  if (!type) {
    return fail(Code::unsupported, "no kind \"" + std::string(kind) + "\" is registered for version \"" + std::string(api_version) + "\"");
  }
  write_envelope_tail(encoder);
  std::size_t end = encoder.size();
  encoder.fields(*type, object);
  encoder.close(2, end);
  write_envelope_head(encoder, api_version, kind);
  return {};
}

}  // namespace

Result<std::string> encode_protobuf(Value object) {
  Encoder encoder;
  Result<void> written = envelope(encoder, object);
  if (!written) { return std::unexpected(written.error()); }
  return std::string(encoder.text());
}

Result<std::string> encode_watch_event(std::string_view type, Value object) {
  Encoder encoder;
  std::size_t end = encoder.size();
  Result<void> written = envelope(encoder, object);
  if (!written) { return std::unexpected(written.error()); }
  encoder.close(1, end);  // RawExtension {1: raw}
  encoder.close(2, end);
  encoder.text_field(1, type);
  return std::string(encoder.text());
}

void encode_message(const Type& type, Value value, std::string& out) {
  Encoder encoder;
  encoder.fields(type, value);
  out += encoder.text();
}

void encode_field(const Type& type, std::uint32_t number, Value value, std::string& out) {
  Encoder encoder;
  std::size_t end = encoder.size();
  encoder.fields(type, value);
  encoder.close(number, end);
  out += encoder.text();
}

std::string envelope_head(std::string_view api_version, std::string_view kind, std::size_t bytes) {
  Encoder encoder;
  encoder.varint(bytes);
  encoder.tag(2, WireType::bytes);
  write_envelope_head(encoder, api_version, kind);
  return std::string(encoder.text());
}

std::string envelope_tail() {
  Encoder encoder;
  write_envelope_tail(encoder);
  return std::string(encoder.text());
}

}  // namespace kybern::schema
