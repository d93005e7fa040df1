// The forms that times, durations and numbers take on the protobuf wire and in JSON; shared by the two halves of the codec.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "document/document.h"
#include "schema/schema.h"

namespace kybern::schema {

enum class WireType : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, group_begin = 3, group_end = 4, fixed32 = 5 };

// meta/v1 Time: seconds since 1970 (any year from 0000 to 9999) and, for MicroTime, the nanoseconds within the second.
struct WireTime {
  std::int64_t seconds = 0;
  std::int32_t nanos = 0;
};

constexpr std::size_t time_text_max = 40;
// Writes 2026-01-02T03:04:05Z, or with six decimals; returns the length. 0 when the year has no four digits.
std::size_t format_wire_time(WireTime time, bool micro, char* out);
std::optional<WireTime> parse_wire_time(std::string_view text);  // RFC 3339, any fraction, Z or an offset

}  // namespace kybern::schema
