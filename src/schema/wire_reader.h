// Reading protobuf's wire format: the tags, numbers and lengths of one message.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "schema/wire.h"

namespace kybern::schema {

// One field of a message as it lies on the wire, a message being under 4 GiB.
struct Piece {
  union {
    std::uint64_t number;  // varint, fixed64, fixed32
    const char* data;      // of WireType::bytes
  };
  std::uint32_t size;  // of `data`
  std::uint8_t unit;   // index into Type::units
  WireType wire;

  Piece() : number(0), size(0), unit(0), wire(WireType::varint) {}
  std::string_view bytes() const { return wire == WireType::bytes ? std::string_view(data, size) : std::string_view("", 0); }
};
static_assert(sizeof(Piece) == 16);

// Reads tags, numbers and lengths off the front of a text. `failed` stays set once something is cut off or malformed.
struct Reader {
  const char* at;
  const char* end;
  const char* failed = nullptr;

  std::uint64_t varint() {
    if (at != end && static_cast<unsigned char>(*at) < 0x80) [[likely]] { return static_cast<unsigned char>(*at++); }
    if (end - at >= 2 && static_cast<unsigned char>(at[1]) < 0x80) {
      at += 2;
      return (static_cast<unsigned char>(at[-2]) & 0x7fu) | static_cast<std::uint64_t>(static_cast<unsigned char>(at[-1])) << 7;
    }
    return long_varint();
  }

  std::uint64_t long_varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at == end) {
        failed = "unexpected EOF";
        return 0;
      }
      auto byte = static_cast<unsigned char>(*at++);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) { return value; }
    }
    failed = "proto: integer overflow";
    return 0;
  }

  std::uint64_t fixed(std::size_t count) {
    if (static_cast<std::size_t>(end - at) < count) {
      failed = "unexpected EOF";
      return 0;
    }
    std::uint64_t value = 0;
    std::memcpy(&value, at, count);
    at += count;
    return value;
  }

  std::string_view bytes() {
    std::uint64_t length = varint();
    if (failed || length > static_cast<std::uint64_t>(end - at)) {
      failed = failed ? failed : "unexpected EOF";
      return {};
    }
    std::string_view text(at, length);
    at += length;
    return text;
  }

  // A tag and what follows it; returns the tag. A tag that no message has fails.
  std::uint64_t next(Piece& piece) {
    std::uint64_t tag = varint();
    piece.wire = static_cast<WireType>(tag & 7);
    piece.number = 0;
    piece.size = 0;
    if (tag < 8 || tag > 0xffffffff || piece.wire == WireType::group_end || piece.wire > WireType::fixed32) {
      failed = failed ? failed : "proto: illegal tag";
      return 0;
    }
    payload(piece);
    return tag;
  }

  // The same. Nearly every field has a tag of one byte, and a length or a number of one byte: those are read in line.
  std::uint64_t next_small(Piece& piece) {
    const std::ptrdiff_t left = end - at - 2;
    const unsigned tag = static_cast<unsigned char>(at[0]), value = left < 0 ? 0x80 : static_cast<unsigned char>(at[1]);
    if (tag >= 8 && tag < 0x80 && value < 0x80) [[likely]] {
      const auto wire = static_cast<WireType>(tag & 7);
      if (wire == WireType::bytes && value <= left) {
        piece.wire = wire;
        piece.data = at + 2;
        piece.size = value;
        at += 2 + value;
        return tag;
      }
      if (wire == WireType::varint) {
        piece.wire = wire;
        piece.number = value;
        at += 2;
        return tag;
      }
    }
    // By copies: what is read in line can then stay in registers.
    Reader whole = *this;
    Piece other;
    const std::uint64_t any = whole.next(other);
    *this = whole;
    piece = other;
    return any;
  }

  // The next field when it has that tag, whole; otherwise nothing is read.
  bool again(std::uint64_t tag, Piece& piece) {
    if (at == end || static_cast<unsigned char>(*at) != static_cast<unsigned char>(tag < 0x80 ? tag : (tag & 0x7f) | 0x80)) {
      return false;
    }
    const char* before = at;
    const Piece last = piece;
    if (next_small(piece) == tag && !failed) { return true; }
    at = before;
    piece = last;
    failed = nullptr;
    return false;
  }

  void payload(Piece& piece) {
    if (piece.wire == WireType::bytes) [[likely]] {
      std::string_view text = bytes();
      piece.data = text.data();
      piece.size = static_cast<std::uint32_t>(text.size());
      return;
    }
    switch (piece.wire) {
      case WireType::varint: piece.number = varint(); break;
      case WireType::fixed64: piece.number = fixed(8); break;
      case WireType::fixed32: piece.number = fixed(4); break;
      default: skip_group(); break;
    }
  }

  // An old-style group that no type of ours has: everything up to its end.
  void skip_group() {
    for (int depth = 1; depth > 0 && !failed;) {
      auto wire = static_cast<WireType>(varint() & 7);
      if (failed) { return; }
      Piece inner;
      inner.wire = wire;
      if (wire == WireType::group_begin) {
        ++depth;
      } else if (wire == WireType::group_end) {
        --depth;
      } else if (wire > WireType::fixed32) {
        failed = "proto: illegal wireType";
      } else {
        payload(inner);
      }
    }
  }
};

}  // namespace kybern::schema
