// Messages: their fields in one pass, or by pieces.
#include "schema/protobuf_decoder.h"

#include <algorithm>

#include <fmt/format.h>

#include "schema/protobuf.h"

namespace kybern::schema {

// A number or text as most are written although they are zero: upstream's encoder leaves out only pointers.
static bool is_zero(const Unit& unit, const Piece& piece) {
  return static_cast<std::uint8_t>(piece.wire) == unit.wire_type && (piece.wire == WireType::bytes ? piece.size == 0 : piece.number == 0);
}

// Appends a piece for each field of a message that the type has, in the table's order.
bool Decoder::cut(const Type& type, std::string_view bytes) {
  Reader reader{bytes.data(), bytes.data() + bytes.size()};
  auto base = static_cast<std::ptrdiff_t>(pieces_.size());
  while (reader.at != reader.end) {
    Piece piece;
    std::uint64_t number = reader.next(piece) >> 3;
    if (reader.failed) { return wrong(reader.failed); }
    if (number < type.by_number.size() && type.by_number[number] != 0) {  // otherwise a field of a newer version
      piece.unit = type.by_number[number] - 1u;
      pieces_.push_back(piece);
    }
  }
  std::stable_sort(pieces_.begin() + base, pieces_.end(), [](const Piece& x, const Piece& y) { return x.unit < y.unit; });
  return true;
}

// Writes each field as it comes. The items of a list and the entries of a map lie side by side.
bool Decoder::in_order(const Type& type, std::string_view bytes, int depth) {
  Reader reader{bytes.data(), bytes.data() + bytes.size()};
  const Unit* units = type.units.data();
  const std::uint8_t* always = type.always_units.data();
  const std::uint8_t* always_end = always + type.always_units.size();
  constexpr std::size_t never = SIZE_MAX;
  std::size_t next = 0;                                        // units before this one are done
  std::size_t shown = always == always_end ? never : *always;  // the next one that JSON shows although it is absent
  Piece piece;
  while (reader.at != reader.end) {
    std::uint64_t tag = reader.next_small(piece), number = tag >> 3;
    if (reader.failed) { return wrong(reader.failed); }
    if (number >= type.by_number.size() || type.by_number[number] == 0) {
      continue;  // a field of a newer version
    }
    std::size_t index = type.by_number[number] - 1u;
    if (index < next) { return disordered_ = true, false; }
    next = index + 1;
    for (; index >= shown; shown = always == always_end ? never : *always) {
      if (shown != index && !absent(type, units[shown], depth)) { return false; }
      ++always;
    }
    const Unit& unit = units[index];
    const Field* field = unit.field;
    if (field && field->shape != Shape::single) {
      Reader rest = reader;
      if (!many(type, unit, rest, tag, piece, depth)) { return false; }
      reader.at = rest.at;
      continue;
    }
    if (static_cast<std::uint8_t>(piece.wire) != unit.wire_type) {
      return wrong_wire(field ? *field : unit.inlined->fields.front(), piece.wire);
    }
    if (!field) {
      if (!fields(*unit.inlined, piece.bytes(), depth + 1)) { return false; }
    } else if (!unit.zero_hidden || !is_zero(unit, piece)) {
      if (field->scalar == Scalar::string) {
        if (!text_ok(type, *field, piece.bytes())) { return false; }
        out_.new_string(unit.name, piece.bytes());
        continue;
      }
      out_.new_key(unit.name);
      if (field->scalar == Scalar::object ? !message(*field->type, piece.bytes(), depth + 1) : !single(type, *field, piece, depth)) {
        return false;
      }
    }
  }
  for (; always != always_end; ++always) {
    if (!absent(type, units[*always], depth)) { return false; }
  }
  return true;
}

bool Decoder::message(const Type& type, std::string_view bytes, int depth) {
  if (depth > max_message_depth) { return too_deep(); }
  out_.begin_object();
  if (!in_order(type, bytes, depth)) { return false; }
  out_.end_object();
  return true;
}

// A list or a map: `piece`, and what follows it with the same tag.
bool Decoder::many(const Type& type, const Unit& unit, Reader& reader, std::uint64_t tag, Piece piece, int depth) {
  const Field& field = *unit.field;
  const bool is_list = field.shape == Shape::list;
  if (is_list && field.inner_list) {
    return disordered_ = true, false;  // its parts are one message, which pieces can merge
  }
  if (static_cast<std::uint8_t>(piece.wire) != unit.wire_type && !(is_list && piece.wire == WireType::bytes)) {
    return wrong_wire(field, piece.wire);
  }
  out_.new_key(unit.name);
  if (!is_list) {
    out_.begin_object();
    do {
      if (!entry(type, field, piece.bytes(), depth)) { return false; }
    } while (reader.again(tag, piece));
    out_.end_object();
    return true;
  }
  out_.begin_array();
  std::size_t count = 0;
  do {
    if (field.scalar != Scalar::object) {
      if (!item(type, field, piece, count, depth)) { return false; }
    } else if (++count > max_length ? !too_many(field) : !message(*field.type, piece.bytes(), depth + 1)) {
      return false;
    }
  } while (reader.again(tag, piece));
  out_.end_array();
  return true;
}

// The members of one message: what is there, and in between what is always shown.
bool Decoder::fields(const Type& type, std::string_view bytes, int depth) {
  if (depth > max_message_depth) { return too_deep(); }
  if (!by_pieces_) { return in_order(type, bytes, depth); }
  std::size_t base = pieces_.size();
  if (!cut(type, bytes)) { return false; }
  const std::size_t last = pieces_.size();
  const std::uint8_t* always = type.always_units.data();
  const std::uint8_t* always_end = always + type.always_units.size();
  for (std::size_t next = base; next < last;) {
    const Piece piece = pieces_[next];
    for (; always != always_end && *always <= piece.unit; ++always) {
      if (*always < piece.unit && !absent(type, type.units[*always], depth)) { return false; }
    }
    std::size_t a = next;
    do { ++next; } while (next < last && pieces_[next].unit == piece.unit);
    if (!unit(type, type.units[piece.unit], a, next, depth)) { return false; }
  }
  for (; always != always_end; ++always) {
    if (!absent(type, type.units[*always], depth)) { return false; }
  }
  pieces_.resize(base);
  return true;
}

bool Decoder::too_deep() { return wrong(fmt::format("proto: more than {} messages inside each other", max_message_depth)); }

bool Decoder::too_many(const Field& field) {
  return wrong(fmt::format("proto: field {} has more than {} items", field.name.text(), max_length), Code::too_large);
}

// A unit that JSON shows although it is not on the wire.
bool Decoder::absent(const Type& type, const Unit& unit, int depth) { return this->unit(type, unit, 0, 0, depth); }

bool Decoder::wrong_wire(const Field& field, WireType wire) {
  return wrong(fmt::format("proto: wrong wireType = {} for field {}", static_cast<int>(wire), field.name.text()));
}

bool Decoder::unit(const Type& type, const Unit& unit, std::size_t a, std::size_t b, int depth) {
  if (unit.field) { return field(type, unit, a, b, depth); }
  for (std::size_t i = a; i < b; ++i) {
    if (pieces_[i].wire != WireType::bytes) { return wrong_wire(unit.inlined->fields.front(), pieces_[i].wire); }
  }
  if (b - a < 2) { return fields(*unit.inlined, a == b ? std::string_view() : pieces_[a].bytes(), depth + 1); }
  std::string buffer;
  return fields(*unit.inlined, merged(a, b, buffer), depth + 1);
}

// The pieces [a, b) of one field, or what is shown when there are none.
bool Decoder::field(const Type& type, const Unit& unit, std::size_t a, std::size_t b, int depth) {
  const Field& field = *unit.field;
  if (a == b) {
    if (!field.omit_empty) {
      out_.key(field.name);
      zero(field, depth);
    }
    return true;
  }
  bool list_field = field.shape == Shape::list;
  bool text = field.shape == Shape::map || field.scalar >= Scalar::string;
  WireType want = text ? WireType::bytes : field.scalar == Scalar::float64 ? WireType::fixed64 : WireType::varint;
  for (std::size_t i = a; i < b; ++i) {
    bool packed_list = !text && list_field && pieces_[i].wire == WireType::bytes;
    if (pieces_[i].wire != want && !packed_list) { return wrong_wire(field, pieces_[i].wire); }
  }
  if (list_field) { return list(type, field, a, b, depth); }
  if (field.shape == Shape::map) { return map(type, field, a, b, depth); }
  Piece piece = pieces_[b - 1];
  if (is_zero(unit, piece) && unit.zero_hidden) { return true; }
  out_.key(field.name);
  if (field.scalar <= Scalar::bytes || b - a == 1) { return single(type, field, piece, depth); }
  std::string buffer;
  std::string_view whole = merged(a, b, buffer);
  piece.data = whole.data();
  piece.size = static_cast<std::uint32_t>(whole.size());
  return single(type, field, piece, depth);
}

// The bytes of one message that may have come in several pieces.
std::string_view Decoder::merged(std::size_t a, std::size_t b, std::string& buffer) {
  if (a == b) { return {}; }
  if (b - a == 1) { return pieces_[a].bytes(); }
  for (std::size_t i = a; i < b; ++i) { buffer += pieces_[i].bytes(); }
  return buffer;
}

bool Decoder::list(const Type& type, const Field& field, std::size_t a, std::size_t b, int depth) {
  if (b - a > max_length) { return too_many(field); }
  out_.key(field.name);
  if (field.inner_list) {
    std::string buffer;
    return wrapped(merged(a, b, buffer));
  }
  out_.begin_array();
  std::size_t count = 0;
  for (std::size_t i = a; i < b; ++i) {
    if (!item(type, field, pieces_[i], count, depth)) { return false; }
  }
  out_.end_array();
  return true;
}

// One piece of a list: an item of it, or, of numbers, several. `count` is of items until now.
bool Decoder::item(const Type& type, const Field& field, Piece piece, std::size_t& count, int depth) {
  if (field.scalar < Scalar::string && piece.wire == WireType::bytes) { return packed(field, piece.bytes(), count); }
  if (++count > max_length) { return too_many(field); }
  return single(type, field, piece, depth);
}

bool Decoder::map(const Type& type, const Field& field, std::size_t a, std::size_t b, int depth) {
  if (b - a > max_length) {
    return wrong(fmt::format("proto: field {} has more than {} entries", field.name.text(), max_length), Code::too_large);
  }
  out_.key(field.name);
  out_.begin_object();
  for (std::size_t i = a; i < b; ++i) {
    if (!entry(type, field, pieces_[i].bytes(), depth)) { return false; }
  }
  out_.end_object();
  return true;
}

// {1: key, 2: value}
bool Decoder::entry(const Type& type, const Field& field, std::string_view bytes, int depth) {
  std::string_view key("", 0);
  Reader reader{bytes.data(), bytes.data() + bytes.size()};
  Piece value;
  bool has_value = false;
  while (reader.at != reader.end) {
    Piece piece;
    std::uint64_t tag = reader.next(piece);
    if (reader.failed) { return wrong(reader.failed); }
    if (tag == (1 << 3 | 2)) {
      key = piece.bytes();
    } else if (tag >> 3 == 2) {
      value = piece;
      has_value = true;
    }
  }
  bool text = field.scalar >= Scalar::string || field.inner_list;
  WireType want = text ? WireType::bytes : field.scalar == Scalar::float64 ? WireType::fixed64 : WireType::varint;
  if (has_value && value.wire != want) {
    return wrong(fmt::format("proto: wrong wireType = {} for a value of {}", static_cast<int>(value.wire), field.name.text()));
  }
  if (key.size() > max_length || (!type.proto3 && !plain_text(key))) {
    return wrong(fmt::format("proto: a key of {} is not valid UTF-8", field.name.text()));
  }
  out_.key(key);
  return field.inner_list ? wrapped(value.bytes()) : single(type, field, value, depth);
}

// k8s\0, then runtime.Unknown {1: {1: apiVersion, 2: kind}, 2: the message}.
bool Decoder::envelope(std::string_view bytes, int depth) {
  if (depth > max_message_depth) { return too_deep(); }
  if (!bytes.starts_with(magic)) { return wrong("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"); }
  bytes.remove_prefix(magic.size());
  Reader reader{bytes.data(), bytes.data() + bytes.size()};
  std::string_view meta, raw, api_version, kind;
  while (reader.at != reader.end) {
    Piece piece;
    std::uint64_t tag = reader.next(piece);
    if (reader.failed) { return wrong(reader.failed); }
    if (tag == (1 << 3 | 2)) {
      meta = piece.bytes();
    } else if (tag == (2 << 3 | 2)) {
      raw = piece.bytes();
    }
  }
  if (!only_field(meta, 1, api_version) || !only_field(meta, 2, kind)) { return false; }
  const Type* type = find_type(api_version, kind);
  if (!type) { return wrong(fmt::format("no kind \"{}\" is registered for version \"{}\"", kind, api_version), Code::unsupported); }
  return top(*type, api_version, kind, raw, depth);
}

Result<Document> decode_protobuf(std::string_view bytes) {
  if (bytes.size() > max_message_bytes) {
    return fail(Code::too_large, fmt::format("a protobuf object is limited to {} bytes", max_message_bytes));
  }
  Decoder decoder(bytes.size() * 2);
  bool good = decoder.envelope(bytes, 0);
  if (!decoder.disordered()) { return decoder.finish(good); }
  Decoder again(bytes.size() * 2, true);
  return again.finish(again.envelope(bytes, 0));
}

Result<Document> decode_message(const Type& type, std::string_view bytes) {
  std::size_t limit = type.proto3 ? max_proto3_bytes : max_message_bytes;
  if (bytes.size() > limit) { return fail(Code::too_large, fmt::format("a protobuf message is limited to {} bytes", limit)); }
  Decoder decoder(bytes.size() * 2);
  bool good = decoder.object(type, bytes, 0);
  if (!decoder.disordered()) { return decoder.finish(good); }
  Decoder again(bytes.size() * 2, true);
  return again.finish(again.object(type, bytes, 0));
}

}  // namespace kybern::schema
