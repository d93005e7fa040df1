// Where a finding is, and how one is made: the vocabulary of every validation rule.
//
//   Path spec("spec"), containers = spec.child("containers");
//   for (i...) { Path at = containers.index(i); errors.push_back(field::required(at.child("name"))); }
//   -> {required, "spec.containers[0].name"}
//
// A Path is a link to its parent on the stack, spelled out only when something is wrong; so a parent must outlive its
// children, and a child of a temporary does not compile.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "document/document.h"
#include "machinery/status.h"

namespace kybern {

class Path {
 public:
  Path() = default;  // the root: children stand alone
  explicit Path(std::string_view name) : name_(name) {}
  Path child(std::string_view name) const& { return Path(this, name, none, {}); }  // "a.b" is two steps
  Path child(std::string_view name) const&& = delete;
  Path index(std::size_t i) const& { return Path(this, {}, static_cast<std::int64_t>(i), {}); }
  Path index(std::size_t i) const&& = delete;
  Path index(std::size_t i, std::string_view name) const& { return Path(this, name, static_cast<std::int64_t>(i), {}); }  // [i].name
  Path index(std::size_t i, std::string_view name) const&& = delete;
  Path key(std::string_view key) const& { return Path(this, {}, keyed, key); }  // [key]
  Path key(std::string_view key) const&& = delete;
  Path key(std::string_view key, std::string_view name) const& { return Path(this, name, keyed, key); }  // [key].name
  Path key(std::string_view key, std::string_view name) const&& = delete;
  std::string str() const;

 private:
  static constexpr std::int64_t none = -1, keyed = -2;
  Path(const Path* parent, std::string_view name, std::int64_t index, std::string_view key)
      : parent_(parent), name_(name), key_(key), index_(index) {}
  void append(std::string& out) const;

  const Path* parent_ = nullptr;
  std::string_view name_, key_;
  std::int64_t index_ = none;
};

// Makers of FieldErrors. A bad value is shown as upstream shows it: texts quoted, numbers and booleans plain, a missing
// value as "null", everything else as JSON.
namespace field {

std::string shown(std::string_view text);
std::string shown(Value value);

FieldError required(const Path& path, std::string_view detail = {});
FieldError forbidden(const Path& path, std::string_view detail);
FieldError invalid(const Path& path, std::string_view value, std::string_view detail);
FieldError invalid(const Path& path, const char* value, std::string_view detail);
FieldError invalid(const Path& path, const std::string& value, std::string_view detail);
FieldError invalid(const Path& path, std::int64_t value, std::string_view detail);
FieldError invalid(const Path& path, int value, std::string_view detail);
FieldError invalid(const Path& path, Value value, std::string_view detail);
FieldError duplicate(const Path& path, std::string_view value);
FieldError duplicate(const Path& path, Value value);
FieldError not_found(const Path& path, std::string_view value);
FieldError not_supported(const Path& path, std::string_view value, std::span<const std::string_view> supported);  // in the order given
FieldError not_supported(const Path& path, std::string_view value, std::initializer_list<std::string_view> supported);
FieldError too_long(const Path& path, std::size_t max_bytes);
FieldError too_many(const Path& path, std::size_t actual, std::size_t max_items);
FieldError internal(const Path& path, std::string_view detail);

void append(FieldErrors& out, FieldErrors more);

}  // namespace field
}  // namespace kybern
