// Fuzz entry: WebSocket frames, in two splits that must come to the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "net/websocket.h"

using namespace kybern::net;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  WebSocketDecoder::Options options{.from_client = (data[0] & 1) != 0, .max_message_bytes = 4096};
  WebSocketDecoder whole(options), split(options);
  std::vector<WebSocketMessage> one, other;
  bool good = whole.feed(bytes, one);
  bool good_split = true;
  std::size_t step = data[1] % 17 + 1;
  for (std::size_t i = 0; i < bytes.size() && good_split; i += step) good_split = split.feed(bytes.substr(i, step), other);
  if (good != good_split || one.size() != other.size() || whole.error_code() != split.error_code()) std::abort();
  for (std::size_t i = 0; i < one.size(); ++i) {
    if (one[i].opcode != other[i].opcode || one[i].payload != other[i].payload || one[i].close_code != other[i].close_code) std::abort();
    if (one[i].payload.size() > 4096) std::abort();
    // What was read can be written and read again.
    if (one[i].opcode == WebSocketOpcode::close) continue;
    std::vector<WebSocketMessage> again;
    WebSocketDecoder client({.from_client = false, .max_message_bytes = 4096});
    if (!client.feed(encode_websocket_frame(one[i].opcode, one[i].payload), again) || again.size() != 1 ||
        again[0].payload != one[i].payload)
      std::abort();
  }
  return 0;
}
