#include "net/websocket.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/strings.h"
#include "net/http1.h"

namespace kybern::net {
namespace {

constexpr std::size_t max_control_bytes = 125;
constexpr std::string_view handshake_guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

bool is_control(WebSocketOpcode opcode) { return static_cast<std::uint8_t>(opcode) >= 8; }

bool may_be_sent(std::uint16_t code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

// Applies the mask from its byte `at` on; returns where it stands afterwards.
std::size_t apply_mask(char* data, std::size_t bytes, const std::array<std::uint8_t, 4>& mask, std::size_t at) {
  std::size_t i = 0;
  for (; i < bytes && at % 4 != 0; ++i, ++at) data[i] = static_cast<char>(data[i] ^ mask[at % 4]);
  std::uint64_t wide;
  std::uint8_t twice[8];
  for (int k = 0; k < 8; ++k) twice[k] = mask[static_cast<std::size_t>(k % 4)];
  std::memcpy(&wide, twice, 8);
  for (; i + 8 <= bytes; i += 8, at += 8) {
    std::uint64_t word;
    std::memcpy(&word, data + i, 8);
    word ^= wide;
    std::memcpy(data + i, &word, 8);
  }
  for (; i < bytes; ++i, ++at) data[i] = static_cast<char>(data[i] ^ mask[at % 4]);
  return at % 4;
}

std::string accept_of(std::string_view key) {
  std::string text = std::string(key).append(handshake_guid);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int bytes = 0;
  KYBERN_CHECK(::EVP_Digest(text.data(), text.size(), digest, &bytes, ::EVP_sha1(), nullptr) == 1, "SHA-1 is there");
  return base64_encode(std::string_view(reinterpret_cast<char*>(digest), bytes));
}

}  // namespace

bool WebSocketDecoder::fail(std::uint16_t code, std::string_view why) {
  error_code_ = code;
  error_ = why;
  return false;
}

std::size_t WebSocketDecoder::header_bytes() const {
  if (header_have_ < 2) return 2;
  std::uint8_t length = header_[1] & 0x7f;
  return 2u + (length == 126 ? 2u : length == 127 ? 8u : 0u) + (header_[1] & 0x80 ? 4u : 0u);
}

bool WebSocketDecoder::begin_frame() {
  fin_ = header_[0] & 0x80;
  std::uint8_t opcode = header_[0] & 0x0f, length = header_[1] & 0x7f;
  bool masked = header_[1] & 0x80;
  if (header_[0] & 0x70) return fail(websocket_protocol_error, "reserved bits are set");
  if ((opcode > 2 && opcode < 8) || opcode > 10) return fail(websocket_protocol_error, "unknown opcode");
  if (masked != options_.from_client) return fail(websocket_protocol_error, masked ? "masked frame from a server" : "frame without a mask");
  opcode_ = static_cast<WebSocketOpcode>(opcode);
  std::size_t extended = length == 126 ? 2 : length == 127 ? 8 : 0;
  left_ = extended == 0 ? length : 0;
  for (std::size_t i = 0; i < extended; ++i) left_ = left_ << 8 | header_[2 + i];
  if ((extended == 2 && left_ < 126) || (extended == 8 && left_ < 65536))
    return fail(websocket_protocol_error, "length is not in its shortest form");
  if (left_ >> 63) return fail(websocket_protocol_error, "length has its highest bit set");
  if (masked) std::copy_n(header_.begin() + 2 + static_cast<std::ptrdiff_t>(extended), 4, mask_.begin());
  mask_at_ = 0;
  if (is_control(opcode_)) {
    if (!fin_) return fail(websocket_protocol_error, "fragmented control frame");
    if (left_ > max_control_bytes) return fail(websocket_protocol_error, "control frame longer than 125 bytes");
  } else {
    bool continues = opcode_ == WebSocketOpcode::continuation;
    if (continues != message_.has_value())
      return fail(websocket_protocol_error, continues ? "nothing to continue" : "a message is not finished");
    if (!continues) message_ = opcode_;
    if (left_ > options_.max_message_bytes || data_.size() + left_ > options_.max_message_bytes)
      return fail(websocket_too_big, "message too big");
  }
  in_payload_ = true;
  return true;
}

void WebSocketDecoder::take_payload(std::string_view& bytes) {
  std::string& target = is_control(opcode_) ? control_ : data_;
  std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size())), before = target.size();
  target.append(bytes.substr(0, count));
  bytes.remove_prefix(count);
  left_ -= count;
  if (options_.from_client) mask_at_ = apply_mask(target.data() + before, count, mask_, mask_at_);
}

bool WebSocketDecoder::end_control(std::vector<WebSocketMessage>& out) {
  WebSocketMessage message;
  message.opcode = opcode_;
  message.payload.swap(control_);
  if (opcode_ == WebSocketOpcode::close && !message.payload.empty()) {
    if (message.payload.size() == 1) return fail(websocket_protocol_error, "close frame with half a code");
    auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(message.payload[i]); };
    message.close_code = static_cast<std::uint16_t>(byte(0) << 8 | byte(1));
    message.payload.erase(0, 2);
    if (!may_be_sent(message.close_code)) return fail(websocket_protocol_error, "close code that must not be sent");
    if (!valid_utf8(message.payload)) return fail(websocket_bad_data, "close reason is not UTF-8");
  }
  out.push_back(std::move(message));
  return true;
}

bool WebSocketDecoder::end_frame(std::vector<WebSocketMessage>& out) {
  in_payload_ = false;
  header_have_ = 0;
  if (is_control(opcode_)) return end_control(out);
  if (!fin_) return true;
  WebSocketMessage message;
  message.opcode = *message_;
  message.payload.swap(data_);
  message_.reset();
  if (message.opcode == WebSocketOpcode::text && !valid_utf8(message.payload)) return fail(websocket_bad_data, "text is not UTF-8");
  out.push_back(std::move(message));
  return true;
}

bool WebSocketDecoder::feed(std::string_view bytes, std::vector<WebSocketMessage>& out) {
  if (error_code_ != 0) return false;
  for (;;) {
    if (!in_payload_) {
      while (header_have_ < header_bytes() && !bytes.empty()) {
        header_[header_have_++] = static_cast<std::uint8_t>(bytes.front());
        bytes.remove_prefix(1);
      }
      if (header_have_ < header_bytes()) return true;
      if (!begin_frame()) return false;
    }
    take_payload(bytes);
    if (left_ > 0) return true;
    if (!end_frame(out)) return false;
  }
}

std::string encode_websocket_frame(WebSocketOpcode opcode, std::string_view payload, bool fin,
                                   std::optional<std::array<std::uint8_t, 4>> mask) {
  std::string out;
  out.reserve(payload.size() + 14);
  out.push_back(static_cast<char>((fin ? 0x80 : 0) | static_cast<std::uint8_t>(opcode)));
  const int mask_bit = mask ? 0x80 : 0;
  std::size_t extended = payload.size() < 126 ? 0 : payload.size() < 65536 ? 2 : 8;
  out.push_back(static_cast<char>(mask_bit | (extended == 0 ? static_cast<int>(payload.size()) : extended == 2 ? 126 : 127)));
  for (std::size_t i = extended; i-- > 0;) out.push_back(static_cast<char>(static_cast<std::uint64_t>(payload.size()) >> (8 * i)));
  if (mask) out.append(reinterpret_cast<const char*>(mask->data()), mask->size());
  std::size_t begin = out.size();
  out.append(payload);
  if (mask) apply_mask(out.data() + begin, payload.size(), *mask, 0);
  return out;
}

std::string encode_websocket_close(std::uint16_t code, std::string_view reason, std::optional<std::array<std::uint8_t, 4>> mask) {
  std::string payload;
  if (may_be_sent(code)) {
    payload.push_back(static_cast<char>(code >> 8));
    payload.push_back(static_cast<char>(code));
    // A reason is cut at a character's beginning.
    std::size_t end = std::min(reason.size(), max_control_bytes - 2);
    while (end > 0 && end < reason.size() && (static_cast<std::uint8_t>(reason[end]) & 0xc0) == 0x80) --end;
    payload.append(reason.substr(0, end));
  }
  return encode_websocket_frame(WebSocketOpcode::close, payload, true, mask);
}

// ---- the opening handshake

bool is_websocket_request(const Request& request) {
  return any_list_contains(request.headers, "upgrade", "websocket") && any_list_contains(request.headers, "connection", "upgrade");
}

std::vector<std::string> offered_websocket_protocols(const Request& request) {
  std::vector<std::string> offered;
  for (std::string_view line : request.headers.all("sec-websocket-protocol")) {
    for (std::string_view name : split(line, ',')) {
      name = trim(name);
      if (!name.empty()) offered.emplace_back(name);
    }
  }
  return offered;
}

std::optional<std::string> choose_websocket_protocol(const Request& request, const std::vector<std::string>& supported) {
  for (std::string& name : offered_websocket_protocols(request)) {
    if (std::find(supported.begin(), supported.end(), name) != supported.end()) return std::move(name);
  }
  return std::nullopt;
}

Result<Headers> accept_websocket(const Request& request, std::string_view protocol) {
  if (request.method != "GET" || !is_websocket_request(request)) return fail(Code::invalid, "not a WebSocket request");
  if (request.headers.get("sec-websocket-version") != "13") return fail(Code::unsupported, "missing or bad WebSocket Version");
  auto key = base64_decode(request.headers.get("sec-websocket-key"));
  if (!key || key->size() != 16) return fail(Code::invalid, "missing or bad Sec-WebSocket-Key");
  Headers answer;
  answer.add("upgrade", "websocket");
  answer.add("connection", "Upgrade");
  answer.add("sec-websocket-accept", accept_of(request.headers.get("sec-websocket-key")));
  if (!protocol.empty()) answer.add("sec-websocket-protocol", protocol);
  return answer;
}

std::string new_websocket_key() {
  unsigned char bytes[16];
  KYBERN_CHECK(::RAND_bytes(bytes, sizeof bytes) == 1, "the system has randomness");
  return base64_encode(std::string_view(reinterpret_cast<char*>(bytes), sizeof bytes));
}

Headers websocket_request_headers(std::string_view key, const std::vector<std::string>& protocols) {
  Headers headers;
  headers.add("connection", "Upgrade");
  headers.add("upgrade", "websocket");
  headers.add("sec-websocket-version", "13");
  headers.add("sec-websocket-key", key);
  if (!protocols.empty()) headers.add("sec-websocket-protocol", join(protocols, ", "));
  return headers;
}

Result<std::string> check_websocket_answer(const Headers& answer, std::string_view key, const std::vector<std::string>& protocols) {
  if (!any_list_contains(answer, "upgrade", "websocket") || !any_list_contains(answer, "connection", "upgrade")) {
    return fail(Code::invalid, "the answer does not upgrade to WebSocket");
  }
  if (answer.get("sec-websocket-accept") != accept_of(key)) return fail(Code::invalid, "Sec-WebSocket-Accept does not belong to the key");
  if (!answer.get("sec-websocket-extensions").empty()) return fail(Code::invalid, "the answer names extensions that were not offered");
  std::string protocol(answer.get("sec-websocket-protocol"));
  if (!protocol.empty() && std::find(protocols.begin(), protocols.end(), protocol) == protocols.end()) {
    return fail(Code::invalid, "the answer names a sub-protocol that was not offered: " + protocol);
  }
  return protocol;
}

}  // namespace kybern::net
