#include "machinery/apply/place.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "document/json.h"

namespace kybern::apply {
namespace {

using schema::ListType;
using schema::Scalar;
using schema::Shape;

constexpr std::size_t list_keys_max = 8;  // of a built-in type

Rule deduce(Value value) {
  switch (value.kind()) {
    case Kind::object: return Rule::map;
    case Kind::array: return Rule::atomic;
    default: return Rule::scalar;
  }
}

bool any_json(Scalar scalar) {
  return scalar == Scalar::raw || scalar == Scalar::json || scalar == Scalar::fields_v1 || scalar == Scalar::json_or_array ||
         scalar == Scalar::json_or_bool || scalar == Scalar::json_or_strings;
}

Element kept(std::string_view text, FieldTexts& texts) {
  Element out;
  out.text = texts.keep(text);
  return out;
}

// k:{"containerPort":80,"protocol":"TCP"}; `get` finds a key's value in the item, or its default.
template <class Get>
Result<Element> key_element(std::span<std::string_view> keys, Get get, FieldTexts& texts) {
  std::sort(keys.begin(), keys.end());
  std::string out = "k:{";
  for (std::string_view key : keys) {
    if (out.size() > 3) out += ',';
    out += '"';
    out += key;
    out += "\":";
    if (!get(key, out))
      return fail(
          Code::invalid,
          fmt::format("associative list with keys has an element that omits key field {} (and doesn't have default value)", go_quote(key)));
  }
  out += '}';
  return kept(out, texts);
}

}  // namespace

Place Place::of(const schema::Type& type) {
  Place place;
  place.type_ = &type;
  return place;
}
Place Place::of(const CustomSchema& custom) { return of_custom(&custom); }

Place Place::of_custom(const CustomSchema* custom) {
  if (!custom) return {};
  if (const schema::Type* type = custom->built_in()) return of(*type);
  Place place;
  place.custom_ = custom;
  return place;
}

Rule Place::rule(Value value) const {
  if (custom_) return custom_->rule(value);
  if (type_) return atomic_ ? Rule::atomic : Rule::structure;
  if (!field_) return deduce(value);
  if (!inside_) {
    if (field_->shape == Shape::map) return field_->atomic ? Rule::atomic : Rule::map;
    if (field_->shape == Shape::list)
      return field_->list_type == ListType::map ? Rule::keyed : field_->list_type == ListType::set ? Rule::set : Rule::atomic;
  }
  if (field_->inner_list) return Rule::atomic;
  if (any_json(field_->scalar)) return deduce(value);
  return Rule::scalar;
}

ScalarType Place::scalar() const {
  if (custom_) return custom_->scalar();
  if (!field_) return ScalarType::any;
  switch (field_->scalar) {
    case Scalar::boolean: return ScalarType::boolean;
    case Scalar::int32:
    case Scalar::int64:
    case Scalar::float64: return ScalarType::number;
    case Scalar::string:
    case Scalar::bytes:
    case Scalar::duration: return ScalarType::string;
    default: return ScalarType::any;
  }
}

bool Place::atomic_list() const {
  if (custom_) return custom_->atomic_list();
  return field_ && (inside_ ? field_->inner_list : field_->shape == Shape::list);
}

Place Place::item() const {
  if (custom_) return of_custom(custom_->item());
  Place place;
  if (field_ && field_->scalar == Scalar::object) {
    place.type_ = field_->type;
    place.atomic_ = field_->type->atomic;
  } else if (field_ && !any_json(field_->scalar) && !(inside_ && field_->inner_list)) {
    place.field_ = field_;
    place.inside_ = true;
  }
  return place;
}

Place Place::of_field(const schema::Field* field) {
  Place place;
  if (!field) return place;
  if (field->shape != Shape::single) {
    place.field_ = field;
  } else if (field->scalar == Scalar::object) {
    place.type_ = field->type;
    place.atomic_ = field->atomic;
  } else if (!any_json(field->scalar)) {
    place.field_ = field;
  }
  return place;
}

Place Place::member(std::string_view key) const {
  if (custom_) {
    const CustomSchema* property = custom_->property(key);
    return of_custom(property ? property : custom_->value());
  }
  return type_ ? of_field(type_->find(key)) : item();
}

Place Place::member(Value object, std::size_t index) const {
  if (type_)
    if (std::optional<Name> name = object.member_name(index)) return of_field(type_->find(*name));
  return custom_ ? member(object.member(index).key) : type_ ? Place() : item();
}

bool Place::named(std::string_view key) const {
  if (custom_) return custom_->property(key) != nullptr;
  return type_ && type_->find(key);
}

bool Place::declared(std::string_view key) const {
  if (custom_) return custom_->property(key) || custom_->value();
  return !type_ || type_->find(key);
}

Result<Element> Place::element(Value item, FieldTexts& texts) const {
  if (rule({}) == Rule::keyed) {
    if (item.is_null()) return fail(Code::invalid, "associative list with keys may not have a null element");
    if (!item.is_object()) return fail(Code::invalid, "associative list with keys may not have non-map elements");
    if (custom_) {
      std::vector<std::string_view> keys(custom_->keys().begin(), custom_->keys().end());
      return key_element(
          keys,
          [&](std::string_view key, std::string& out) {
            Value value = item[key];
            Document standard;
            if (!value.exists()) {
              standard = custom_->key_default(key);
              value = standard.root();
            }
            if (value.exists()) write_json(value, out);
            return value.exists();
          },
          texts);
    }
    std::string_view keys[list_keys_max];
    std::size_t count = std::min(field_->list_keys.size(), list_keys_max);
    for (std::size_t i = 0; i < count; ++i) keys[i] = field_->list_keys[i].text();
    return key_element(
        std::span(keys, count),
        [&](std::string_view key, std::string& out) {
          Value value = item[key];
          if (value.exists()) {
            write_json(value, out);
            return true;
          }
          const schema::Field* field = field_->type ? field_->type->find(key) : nullptr;
          if (!field || field->default_json.empty()) return false;
          out += field->default_json;
          return true;
        },
        texts);
  }
  if (item.is_object()) return fail(Code::invalid, "associative list without keys has an element that's a map type");
  if (item.is_array()) return fail(Code::invalid, "not supported: associative list with lists as elements");
  if (item.is_null()) return fail(Code::invalid, "associative list without keys has an element that's an explicit null");
  std::string text = "v:";
  write_json(item, text);
  return kept(text, texts);
}

Element member_element(Value object, std::size_t index, FieldTexts& texts) {
  if (std::optional<Name> name = object.member_name(index)) return field_element(*name, texts);
  return field_element(object.member(index).key, texts);
}

}  // namespace kybern::apply
