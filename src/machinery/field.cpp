#include "machinery/field.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "base/strings.h"
#include "document/json.h"

namespace kybern {

void Path::append(std::string& out) const {
  if (parent_ != nullptr) parent_->append(out);
  if (index_ >= 0) fmt::format_to(std::back_inserter(out), "[{}]", index_);
  if (index_ == keyed) fmt::format_to(std::back_inserter(out), "[{}]", key_);
  if (name_.empty()) return;
  if (!out.empty()) out.push_back('.');
  out.append(name_);
}

std::string Path::str() const {
  std::string out;
  append(out);
  return out;
}

namespace field {
namespace {

using Type = FieldError::Type;

// Fields whose values are maps of texts: upstream writes those in the order of their keys.
bool is_map(std::string_view field) {
  return field == "matchLabels" || field == "labels" || field == "annotations" || field == "nodeSelector" || field == "capacity" ||
         field == "limits" || field == "requests";
}

// A value as it is shown: fields in the order of the object, keys of maps in theirs.
Draft in_order(Value value, bool map) {
  if (value.is_array()) {
    Draft out = Draft::array();
    for (Value item : value.items()) out.push_back(in_order(item, false));
    return out;
  }
  if (!value.is_object()) return Draft(value);
  std::vector<Member> members;
  for (Member m : value.members()) members.push_back(m);
  if (map) std::ranges::sort(members, {}, [](const Member& m) { return m.key; });
  Draft out = Draft::object();
  for (const Member& m : members) out[m.key] = in_order(m.value, is_map(m.key));
  return out;
}

FieldError make(Type type, const Path& path, std::string value, std::string_view detail) {
  return {type, path.str(), std::move(value), std::string(detail)};
}

}  // namespace

std::string shown(std::string_view text) { return go_quote(text); }

std::string shown(Value value) {
  if (value.is_string()) return go_quote(value.as_string());
  return value.is_object() || value.is_array() ? to_json(in_order(value, false)) : to_json(value);
}

FieldError required(const Path& path, std::string_view detail) { return make(Type::required, path, {}, detail); }
FieldError forbidden(const Path& path, std::string_view detail) { return make(Type::forbidden, path, {}, detail); }
FieldError invalid(const Path& path, std::string_view value, std::string_view detail) {
  return make(Type::invalid, path, shown(value), detail);
}
FieldError invalid(const Path& path, const char* value, std::string_view detail) { return invalid(path, std::string_view(value), detail); }
FieldError invalid(const Path& path, const std::string& value, std::string_view detail) {
  return invalid(path, std::string_view(value), detail);
}
FieldError invalid(const Path& path, std::int64_t value, std::string_view detail) {
  return make(Type::invalid, path, fmt::format("{}", value), detail);
}
FieldError invalid(const Path& path, int value, std::string_view detail) { return invalid(path, static_cast<std::int64_t>(value), detail); }
FieldError invalid(const Path& path, Value value, std::string_view detail) {
  std::string at = path.str();
  bool map = value.is_object() && is_map(std::string_view(at).substr(at.rfind('.') + 1));
  return {Type::invalid, std::move(at), map ? to_json(in_order(value, true)) : shown(value), std::string(detail)};
}
FieldError duplicate(const Path& path, std::string_view value) { return make(Type::duplicate, path, shown(value), {}); }
FieldError duplicate(const Path& path, Value value) { return make(Type::duplicate, path, shown(value), {}); }
FieldError not_found(const Path& path, std::string_view value) { return make(Type::not_found, path, shown(value), {}); }

FieldError not_supported(const Path& path, std::string_view value, std::span<const std::string_view> supported) {
  std::string detail;
  for (std::string_view one : supported) detail += (detail.empty() ? "supported values: " : ", ") + go_quote(one);
  return make(Type::not_supported, path, shown(value), detail);
}

FieldError not_supported(const Path& path, std::string_view value, std::initializer_list<std::string_view> supported) {
  return not_supported(path, value, std::span<const std::string_view>(supported.begin(), supported.size()));
}

FieldError too_long(const Path& path, std::size_t max_bytes) {
  return make(Type::too_long, path, {}, fmt::format("may not be more than {} {}", max_bytes, max_bytes == 1 ? "byte" : "bytes"));
}

FieldError too_many(const Path& path, std::size_t actual, std::size_t max_items) {
  return make(Type::too_many, path, fmt::format("{}", actual),
              fmt::format("must have at most {} {}", max_items, max_items == 1 ? "item" : "items"));
}

FieldError internal(const Path& path, std::string_view detail) { return make(Type::internal, path, {}, detail); }

void append(FieldErrors& out, FieldErrors more) {
  if (out.empty()) {
    out = std::move(more);
    return;
  }
  out.insert(out.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

}  // namespace field
}  // namespace kybern
