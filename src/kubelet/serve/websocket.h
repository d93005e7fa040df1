// WebSocket framing (RFC 6455), the server's side, for the channels of exec, attach and port-forward.
//
// A message of the protocols v4.channel.k8s.io and v5.channel.k8s.io is one channel byte and the bytes of that channel:
// 0 stdin, 1 stdout, 2 stderr, 3 error (a Status at the end), 4 resize; v5 adds 255, whose byte names a channel to close.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/http.h"

namespace kybern::kubelet::websocket {

inline constexpr std::size_t most_message_bytes = 4 << 20;

enum class Opcode : std::uint8_t { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

struct Message {
  Opcode opcode = Opcode::binary;
  std::string bytes;
};

// Puts frames together to messages, as bytes come. Control frames come out between the parts of a message.
class Reader {
 public:
  explicit Reader(bool from_client) : from_client_(from_client) {}
  // Code::invalid for what breaks the protocol, Code::too_large for a message beyond the limit; then the connection ends.
  Result<std::vector<Message>> feed(std::string_view bytes);

 private:
  Result<bool> take(std::vector<Message>& out);  // true: one frame was whole
  bool from_client_;
  std::string input_, partial_;
  Opcode partial_opcode_ = Opcode::binary;
  bool in_message_ = false;
};

std::string frame(Opcode opcode, std::string_view bytes);  // unmasked, as servers send
std::string close_frame(std::uint16_t code, std::string_view reason = {});
std::string accept_key(std::string_view key);  // Sec-WebSocket-Accept

// The first of `known` that the client offers; "" when it offers none of them. Absent: no WebSocket request at all.
std::optional<std::string> negotiate(const net::Request& request, const std::vector<std::string>& known);

}  // namespace kybern::kubelet::websocket
