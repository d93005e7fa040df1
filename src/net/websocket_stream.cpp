#include "net/websocket_stream.h"

#include <algorithm>
#include <utility>

#include "net/certificates.h"

namespace kybern::net {
namespace {

std::array<std::uint8_t, 4> new_mask() {
  std::string bytes = random_bytes(4);
  std::array<std::uint8_t, 4> mask;
  std::copy_n(reinterpret_cast<const std::uint8_t*>(bytes.data()), 4, mask.begin());
  return mask;
}

// What is answered to a peer's close frame: its own code.
std::uint16_t echo_of(std::uint16_t code) {
  if (code == websocket_no_status) return websocket_normal;
  return code;
}

}  // namespace

std::shared_ptr<WebSocket> WebSocket::start(std::shared_ptr<RawStream> raw, WebSocketDecoder::Options options, OnMessage on_message,
                                            OnClose on_close) {
  std::shared_ptr<WebSocket> self(new WebSocket(std::move(raw), options));
  auto callbacks = std::make_shared<Callbacks>(Callbacks{std::move(on_message), std::move(on_close)});
  self->raw_->on_close([callbacks] { end(websocket_abnormal, "", *callbacks); });
  self->raw_->on_data([self, callbacks](std::string_view bytes) { self->on_bytes(bytes, *callbacks); });
  return self;
}

void WebSocket::on_bytes(std::string_view bytes, Callbacks& callbacks) {
  std::vector<WebSocketMessage> messages;
  bool good = decoder_.feed(bytes, messages);
  for (WebSocketMessage& message : messages) take(std::move(message), callbacks);
  if (good) return;
  std::uint16_t code = decoder_.error_code();
  close(code, decoder_.error());
  end(code, decoder_.error(), callbacks);
}

void WebSocket::take(WebSocketMessage message, Callbacks& callbacks) {
  switch (message.opcode) {
    case WebSocketOpcode::ping: send(WebSocketOpcode::pong, message.payload); return;
    case WebSocketOpcode::pong: return;
    case WebSocketOpcode::close:
      close(echo_of(message.close_code), "");
      end(message.close_code, message.payload, callbacks);
      return;
    default: {
      if (callbacks.on_message) callbacks.on_message(std::move(message));
    }
  }
}

// The stream's callbacks run one at a time, so this does.
void WebSocket::end(std::uint16_t code, std::string_view reason, Callbacks& callbacks) {
  if (auto callback = std::exchange(callbacks.on_close, nullptr)) callback(code, std::string(reason));
}

bool WebSocket::send(WebSocketOpcode opcode, std::string_view payload) {
  std::lock_guard lock(mutex_);
  return !closing_ && raw_->write(encode_websocket_frame(opcode, payload));
}

void WebSocket::close(std::uint16_t code, std::string_view reason) {
  std::lock_guard lock(mutex_);
  if (std::exchange(closing_, true)) return;
  raw_->write(encode_websocket_close(code, reason));
  raw_->finish();
}

// ---- the client's end

Result<std::unique_ptr<WebSocketClient>> WebSocketClient::connect(HttpClient& http, ClientRequest request,
                                                                  const std::vector<std::string>& protocols, Options options) {
  std::string key = new_websocket_key();
  const Headers handshake = websocket_request_headers(key, protocols);
  for (const auto& [name, value] : handshake.fields()) request.headers.set(name, value);
  auto stream = http.upgrade(std::move(request));
  if (!stream) return std::unexpected(stream.error());
  auto protocol = check_websocket_answer((*stream)->headers(), key, protocols);
  if (!protocol) return std::unexpected(protocol.error());
  return std::make_unique<WebSocketClient>(std::move(*stream), std::move(*protocol), options);
}

WebSocketClient::WebSocketClient(std::unique_ptr<DuplexStream> stream, std::string protocol, Options options)
    : stream_(std::move(stream)),
      protocol_(std::move(protocol)),
      decoder_({.from_client = false, .max_message_bytes = options.max_message_bytes}) {}

WebSocketClient::~WebSocketClient() { stream_->close(); }

Result<WebSocketMessage> WebSocketClient::read() {
  for (;;) {
    while (next_ < messages_.size()) {
      WebSocketMessage message = std::move(messages_[next_++]);
      if (message.opcode == WebSocketOpcode::pong) continue;
      if (message.opcode == WebSocketOpcode::ping) {
        if (auto sent = write(WebSocketOpcode::pong, message.payload); !sent && sent.error().code != Code::canceled)
          return std::unexpected(sent.error());
        continue;
      }
      if (message.opcode == WebSocketOpcode::close) {
        peer_closed_ = true;
        close(echo_of(message.close_code));
      }
      return message;
    }
    if (peer_closed_) return fail(Code::not_found, "the WebSocket is closed");
    if (decoder_.error_code() != 0) return fail(Code::invalid, "WebSocket: " + std::string(decoder_.error()));
    auto bytes = stream_->read();
    if (!bytes) return std::unexpected(bytes.error());
    if (bytes->empty()) return fail(Code::unavailable, "the WebSocket's peer went away");
    messages_.clear();
    next_ = 0;
    if (!decoder_.feed(*bytes, messages_)) close(decoder_.error_code(), decoder_.error());
  }
}

Result<void> WebSocketClient::write(WebSocketOpcode opcode, std::string_view payload) {
  std::lock_guard lock(write_mutex_);
  if (closing_) return fail(Code::canceled, "the WebSocket is closed");
  return stream_->write(encode_websocket_frame(opcode, payload, true, new_mask()));
}

// Sends a close frame; the connection itself ends with the peer's answer, or with the destructor.
void WebSocketClient::close(std::uint16_t code, std::string_view reason) {
  std::lock_guard lock(write_mutex_);
  if (std::exchange(closing_, true)) return;
  [[maybe_unused]] auto sent = stream_->write(encode_websocket_close(code, reason, new_mask()));
}

}  // namespace kybern::net
