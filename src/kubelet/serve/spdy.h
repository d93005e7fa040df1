// SPDY/3.1 as the runtimes' streaming servers speak it (the upgrade of CRI's Exec, Attach and PortForward URLs): a client
// with as little as that needs. Unlike the WebSocket form of those servers it can close one direction of a stream, so a
// command that reads its standard input to the end gets an end.
//
// Header blocks are compressed with one zlib stream per direction. Ours is made of stored blocks, which is valid zlib and
// needs no compressor; the server's answers carry nothing we need and are skipped.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace kybern::kubelet {

class SpdyClient {
 public:
  using HeaderList = std::vector<std::pair<std::string, std::string>>;
  // Called on the connection's own thread, in order.
  struct Callbacks {
    std::function<void(std::uint32_t stream, std::string_view bytes, bool end)> data;
    std::function<void(const std::string& why)> closed;  // once; "" when the peer closed in peace
  };
  // Upgrades a POST to `url`. `protocols`: of X-Stream-Protocol-Version, the preferred one first.
  static Result<std::shared_ptr<SpdyClient>> connect(const std::string& url, const std::vector<std::string>& protocols);
  virtual ~SpdyClient() = default;
  virtual void start(Callbacks callbacks) = 0;                        // before that nothing is read
  virtual Result<std::uint32_t> open(const HeaderList& headers) = 0;  // a stream; sends SYN_STREAM
  virtual Result<void> write(std::uint32_t stream, std::string_view bytes, bool end) = 0;
  virtual void close() = 0;
};

// Frames, for the client and its tests.
namespace spdy {
inline constexpr std::size_t head_bytes = 8;
inline constexpr std::size_t most_frame_bytes = 1 << 20;
enum ControlType : std::uint16_t {
  syn_stream = 1,
  syn_reply = 2,
  rst_stream = 3,
  settings = 4,
  ping = 6,
  goaway = 7,
  headers = 8,
  window_update = 9
};

struct Frame {
  bool control = false;
  std::uint16_t type = 0;    // of a control frame
  std::uint32_t stream = 0;  // of a data frame
  std::uint8_t flags = 0;    // 1: the end of the stream
  std::string_view payload;
};
// Takes one whole frame off the front. 0 bytes: more input is needed; Code::too_large and Code::invalid end the connection.
Result<std::size_t> parse_frame(std::string_view input, Frame& frame);
std::string data_frame(std::uint32_t stream, std::string_view bytes, bool end);
std::string syn_stream_frame(std::uint32_t stream, const SpdyClient::HeaderList& headers, bool first_of_connection);
std::string ping_frame(std::string_view payload);
}  // namespace spdy

}  // namespace kybern::kubelet
