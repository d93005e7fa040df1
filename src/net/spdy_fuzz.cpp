// Fuzz entry: SPDY frames, whole and in pieces, which must come to the same; and header blocks through both zlib contexts.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "net/spdy.h"

using namespace kybern::net;

namespace {

// Data frames may come in pieces: what counts is the bytes of each stream and their ends.
std::string summary(const std::vector<SpdyFrame>& frames) {
  std::string out;
  std::uint32_t open = 0;
  for (const SpdyFrame& frame : frames) {
    if (frame.type != SpdyType::data || frame.stream_id != open)
      out += "|" + std::to_string(static_cast<int>(frame.type)) + ":" + std::to_string(frame.stream_id) + ":";
    open = frame.type == SpdyType::data ? frame.stream_id : 0;
    out += frame.data;
    if (frame.fin) out += "<fin>";
    if (frame.type != SpdyType::data) out += std::to_string(frame.value);
    for (const auto& [name, value] : frame.headers.fields()) out += name + "=" + value + ";";
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  SpdyDecoder whole, split;
  std::vector<SpdyFrame> one, other;
  bool good = whole.feed(bytes, one), good_split = true;
  std::size_t step = data[0] % 23 + 1;
  for (std::size_t i = 0; i < bytes.size() && good_split; i += step) good_split = split.feed(bytes.substr(i, step), other);
  if (good != good_split || summary(one) != summary(other)) std::abort();
  SpdyEncoder encoder;
  SpdyDecoder again;
  std::vector<SpdyFrame> back;
  for (const SpdyFrame& frame : one) {
    if (frame.type != SpdyType::syn_stream) continue;
    back.clear();
    if (!again.feed(encoder.syn_stream(frame.stream_id, frame.headers, frame.fin), back) || back.size() != 1) std::abort();
    if (back[0].headers.fields() != frame.headers.fields()) std::abort();
  }
  return 0;
}
