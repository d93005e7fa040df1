// Fuzz entry: HTTP/1 heads and chunked bodies, whole and in pieces, which must come to the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "net/http1.h"

using namespace kybern::net;

namespace {

void fuzz_heads(std::string_view bytes, std::size_t step) {
  Http1HeadScanner whole, split;
  auto state = whole.scan(bytes, 4096);
  auto split_state = Http1HeadScanner::State::incomplete;
  for (std::size_t end = step; split_state == Http1HeadScanner::State::incomplete; end += step) {
    split_state = split.scan(bytes.substr(0, end), 4096);
    if (end >= bytes.size()) break;
  }
  if (state != split_state) std::abort();
  if (state == Http1HeadScanner::State::complete) {
    std::string_view head = bytes.substr(0, whole.head_bytes());
    if (whole.head_bytes() != split.head_bytes() || !head.ends_with("\r\n")) std::abort();
    if (auto request = parse_request_head(head)) {
      for (const auto& [name, value] : request->headers.fields()) {
        if (!is_token(name) || !is_field_value(value)) std::abort();
      }
      if (request->path.empty() || (request->headers.find("content-length") && request->headers.find("transfer-encoding"))) std::abort();
    }
  }
  (void)parse_request_head(bytes);
  (void)parse_response_head(bytes, "GET");
}

void fuzz_chunks(std::string_view bytes, std::size_t step) {
  ChunkedDecoder whole, split;
  std::string body, split_body;
  std::string_view rest = bytes;
  auto state = whole.feed(rest, body);
  auto split_state = ChunkedDecoder::State::more;
  std::size_t used = 0;
  while (used < bytes.size() && split_state == ChunkedDecoder::State::more) {
    std::string_view piece = bytes.substr(used, step);
    std::size_t before = piece.size();
    split_state = split.feed(piece, split_body);
    used += before - piece.size();
  }
  if (state != split_state || body != split_body) std::abort();
  if (state == ChunkedDecoder::State::done && used != bytes.size() - rest.size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  std::size_t step = data[1] % 31 + 1;
  if (data[0] & 1) {
    fuzz_chunks(bytes, step);
  } else {
    fuzz_heads(bytes, step);
  }
  return 0;
}
