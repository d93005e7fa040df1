#include "kubelet/serve/websocket.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "base/strings.h"

namespace kybern::kubelet::websocket {
namespace {

constexpr std::uint8_t bit_final = 0x80, bits_reserved = 0x70, bit_mask = 0x80;
constexpr std::size_t most_control_bytes = 125;

// SHA-1 (FIPS 180-4), which the handshake prescribes; nothing is kept secret by it.
std::string sha1(std::string_view text) {
  std::array<std::uint32_t, 5> h = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  std::string data(text);
  data.push_back('\x80');
  while (data.size() % 64 != 56) data.push_back('\0');
  std::uint64_t bits = std::uint64_t(text.size()) * 8;
  for (int shift = 56; shift >= 0; shift -= 8) data.push_back(static_cast<char>(bits >> shift));
  for (std::size_t at = 0; at < data.size(); at += 64) {
    std::array<std::uint32_t, 80> w{};
    for (std::size_t i = 0; i < 16; ++i) {
      for (std::size_t b = 0; b < 4; ++b) w[i] = w[i] << 8 | static_cast<unsigned char>(data[at + 4 * i + b]);
    }
    for (std::size_t i = 16; i < 80; ++i) w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    auto [a, b, c, d, e] = h;
    for (std::size_t i = 0; i < 80; ++i) {
      std::uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 ? b ^ c ^ d : i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
      std::uint32_t k = i < 20 ? 0x5a827999 : i < 40 ? 0x6ed9eba1 : i < 60 ? 0x8f1bbcdc : 0xca62c1d6;
      std::uint32_t next = std::rotl(a, 5) + f + e + k + w[i];
      e = d;
      d = c;
      c = std::rotl(b, 30);
      b = a;
      a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
  }
  std::string out;
  for (std::uint32_t word : h) {
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(word >> shift));
  }
  return out;
}

bool has_token(std::string_view list, std::string_view token) {
  for (std::string_view piece : split(list, ',')) {
    if (equals_ignore_case(trim(piece), token)) return true;
  }
  return false;
}

}  // namespace

Result<bool> Reader::take(std::vector<Message>& out) {
  if (input_.size() < 2) return false;
  auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(input_[i]); };
  bool last = (byte(0) & bit_final) != 0, masked = (byte(1) & bit_mask) != 0;
  auto opcode = static_cast<Opcode>(byte(0) & 0x0f);
  bool control = (byte(0) & 0x08) != 0;
  if ((byte(0) & bits_reserved) != 0) return fail(Code::invalid, "a frame with reserved bits");
  if (masked != from_client_)
    return fail(Code::invalid, from_client_ ? "a frame of a client without a mask" : "a frame of a server with a mask");
  if (opcode > Opcode::pong || (opcode > Opcode::binary && opcode < Opcode::close))
    return fail(Code::invalid, "a frame of an unknown kind");
  std::uint64_t size = byte(1) & 0x7f;
  std::size_t head = 2, extra = size == 126 ? 2 : size == 127 ? 8 : 0;
  if (control && (size > most_control_bytes || !last)) return fail(Code::invalid, "a control frame that is long or in parts");
  if (input_.size() < head + extra) return false;
  if (extra > 0) {
    size = 0;
    for (std::size_t i = 0; i < extra; ++i) size = size << 8 | byte(head + i);
  }
  head += extra + (masked ? 4 : 0);
  if (size > most_message_bytes || partial_.size() + size > most_message_bytes) {
    return fail(Code::too_large, fmt::format("a message of more than {} bytes", most_message_bytes));
  }
  if (input_.size() < head + size) return false;
  std::string payload = input_.substr(head, size);
  if (masked) {
    for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<char>(payload[i] ^ input_[head - 4 + i % 4]);
  }
  input_.erase(0, head + size);
  if (control) {
    out.push_back({opcode, std::move(payload)});
    return true;
  }
  if ((opcode == Opcode::continuation) != in_message_) return fail(Code::invalid, "frames of a message out of order");
  if (!in_message_) partial_opcode_ = opcode;
  partial_ += payload;
  in_message_ = !last;
  if (last) out.push_back({partial_opcode_, std::exchange(partial_, {})});
  return true;
}

Result<std::vector<Message>> Reader::feed(std::string_view bytes) {
  input_ += bytes;
  std::vector<Message> out;
  while (true) {
    auto took = take(out);
    if (!took) return std::unexpected(took.error());
    if (!*took) return out;
  }
}

std::string frame(Opcode opcode, std::string_view bytes) {
  std::string out;
  out.push_back(static_cast<char>(bit_final | static_cast<std::uint8_t>(opcode)));
  if (bytes.size() < 126) {
    out.push_back(static_cast<char>(bytes.size()));
  } else if (bytes.size() <= 0xffff) {
    out.push_back(126);
    out.push_back(static_cast<char>(bytes.size() >> 8));
    out.push_back(static_cast<char>(bytes.size()));
  } else {
    out.push_back(127);
    for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(static_cast<std::uint64_t>(bytes.size()) >> shift));
  }
  out += bytes;
  return out;
}

std::string close_frame(std::uint16_t code, std::string_view reason) {
  std::string payload = {static_cast<char>(code >> 8), static_cast<char>(code)};
  payload += reason.substr(0, most_control_bytes - 2);
  return frame(Opcode::close, payload);
}

std::string accept_key(std::string_view key) { return base64_encode(sha1(fmt::format("{}258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key))); }

std::optional<std::string> negotiate(const net::Request& request, const std::vector<std::string>& known) {
  if (!has_token(request.headers.get("connection"), "upgrade") || !has_token(request.headers.get("upgrade"), "websocket"))
    return std::nullopt;
  for (const std::string& protocol : known) {
    for (std::string_view offered : request.headers.all("sec-websocket-protocol")) {
      if (has_token(offered, protocol)) return protocol;
    }
  }
  return std::string();
}

}  // namespace kybern::kubelet::websocket
