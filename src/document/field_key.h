// The name of a member, as something that asks for it says it: a text, and its number when it is a field name of the API.
// A literal is looked up while it is compiled: value["metadata"] compares numbers, and costs no search for the name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "document/layout.h"
#include "document/names_sorted.h"

namespace kybern {

class Draft;

// A field name of the API: an index into the table of names that the generator makes from api/.
struct Name {
  std::uint32_t id;
  std::string_view text() const;
  friend bool operator==(Name, Name) = default;
};

namespace detail {

constexpr std::uint32_t unknown_key = 0x7fffffffu;  // a text that was not looked up yet: a name or not

// Index into the known names, or far_key when the text is no name of the API.
consteval std::uint32_t literal_id(std::string_view text) {
  std::size_t from = 0, to = std::size(sorted_names);
  while (from < to) {
    std::size_t middle = (from + to) / 2;
    if (sorted_names[middle] < text) from = middle + 1;
    else to = middle;
  }
  return from < std::size(sorted_names) && sorted_names[from] == text ? static_cast<std::uint32_t>(from) : far_key;
}

}  // namespace detail

class FieldKey {
 public:
  template <std::size_t N>
  consteval FieldKey(const char (&literal)[N])
      : text_(literal), size_(std::string_view(literal).size()), id_(detail::literal_id(std::string_view(literal))) {}
  template <typename T>
  requires(!std::is_array_v<T> && std::is_convertible_v<const T&, std::string_view>) constexpr FieldKey(const T& text)
      : FieldKey(std::string_view(text), detail::unknown_key) {}
  constexpr FieldKey(Name name) : FieldKey(std::string_view(), name.id) {}

  std::string_view text() const { return text_ || !is_name() ? std::string_view(text_, size_) : name().text(); }
  constexpr bool is_name() const { return id_ < detail::unknown_key; }
  constexpr bool is_no_name() const { return id_ == detail::far_key; }
  constexpr Name name() const { return {id_}; }  // of one that is_name()

 private:
  friend class Draft;
  constexpr FieldKey(std::string_view text, std::uint32_t id)
      : text_(text.data()), size_(static_cast<std::uint32_t>(text.size())), id_(id) {}
  const char* text_;
  std::uint32_t size_, id_;
};

}  // namespace kybern
