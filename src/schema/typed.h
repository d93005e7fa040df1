// The support of the typed accessors that tools/apigen generates (api/core_v1.h, ...): light views over a Value.
//
//   #include "api/core_v1.h"
//   api::core_v1::Pod pod(document);                                    // borrows: the Document must outlive the view
//   std::string_view node = pod.spec().node_name();                     // "" when absent
//   for (api::core_v1::Container c : pod.spec().containers()) ...       // List<T>: size(), [], begin/end, empty()
//   if (auto it = pod.metadata().labels().find("app")) ...              // Map<T>: find() -> optional<T>, contains(), [], begin/end
//
// A method per field in snake_case. Plain scalars come by value (zero when absent), fields for which absent and zero
// differ as std::optional, quantities, times, durations and bytes as the text of their JSON, int-or-string and raw JSON
// as Value, structs as their class (absent views answer everything with zero). Nothing is checked: a field of another
// kind than its type's reads as absent. Views are two pointers; pass them by value.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

#include "document/document.h"

namespace kybern::api {

class View {
 public:
  View() = default;
  explicit View(Value value) : value_(value) {}
  explicit View(const Document& document) : value_(document.root()) {}
  Value value() const { return value_; }
  bool exists() const { return !value_.is_null(); }
  explicit operator bool() const { return exists(); }

 protected:
  Value get(Name name) const { return value_[name]; }

 private:
  Value value_;
};

template <class T>
T read(Value value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value.as_bool();
  } else if constexpr (std::is_same_v<T, double>) {
    return value.as_double();
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(value.as_int());
  } else if constexpr (std::is_same_v<T, std::string_view>) {
    return value.as_string();
  } else {
    return T(value);
  }
}

template <class T>
std::optional<T> read_optional(Value value) {
  if (value.is_null()) { return std::nullopt; }
  return read<T>(value);
}

template <class T>
class List {
 public:
  class Iterator {
   public:
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    Iterator(Value value, std::size_t index) : value_(value), index_(index) {}
    T operator*() const { return read<T>(value_[index_]); }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    Iterator operator++(int) {
      Iterator old = *this;
      ++index_;
      return old;
    }
    bool operator==(const Iterator& other) const { return index_ == other.index_; }

   private:
    Value value_;
    std::size_t index_ = 0;
  };

  List() = default;
  explicit List(Value value) : value_(value) {}
  Value value() const { return value_; }
  std::size_t size() const { return value_.is_array() ? value_.size() : 0; }
  bool empty() const { return size() == 0; }
  T operator[](std::size_t index) const { return read<T>(value_[index]); }
  Iterator begin() const { return {value_, 0}; }
  Iterator end() const { return {value_, size()}; }

 private:
  Value value_;
};

template <class T>
struct Entry {
  std::string_view key;
  T value;
};

template <class T>
class Map {
 public:
  class Iterator {
   public:
    using value_type = Entry<T>;
    using difference_type = std::ptrdiff_t;
    Iterator() = default;
    Iterator(Value value, std::size_t index) : value_(value), index_(index) {}
    Entry<T> operator*() const {
      Member member = value_.member(index_);
      return {member.key, read<T>(member.value)};
    }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    Iterator operator++(int) {
      Iterator old = *this;
      ++index_;
      return old;
    }
    bool operator==(const Iterator& other) const { return index_ == other.index_; }

   private:
    Value value_;
    std::size_t index_ = 0;
  };

  Map() = default;
  explicit Map(Value value) : value_(value) {}
  Value value() const { return value_; }
  std::size_t size() const { return value_.is_object() ? value_.size() : 0; }
  bool empty() const { return size() == 0; }
  bool contains(std::string_view key) const { return value_[key].exists(); }
  std::optional<T> find(std::string_view key) const { return read_optional<T>(value_[key]); }
  T operator[](std::string_view key) const { return read<T>(value_[key]); }
  Iterator begin() const { return {value_, 0}; }
  Iterator end() const { return {value_, size()}; }

 private:
  Value value_;
};

// A call of a gRPC service, from the `service` blocks of api/.
struct Method {
  std::string_view path;               // "/runtime.v1.RuntimeService/RunPodSandbox"
  std::string_view request, response;  // for schema::find_type_named
  bool client_streams, server_streams;
};

}  // namespace kybern::api
