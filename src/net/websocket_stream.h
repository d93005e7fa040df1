// WebSocket ends: the server's over an upgraded connection (events), the client's over a duplex stream (blocking).
//
//   // in a handler
//   auto protocol = choose_websocket_protocol(exchange->request(), {"v5.channel.k8s.io", "v4.channel.k8s.io"});
//   auto answer = accept_websocket(exchange->request(), protocol.value_or(""));
//   auto raw = exchange->upgrade(*answer);
//   auto socket = WebSocket::start(raw, {}, on_message, on_close);
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/client.h"
#include "net/server.h"
#include "net/websocket.h"

namespace kybern::net {

// All calls are thread-safe and do not block. It keeps itself alive while the connection is open.
class WebSocket : public std::enable_shared_from_this<WebSocket> {
 public:
  using OnMessage = std::function<void(WebSocketMessage)>;  // text and binary; on a pool thread, one at a time, in order
  // Once: the peer has closed (its code and reason), broke the protocol (the code it was told) or went away (1006). Not after
  // close() of this side.
  using OnClose = std::function<void(std::uint16_t code, std::string reason)>;

  static std::shared_ptr<WebSocket> start(std::shared_ptr<RawStream> raw, WebSocketDecoder::Options options, OnMessage on_message,
                                          OnClose on_close);

  bool send(WebSocketOpcode opcode, std::string_view payload);   // false when the connection is closed or closing
  void close(std::uint16_t code, std::string_view reason = "");  // sends what is queued, a close frame, and ends
  std::size_t queued_bytes() const { return raw_->queued_bytes(); }
  void on_drained(std::size_t low_bytes, std::function<void()> callback) { raw_->on_drained(low_bytes, std::move(callback)); }
  void pause_reading(bool paused) { raw_->pause_reading(paused); }

 private:
  // Owned by the raw stream's callbacks alone: they are let go of with the connection, whatever they capture.
  struct Callbacks {
    OnMessage on_message;
    OnClose on_close;
  };
  WebSocket(std::shared_ptr<RawStream> raw, WebSocketDecoder::Options options) : raw_(std::move(raw)), decoder_(options) {}
  void on_bytes(std::string_view bytes, Callbacks& callbacks);
  void take(WebSocketMessage message, Callbacks& callbacks);
  static void end(std::uint16_t code, std::string_view reason, Callbacks& callbacks);

  const std::shared_ptr<RawStream> raw_;
  WebSocketDecoder decoder_;
  std::mutex mutex_;
  bool closing_ = false;
};

// The client's end. read() by one thread, write() and close() by any.
class WebSocketClient {
 public:
  struct Options {
    std::size_t max_message_bytes = 1 << 20;
  };
  // Opens `request.target` with the handshake's fields added. Errors of HttpClient::upgrade, or Code::invalid.
  static Result<std::unique_ptr<WebSocketClient>> connect(HttpClient& http, ClientRequest request,
                                                          const std::vector<std::string>& protocols, Options options);
  WebSocketClient(std::unique_ptr<DuplexStream> stream, std::string protocol, Options options);  // after a handshake
  ~WebSocketClient();

  const std::string& protocol() const { return protocol_; }
  // The next text, binary or close message (pings are answered). After a close: Code::not_found. Code::invalid: the peer
  // breaks the protocol; Code::unavailable: it went away without a close frame.
  Result<WebSocketMessage> read();
  Result<void> write(WebSocketOpcode opcode, std::string_view payload);
  void close(std::uint16_t code = websocket_normal, std::string_view reason = "");

 private:
  std::unique_ptr<DuplexStream> stream_;
  const std::string protocol_;
  WebSocketDecoder decoder_;
  std::vector<WebSocketMessage> messages_;  // decoded and not yet read
  std::size_t next_ = 0;
  bool peer_closed_ = false;
  std::mutex write_mutex_;
  bool closing_ = false;
};

}  // namespace kybern::net
