// SPDY/3.1 frames (draft-mbelshe-httpbis-spdy-00 and its 3.1 amendment), without input or output. Older kubectl versions
// speak it after `Upgrade: SPDY/3.1` for exec, attach, cp and port-forward, and so do container runtimes' streaming servers.
//
// Those programs neither send nor obey WINDOW_UPDATE frames, so there is no flow control but the connection's own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"

struct z_stream_s;

namespace kybern::net {

enum class SpdyType : std::uint16_t {
  data = 0,  // not a control frame
  syn_stream = 1,
  syn_reply = 2,
  rst_stream = 3,
  settings = 4,
  ping = 6,
  goaway = 7,
  headers = 8,
  window_update = 9,
};

enum SpdyStatus : std::uint32_t {  // of RST_STREAM
  spdy_protocol_error = 1,
  spdy_invalid_stream = 2,
  spdy_refused_stream = 3,
  spdy_unsupported_version = 4,
  spdy_cancel = 5,
  spdy_internal_error = 6,
  spdy_stream_already_closed = 9,
  spdy_frame_too_large = 11,
};

struct SpdyFrame {
  SpdyType type = SpdyType::data;
  std::uint32_t stream_id = 0;  // of a GOAWAY: the last good one
  bool fin = false;             // no more from this side on the stream
  bool unidirectional = false;  // of a SYN_STREAM
  std::uint32_t value = 0;  // RST_STREAM and GOAWAY: the status; PING: its id; WINDOW_UPDATE: the delta; SYN_STREAM: the associated stream
  Headers headers;          // SYN_STREAM, SYN_REPLY, HEADERS
  std::string data;         // of a data frame, or a piece of one: fin comes with its last piece
};

// The zlib contexts of the header blocks go along with the whole connection.
struct SpdyInflateEnd {
  void operator()(z_stream_s* stream) const;
};
struct SpdyDeflateEnd {
  void operator()(z_stream_s* stream) const;
};

class SpdyDecoder {
 public:
  static constexpr std::size_t max_control_bytes = 64 << 10;   // of a frame's payload
  static constexpr std::size_t max_headers_bytes = 256 << 10;  // of a header block, inflated

  SpdyDecoder();
  // Appends the frames that became whole (and pieces of data frames). SETTINGS, WINDOW_UPDATE and unknown frames are left
  // out. False on an error, after which the connection is of no use.
  bool feed(std::string_view bytes, std::vector<SpdyFrame>& out);
  std::string_view error() const { return error_; }

 private:
  bool fail(std::string_view why);
  bool begin_frame();
  bool end_control(std::vector<SpdyFrame>& out);
  bool read_headers(std::string_view block, Headers& headers);
  bool inflate(std::string_view block, std::string& out);

  std::unique_ptr<z_stream_s, SpdyInflateEnd> zlib_;
  std::array<std::uint8_t, 8> head_{};
  std::uint8_t head_have_ = 0;
  bool control_ = false;
  std::uint32_t left_ = 0;  // of the payload
  std::string payload_;     // of a control frame
  std::string_view error_;
};

class SpdyEncoder {
 public:
  static constexpr std::size_t max_data_bytes = 0xffffff;

  SpdyEncoder();
  std::string syn_stream(std::uint32_t stream_id, const Headers& headers, bool fin);
  std::string syn_reply(std::uint32_t stream_id, const Headers& headers, bool fin);
  std::string headers(std::uint32_t stream_id, const Headers& headers, bool fin);
  static std::string data(std::uint32_t stream_id, std::string_view bytes, bool fin);  // at most max_data_bytes
  static std::string rst_stream(std::uint32_t stream_id, std::uint32_t status);
  static std::string ping(std::uint32_t id);
  static std::string goaway(std::uint32_t last_stream_id, std::uint32_t status);

 private:
  std::string deflate(const Headers& headers);
  std::unique_ptr<z_stream_s, SpdyDeflateEnd> zlib_;
};

}  // namespace kybern::net
