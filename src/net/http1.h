// HTTP/1.1 messages on the wire (RFC 9112), read strictly: what two readers could understand differently is refused, so
// that no request can be hidden inside another one.
//
// Refused: a bare LF or CR, folded lines, white space before a colon, control characters, Content-Length together with
// Transfer-Encoding, a repeated or signed Content-Length, any transfer coding but one `chunked`, a chunk size that is
// not 1 to 16 hexadecimal digits, a missing or repeated Host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "net/http.h"

namespace kybern::net {

struct Http1Limits {
  std::size_t max_head_bytes = 1 << 20;
  std::size_t max_fields = 1000;
};

struct Http1Error {
  int status = 400;          // what a server answers: 400, 417, 431, 501, 505
  std::string_view message;  // a static text, e.g. "invalid Content-Length"
};

// How the end of a body is known.
enum class BodyKind : unsigned char { none, length, chunked, until_close };

struct Http1Head {
  int minor_version = 1;  // HTTP/1.minor
  bool keep_alive = true;
  bool upgrade = false;  // Connection names Upgrade, and an Upgrade field is there
  BodyKind body = BodyKind::none;
  std::uint64_t content_length = 0;  // of BodyKind::length
  Headers headers;
};

struct Http1RequestHead : Http1Head {
  std::string method, path, query;  // the absolute form's authority has become Host
  bool expect_continue = false;
};

struct Http1ResponseHead : Http1Head {
  int status = 0;
  std::string reason;
};

// Looks for the end of a head in a buffer that grows; no byte is looked at twice.
class Http1HeadScanner {
 public:
  enum class State : unsigned char { incomplete, complete, bad, too_large };
  // `buffer`: everything since the head's first byte.
  State scan(std::string_view buffer, std::size_t max_head_bytes);
  std::size_t head_bytes() const { return line_start_; }  // when complete: up to and with the empty line
  void reset() { scanned_ = line_start_ = 0; }

 private:
  std::size_t scanned_ = 0, line_start_ = 0;
};

// `head` is a whole head with its empty line.
std::expected<Http1RequestHead, Http1Error> parse_request_head(std::string_view head, const Http1Limits& limits = {});
// `request_method` decides whether a body follows (HEAD; a CONNECT or an upgrade that succeeded has none either).
std::expected<Http1ResponseHead, Http1Error> parse_response_head(std::string_view head, std::string_view request_method,
                                                                 const Http1Limits& limits = {});

// The chunked transfer coding. Extensions and trailer fields are checked and dropped.
class ChunkedDecoder {
 public:
  enum class State : unsigned char { more, done, bad };
  // Takes bytes from the front of `in` and appends the body's to `out`. After done, `in` begins behind the message.
  State feed(std::string_view& in, std::string& out);
  std::string_view error() const { return error_; }  // after bad

 private:
  enum class Step : unsigned char { size, extension, size_lf, data, data_cr, data_lf, trailer, done, bad };
  State fail(std::string_view why);
  bool step_size(char c);
  bool step_trailer(char c);

  Step step_ = Step::size;
  std::uint8_t digits_ = 0;
  std::uint64_t left_ = 0;      // of this chunk's size or data
  std::uint32_t overhead_ = 0;  // bytes of extensions and trailers so far
  std::string line_;            // of the trailer
  std::string_view error_;
};

// Shared rules of field syntax.
bool is_token(std::string_view text);                                                // RFC 9110 section 5.6.2, not empty
bool is_field_value(std::string_view text);                                          // no control character but HTAB
bool valid_escapes(std::string_view path);                                           // every '%' has two hexadecimal digits behind it
bool list_contains(std::string_view comma_separated, std::string_view lower_token);  // "Keep-Alive, Upgrade" has "upgrade"
bool any_list_contains(const Headers& headers, std::string_view lower_name, std::string_view lower_token);

}  // namespace kybern::net
