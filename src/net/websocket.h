// WebSocket (RFC 6455): the frames of both sides and the opening handshake, without input or output.
//
// No extension is negotiated, so reserved bits are errors. A frame's text is checked to be UTF-8 when its message is whole.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/http.h"

namespace kybern::net {

enum class WebSocketOpcode : std::uint8_t { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

// RFC 6455 section 7.4.1.
enum WebSocketClose : std::uint16_t {
  websocket_normal = 1000,
  websocket_going_away = 1001,
  websocket_protocol_error = 1002,
  websocket_unsupported = 1003,
  websocket_no_status = 1005,  // never sent: the close frame had no code
  websocket_abnormal = 1006,   // never sent: there was no close frame
  websocket_bad_data = 1007,
  websocket_too_big = 1009,
  websocket_internal_error = 1011,
};

struct WebSocketMessage {
  WebSocketOpcode opcode = WebSocketOpcode::binary;  // text, binary, close, ping or pong
  std::string payload;                               // of a close: the reason
  std::uint16_t close_code = websocket_no_status;    // of a close
};

// Puts messages together from bytes as they come. After an error it takes nothing more; error_code() is what to close with.
class WebSocketDecoder {
 public:
  struct Options {
    bool from_client = true;  // frames must be masked; else they must not be
    std::size_t max_message_bytes = 1 << 20;
  };
  explicit WebSocketDecoder(Options options) : options_(options) {}
  // Appends what became whole. False on an error; messages before it are in `out`.
  bool feed(std::string_view bytes, std::vector<WebSocketMessage>& out);
  std::uint16_t error_code() const { return error_code_; }
  std::string_view error() const { return error_; }

 private:
  bool fail(std::uint16_t code, std::string_view why);
  std::size_t header_bytes() const;  // of the header that has begun
  bool begin_frame();
  bool end_frame(std::vector<WebSocketMessage>& out);
  bool end_control(std::vector<WebSocketMessage>& out);
  void take_payload(std::string_view& bytes);

  const Options options_;
  std::array<std::uint8_t, 14> header_{};
  std::uint8_t header_have_ = 0;
  bool in_payload_ = false;
  bool fin_ = false;
  WebSocketOpcode opcode_ = WebSocketOpcode::continuation;
  std::array<std::uint8_t, 4> mask_{};
  std::uint64_t left_ = 0;
  std::size_t mask_at_ = 0;
  std::optional<WebSocketOpcode> message_;  // of the fragments so far
  std::string data_, control_;
  std::uint16_t error_code_ = 0;
  std::string_view error_;
};

// A frame. With a mask key: as clients send it.
std::string encode_websocket_frame(WebSocketOpcode opcode, std::string_view payload, bool fin = true,
                                   std::optional<std::array<std::uint8_t, 4>> mask = std::nullopt);
std::string encode_websocket_close(std::uint16_t code, std::string_view reason,
                                   std::optional<std::array<std::uint8_t, 4>> mask = std::nullopt);

// ---- the opening handshake

bool is_websocket_request(const Request& request);  // wants to upgrade to websocket
// The sub-protocols that the request offers, in its order.
std::vector<std::string> offered_websocket_protocols(const Request& request);
// The first offered one that is among `supported`.
std::optional<std::string> choose_websocket_protocol(const Request& request, const std::vector<std::string>& supported);
// The fields of the 101 answer; `protocol` "" for none. Code::invalid: not a proper request (400), Code::unsupported: another
// version (400 with Sec-WebSocket-Version: 13).
Result<Headers> accept_websocket(const Request& request, std::string_view protocol);

std::string new_websocket_key();
Headers websocket_request_headers(std::string_view key, const std::vector<std::string>& protocols);
// The sub-protocol the server chose, "" for none. Code::invalid: the answer does not belong to the key, or names a protocol
// that was not offered.
Result<std::string> check_websocket_answer(const Headers& answer, std::string_view key, const std::vector<std::string>& protocols);

}  // namespace kybern::net
