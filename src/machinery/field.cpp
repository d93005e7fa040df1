#include "machinery/field.h"

#include <fmt/format.h>

#include <iterator>

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

FieldError make(Type type, const Path& path, std::string value, std::string_view detail) {
  return {type, path.str(), std::move(value), std::string(detail)};
}

}  // namespace

std::string shown(std::string_view text) { return go_quote(text); }

std::string shown(Value value) {
  if (value.is_null()) return "\"null\"";
  if (value.is_string()) return go_quote(value.as_string());
  return to_json(value);
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
FieldError invalid(const Path& path, Value value, std::string_view detail) { return make(Type::invalid, path, shown(value), detail); }
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
