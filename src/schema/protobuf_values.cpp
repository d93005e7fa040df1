// Single values of messages: scalars, and the messages that JSON shows as text, a number or a document.
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "base/strings.h"
#include "base/time.h"
#include "document/json.h"
#include "schema/protobuf_decoder.h"

namespace kybern::schema {

bool plain_long_text(std::string_view text) {
  const char* at = text.data();
  std::size_t left = text.size();
  std::uint64_t seen = 0, word;
  if (left >= 8) {
    for (; left >= 8; at += 8, left -= 8) {
      std::memcpy(&word, at, 8);
      seen |= word;
    }
    std::memcpy(&word, text.data() + text.size() - 8, 8);
    seen |= word;
  } else {
    for (; left > 0; ++at, --left) { seen |= static_cast<unsigned char>(*at); }
  }
  return (seen & 0x8080808080808080u) == 0 || valid_utf8(text);
}

bool Decoder::packed(const Field& field, std::string_view bytes, std::size_t& count) {
  Reader reader{bytes.data(), bytes.data() + bytes.size()};
  while (reader.at != reader.end) {
    std::uint64_t raw = field.scalar == Scalar::float64 ? reader.fixed(8) : reader.varint();
    if (reader.failed || ++count > max_length) { return wrong(reader.failed ? reader.failed : "proto: too many numbers in a list"); }
    if (!number(field, raw)) { return false; }
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
    if (reader.failed) { return wrong(reader.failed); }
    if (tag == (1 << 3 | 2)) {
      if (!plain_text(piece.bytes()) || piece.bytes().size() > max_length) { return wrong("proto: a string is not valid UTF-8"); }
      out_.string(piece.bytes());
    }
  }
  out_.end_array();
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
      if (!std::isfinite(value)) { return wrong(fmt::format("json: unsupported value: {}", value)); }
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

bool Decoder::text_ok(const Type& type, const Field& field, std::string_view text) {
  if (text.size() > max_length) {
    return wrong(fmt::format("proto: field {} is over {} bytes", field.name.text(), max_length), Code::too_large);
  }
  return type.proto3 || plain_text(text) || wrong(fmt::format("proto: field {} is not valid UTF-8", field.name.text()));
}

bool Decoder::single(const Type& type, const Field& field, Piece piece, int depth) {
  switch (field.scalar) {
    case Scalar::boolean:
    case Scalar::int32:
    case Scalar::int64:
    case Scalar::float64: return number(field, piece.number);
    case Scalar::string:
      if (!text_ok(type, field, piece.bytes())) { return false; }
      out_.string(piece.bytes());
      return true;
    case Scalar::bytes:
      if (piece.bytes().size() > max_length / 4 * 3) {
        return wrong(fmt::format("proto: field {} is over {} bytes", field.name.text(), max_length / 4 * 3), Code::too_large);
      }
      out_.string(type.proto3 ? std::string(piece.bytes()) : base64_encode(piece.bytes()));
      return true;
    case Scalar::time:
    case Scalar::micro_time: return time(field, piece.bytes());
    case Scalar::duration: {
      Reader reader{piece.bytes().data(), piece.bytes().data() + piece.bytes().size()};
      std::int64_t nanos = 0;
      while (reader.at != reader.end && !reader.failed) {
        std::uint64_t tag = reader.varint(), value = reader.varint();
        nanos = tag == (1 << 3) ? static_cast<std::int64_t>(value) : nanos;
      }
      if (reader.failed) { return wrong(reader.failed); }
      out_.string(format_duration(Duration(nanos)));
      return true;
    }
    case Scalar::quantity: {
      std::string_view text;
      if (!only_field(piece.bytes(), 1, text)) { return false; }
      out_.string(text.empty() ? "0" : text);
      return true;
    }
    case Scalar::int_or_string: return int_or_string(piece.bytes());
    case Scalar::raw:
    case Scalar::fields_v1:
    case Scalar::json: {
      std::string_view text;
      return only_field(piece.bytes(), 1, text) && embedded(text, depth);
    }
    case Scalar::json_or_array:
    case Scalar::json_or_bool:
    case Scalar::json_or_strings: return schema_or(field, piece.bytes(), depth);
    case Scalar::object: return object(*field.type, piece.bytes(), depth + 1);
  }
  return false;
}

// A message of which one field of text matters: Quantity, RawExtension, JSON.
bool Decoder::only_field(std::string_view bytes, std::uint32_t number, std::string_view& text) {
  Reader reader{bytes.data(), bytes.data() + bytes.size()};
  while (reader.at != reader.end) {
    Piece piece;
    std::uint64_t tag = reader.next(piece);
    if (reader.failed) { return wrong(reader.failed); }
    if (tag == (number << 3 | 2)) { text = piece.bytes(); }
  }
  if (text.size() > max_length || !(text.starts_with(magic) || plain_text(text))) { return wrong("proto: a text is not valid UTF-8"); }
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
  if (reader.failed) { return wrong(reader.failed); }
  if (time.seconds == 0 && time.nanos == 0) {
    out_.null();
    return true;
  }
  char text[time_text_max];
  std::size_t length = time.nanos < 0 || time.nanos > 999999999 ? 0 : format_wire_time(time, field.scalar == Scalar::micro_time, text);
  if (length == 0) { return wrong(fmt::format("proto: field {} is no time of the years 0 to 9999", field.name.text())); }
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
    if (reader.failed) { return wrong(reader.failed); }
    if (tag == (1 << 3)) {
      type = piece.number;
    } else if (tag == (2 << 3)) {
      number = piece.number;
    } else if (tag == (3 << 3 | 2)) {
      text = piece.bytes();
    }
  }
  if (type == 0) {
    out_.integer(static_cast<std::int32_t>(number));
    return true;
  }
  if (type != 1 || !plain_text(text) || text.size() > max_length) { return wrong("impossible IntOrString.Type"); }
  out_.string(text);
  return true;
}

// RawExtension and JSON hold JSON text, or, in lists and watch events, an object in an envelope of its own.
bool Decoder::embedded(std::string_view bytes, int depth) {
  if (bytes.starts_with(magic)) { return envelope(bytes, depth + 1); }
  if (bytes.empty()) {
    out_.null();
    return true;
  }
  JsonOptions options;
  options.max_depth = max_message_depth;
  Result<void> parsed = parse_json(bytes, out_, options);
  return parsed || wrong(parsed.error().message, parsed.error().code);
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
    if (reader.failed) { return wrong(reader.failed); }
    bool is_bool = field.scalar == Scalar::json_or_bool;
    if (is_bool && tag == (1 << 3)) {
      allows = piece.number != 0;
    } else if (tag == ((is_bool ? 2u : 1u) << 3 | 2)) {
      has_schema = true;
      schema += piece.bytes();
    } else if (!is_bool && tag == (2 << 3 | 2)) {
      others.push_back(piece.bytes());
    }
  }
  if (depth > max_message_depth) { return too_deep(); }
  if (others.empty() && has_schema) { return object(*field.type, schema, depth + 1); }
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
      if (!plain_text(item) || item.size() > max_length) { return wrong("proto: a string is not valid UTF-8"); }
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
    if (!field.omit_empty && depth <= max_message_depth) {
      out_.key(field.name);
      zero(field, depth);
    }
  }
  out_.end_object();
}

}  // namespace kybern::schema
