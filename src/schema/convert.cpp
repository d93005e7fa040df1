#include "schema/convert.h"

#include <algorithm>
#include <array>
#include <limits>

#include <fmt/format.h>

#include "base/strings.h"
#include "base/time.h"
#include "document/json.h"
#include "schema/wire.h"

namespace kybern::schema {

namespace {

constexpr int max_depth = 500;  // of structs in structs
constexpr std::size_t fields_max = 128;
constexpr std::size_t told_max_bytes = 64 << 10;  // of what is told of unknown fields: many may lie below one long key

// Where the conversion stands. Frames live on the stack and are only read when something is wrong.
struct Frame {
  const Frame* up = nullptr;
  const Type* owner = nullptr;  // the struct whose field this is
  const Field* field = nullptr;
  std::int64_t index = -1;    // an item of a list
  std::string_view key = {};  // an entry of a map, or an unknown member
};

// spec.containers[0].ports[1].name, with the keys of maps: for unknown fields.
void strict_path(const Frame* frame, std::string& out) {
  if (!frame) { return; }
  strict_path(frame->up, out);
  if (frame->index >= 0) {
    out += fmt::format("[{}]", frame->index);
    return;
  }
  if (!out.empty()) { out += '.'; }
  out += frame->field ? frame->field->name.text() : frame->key;
}

// spec.containers.ports.name, without indices and keys: for values of the wrong kind.
void go_path(const Frame* frame, std::string& out) {
  if (!frame) { return; }
  go_path(frame->up, out);
  if (frame->field) {
    out += out.empty() ? "" : ".";
    out += frame->field->name.text();
  }
}

// "core.v1.PodSpec" -> "v1.PodSpec"
std::string go_type(const Type& type) { return std::string(type.short_name.substr(type.short_name.find('.') + 1)); }

std::string go_element(const Field& field) {
  if (!field.alias.empty() && field.scalar == Scalar::string) { return std::string(field.alias); }
  switch (field.scalar) {
    case Scalar::boolean: return "bool";
    case Scalar::int32: return "int32";
    case Scalar::int64: return "int64";
    case Scalar::float64: return "float64";
    case Scalar::string: return field.name.text() == "uid" ? "types.UID" : "string";
    case Scalar::bytes: return "[]uint8";
    case Scalar::time: return "v1.Time";
    case Scalar::micro_time: return "v1.MicroTime";
    case Scalar::duration: return "v1.Duration";
    case Scalar::quantity: return "resource.Quantity";
    case Scalar::int_or_string: return "intstr.IntOrString";
    case Scalar::raw: return "runtime.RawExtension";
    case Scalar::fields_v1: return "v1.FieldsV1";
    case Scalar::json: return "v1.JSON";
    case Scalar::json_or_array: return "v1.JSONSchemaPropsOrArray";
    case Scalar::json_or_bool: return "v1.JSONSchemaPropsOrBool";
    case Scalar::json_or_strings: return "v1.JSONSchemaPropsOrStringArray";
    case Scalar::object: return go_type(*field.type);
  }
  return {};
}

std::string go_type(const Field& field) {
  if (field.shape == Shape::list) { return field.inner_list ? std::string(field.alias) : "[]" + go_element(field); }
  if (field.shape == Shape::map) {
    bool named = !field.alias.empty() && field.scalar != Scalar::string;
    return named ? std::string(field.alias) : "map[string]" + (field.inner_list ? std::string(field.alias) : go_element(field));
  }
  return go_element(field);
}

std::string kind_word(Value value) {
  switch (value.kind()) {
    case Kind::boolean: return "bool";
    case Kind::integer:
    case Kind::number: return "number";
    case Kind::string: return "string";
    case Kind::array: return "array";
    case Kind::object: return "object";
    default: return "null";
  }
}

// Base64 as Go's encoder writes it; anything else goes through a decoder and back.
bool canonical_base64(std::string_view text) {
  if (text.size() % 4 != 0) { return false; }
  std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  static constexpr auto values = [] {
    std::array<std::int8_t, 256> table{};
    table.fill(-1);
    std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (std::size_t i = 0; i < alphabet.size(); ++i) { table[static_cast<unsigned char>(alphabet[i])] = static_cast<std::int8_t>(i); }
    return table;
  }();
  for (std::size_t i = 0; i + padding < text.size(); ++i) {
    if (values[static_cast<unsigned char>(text[i])] < 0) { return false; }
  }
  if (padding == 0) { return true; }
  int last = values[static_cast<unsigned char>(text[text.size() - padding - 1])];
  return last >= 0 && (last & (padding == 1 ? 3 : 15)) == 0;
}

// Go names the first byte that is not base64; a text of good bytes is cut off at its end.
std::string base64_error(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() && (std::isalnum(static_cast<unsigned char>(text[at])) || text[at] == '+' || text[at] == '/' ||
                              text[at] == '\n' || text[at] == '\r')) {
    ++at;
  }
  return fmt::format("illegal base64 data at input byte {}", at == text.size() && at ? at - at % 4 : at);
}

// Of a kind that fits and zero.
bool empty_scalar(const Field& field, Value value) {
  switch (field.scalar) {
    case Scalar::boolean: return value.is_bool() && !value.as_bool();
    case Scalar::int32:
    case Scalar::int64:
    case Scalar::float64: return (value.is_int() || value.kind() == Kind::number) && value.as_double() == 0;
    case Scalar::string:
    case Scalar::bytes:
    case Scalar::time:
    case Scalar::micro_time: return value.is_string() && value.as_string().empty();
    default: return false;
  }
}

bool zero_is_null(const Field& field) {
  if (field.pointer || field.shape != Shape::single) { return true; }
  constexpr Scalar shown[] = {Scalar::boolean,       Scalar::int32,    Scalar::int64,    Scalar::float64, Scalar::string,
                              Scalar::int_or_string, Scalar::duration, Scalar::quantity, Scalar::object};
  return std::find(std::begin(shown), std::end(shown), field.scalar) == std::end(shown);
}

class Converter {
 public:
  explicit Converter(DecodeReport* report) : report_(report), out_(4096) {}

  Result<Document> run(const Type& type, Value value) {
    if (!value.is_object()) {
      return fail(Code::invalid, fmt::format("json: cannot unmarshal {} into Go value of type {}", kind_word(value), go_type(type)));
    }
    bool good = object(type, value, nullptr, 0);
    if (!good || !wrong_kind_.empty()) { return fail(Code::invalid, good ? wrong_kind_ : broken_); }
    return out_.finish();
  }

 private:
  bool object(const Type& type, Value value, const Frame* at, int depth);
  bool member(const Field& field, Value value, const Frame& at, int depth, bool& kept);
  bool element(const Field& field, Value value, const Frame& at, int depth);
  bool text(const Field& field, Value value, const Frame& at);
  bool schema_or(const Field& field, Value value, int depth);
  void zero(const Field& field, int depth);
  void null_element(const Field& field, int depth);
  void unknown(const Frame* at, std::string_view key);

  bool broken(std::string message) {
    broken_ = std::move(message);
    return false;
  }

  // Remembers the first value of a wrong kind; a zero stands for it.
  bool wrong(const Frame& at, std::string kind, std::string type) {
    if (wrong_kind_.empty()) {
      const Frame* in = &at;
      while (!in->field) { in = in->up; }
      std::string path;
      go_path(&at, path);
      std::string owner = go_type(*in->owner);
      wrong_kind_ = fmt::format("json: cannot unmarshal {} into Go struct field {}.{} of type {}", kind, owner.substr(owner.find('.') + 1),
                                path, type);
    }
    out_.null();
    return true;
  }
  bool wrong(const Field& field, Value value, const Frame& at) { return wrong(at, kind_word(value), go_element(field)); }

  // The message of a decoder that was called for one value, and so knows no path.
  bool wrong_value(Value value, std::string_view type, bool whole = true) {
    std::string kind = kind_word(value);
    if (kind == "number" && whole) { kind += " " + to_json(value); }
    return broken(fmt::format("json: cannot unmarshal {} into Go value of type {}", kind, type));
  }

  DecodeReport* report_;
  BlockWriter out_;
  std::string wrong_kind_, broken_;
  std::size_t told_bytes_ = 0;
};

void Converter::unknown(const Frame* at, std::string_view key) {
  if (!report_ || report_->unknown_fields.size() >= DecodeReport::report_max || told_bytes_ >= told_max_bytes) { return; }
  Frame frame{.up = at, .key = key};
  std::string path;
  strict_path(&frame, path);
  std::string text = "unknown field " + go_quote(path);
  if (std::find(report_->unknown_fields.begin(), report_->unknown_fields.end(), text) == report_->unknown_fields.end()) {
    told_bytes_ += text.size();
    report_->unknown_fields.push_back(std::move(text));
  }
}

bool Converter::object(const Type& type, Value value, const Frame* at, int depth) {
  if (depth > max_depth) { return broken("exceeded max depth"); }
  std::uint64_t seen[fields_max / 64] = {};
  out_.begin_object();
  for (std::size_t i = 0, count = value.size(); i < count; ++i) {
    std::optional<Name> name = value.member_name(i);
    const Field* field = name ? type.find(*name) : nullptr;
    if (!field) {
      unknown(at, value.member(i).key);
      continue;
    }
    auto index = static_cast<std::size_t>(field - type.fields.data());
    bool kept = false;
    Frame frame{.up = at, .owner = &type, .field = field};
    if (!member(*field, value.member(i).value, frame, depth, kept)) { return false; }
    if (kept) { seen[index / 64] |= 1ull << (index % 64); }
  }
  for (std::uint8_t i : type.always) {
    const Field& field = type.fields[i];
    if (!(seen[i / 64] >> (i % 64) & 1) && !field.gated) {
      out_.key(field.name);
      zero(field, depth);
    }
  }
  out_.end_object();
  return true;
}

// One member of a struct. `kept` says whether it was written; one that is always shown is written later when it was not.
bool Converter::member(const Field& field, Value value, const Frame& at, int depth, bool& kept) {
  if (field.gated) { return true; }
  if (value.is_null()) {
    if (!field.omit_empty && zero_is_null(field)) {
      kept = true;
      out_.key(field.name);
      out_.null();
    }
    return true;
  }
  if (field.shape == Shape::single) {
    if (field.omit_empty && !field.pointer && empty_scalar(field, value)) { return true; }
    kept = true;
    out_.key(field.name);
    return element(field, value, at, depth);
  }
  bool list = field.shape == Shape::list;
  if (value.kind() != (list ? Kind::array : Kind::object)) {
    kept = true;
    out_.key(field.name);
    return wrong(at, kind_word(value), go_type(field));
  }
  if (value.empty()) { return true; }
  kept = true;
  out_.key(field.name);
  if (list) {
    out_.begin_array();
    for (std::size_t i = 0; i < value.size(); ++i) {
      Frame item{.up = &at, .index = static_cast<std::int64_t>(i)};
      if (!element(field, value[i], item, depth)) { return false; }
    }
    out_.end_array();
    return true;
  }
  out_.begin_object();
  for (std::size_t i = 0; i < value.size(); ++i) {
    Member entry = value.member(i);
    Frame inner{.up = &at, .key = entry.key};
    if (std::optional<Name> name = value.member_name(i)) {
      out_.key(*name);
    } else {
      out_.key(entry.key);
    }
    if (!field.inner_list) {
      if (!element(field, entry.value, inner, depth)) { return false; }
      continue;
    }
    if (!entry.value.is_array()) {
      if (entry.value.is_null()) {
        out_.null();
      } else {
        wrong(inner, kind_word(entry.value), std::string(field.alias));
      }
      continue;
    }
    out_.begin_array();
    for (Value item : entry.value.items()) {
      if (!element(field, item, inner, depth)) { return false; }
    }
    out_.end_array();
  }
  out_.end_object();
  return true;
}

bool Converter::element(const Field& field, Value value, const Frame& at, int depth) {
  if (value.is_null()) {
    null_element(field, depth);
    return true;
  }
  switch (field.scalar) {
    case Scalar::boolean:
      if (!value.is_bool()) { return wrong(field, value, at); }
      out_.boolean(value.as_bool());
      return true;
    case Scalar::int32:
    case Scalar::int64: {
      std::int64_t number = value.as_int();
      bool fits = field.scalar == Scalar::int64 || number == static_cast<std::int32_t>(number);
      if (!value.is_int() || !fits) {
        bool literal = value.is_int() || value.kind() == Kind::number;
        return wrong(at, literal ? "number " + to_json(value) : kind_word(value), go_element(field));
      }
      out_.integer(number);
      return true;
    }
    case Scalar::float64:
      if (value.is_int()) {
        out_.integer(value.as_int());
      } else if (value.kind() == Kind::number) {
        out_.number(value.as_double());
      } else {
        return wrong(field, value, at);
      }
      return true;
    case Scalar::string:
      if (!value.is_string()) { return wrong(field, value, at); }
      out_.string(value.as_string());
      return true;
    case Scalar::int_or_string:
      if (value.is_string()) {
        out_.string(value.as_string());
      } else if (value.is_int() && value.as_int() == static_cast<std::int32_t>(value.as_int())) {
        out_.integer(value.as_int());
      } else {
        return wrong_value(value, "int32");
      }
      return true;
    case Scalar::raw:
    case Scalar::fields_v1:
    case Scalar::json: out_.copy(value); return true;
    case Scalar::json_or_array:
    case Scalar::json_or_bool:
    case Scalar::json_or_strings: return schema_or(field, value, depth);
    case Scalar::object:
      if (!value.is_object()) { return wrong(field, value, at); }
      return object(*field.type, value, &at, depth + 1);
    default: return text(field, value, at);
  }
}

// Values whose text has a grammar: bytes, times, durations, quantities.
bool Converter::text(const Field& field, Value value, const Frame& at) {
  std::string_view text = value.as_string();
  switch (field.scalar) {
    case Scalar::bytes:
      if (!value.is_string()) { return wrong(field, value, at); }
      if (canonical_base64(text)) {
        out_.string(text);
        return true;
      }
      if (auto bytes = base64_decode(text)) {
        out_.string(base64_encode(*bytes));
      } else {
        if (wrong_kind_.empty()) { wrong_kind_ = base64_error(text); }
        out_.null();
      }
      return true;
    case Scalar::time:
    case Scalar::micro_time: {
      bool micro = field.scalar == Scalar::micro_time;
      if (!value.is_string()) { return wrong_value(value, "string", false); }
      if (text.empty()) {
        out_.null();
        return true;
      }
      auto time = parse_wire_time(text);
      std::string error = !time || micro ? time_error(text, micro) : "";
      if (!error.empty()) { return broken(std::move(error)); }
      char canonical[time_text_max];
      std::string_view written(canonical, format_wire_time(*time, micro, canonical));
      out_.string(written);
      return true;
    }
    case Scalar::duration: {
      if (!value.is_string()) { return wrong_value(value, "string", false); }
      std::string error = duration_error(text);
      if (!error.empty()) { return broken(std::move(error)); }
      std::string written = format_duration(*parse_duration(text));
      out_.string(written);
      return true;
    }
    default: {  // quantity
      std::string number = value.is_string() ? "" : to_json(value);
      if (!value.is_string()) { text = number; }
      std::size_t first = text.find_first_not_of(" \t\r\n");
      std::string_view trimmed = first == std::string_view::npos ? "" : trim(text);
      std::string error = quantity_error(trimmed);
      if (!error.empty()) { return broken(std::move(error)); }
      out_.string(trimmed);
      return true;
    }
  }
}

// Upstream decodes these by methods of their own, out of reach of strict validation and of the outer path.
bool Converter::schema_or(const Field& field, Value value, int depth) {
  DecodeReport* report = std::exchange(report_, nullptr);
  bool good = true;
  if (value.is_object()) {
    good = object(*field.type, value, nullptr, depth + 1);
  } else if (field.scalar == Scalar::json_or_bool) {
    good = value.is_bool() || broken("boolean or JSON schema expected");
    if (good) { out_.boolean(value.as_bool()); }
  } else if (value.is_array() && !value.empty()) {
    out_.begin_array();
    for (Value item : value.items()) {
      if (field.scalar == Scalar::json_or_strings) {
        if (!item.is_string()) {
          good = wrong_value(item, "string", false);
          break;
        }
        out_.string(item.as_string());
      } else if (!item.is_object()) {
        good = wrong_value(item, "v1.JSONSchemaProps", false);
        break;
      } else if (!(good = object(*field.type, item, nullptr, depth + 1))) {
        break;
      }
    }
    if (good) { out_.end_array(); }
  } else {
    out_.null();
  }
  report_ = report;
  return good;
}

// A null as an item of a list or a value of a map: what the zero of its type looks like.
void Converter::null_element(const Field& field, int depth) {
  if (field.scalar == Scalar::bytes) {
    out_.string("");
    return;
  }
  Field plain = field;
  plain.shape = Shape::single;
  plain.pointer = false;
  zero(plain, depth);
}

void Converter::zero(const Field& field, int depth) {
  if (zero_is_null(field)) {
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
    case Scalar::object:
      out_.begin_object();
      for (std::uint8_t i : field.type->always) {
        const Field& inner = field.type->fields[i];
        if (!inner.gated && depth < max_depth) {
          out_.key(inner.name);
          zero(inner, depth + 1);
        }
      }
      out_.end_object();
      break;
    default: out_.null(); break;
  }
}

}  // namespace

std::string DecodeReport::text() const {
  std::string out = join(unknown_fields, ", ");
  for (const std::string& path : duplicate_fields) {
    out += out.empty() ? "" : ", ";
    out += "duplicate field " + go_quote(path);
  }
  return out;
}

Result<Document> to_typed(const Type& type, Value value, DecodeReport* report) { return Converter(report).run(type, value); }

}  // namespace kybern::schema
