// BlockWriter: containers collect their slots on a stack and are laid down when they end, so a block is written once,
// front to back, with children before their parent.
#include <algorithm>
#include <cstdlib>

#include "base/copy.h"
#include "document/block.h"

namespace kybern {

using namespace detail;

namespace {

// Grows at its end and is cut off there; never gives memory back before it ends.
template <typename T>
class Stack {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  explicit Stack(std::size_t capacity) : capacity_(capacity), items_(static_cast<T*>(std::malloc(capacity * sizeof(T)))) {
    KYBERN_CHECK(items_, "memory is there");
  }
  ~Stack() { std::free(items_); }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  void push(const T& item) {
    if (count_ == capacity_) [[unlikely]] { grow(); }
    items_[count_++] = item;
  }
  void cut(std::size_t count) { count_ = count; }
  T pop() { return items_[--count_]; }
  T& operator[](std::size_t i) { return items_[i]; }
  const T& operator[](std::size_t i) const { return items_[i]; }
  T* begin() { return items_; }
  T* end() { return items_ + count_; }
  std::size_t size() const { return count_; }
  std::size_t capacity() const { return capacity_; }

 private:
  void grow() {
    capacity_ *= 2;
    items_ = static_cast<T*>(std::realloc(items_, capacity_ * sizeof(T)));
    KYBERN_CHECK(items_, "memory is there");
  }
  std::size_t count_ = 0, capacity_;
  T* items_;
};

}  // namespace

struct BlockWriter::State {
  enum class Next : std::uint8_t { root, nothing, item, key, value };  // what the innermost container takes next
  struct Frame {
    std::uint32_t first = 0;  // index into pending
    std::uint32_t key = 0;    // the key that waits for its value
    Next next = Next::root;
    bool duplicate = false;
    std::uint64_t seen = 0;  // one bit per key hash: unset bits prove that a key is new
  };
  std::byte* bytes = nullptr;
  std::size_t size = 0, capacity = 0;
  Stack<MemberSlot> pending{64};
  Frame top;                // the innermost open container
  Stack<Frame> frames{16};  // those around it
  Slot root{};

  ~State() { std::free(bytes); }

  struct Spares;
  static std::unique_ptr<State> take();
  static void leave(std::unique_ptr<State> state);

  std::byte* room(std::size_t count) {
    if (size + count > capacity) {
      capacity = std::max(capacity * 2, size + count + 256);
      KYBERN_CHECK(size + count <= max_block_bytes, "a document is under 2 GiB");
      bytes = static_cast<std::byte*>(std::realloc(bytes, capacity));
      KYBERN_CHECK(bytes, "memory is there");
    }
    std::byte* at = bytes + size;
    size += count;
    return at;
  }

  void align() { aligned_room(0); }

  // The same at the next multiple of 4; the bytes before it are zero.
  std::byte* aligned_room(std::size_t count) {
    std::byte* at = room(4 + count);
    std::memset(at, 0, 4);
    std::size_t pad = -(size - 4 - count) & 3;
    size -= 4 - pad;
    return at + pad;
  }

  void emit(Slot slot) {
    if (top.next == Next::value) [[likely]] {
      top.next = Next::key;
    } else if (top.next != Next::item) {
      KYBERN_CHECK(top.next == Next::root, "one value is written to a block, and in an object each follows its key");
      root = slot;
      top.next = Next::nothing;
      return;
    }
    pending.push({top.key, slot});
  }

  void begin(Next next) {
    KYBERN_CHECK(top.next != Next::key && top.next != Next::nothing, "a container stands where a value may");
    frames.push(top);
    top.first = static_cast<std::uint32_t>(pending.size());
    top.next = next;
    top.duplicate = false;
    top.seen = 0;
  }

  // The innermost container, of `count` pending values, lies at `offset`.
  void end(std::uint32_t tag, std::size_t count, std::size_t offset) {
    pending.cut(top.first);
    top = frames.pop();
    emit(far(tag, count, offset));
  }

  Slot text(std::string_view value) {
    if (value.size() <= 7) {
      Slot slot{};
      auto* p = reinterpret_cast<unsigned char*>(&slot);
      p[0] = static_cast<unsigned char>(tag_inline_string | value.size() << 4);
      copy_short(p + 1, value.data(), value.size());
      return slot;
    }
    std::size_t offset = size;
    copy_short(room(value.size()), value.data(), value.size());
    return far(tag_far_string, value.size(), offset);
  }

  Slot far(std::uint32_t tag, std::size_t count, std::size_t offset) {
    KYBERN_CHECK(count <= max_count, "a string or container is within 16 Mi");
    return {static_cast<std::uint32_t>(count) << 8 | tag, static_cast<std::uint32_t>(offset)};
  }

  std::uint32_t write_key(std::string_view text) {
    std::size_t offset = size;
    if (text.size() < 255) {
      std::byte* p = room(1 + text.size());
      p[0] = static_cast<std::byte>(text.size());
      copy_short(p + 1, text.data(), text.size());
    } else {
      KYBERN_CHECK(text.size() <= max_count, "a key is within 16 Mi");
      auto length = static_cast<std::uint32_t>(text.size());
      std::byte* p = room(5 + text.size());
      p[0] = std::byte{255};
      std::memcpy(p + 1, &length, 4);
      std::memcpy(p + 5, text.data(), text.size());
    }
    return far_key | static_cast<std::uint32_t>(offset);
  }

  std::string_view key_of(const MemberSlot& m) const { return key_text(reinterpret_cast<const Block*>(bytes), m.key); }

  // A subtree of another block: whole, so it needs no checks. Containers lie before what they hold. Returns where its
  // own bytes are, for `high`; a value that lies in its slot keeps that as it is.
  std::uint32_t copy(const Block* from, const Slot& slot) {
    const std::byte* at = bytes_of(from) + slot.high;
    std::size_t offset = size;
    switch (tag_of(slot)) {
      case tag_far_integer:
      case tag_number: std::memcpy(room(8), at, 8); break;
      case tag_far_string: std::memcpy(room(count_of(slot)), at, count_of(slot)); break;
      case tag_array: {
        std::size_t count = count_of(slot);
        align();
        offset = size;
        std::memcpy(room(count * sizeof(Slot)), at, count * sizeof(Slot));
        const auto* items = reinterpret_cast<const Slot*>(at);
        for (std::size_t i = 0; i < count; ++i) set(offset + i * sizeof(Slot) + offsetof(Slot, high), copy(from, items[i]));
        break;
      }
      case tag_object:
      case tag_sorted_object: {
        std::size_t count = count_of(slot);
        align();
        offset = size;
        std::memcpy(room(count * sizeof(MemberSlot)), at, count * sizeof(MemberSlot));
        const auto* members = reinterpret_cast<const MemberSlot*>(at);
        for (std::size_t i = 0; i < count; ++i) {
          std::size_t member = offset + i * sizeof(MemberSlot);
          if (members[i].key & far_key) set(member + offsetof(MemberSlot, key), write_key(key_text(from, members[i].key)));
          set(member + offsetof(MemberSlot, slot) + offsetof(Slot, high), copy(from, members[i].slot));
        }
        break;
      }
      default: return slot.high;
    }
    return static_cast<std::uint32_t>(offset);
  }
  void set(std::size_t offset, std::uint32_t value) { std::memcpy(bytes + offset, &value, sizeof value); }

  // A key among the members from `first` on. Above sort_above members duplicates are found by sorting.
  bool contains(std::size_t first, std::uint32_t key) const {
    if (pending.size() - first > sort_above) return false;
    for (std::size_t i = first; i < pending.size(); ++i)
      if (pending[i].key == key || ((pending[i].key & key & far_key) && key_of(pending[i]) == key_of({key, {}}))) return true;
    return false;
  }

  void set_new_key(std::uint32_t key) {
    KYBERN_CHECK(top.next == Next::key, "a key stands in an object, once before its value");
    top.key = key;
    top.next = Next::value;
  }

  void set_key(std::uint32_t key, std::uint64_t hash) {
    set_new_key(key);
    std::uint64_t bit = 1ULL << (hash & 63);
    if (top.seen & bit && !top.duplicate) top.duplicate = contains(top.first, key);
    top.seen |= bit;
  }

  // Later members win; their order stays that of first appearance, as in upstream's decoding into a struct or map.
  std::size_t drop_duplicates(std::size_t first, std::vector<std::string>* dropped_keys) {
    std::size_t kept = first, dropped = 0;
    for (std::size_t i = first; i < pending.size(); ++i) {
      std::size_t j = first;
      std::string_view key = key_of(pending[i]);
      while (j < kept && key_of(pending[j]) != key) ++j;
      if (j < kept) {
        pending[j].slot = pending[i].slot;
        ++dropped;
        if (dropped_keys) dropped_keys->emplace_back(key_of(pending[i]));
      } else {
        pending[kept++] = pending[i];
      }
    }
    pending.cut(kept);
    return dropped;
  }

  std::size_t drop_sorted_duplicates(std::size_t first, std::vector<std::string>* dropped_keys) {
    std::size_t kept = first, dropped = 0;
    for (std::size_t i = first; i < pending.size(); ++i) {
      if (kept > first && key_of(pending[kept - 1]) == key_of(pending[i])) {
        pending[kept - 1].slot = pending[i].slot;
        ++dropped;
        if (dropped_keys) dropped_keys->emplace_back(key_of(pending[i]));
      } else {
        pending[kept++] = pending[i];
      }
    }
    pending.cut(kept);
    return dropped;
  }
};

// A writer that is used again keeps its buffers up to this size,
static constexpr std::size_t kept_capacity_max = 256 << 10;
// and one that ends leaves them to the thread's next ones up to this: a request needs a dozen writers, one or two at a time.
static constexpr std::size_t spare_capacity_max = 16 << 10, spare_values_max = 1024;

struct BlockWriter::State::Spares {
  ~Spares() {
    ended = true;
    while (count) delete states[--count];
  }
  static constexpr std::size_t max = 2;
  static thread_local bool ended;  // outlives the rest: a writer may end after the thread's other variables
  static thread_local Spares mine;
  State* states[max];
  std::size_t count = 0;
};
thread_local bool BlockWriter::State::Spares::ended = false;
thread_local BlockWriter::State::Spares BlockWriter::State::Spares::mine;

std::unique_ptr<BlockWriter::State> BlockWriter::State::take() {
  if (Spares::ended || Spares::mine.count == 0) return nullptr;
  return std::unique_ptr<State>(Spares::mine.states[--Spares::mine.count]);
}

void BlockWriter::State::leave(std::unique_ptr<State> state) {
  if (Spares::ended || Spares::mine.count == Spares::max || state->capacity > spare_capacity_max ||
      state->pending.capacity() > spare_values_max)
    return;
  state->size = sizeof(Block);
  state->pending.cut(0);
  state->frames.cut(0);
  state->top = {};
  Spares::mine.states[Spares::mine.count++] = state.release();
}

BlockWriter::BlockWriter(std::size_t size_hint) {
  std::size_t wanted = std::max<std::size_t>(size_hint, 64) + sizeof(Block);
  state_ = State::take();
  if (state_) {
    if (state_->capacity >= wanted) return;
    std::free(state_->bytes);
  } else {
    state_ = std::make_unique<State>();
  }
  state_->capacity = wanted;
  state_->bytes = static_cast<std::byte*>(std::malloc(state_->capacity));
  KYBERN_CHECK(state_->bytes, "memory is there");
  state_->size = sizeof(Block);
}
BlockWriter::~BlockWriter() { State::leave(std::move(state_)); }

void BlockWriter::null() { state_->emit({tag_null, 0}); }
void BlockWriter::boolean(bool value) { state_->emit({tag_boolean, value}); }

void BlockWriter::integer(std::int64_t value) {
  State& s = *state_;
  if (value >= -(1LL << 55) && value < (1LL << 55)) {
    std::uint64_t bits = static_cast<std::uint64_t>(value) << 8 | tag_inline_integer;
    s.emit({static_cast<std::uint32_t>(bits), static_cast<std::uint32_t>(bits >> 32)});
    return;
  }
  std::size_t offset = s.size;
  std::memcpy(s.room(8), &value, 8);
  s.emit(s.far(tag_far_integer, 0, offset));
}

void BlockWriter::number(double value) {
  State& s = *state_;
  std::size_t offset = s.size;
  std::memcpy(s.room(8), &value, 8);
  s.emit(s.far(tag_number, 0, offset));
}

void BlockWriter::string(std::string_view value) { state_->emit(state_->text(value)); }

void BlockWriter::key(FieldKey name) {
  if (name.is_name()) return key(name.name());
  std::string_view text = name.text();
  std::uint32_t id = name.is_no_name() ? far_key : name_id(text);
  if (id == far_key) {
    std::uint64_t hash = text.size();
    for (char c : text) hash = hash * 131 + static_cast<unsigned char>(c);
    state_->set_key(state_->write_key(text), hash ^ hash >> 7);
  } else {
    state_->set_key(id, id);
  }
}
void BlockWriter::key(Name name) { state_->set_key(name.id, name.id); }

void BlockWriter::new_key(Name name) { state_->set_new_key(name.id); }
void BlockWriter::new_string(Name name, std::string_view value) {
  State& s = *state_;
  KYBERN_CHECK(s.top.next == State::Next::key, "a member stands in an object");
  s.pending.push({name.id, s.text(value)});
}

void BlockWriter::begin_object() { state_->begin(State::Next::key); }

std::size_t BlockWriter::end_object(std::vector<std::string>* dropped_keys) {
  State& s = *state_;
  KYBERN_CHECK(s.top.next == State::Next::key, "end_object closes an object after a value");
  std::size_t first = s.top.first, dropped = 0;
  std::uint32_t tag = tag_object;
  if (s.pending.size() - first > sort_above) {
    std::stable_sort(s.pending.begin() + first, s.pending.end(),
                     [&](const MemberSlot& a, const MemberSlot& b) { return s.key_of(a) < s.key_of(b); });
    dropped = s.drop_sorted_duplicates(first, dropped_keys);
    tag = tag_sorted_object;
  } else if (s.top.duplicate) {
    dropped = s.drop_duplicates(first, dropped_keys);
  }
  std::size_t count = s.pending.size() - first;
  std::byte* at = s.aligned_room(count * sizeof(MemberSlot));
  if (count) std::memcpy(at, s.pending.begin() + first, count * sizeof(MemberSlot));
  s.end(tag, count, static_cast<std::size_t>(at - s.bytes));
  return dropped;
}

void BlockWriter::begin_array() { state_->begin(State::Next::item); }

void BlockWriter::end_array() {
  State& s = *state_;
  KYBERN_CHECK(s.top.next == State::Next::item, "end_array closes an array");
  std::size_t first = s.top.first, count = s.pending.size() - first;
  std::byte* at = s.aligned_room(count * sizeof(Slot));
  for (std::size_t i = 0; i < count; ++i) std::memcpy(at + i * sizeof(Slot), &s.pending[first + i].slot, sizeof(Slot));
  s.end(tag_array, count, static_cast<std::size_t>(at - s.bytes));
}

void BlockWriter::copy(Value value) {
  if (!value.exists()) return null();
  state_->emit({value.slot_->low, state_->copy(value.block_, *value.slot_)});
}

Document BlockWriter::finish() {
  State& s = *state_;
  KYBERN_CHECK(s.top.next == State::Next::nothing && s.frames.size() == 0, "a block is finished after one whole value");
  // An exact block: what is kept for long has no slack.
  auto* block = static_cast<Block*>(std::malloc(s.size));
  KYBERN_CHECK(block, "memory is there");
  std::memcpy(static_cast<void*>(reinterpret_cast<std::byte*>(block) + sizeof(Block)), s.bytes + sizeof(Block), s.size - sizeof(Block));
  new (&block->references) std::atomic<std::uint32_t>(1);
  block->size = static_cast<std::uint32_t>(s.size);
  block->root = s.root;
  s.size = sizeof(Block);
  s.top = {};
  if (s.capacity > kept_capacity_max) {
    std::free(s.bytes);
    s.capacity = 1024;
    s.bytes = static_cast<std::byte*>(std::malloc(s.capacity));
    KYBERN_CHECK(s.bytes, "memory is there");
  }
  return Document(block, &block->root);
}

}  // namespace kybern
