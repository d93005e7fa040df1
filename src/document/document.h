// The document: one JSON value as one relocatable, immutable, reference-counted block of memory.
//
//   Document   owns a block; copying shares it (atomic reference count).
//   Value      a borrowed view of one value inside a block: 16 bytes, valid while some Document holds the block.
//   Draft      a mutable tree. Made from a Value it shares that subtree by reference and copies only what is changed.
//
// Layout of a block: a 16-byte header (reference count, size, root slot), then bytes addressed by 32-bit offsets. A value
// is an 8-byte slot (tag in the low byte); an object is an array of 12-byte members {4-byte key, 8-byte slot}, an array
// an array of slots. Strings up to 7 bytes and integers up to 56 bits lie in the slot. A key that is a field name of the
// API (document/names.h) is stored as its number, any other as an offset of its text; the two compare equal by text.
//
// Numbers: a JSON number that is an integer within int64 is `integer`, any other is `number` (binary64), as upstream
// reads them. Objects keep the order of their members, except that those with more than 32 are sorted by key.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "document/field_key.h"
#include "document/layout.h"

namespace kybern {

enum class Kind : std::uint8_t { null, boolean, integer, number, string, array, object };

std::optional<Name> find_name(std::string_view text);

namespace detail {
struct Block;
struct ValueParts;
}  // namespace detail

struct Member;
class Document;

class Value {
 public:
  Value() = default;  // absent: looks like null, but exists() is false
  bool exists() const { return block_ != nullptr; }
  explicit operator bool() const { return exists(); }

  Kind kind() const;
  bool is_null() const { return kind() == Kind::null; }  // true for an absent value too
  bool is_string() const { return kind() == Kind::string; }
  bool is_object() const { return kind() == Kind::object; }
  bool is_array() const { return kind() == Kind::array; }
  bool is_int() const { return kind() == Kind::integer; }
  bool is_bool() const { return kind() == Kind::boolean; }

  // The fallback is returned when the value is absent or of another kind.
  bool as_bool(bool fallback = false) const;
  std::int64_t as_int(std::int64_t fallback = 0) const;
  double as_double(double fallback = 0) const;  // an integer too
  std::string_view as_string(std::string_view fallback = {}) const;
  std::string str() const { return std::string(as_string()); }

  std::size_t size() const;  // of an array or object; 0 for everything else
  bool empty() const { return size() == 0; }
  Value operator[](std::size_t index) const;  // absent when out of range or not an array
  Value operator[](int index) const { return index < 0 ? Value() : (*this)[static_cast<std::size_t>(index)]; }
  // Absent when not there or not an object.
  Value operator[](FieldKey key) const { return key.is_name() ? (*this)[key.name()] : of_text(key); }
  Value operator[](Name key) const;
  Member member(std::size_t index) const;                    // of an object, in stored order
  std::optional<Name> member_name(std::size_t index) const;  // its key, when that is a known name; no text is compared
  Value member_value(std::size_t index) const;               // member(index).value, without its key

  // for (Value item : value.items()); for (Member m : value.members())
  class Items;
  class Members;
  Items items() const;
  Members members() const;

  Document document() const;  // an owner of this subtree (shares the whole block)

  // Equal by content: object members in any order; 1 and 1.0 differ in kind and are unequal.
  friend bool operator==(Value a, Value b);

 private:
  friend class Document;
  friend class Draft;
  friend class BlockWriter;
  friend struct detail::ValueParts;
  Value(const detail::Block* block, const detail::Slot* slot) : block_(block), slot_(slot) {}
  const std::byte* at(std::uint32_t offset) const { return reinterpret_cast<const std::byte*>(block_) + offset; }
  std::int64_t far_integer() const;
  Value of_text(FieldKey key) const;
  const detail::Block* block_ = nullptr;
  const detail::Slot* slot_ = nullptr;
};

struct Member {
  std::string_view key;
  Value value;
};

class Value::Items {
 public:
  struct Iterator {
    Value value;
    std::size_t index;
    Value operator*() const { return value[index]; }
    Iterator& operator++() {
      ++index;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return index != other.index; }
  };
  explicit Items(Value value) : value_(value) {}
  Iterator begin() const { return {value_, 0}; }
  Iterator end() const { return {value_, value_.is_array() ? value_.size() : 0}; }

 private:
  Value value_;
};

class Value::Members {
 public:
  struct Iterator {
    Value value;
    std::size_t index;
    Member operator*() const { return value.member(index); }
    Iterator& operator++() {
      ++index;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return index != other.index; }
  };
  explicit Members(Value value) : value_(value) {}
  Iterator begin() const { return {value_, 0}; }
  Iterator end() const { return {value_, value_.is_object() ? value_.size() : 0}; }

 private:
  Value value_;
};

// Reading is inline: a Value then stays in registers, and most reads are a look at the slot's tag.
inline Kind Value::kind() const {
  constexpr Kind kinds[16] = {Kind::null,   Kind::boolean, Kind::integer, Kind::integer, Kind::number,
                              Kind::string, Kind::string,  Kind::array,   Kind::object,  Kind::object};
  return slot_ ? kinds[detail::tag_of(*slot_)] : Kind::null;
}
inline bool Value::as_bool(bool fallback) const {
  return slot_ && detail::tag_of(*slot_) == detail::tag_boolean ? slot_->high != 0 : fallback;
}
inline std::int64_t Value::as_int(std::int64_t fallback) const {
  if (!slot_) return fallback;
  if (detail::tag_of(*slot_) == detail::tag_inline_integer) return detail::inline_integer(*slot_);
  return detail::tag_of(*slot_) == detail::tag_far_integer ? far_integer() : fallback;
}
inline std::string_view Value::as_string(std::string_view fallback) const {
  if (!slot_) return fallback;
  if (detail::tag_of(*slot_) == detail::tag_far_string) return {reinterpret_cast<const char*>(at(slot_->high)), detail::count_of(*slot_)};
  if (detail::tag_of(*slot_) == detail::tag_inline_string) return {reinterpret_cast<const char*>(slot_) + 1, slot_->low >> 4 & 15u};
  return fallback;
}
inline std::size_t Value::size() const { return slot_ && detail::tag_of(*slot_) >= detail::tag_array ? detail::count_of(*slot_) : 0; }
inline Value Value::operator[](std::size_t index) const {
  if (!slot_ || detail::tag_of(*slot_) != detail::tag_array || index >= detail::count_of(*slot_)) return {};
  return {block_, reinterpret_cast<const detail::Slot*>(at(slot_->high)) + index};
}
inline std::optional<Name> Value::member_name(std::size_t index) const {
  if (!slot_ || detail::tag_of(*slot_) < detail::tag_object || index >= detail::count_of(*slot_)) return std::nullopt;
  std::uint32_t key = reinterpret_cast<const detail::MemberSlot*>(at(slot_->high))[index].key;
  if (key & detail::far_key) return std::nullopt;
  return Name{key};
}

inline Value Value::member_value(std::size_t index) const {
  if (!slot_ || detail::tag_of(*slot_) < detail::tag_object || index >= detail::count_of(*slot_)) return {};
  return {block_, &reinterpret_cast<const detail::MemberSlot*>(at(slot_->high))[index].slot};
}

inline Value::Items Value::items() const { return Items(*this); }
inline Value::Members Value::members() const { return Members(*this); }

class Document {
 public:
  Document() = default;  // no block: root() is absent
  Document(const Document& other);
  Document(Document&& other) noexcept;
  Document& operator=(const Document& other);
  Document& operator=(Document&& other) noexcept;
  ~Document();

  explicit operator bool() const { return block_ != nullptr; }
  Value root() const { return {block_, root_}; }
  operator Value() const { return root(); }
  Value operator[](FieldKey key) const { return root()[key]; }
  Value operator[](Name key) const { return root()[key]; }

  std::size_t memory() const;  // bytes of the block, header included
  bool same_block(const Document& other) const { return block_ == other.block_; }
  bool unique() const;  // nobody else holds the block

  // Room for a text that is only known later. A string of exactly `stamp_width` spaces can be overwritten in place by
  // stamp(), once, while the block has a single owner: the store writes metadata.resourceVersion this way when it
  // assigns the revision. Returns false when `slot` is not such a string; ends the process when the block is shared.
  static constexpr std::size_t stamp_width = 20;
  static std::string_view stamp_blank();
  bool stamp(Value slot, std::string_view text);

 private:
  friend class Value;
  friend class Draft;
  friend class BlockWriter;
  Document(const detail::Block* block, const detail::Slot* root) : block_(block), root_(root) {}
  const detail::Block* block_ = nullptr;
  const detail::Slot* root_ = nullptr;
};

// A mutable JSON value: 16 bytes. Not for sharing between threads. Reading a shared subtree through a Draft opens it one
// level at a time; the bytes of unchanged subtrees are copied only by freeze().
class Draft {
 public:
  class Key;
  struct Field;
  struct Entry;
  Draft() = default;  // null
  Draft(std::nullptr_t) {}
  Draft(bool value) : held_(holds_boolean), word_(value) {}
  Draft(int value) : Draft(static_cast<long>(value)) {}
  Draft(unsigned value) : Draft(static_cast<long>(value)) {}
  Draft(long value) : held_(holds_integer), word_(static_cast<std::uint64_t>(value)) {}
  Draft(long long value) : Draft(static_cast<long>(value)) {}
  Draft(unsigned long value) : Draft(static_cast<long>(value)) {}
  Draft(double value);
  Draft(const char* value) : Draft(std::string_view(value)) {}
  Draft(std::string_view value);
  Draft(const std::string& value) : Draft(std::string_view(value)) {}
  Draft(Value value);  // shares; an absent value gives null
  Draft(const Document& value) : Draft(value.root()) {}
  Draft(const Draft& other);
  Draft(Draft&& other) noexcept : held_(std::exchange(other.held_, 0)), word_(other.word_) {}
  Draft& operator=(const Draft& other);
  Draft& operator=(Draft&& other) noexcept {
    const std::uintptr_t held = std::exchange(other.held_, 0);
    const std::uint64_t word = other.word_;
    Draft old(std::move(*this));  // ends last: `other` may lie inside its tree
    held_ = held;
    word_ = word;
    return *this;
  }
  ~Draft() {
    if (held_ && tag() < holds_boolean) release();
  }
  static Draft object();
  static Draft object(std::initializer_list<Entry> members);
  static Draft array();
  static Draft array(std::initializer_list<Draft> items);
  static Draft strings(const std::vector<std::string>& texts);  // an array of them

  Kind kind() const;
  bool is_null() const { return kind() == Kind::null; }
  bool is_string() const { return kind() == Kind::string; }
  bool is_object() const { return kind() == Kind::object; }
  bool is_array() const { return kind() == Kind::array; }
  bool as_bool(bool fallback = false) const;
  std::int64_t as_int(std::int64_t fallback = 0) const;
  double as_double(double fallback = 0) const;
  std::string_view as_string(std::string_view fallback = {}) const;
  std::string str() const { return std::string(as_string()); }
  std::size_t size() const;
  bool empty() const { return size() == 0; }

  // Objects. operator[] turns a null into an object and adds a missing member; on any other kind it ends the process.
  Draft& operator[](FieldKey key);
  Draft* find(FieldKey key);  // nullptr when not there or not an object
  const Draft* find(FieldKey key) const { return const_cast<Draft*>(this)->find(key); }
  const Draft* find_path(std::initializer_list<FieldKey> path) const { return const_cast<Draft*>(this)->find_path(path); }
  Draft* find_path(std::initializer_list<FieldKey> path);
  bool erase(FieldKey key);
  std::vector<Field>& fields();  // of an object; ends the process on any other kind
  const std::vector<Field>& fields() const;

  // Arrays. push_back turns a null into an array.
  Draft& push_back(Draft item);
  std::vector<Draft>& items();
  const std::vector<Draft>& items() const { return const_cast<Draft*>(this)->items(); }

  Document freeze() const;
  friend bool operator==(const Draft& a, const Draft& b);  // by content, as Value's

 private:
  friend class BlockWriter;
  struct Object;
  struct Text;
  // What held_ says besides its address: those before holds_boolean own something.
  enum Tag : std::uintptr_t {
    holds_shared,
    holds_object,
    holds_array,
    holds_text,
    holds_boolean,
    holds_integer,
    holds_number,
    tag_mask = 7
  };
  Tag tag() const { return static_cast<Tag>(held_ & tag_mask); }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(held_ & ~static_cast<std::uintptr_t>(tag_mask));
  }
  bool borrows() const { return tag() == holds_shared; }  // null among them
  Value borrowed() const { return held_ ? Value(as<const detail::Block>(), reinterpret_cast<const detail::Slot*>(word_)) : Value(); }
  void release();
  Object* open_object() const;  // nullptr when it is none
  std::vector<Draft>* open_array() const;
  void hold(Tag tag, void* what) const;

  mutable std::uintptr_t held_ = 0;  // a block, an Object, a vector of items or a Text, each an owner; with its tag
  mutable std::uint64_t word_ = 0;   // where in the block; or the boolean, integer or number itself
};

// A member's name: its number in the table of names, or a text of its own.
class Draft::Key {
 public:
  Key() = default;
  explicit Key(FieldKey key);
  Key(const Key& other) : Key(other.view()) {}
  Key(Key&& other) noexcept : text_(other.text_), size_(other.size_), id_(std::exchange(other.id_, detail::unknown_key)) {}
  Key& operator=(const Key& other) { return *this = Key(other); }
  Key& operator=(Key&& other) noexcept {
    std::swap(text_, other.text_);
    std::swap(size_, other.size_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~Key() {
    if (id_ == detail::far_key) delete[] text_;
  }

  std::string_view text() const { return {text_, size_}; }
  operator std::string_view() const { return text(); }
  std::string str() const { return std::string(text()); }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  bool starts_with(std::string_view prefix) const { return text().starts_with(prefix); }
  FieldKey view() const { return FieldKey(text(), id_); }
  bool is(FieldKey key) const {
    if (key.is_name()) return id_ == key.name().id;
    return (!key.is_no_name() || id_ == detail::far_key) && text() == key.text();
  }
  friend bool operator==(const Key& a, const Key& b) { return a.text() == b.text(); }
  friend bool operator==(const Key& a, std::string_view b) { return a.text() == b; }

 private:
  const char* text_ = "";
  std::uint32_t size_ = 0;
  std::uint32_t id_ = detail::unknown_key;  // far_key: the text is our own
};

struct Draft::Field {
  Key key;
  Draft value;
};

// What Draft::object() is made of.
struct Draft::Entry {
  FieldKey key;
  Draft value;
};

// Writes a block front to back, as a parser reads its input. begin/end must pair; in an object each value follows a key.
class BlockWriter {
 public:
  explicit BlockWriter(std::size_t size_hint = 512);
  ~BlockWriter();
  BlockWriter(const BlockWriter&) = delete;
  BlockWriter& operator=(const BlockWriter&) = delete;

  void null();
  void boolean(bool value);
  void integer(std::int64_t value);
  void number(double value);
  void string(std::string_view value);
  void copy(Value value);  // a subtree of another block
  void key(FieldKey name);
  void key(Name name);
  // A member that the object does not have yet, as the caller knows.
  void new_key(Name name);
  void new_string(Name name, std::string_view value);
  void begin_object();
  // For duplicate keys the last value is kept. Returns how many were dropped and appends their keys.
  std::size_t end_object(std::vector<std::string>* dropped_keys = nullptr);
  void begin_array();
  void end_array();
  Document finish();  // exactly one value has been written; the writer is empty again

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kybern
