// For tests: enough of HTTP/2 (RFC 9113) to answer gRPC calls frame by frame.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace kybern::kubelet::testing {

enum Frame : char { frame_data = 0, frame_headers = 1, frame_settings = 4, frame_ping = 6 };
inline constexpr char end_stream = 1, end_headers = 4, ack = 1;

inline std::string frame(char type, char flags, std::uint32_t stream, std::string_view payload) {
  std::string out;
  out += static_cast<char>(payload.size() >> 16);
  out += static_cast<char>(payload.size() >> 8);
  out += static_cast<char>(payload.size());
  out += type;
  out += flags;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(stream >> shift);
  return out.append(payload);
}

// A header field that is not indexed (RFC 7541, 6.2.2); name and value under 127 bytes.
inline std::string literal(std::string_view name, std::string_view value) {
  std::string out(1, '\0');
  out += static_cast<char>(name.size());
  out += name;
  out += static_cast<char>(value.size());
  return out.append(value);
}

}  // namespace kybern::kubelet::testing
