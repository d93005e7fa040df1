// The protobuf wire format, for the handful of messages that are not in the tables (containerd's events, gRPC health).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace kybern::kubelet::wire {

class Writer {
 public:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<char>(value | 0x80));
    out_.push_back(static_cast<char>(value));
  }
  void bytes(std::uint32_t number, std::string_view value) {
    varint(number << 3 | 2);
    varint(value.size());
    out_ += value;
  }
  const std::string& text() const { return out_; }

 private:
  std::string out_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  // The last length-delimited field of that number; "" when there is none or the message is malformed.
  static std::string_view field(std::string_view message, std::uint32_t number) {
    std::string_view found;
    Reader reader(message);
    std::uint32_t at;
    std::string_view value;
    std::uint64_t scalar;
    while (reader.next(at, value, scalar)) {
      if (at == number) found = value;
    }
    return found;
  }
  static std::uint64_t scalar_field(std::string_view message, std::uint32_t number) {
    std::uint64_t found = 0;
    Reader reader(message);
    std::uint32_t at;
    std::string_view value;
    std::uint64_t scalar;
    while (reader.next(at, value, scalar)) {
      if (at == number) found = scalar;
    }
    return found;
  }

  // False at the end and on malformed input.
  bool next(std::uint32_t& number, std::string_view& value, std::uint64_t& scalar) {
    std::uint64_t key;
    if (rest_.empty() || !varint(key)) return false;
    number = static_cast<std::uint32_t>(key >> 3);
    value = {};
    scalar = 0;
    switch (key & 7) {
      case 0: return varint(scalar);
      case 1: return take(8, value);
      case 2: return varint(scalar) && take(scalar, value);
      case 5: return take(4, value);
      default: return false;
    }
  }

 private:
  bool varint(std::uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return true;
    }
    return false;
  }
  bool take(std::uint64_t size, std::string_view& value) {
    if (size > rest_.size()) return false;
    value = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }
  std::string_view rest_;
};

}  // namespace kybern::kubelet::wire
