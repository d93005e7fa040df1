#include "document/document.h"

#include <algorithm>
#include <cstdlib>

#include "document/block.h"

namespace kybern {

using namespace detail;

namespace detail {

// The first and the last eight bytes as numbers; for a shorter text both are all of it.
struct Ends {
  std::uint64_t first, last;
  friend bool operator==(Ends, Ends) = default;
};

static Ends ends_of(std::string_view text) {
  const char* p = text.data();
  std::size_t n = text.size();
  Ends ends{0, 0};
  if (n >= 8) {
    std::memcpy(&ends.first, p, 8);
    std::memcpy(&ends.last, p + n - 8, 8);
    return ends;
  }
  if (n >= 4) {  // two halves that may overlap, where they agree
    std::uint32_t head, tail;
    std::memcpy(&head, p, 4);
    std::memcpy(&tail, p + n - 4, 4);
    ends.first = head | static_cast<std::uint64_t>(tail) << (8 * (n - 4));
  } else {
    for (std::size_t i = 0; i < n; ++i) ends.first |= static_cast<std::uint64_t>(static_cast<unsigned char>(p[i])) << (8 * i);
  }
  ends.last = ends.first;
  return ends;
}

// The generator fills the table by the same hash (tools/apigen).
std::uint32_t name_id(std::string_view text) {
  std::size_t n = text.size();
  Ends ends = ends_of(text);
  std::uint64_t h = (ends.first ^ (ends.last * 0x9E3779B97F4A7C15ULL) ^ n) * 0xD6E8FEB86659FD93ULL;
  for (std::uint32_t at = static_cast<std::uint32_t>(h >> 40) & name_slot_mask;; at = (at + 1) & name_slot_mask) {
    std::uint16_t id = name_slots[at];
    if (id == 0xffff) return far_key;
    std::string_view name = known_names[id];
    if (name.size() == n && ends_of(name) == ends && (n <= 16 || name == text)) return id;
  }
}

}  // namespace detail

std::string_view Name::text() const { return known_names[id]; }

std::optional<Name> find_name(std::string_view text) {
  std::uint32_t id = name_id(text);
  if (id == far_key) return std::nullopt;
  return Name{id};
}

// ---------------------------------------------------------------------------------------------------------------------
// Value

std::int64_t Value::far_integer() const {
  std::int64_t value;
  std::memcpy(&value, at(slot_->high), 8);
  return value;
}

double Value::as_double(double fallback) const {
  if (!slot_) return fallback;
  if (tag_of(*slot_) != tag_number) return kind() == Kind::integer ? static_cast<double>(as_int()) : fallback;
  double value;
  std::memcpy(&value, at(slot_->high), 8);
  return value;
}

Value Value::operator[](Name key) const {
  if (!slot_ || tag_of(*slot_) < tag_object) return {};
  if (tag_of(*slot_) == tag_sorted_object) return of_text(key);
  const auto* m = reinterpret_cast<const MemberSlot*>(at(slot_->high));
  for (const MemberSlot* end = m + count_of(*slot_); m != end; ++m)
    if (m->key == key.id) return {block_, &m->slot};
  return {};
}

Value Value::of_text(FieldKey asked) const {
  std::string_view key = asked.text();
  if (!slot_ || tag_of(*slot_) < tag_object) return {};
  const auto* m = reinterpret_cast<const MemberSlot*>(at(slot_->high));
  const MemberSlot* end = m + count_of(*slot_);
  if (tag_of(*slot_) == tag_sorted_object) {
    m = std::lower_bound(m, end, key, [&](const MemberSlot& x, std::string_view k) { return key_text(block_, x.key) < k; });
    if (m != end && key_text(block_, m->key) == key) return {block_, &m->slot};
    return {};
  }
  std::uint32_t id = asked.is_no_name() ? far_key : name_id(key);
  for (; m != end; ++m) {
    if (id != far_key ? m->key == id : (m->key & far_key) && key_text(block_, m->key) == key) return {block_, &m->slot};
  }
  return {};
}

Member Value::member(std::size_t index) const {
  if (!slot_ || tag_of(*slot_) < tag_object || index >= count_of(*slot_)) return {};
  const auto* m = reinterpret_cast<const MemberSlot*>(at(slot_->high)) + index;
  return {key_text(block_, m->key), Value(block_, &m->slot)};
}

Document Value::document() const {
  if (block_) block_->references.fetch_add(1, std::memory_order_relaxed);
  return Document(block_, slot_);
}

bool operator==(Value a, Value b) {
  if (a.kind() != b.kind()) return false;
  if (a.slot_ == b.slot_) return true;
  switch (a.kind()) {
    case Kind::null: return true;
    case Kind::boolean: return a.as_bool() == b.as_bool();
    case Kind::integer: return a.as_int() == b.as_int();
    case Kind::number: return a.as_double() == b.as_double();
    case Kind::string: return a.as_string() == b.as_string();
    case Kind::array:
      if (a.size() != b.size()) return false;
      for (std::size_t i = 0; i < a.size(); ++i)
        if (!(a[i] == b[i])) return false;
      return true;
    case Kind::object:
      if (a.size() != b.size()) return false;
      for (std::size_t i = 0; i < a.size(); ++i) {
        Member x = a.member(i), y = b.member(i);
        Value other = x.key == y.key ? y.value : b[x.key];
        if (!other.exists() || !(x.value == other)) return false;
      }
      return true;
  }
  return false;
}

// ---------------------------------------------------------------------------------------------------------------------
// Document

void detail::release(const Block* block) {
  if (block && block->references.fetch_sub(1, std::memory_order_acq_rel) == 1) std::free(const_cast<Block*>(block));
}

Document::Document(const Document& other) : block_(other.block_), root_(other.root_) {
  if (block_) block_->references.fetch_add(1, std::memory_order_relaxed);
}
Document::Document(Document&& other) noexcept : block_(std::exchange(other.block_, nullptr)), root_(std::exchange(other.root_, nullptr)) {}
Document& Document::operator=(const Document& other) {
  if (other.block_) other.block_->references.fetch_add(1, std::memory_order_relaxed);
  release(std::exchange(block_, other.block_));
  root_ = other.root_;
  return *this;
}
Document& Document::operator=(Document&& other) noexcept {
  if (this != &other) {
    release(std::exchange(block_, std::exchange(other.block_, nullptr)));
    root_ = std::exchange(other.root_, nullptr);
  }
  return *this;
}
Document::~Document() { release(block_); }

std::size_t Document::memory() const { return block_ ? block_->size : 0; }

// And it is the whole of the block: whoever keeps it keeps nothing else.
bool Document::unique() const { return block_ && root_ == &block_->root && block_->references.load(std::memory_order_acquire) == 1; }

std::string_view Document::stamp_blank() { return std::string_view("                    ", stamp_width); }

bool Document::stamp(Value slot, std::string_view text) {
  if (slot.block_ != block_ || !slot.slot_ || tag_of(*slot.slot_) != tag_far_string || slot.as_string() != stamp_blank() ||
      text.size() > stamp_width)
    return false;
  KYBERN_CHECK(block_->references.load(std::memory_order_acquire) == 1, "a block is stamped before it is shared");
  auto* writable = const_cast<Slot*>(slot.slot_);
  std::memcpy(const_cast<std::byte*>(slot.at(writable->high)), text.data(), text.size());
  writable->low = static_cast<std::uint32_t>(text.size()) << 8 | tag_far_string;
  return true;
}

}  // namespace kybern
