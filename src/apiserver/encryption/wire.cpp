#include "apiserver/encryption/wire.h"

namespace kybern::apiserver::encryption {
namespace {

std::optional<std::uint64_t> take_varint(std::string_view& bytes) {
  std::uint64_t out = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (bytes.empty()) return std::nullopt;
    auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    out |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (!(byte & 0x80)) return out;
  }
  return std::nullopt;
}

}  // namespace

void Message::varint(std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
  bytes_ += static_cast<char>(value);
}

Message& Message::text(unsigned field, std::string_view bytes) {
  if (bytes.empty()) return *this;
  varint(field << 3 | 2);
  varint(bytes.size());
  bytes_ += bytes;
  return *this;
}

Message& Message::number(unsigned field, std::uint64_t value) {
  if (value == 0) return *this;
  varint(field << 3);
  varint(value);
  return *this;
}

std::string Fields::text(unsigned field) const {
  auto found = texts.find(field);
  return found == texts.end() ? std::string() : found->second.back();
}

std::optional<Fields> read_message(std::string_view bytes) {
  Fields out;
  while (!bytes.empty()) {
    auto tag = take_varint(bytes);
    if (!tag || *tag >> 3 == 0 || *tag >> 3 > 0x1fffffff) return std::nullopt;
    const auto field = static_cast<unsigned>(*tag >> 3);
    switch (*tag & 7) {
      case 0: {
        auto value = take_varint(bytes);
        if (!value) return std::nullopt;
        out.numbers[field] = *value;
        break;
      }
      case 2: {
        auto size = take_varint(bytes);
        if (!size || *size > bytes.size()) return std::nullopt;
        out.texts[field].emplace_back(bytes.substr(0, *size));
        bytes.remove_prefix(*size);
        break;
      }
      case 1:
      case 5: {
        const std::size_t size = (*tag & 7) == 1 ? 8 : 4;
        if (bytes.size() < size) return std::nullopt;
        bytes.remove_prefix(size);
        break;
      }
      default: return std::nullopt;
    }
  }
  return out;
}

}  // namespace kybern::apiserver::encryption
