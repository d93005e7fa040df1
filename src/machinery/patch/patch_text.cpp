#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "machinery/field.h"
#include "machinery/patch/patch.h"

namespace kybern {
namespace {

using schema::Field;
using schema::Scalar;
using schema::Shape;

void append_text(const Draft& value, std::string& out) {
  switch (value.kind()) {
    case Kind::null: out += "<nil>"; return;
    case Kind::boolean: out += value.as_bool() ? "true" : "false"; return;
    case Kind::integer: out += fmt::format("{}", value.as_int()); return;
    case Kind::number: out += fmt::format("{:g}", value.as_double()); return;
    case Kind::string: out += value.as_string(); return;
    case Kind::array: {
      out += '[';
      bool first = true;
      for (const Draft& item : value.items()) {
        if (!first) out += ' ';
        first = false;
        append_text(item, out);
      }
      out += ']';
      return;
    }
    case Kind::object: {
      std::vector<const Draft::Field*> fields;
      for (const Draft::Field& field : value.fields()) fields.push_back(&field);
      std::sort(fields.begin(), fields.end(), [](const auto* a, const auto* b) { return a->key.text() < b->key.text(); });
      out += "map[";
      for (const Draft::Field* field : fields) {
        if (field != fields.front()) out += ' ';
        out.append(field->key).append(":");
        append_text(field->value, out);
      }
      out += ']';
      return;
    }
  }
}

std::string_view go_kind(const Draft& value) {
  switch (value.kind()) {
    case Kind::null: return "invalid";
    case Kind::boolean: return "bool";
    case Kind::integer: return "int64";
    case Kind::number: return "float64";
    case Kind::string: return "string";
    case Kind::array: return "slice";
    case Kind::object: return "map";
  }
  return "";
}

std::string struct_error(const schema::Type& type, const Draft& value);

std::string scalar_error(const Field& field, const Draft& value) {
  if (value.is_null()) return "";
  auto expect = [&](bool fits, std::string_view kind) { return fits ? std::string() : fmt::format("unrecognized type: {}", kind); };
  bool whole = value.kind() == Kind::integer || (value.kind() == Kind::number && value.as_double() == std::trunc(value.as_double()));
  switch (field.scalar) {
    case Scalar::string: return expect(value.is_string(), "string");
    case Scalar::boolean: return expect(value.kind() == Kind::boolean, "bool");
    case Scalar::int32: return expect(whole, "int32");
    case Scalar::int64: return expect(whole, "int64");
    case Scalar::float64: return expect(whole || value.kind() == Kind::number, "float64");
    case Scalar::bytes: return value.is_string() ? "" : fmt::format("cannot restore slice from {}", go_kind(value));
    case Scalar::object: return field.type != nullptr ? struct_error(*field.type, value) : "";
    default: return "";
  }
}

std::string field_error(const Field& field, const Draft& value) {
  if (value.is_null()) return "";
  if (field.shape == Shape::list) {
    if (!value.is_array()) return fmt::format("cannot restore slice from {}", go_kind(value));
    for (const Draft& item : value.items()) {
      if (auto why = scalar_error(field, item); !why.empty()) return why;
    }
    return "";
  }
  if (field.shape == Shape::map) {
    if (!value.is_object()) return fmt::format("cannot restore map from {}", go_kind(value));
    for (const Draft::Field& member : value.fields()) {
      if (field.inner_list && !member.value.is_null() && !member.value.is_array())
        return fmt::format("cannot restore slice from {}", go_kind(member.value));
      if (field.inner_list) continue;
      if (auto why = scalar_error(field, member.value); !why.empty()) return why;
    }
    return "";
  }
  return scalar_error(field, value);
}

std::string struct_error(const schema::Type& type, const Draft& value) {
  if (value.is_null()) return "";
  if (!value.is_object()) return fmt::format("cannot restore struct from: {}", go_kind(value));
  for (const Draft::Field& member : value.fields()) {
    const Field* field = type.find(member.key);
    if (field == nullptr) continue;
    if (auto why = field_error(*field, member.value); !why.empty()) return why;
  }
  return "";
}

}  // namespace

std::string go_text(const Draft& value) {
  std::string out;
  append_text(value, out);
  return out;
}

std::string convert_error(const schema::Type& type, const Draft& object) { return struct_error(type, object); }

Status patch_does_not_fit(Value patch, std::string_view why) {
  return invalid("", "", "", {field::invalid(Path("patch"), go_text(Draft(patch)), why)});
}

}  // namespace kybern
