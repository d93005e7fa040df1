// Protobuf to documents. Each message is read twice: first its fields are cut into pieces, then they are written in the
// table's order, with what JSON shows although it is not on the wire. So a field may come in any order and in parts, and
// a message that comes twice is merged, which for protobuf is to decode the two one after the other.
#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "base/strings.h"
#include "base/time.h"
#include "document/json.h"
#include "document/names.h"
#include "schema/protobuf.h"
#include "schema/wire_reader.h"

namespace kybern::schema {

namespace {

constexpr int max_depth = 200;                             // of messages in messages
constexpr std::size_t max_message_bytes = 16u << 20;       // of an API object
constexpr std::size_t max_proto3_bytes = 64u << 20;        // of an answer of the runtime or etcd
constexpr std::size_t max_length = (1u << 24) - 1;         // of one string or one list, as a document has it
constexpr std::string_view magic("k8s\0", 4);

bool plain_text(std::string_view text) {
  std::size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + i, 8);
    if (word & 0x8080808080808080u) {
      return valid_utf8(text);
    }
  }
  for (; i < text.size(); ++i) {
    if (static_cast<unsigned char>(text[i]) >= 0x80) {
      return valid_utf8(text);
    }
  }
  return true;
}

class Decoder {
 public:
  explicit Decoder(std::size_t hint) : out_(hint) { pieces_.reserve(128); }

  bool object(const Type& type, std::string_view bytes, int depth) {
    out_.begin_object();
    if (!fields(type, bytes, depth)) {
      return false;
    }
    out_.end_object();
    return true;
  }

  // With the type's own name in front, for an object that came in an envelope.
  bool top(const Type& type, std::string_view api_version, std::string_view kind, std::string_view bytes, int depth) {
    out_.begin_object();
    if (!api_version.empty()) {
      out_.key(names::apiVersion);
      out_.string(api_version);
    }
    if (!kind.empty()) {
      out_.key(names::kind);
      out_.string(kind);
    }
    if (!fields(type, bytes, depth)) {
      return false;
    }
    out_.end_object();
    return true;
  }

  bool envelope(std::string_view bytes, int depth);

  Result<Document> finish(bool good) {
    if (!good) {
      return fail(error_.code, std::move(error_.message));
    }
    return out_.finish();
  }

  bool wrong(std::string message, Code code = Code::invalid) {
    error_ = {code, std::move(message)};
    return false;
  }

 private:
  bool cut(const Type& type, std::string_view bytes);
  bool fields(const Type& type, std::string_view bytes, int depth);
  bool unit(const Type& type, const Unit& unit, std::size_t a, std::size_t b, int depth);
  bool field(const Type& type, const Field& field, std::size_t a, std::size_t b, int depth);
  bool wrong_wire(const Field& field, WireType wire);
  bool list(const Type& type, const Field& field, std::size_t a, std::size_t b, int depth);
  bool packed(const Field& field, std::string_view bytes, std::size_t& count);
  bool wrapped(std::string_view bytes);
  bool map(const Type& type, const Field& field, std::size_t a, std::size_t b, int depth);
  bool single(const Type& type, const Field& field, const Piece& piece, int depth);
  bool is_zero(const Field& field, const Piece& piece) const;
  bool number(const Field& field, std::uint64_t raw);
  bool time(const Field& field, std::string_view bytes);
  bool int_or_string(std::string_view bytes);
  bool embedded(std::string_view bytes, int depth);
  bool schema_or(const Field& field, std::string_view bytes, int depth);
  void zero(const Field& field, int depth);
  void zero_fields(const Type& type, int depth);
  std::string_view merged(std::size_t a, std::size_t b, std::string& buffer);
  bool only_field(std::string_view bytes, std::uint32_t number, std::string_view& text);

  BlockWriter out_;
  std::vector<Piece> pieces_;
  Error error_;
};

// Appends a piece for each field of a message that the type has, in the table's order.
bool Decoder::cut(const Type& type, std::string_view bytes) {
  Reader reader{bytes.data(), bytes.data() + bytes.size()};
  std::size_t base = pieces_.size();
  std::uint32_t before = 0;
  bool sorted = true;
  while (reader.at != reader.end) {
    Piece& piece = pieces_.emplace_back();
    std::uint64_t number = reader.next(piece) >> 3;
    if (reader.failed) {
      return wrong(reader.failed);
    }
    if (number >= type.by_number.size() || type.by_number[number] == 0) {
      pieces_.pop_back();
      continue;  // a field of a newer version
    }
    piece.unit = type.by_number[number] - 1u;
    sorted = sorted && piece.unit >= before;
    before = piece.unit;
  }
  if (!sorted) {
    std::stable_sort(pieces_.begin() + static_cast<std::ptrdiff_t>(base), pieces_.end(),
                     [](const Piece& x, const Piece& y) { return x.unit < y.unit; });
  }
  return true;
}

// The members of one message: what is there, and in between what is always shown.
bool Decoder::fields(const Type& type, std::string_view bytes, int depth) {
  if (depth > max_depth) {
    return wrong(fmt::format("proto: more than {} messages inside each other", max_depth));
  }
  std::size_t base = pieces_.size();
  if (!cut(type, bytes)) {
    return false;
  }
  std::size_t last = pieces_.size();
  const std::uint8_t* always = type.always_units.data();
  const std::uint8_t* always_end = always + type.always_units.size();
  for (std::size_t next = base; next < last || always != always_end;) {
    std::size_t a = next, at = next < last ? pieces_[next].unit : type.units.size();
    if (always != always_end && *always <= at) {
      at = *always++;
    }
    while (next < last && pieces_[next].unit == at) {
      ++next;
    }
    if (!unit(type, type.units[at], a, next, depth)) {
      return false;
    }
  }
  pieces_.resize(base);
  return true;
}

bool Decoder::wrong_wire(const Field& field, WireType wire) {
  return wrong(fmt::format("proto: wrong wireType = {} for field {}", static_cast<int>(wire), field.name.text()));
}

bool Decoder::unit(const Type& type, const Unit& unit, std::size_t a, std::size_t b, int depth) {
  if (unit.field) {
    return field(type, *unit.field, a, b, depth);
  }
  for (std::size_t i = a; i < b; ++i) {
    if (pieces_[i].wire != WireType::bytes) {
      return wrong_wire(unit.inlined->fields.front(), pieces_[i].wire);
    }
  }
  if (b - a < 2) {
    return fields(*unit.inlined, a == b ? std::string_view() : pieces_[a].bytes, depth + 1);
  }
  std::string buffer;
  return fields(*unit.inlined, merged(a, b, buffer), depth + 1);
}

// The pieces [a, b) of one field, or what is shown when there are none.
bool Decoder::field(const Type& type, const Field& field, std::size_t a, std::size_t b, int depth) {
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
    if (pieces_[i].wire != want && !packed_list) {
      return wrong_wire(field, pieces_[i].wire);
    }
  }
  if (list_field) {
    return list(type, field, a, b, depth);
  }
  if (field.shape == Shape::map) {
    return map(type, field, a, b, depth);
  }
  Piece piece = pieces_[b - 1];
  if (field.omit_empty && !field.pointer && is_zero(field, piece)) {
    return true;
  }
  out_.key(field.name);
  if (field.scalar <= Scalar::bytes || b - a == 1) {
    return single(type, field, piece, depth);
  }
  std::string buffer;
  piece.bytes = merged(a, b, buffer);
  return single(type, field, piece, depth);
}

// The bytes of one message that may have come in several pieces.
std::string_view Decoder::merged(std::size_t a, std::size_t b, std::string& buffer) {
  if (a == b) {
    return {};
  }
  if (b - a == 1) {
    return pieces_[a].bytes;
  }
  for (std::size_t i = a; i < b; ++i) {
    buffer += pieces_[i].bytes;
  }
  return buffer;
}

bool Decoder::is_zero(const Field& field, const Piece& piece) const {
  switch (field.scalar) {
    case Scalar::boolean:
    case Scalar::int32:
    case Scalar::int64:
    case Scalar::float64: return piece.number == 0;
    case Scalar::object: return false;
    default: return piece.bytes.empty();
  }
}

bool Decoder::list(const Type& type, const Field& field, std::size_t a, std::size_t b, int depth) {
  if (b - a > max_length) {
    return wrong(fmt::format("proto: field {} has more than {} items", field.name.text(), max_length), Code::too_large);
  }
  out_.key(field.name);
  if (field.inner_list) {
    std::string buffer;
    return wrapped(merged(a, b, buffer));
  }
  out_.begin_array();
  std::size_t count = 0;
  for (std::size_t i = a; i < b; ++i) {
    Piece piece = pieces_[i];
    bool pack = field.scalar < Scalar::string && piece.wire == WireType::bytes;
    if (pack ? !packed(field, piece.bytes, count) : !single(type, field, piece, depth)) {
      return false;
    }
  }
  out_.end_array();
  return true;
}

bool Decoder::packed(const Field& field, std::string_view bytes, std::size_t& count) {
  Reader reader{bytes.data(), bytes.data() + bytes.size()};
  while (reader.at != reader.end) {
    std::uint64_t raw = field.scalar == Scalar::float64 ? reader.fixed(8) : reader.varint();
    if (reader.failed || ++count > max_length) {
      return wrong(reader.failed ? reader.failed : "proto: too many numbers in a list");
    }
    if (!number(field, raw)) {
      return false;
    }
  }
  return true;
}

// {1: repeated string} as a list of strings.
bool Decoder::wrapped(std::string_view bytes) {
  Reader reader{bytes.data(), bytes.data() + bytes.size()};
  out_.begin_array();
  while (reader.at != reader.end) {
    Piece piece;
    std::uint64_t tag = reader.next(piece);
    if (reader.failed) {
      return wrong(reader.failed);
    }
    if (tag == (1 << 3 | 2)) {
      if (!plain_text(piece.bytes) || piece.bytes.size() > max_length) {
        return wrong("proto: a string is not valid UTF-8");
      }
      out_.string(piece.bytes);
    }
  }
  out_.end_array();
  return true;
}

bool Decoder::map(const Type& type, const Field& field, std::size_t a, std::size_t b, int depth) {
  if (b - a > max_length) {
    return wrong(fmt::format("proto: field {} has more than {} entries", field.name.text(), max_length), Code::too_large);
  }
  out_.key(field.name);
  out_.begin_object();
  for (std::size_t i = a; i < b; ++i) {
    std::string_view bytes = pieces_[i].bytes, key("", 0);
    Reader reader{bytes.data(), bytes.data() + bytes.size()};
    Piece value{};
    value.bytes = key;
    bool has_value = false;
    while (reader.at != reader.end) {
      Piece piece;
      std::uint64_t tag = reader.next(piece);
      if (reader.failed) {
        return wrong(reader.failed);
      }
      if (tag == (1 << 3 | 2)) {
        key = piece.bytes;
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
    if (field.inner_list ? !wrapped(value.bytes) : !single(type, field, value, depth)) {
      return false;
    }
  }
  out_.end_object();
  return true;
}

bool Decoder::number(const Field& field, std::uint64_t raw) {
  switch (field.scalar) {
    case Scalar::boolean: out_.boolean(raw != 0); return true;
    case Scalar::int32: out_.integer(static_cast<std::int32_t>(raw)); return true;
    case Scalar::int64: out_.integer(static_cast<std::int64_t>(raw)); return true;
    default: {
      double value;
      std::memcpy(&value, &raw, 8);
      if (!std::isfinite(value)) {
        return wrong(fmt::format("json: unsupported value: {}", value));
      }
      constexpr double exact = 9007199254740992.0;  // 2^53: within it JSON shows a whole number without a fraction
      if (std::trunc(value) == value && std::fabs(value) <= exact) {
        out_.integer(static_cast<std::int64_t>(value));
      } else {
        out_.number(value);
      }
      return true;
    }
  }
}

bool Decoder::single(const Type& type, const Field& field, const Piece& piece, int depth) {
  switch (field.scalar) {
    case Scalar::boolean:
    case Scalar::int32:
    case Scalar::int64:
    case Scalar::float64: return number(field, piece.number);
    case Scalar::string:
      if (piece.bytes.size() > max_length) {
        return wrong(fmt::format("proto: field {} is over {} bytes", field.name.text(), max_length), Code::too_large);
      }
      if (!type.proto3 && !plain_text(piece.bytes)) {
        return wrong(fmt::format("proto: field {} is not valid UTF-8", field.name.text()));
      }
      out_.string(piece.bytes);
      return true;
    case Scalar::bytes:
      if (piece.bytes.size() > max_length / 4 * 3) {
        return wrong(fmt::format("proto: field {} is over {} bytes", field.name.text(), max_length / 4 * 3), Code::too_large);
      }
      out_.string(type.proto3 ? std::string(piece.bytes) : base64_encode(piece.bytes));
      return true;
    case Scalar::time:
    case Scalar::micro_time: return time(field, piece.bytes);
    case Scalar::duration: {
      Reader reader{piece.bytes.data(), piece.bytes.data() + piece.bytes.size()};
      std::int64_t nanos = 0;
      while (reader.at != reader.end && !reader.failed) {
        std::uint64_t tag = reader.varint(), value = reader.varint();
        nanos = tag == (1 << 3) ? static_cast<std::int64_t>(value) : nanos;
      }
      if (reader.failed) {
        return wrong(reader.failed);
      }
      out_.string(format_duration(Duration(nanos)));
      return true;
    }
    case Scalar::quantity: {
      std::string_view text;
      if (!only_field(piece.bytes, 1, text)) {
        return false;
      }
      out_.string(text.empty() ? "0" : text);
      return true;
    }
    case Scalar::int_or_string: return int_or_string(piece.bytes);
    case Scalar::raw:
    case Scalar::fields_v1:
    case Scalar::json: {
      std::string_view text;
      return only_field(piece.bytes, 1, text) && embedded(text, depth);
    }
    case Scalar::json_or_array:
    case Scalar::json_or_bool:
    case Scalar::json_or_strings: return schema_or(field, piece.bytes, depth);
    case Scalar::object: return object(*field.type, piece.bytes, depth + 1);
  }
  return false;
}

// A message of which one field of text matters: Quantity, RawExtension, JSON.
bool Decoder::only_field(std::string_view bytes, std::uint32_t number, std::string_view& text) {
  Reader reader{bytes.data(), bytes.data() + bytes.size()};
  while (reader.at != reader.end) {
    Piece piece;
    std::uint64_t tag = reader.next(piece);
    if (reader.failed) {
      return wrong(reader.failed);
    }
    if (tag == (number << 3 | 2)) {
      text = piece.bytes;
    }
  }
  if (text.size() > max_length || !(text.starts_with(magic) || plain_text(text))) {
    return wrong("proto: a text is not valid UTF-8");
  }
  return true;
}

bool Decoder::time(const Field& field, std::string_view bytes) {
  Reader reader{bytes.data(), bytes.data() + bytes.size()};
  WireTime time;
  while (reader.at != reader.end && !reader.failed) {
    std::uint64_t tag = reader.varint(), value = reader.varint();
    if (tag == (1 << 3)) {
      time.seconds = static_cast<std::int64_t>(value);
    } else if (tag == (2 << 3)) {
      time.nanos = static_cast<std::int32_t>(value);
    }
  }
  if (reader.failed) {
    return wrong(reader.failed);
  }
  if (time.seconds == 0 && time.nanos == 0) {
    out_.null();
    return true;
  }
  char text[time_text_max];
  std::size_t length = time.nanos < 0 || time.nanos > 999999999 ? 0 : format_wire_time(time, field.scalar == Scalar::micro_time, text);
  if (length == 0) {
    return wrong(fmt::format("proto: field {} is no time of the years 0 to 9999", field.name.text()));
  }
  out_.string({text, length});
  return true;
}

bool Decoder::int_or_string(std::string_view bytes) {
  Reader reader{bytes.data(), bytes.data() + bytes.size()};
  std::uint64_t type = 0, number = 0;
  std::string_view text("", 0);
  while (reader.at != reader.end) {
    Piece piece;
    std::uint64_t tag = reader.next(piece);
    if (reader.failed) {
      return wrong(reader.failed);
    }
    if (tag == (1 << 3)) {
      type = piece.number;
    } else if (tag == (2 << 3)) {
      number = piece.number;
    } else if (tag == (3 << 3 | 2)) {
      text = piece.bytes;
    }
  }
  if (type == 0) {
    out_.integer(static_cast<std::int32_t>(number));
    return true;
  }
  if (type != 1 || !plain_text(text) || text.size() > max_length) {
    return wrong("impossible IntOrString.Type");
  }
  out_.string(text);
  return true;
}

// RawExtension and JSON hold JSON text, or, in lists and watch events, an object in an envelope of its own.
bool Decoder::embedded(std::string_view bytes, int depth) {
  if (bytes.starts_with(magic)) {
    return envelope(bytes, depth + 1);
  }
  if (bytes.empty()) {
    out_.null();
    return true;
  }
  JsonOptions options;
  options.max_depth = max_depth;
  Result<Document> document = parse_json(bytes, options);
  if (!document) {
    return wrong(document.error().message, document.error().code);
  }
  out_.copy(document->root());
  return true;
}

// JSONSchemaPropsOrArray {1: schema, 2: schemas}, OrBool {1: allows, 2: schema}, OrStringArray {1: schema, 2: strings}.
bool Decoder::schema_or(const Field& field, std::string_view bytes, int depth) {
  Reader reader{bytes.data(), bytes.data() + bytes.size()};
  bool allows = false, has_schema = false;
  std::string schema;
  std::vector<std::string_view> others;
  while (reader.at != reader.end) {
    Piece piece;
    std::uint64_t tag = reader.next(piece);
    if (reader.failed) {
      return wrong(reader.failed);
    }
    bool is_bool = field.scalar == Scalar::json_or_bool;
    if (is_bool && tag == (1 << 3)) {
      allows = piece.number != 0;
    } else if (tag == ((is_bool ? 2u : 1u) << 3 | 2)) {
      has_schema = true;
      schema += piece.bytes;
    } else if (!is_bool && tag == (2 << 3 | 2)) {
      others.push_back(piece.bytes);
    }
  }
  if (depth > max_depth) {
    return wrong(fmt::format("proto: more than {} messages inside each other", max_depth));
  }
  if (others.empty() && has_schema) {
    return object(*field.type, schema, depth + 1);
  }
  if (field.scalar == Scalar::json_or_bool) {
    out_.boolean(allows);
    return true;
  }
  if (others.empty()) {
    out_.null();
    return true;
  }
  out_.begin_array();
  for (std::string_view item : others) {
    if (field.scalar == Scalar::json_or_strings) {
      if (!plain_text(item) || item.size() > max_length) {
        return wrong("proto: a string is not valid UTF-8");
      }
      out_.string(item);
    } else if (!object(*field.type, item, depth + 1)) {
      return false;
    }
  }
  out_.end_array();
  return true;
}

// What JSON shows of a field that is not there but is never left out.
void Decoder::zero(const Field& field, int depth) {
  if (field.pointer || field.shape != Shape::single) {
    out_.null();
    return;
  }
  switch (field.scalar) {
    case Scalar::boolean: out_.boolean(false); break;
    case Scalar::int32:
    case Scalar::int64:
    case Scalar::float64:
    case Scalar::int_or_string: out_.integer(0); break;
    case Scalar::string: out_.string(""); break;
    case Scalar::duration: out_.string("0s"); break;
    case Scalar::quantity: out_.string("0"); break;
    case Scalar::object: zero_fields(*field.type, depth + 1); break;
    default: out_.null(); break;
  }
}

void Decoder::zero_fields(const Type& type, int depth) {
  out_.begin_object();
  for (const Field& field : type.fields) {
    if (!field.omit_empty && depth <= max_depth) {
      out_.key(field.name);
      zero(field, depth);
    }
  }
  out_.end_object();
}

// k8s\0, then runtime.Unknown {1: {1: apiVersion, 2: kind}, 2: the message}.
bool Decoder::envelope(std::string_view bytes, int depth) {
  if (depth > max_depth) {
    return wrong(fmt::format("proto: more than {} messages inside each other", max_depth));
  }
  if (!bytes.starts_with(magic)) {
    return wrong("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
  }
  bytes.remove_prefix(magic.size());
  Reader reader{bytes.data(), bytes.data() + bytes.size()};
  std::string_view meta, raw, api_version, kind;
  while (reader.at != reader.end) {
    Piece piece;
    std::uint64_t tag = reader.next(piece);
    if (reader.failed) {
      return wrong(reader.failed);
    }
    if (tag == (1 << 3 | 2)) {
      meta = piece.bytes;
    } else if (tag == (2 << 3 | 2)) {
      raw = piece.bytes;
    }
  }
  if (!only_field(meta, 1, api_version) || !only_field(meta, 2, kind)) {
    return false;
  }
  const Type* type = find_type(api_version, kind);
  if (!type) {
    return wrong(fmt::format("no kind \"{}\" is registered for version \"{}\"", kind, api_version), Code::unsupported);
  }
  return top(*type, api_version, kind, raw, depth);
}

}  // namespace

Result<Document> decode_protobuf(std::string_view bytes) {
  if (bytes.size() > max_message_bytes) {
    return fail(Code::too_large, fmt::format("a protobuf object is limited to {} bytes", max_message_bytes));
  }
  Decoder decoder(bytes.size() * 2);
  return decoder.finish(decoder.envelope(bytes, 0));
}

Result<Document> decode_message(const Type& type, std::string_view bytes) {
  std::size_t limit = type.proto3 ? max_proto3_bytes : max_message_bytes;
  if (bytes.size() > limit) {
    return fail(Code::too_large, fmt::format("a protobuf message is limited to {} bytes", limit));
  }
  Decoder decoder(bytes.size() * 2);
  return decoder.finish(decoder.object(type, bytes, 0));
}

}  // namespace kybern::schema
