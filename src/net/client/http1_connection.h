// One HTTP/1.1 connection of the client: sends a request, reads the head, then the body piece by piece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/client/transport.h"
#include "net/http1.h"

namespace kybern::net {

class Http1Connection {
 public:
  explicit Http1Connection(std::unique_ptr<Transport> transport) : transport_(std::move(transport)) {}

  // Sends head and body and reads the head of the final answer; interim ones (1xx but 101) are passed over. The answer is
  // looked for while the body is still being sent: a server may refuse a body without reading it, and close.
  Result<Http1ResponseHead> exchange(std::string_view head, std::string_view body, std::string_view method, Instant deadline);
  // The two halves of it, for one thread that has many connections: finish() when there is something to read.
  Result<void> begin(std::string_view head, std::string_view body, Instant deadline);
  Result<Http1ResponseHead> finish(std::string_view method, Instant deadline);

  // Appends the next bytes of the body, none at its end. After Code::timeout it can be called again: nothing is lost.
  Result<void> read_body(std::string& out, Instant deadline);
  bool body_done() const { return body_done_; }
  std::uint64_t announced_bytes() const { return kind_ == BodyKind::length ? left_ : 0; }

  // After 101: bytes as they come.
  Result<std::string> read_raw(Instant deadline);

  Transport& transport() { return *transport_; }
  // Idle again: the answer was read to its end and both sides keep the connection.
  bool reusable() const { return keep_alive_ && body_done_ && in_.size() == taken_ && !transport_->interrupted(); }
  bool fresh_enough(Instant now) const;  // of an idle connection
  // Looks at the socket, but not of a connection that was in use a moment ago.
  bool still_good(Instant now) { return now - idle_since_ < surely_good || transport_->quiet(); }
  void now_idle(Instant now) { idle_since_ = now; }

  // Of the last exchange: what decides whether a failed request may be sent again.
  bool sent_nothing() const { return sent_bytes_ == 0; }
  bool received_nothing() const { return received_bytes_ == 0; }

 private:
  static constexpr Duration surely_good = std::chrono::milliseconds(10);

  Result<void> send(std::string_view bytes, Instant deadline);
  Result<bool> receive(Instant deadline);  // false at the end of the stream
  void take_early_answer();
  bool final_head_is_here();
  Result<Http1ResponseHead> read_head(std::string_view method, Instant deadline);
  Result<void> decode(std::string& out);
  std::string_view unread() const { return std::string_view(in_).substr(taken_); }
  void drop_taken();

  std::unique_ptr<Transport> transport_;
  Instant idle_since_{};
  std::string in_;  // received; [0, taken_) is used up
  std::size_t taken_ = 0;
  std::size_t read_size_ = 4096;
  Http1HeadScanner scanner_;
  ChunkedDecoder chunked_;
  BodyKind kind_ = BodyKind::none;
  std::uint64_t left_ = 0;  // of BodyKind::length
  bool body_done_ = false;
  bool keep_alive_ = false;
  bool ended_ = false;         // the peer closed its side
  bool early_answer_ = false;  // came while the request was still being sent
  Error broken_;               // of a failed read; shown when its bytes are needed
  std::uint64_t sent_bytes_ = 0, received_bytes_ = 0;
};

}  // namespace kybern::net
