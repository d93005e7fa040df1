#include "document/shape.h"

#include <cstring>
#include <random>

#include "document/block.h"

namespace kybern {

using namespace detail;

namespace {

struct Seed {
  std::uint64_t first, second, third, fourth;
};

const Seed& seed() {
  static const Seed made = [] {
    std::random_device device;
    auto next = [&] { return (static_cast<std::uint64_t>(device()) << 32 | device()) | 1; };
    return Seed{next(), next(), next(), next()};
  }();
  return made;
}

// Both halves of the product, folded.
std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

class ShapeWalk {
 public:
  explicit ShapeWalk(const Block* block) : block_(block), first_(seed().first), second_(seed().second) {}

  void value(const Slot& slot, bool in_list) {
    switch (tag_of(slot)) {
      case tag_boolean: return plain(slot.high == 0, slot.high, in_list);
      case tag_inline_integer: return integer(inline_integer(slot), in_list);
      case tag_far_integer: return integer(far<std::int64_t>(slot), in_list);
      case tag_number: return plain(far<double>(slot) == 0, far<std::uint64_t>(slot), in_list);
      case tag_inline_string: return text({reinterpret_cast<const char*>(&slot) + 1, slot.low >> 4 & 15u}, in_list);
      case tag_far_string: return text({reinterpret_cast<const char*>(at(slot)), count_of(slot)}, in_list);
      case tag_array: {
        std::size_t n = count_of(slot);
        add(array, n);
        const auto* item = reinterpret_cast<const Slot*>(at(slot));
        for (std::size_t i = 0; i < n; ++i) value(item[i], true);
        return;
      }
      case tag_object:
      case tag_sorted_object: {
        std::size_t n = count_of(slot);
        add(object, n);
        const auto* member = reinterpret_cast<const MemberSlot*>(at(slot));
        for (std::size_t i = 0; i < n; ++i) {
          std::uint32_t key = member[i].key;
          if (key & far_key) bytes(far_name, key_text(block_, key));
          else add(near_name, key);
          value(member[i].slot, in_list);
        }
        return;
      }
      default: return add(nothing, 0);
    }
  }

  Shape128 end() {
    add(nothing, 1);
    return {first_, second_};
  }

 private:
  enum Mark : std::uint64_t { nothing, zero, some, number, words, array, object, near_name, far_name };

  const std::byte* at(const Slot& slot) const { return bytes_of(block_) + slot.high; }
  template <class T>
  T far(const Slot& slot) const {
    T value;
    std::memcpy(&value, at(slot), sizeof value);
    return value;
  }

  void add(std::uint64_t mark, std::uint64_t what) {
    first_ = fold(first_ ^ what, seed().third ^ mark);
    second_ = fold(second_ + what, seed().fourth + (mark << 1)) + first_;
  }
  void plain(bool is_zero, std::uint64_t bits, bool in_list) {
    if (in_list) return add(number, bits);
    add(is_zero ? zero : some, 0);
  }
  void integer(std::int64_t value, bool in_list) { plain(value == 0, static_cast<std::uint64_t>(value), in_list); }
  void text(std::string_view text, bool in_list) {
    if (in_list) return bytes(words, text);
    add(text.empty() ? zero : some, 0);
  }
  void bytes(Mark mark, std::string_view text) {
    add(mark, text.size());
    while (!text.empty()) {
      std::uint64_t piece = 0;
      std::size_t n = text.size() < sizeof piece ? text.size() : sizeof piece;
      std::memcpy(&piece, text.data(), n);
      add(mark, piece);
      text.remove_prefix(n);
    }
  }

  const Block* block_;
  std::uint64_t first_, second_;
};

}  // namespace

Shape128 shape_of(Value value) {
  if (!value.exists()) return {};
  ValueParts parts(value);
  ShapeWalk walk(parts.block);
  walk.value(*parts.slot, false);
  return walk.end();
}

}  // namespace kybern
