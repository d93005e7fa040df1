// One HTTP/2 connection that carries many gRPC calls at once.
//
// The session is nghttp2's, under one mutex. Callers put their frames on the wire themselves; a thread of the connection
// reads, and writes what the socket would not take at once. The connection ends for good when the peer goes away, or
// takes no more calls after GOAWAY; a new one is the client's matter.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>

#include "base/result.h"
#include "net/client/grpc_message.h"
#include "net/client/transport.h"

struct nghttp2_session;

namespace kybern::net {

// One call's state; all of it under its connection's mutex.
struct GrpcCall {
  std::int32_t id = 0;
  std::condition_variable changed;  // a message came, room to write, or the end

  std::string out;  // framed messages that HTTP/2 has not taken yet, from out_taken
  std::size_t out_taken = 0;
  bool out_ended = false;    // no more will be written
  bool out_waiting = false;  // nghttp2 waits for more of `out`

  int http_status = 0;
  bool is_grpc = false;  // by its content type
  std::optional<int> grpc_code;
  std::string grpc_text;  // percent-encoded
  GrpcAssembler assembler;
  std::deque<std::string> messages;
  std::size_t queued_bytes = 0;    // of `messages`
  std::size_t withheld_bytes = 0;  // received, but the peer is not told yet that there is room again

  bool done = false;
  std::optional<Error> error;               // of done; none: status OK
  bool unprocessed = false;                 // of done: certainly not seen by the peer, so it may be called again
  std::uint64_t start_offset = UINT64_MAX;  // where in the connection's output its first byte is; none yet: the largest
};

class GrpcConnection {
 public:
  static Result<std::unique_ptr<GrpcConnection>> connect(const Endpoint& endpoint, const ClientTlsContext* tls, Instant deadline);
  ~GrpcConnection();  // calls in progress end with Code::canceled
  GrpcConnection(const GrpcConnection&) = delete;

  bool usable();  // takes new calls

  // `framed`: the first message, or none. `last`: nothing follows it. A connection that takes no call: a call that is
  // done, and unprocessed.
  std::shared_ptr<GrpcCall> start(std::string_view method, std::string framed, bool last, std::optional<std::chrono::milliseconds> timeout,
                                  const Headers& metadata);

  Result<void> wait_done(GrpcCall& call, Instant deadline);  // Code::timeout cancels the call
  Result<std::string> read(GrpcCall& call);                  // the next message; Code::not_found at a good end
  Result<void> write(GrpcCall& call, std::string framed);    // waits while too much is queued
  Result<void> finish_writing(GrpcCall& call);
  void cancel(GrpcCall& call);

 private:
  friend struct GrpcCallbacks;
  using Lock = std::unique_lock<std::mutex>;

  GrpcConnection(std::unique_ptr<Transport> transport, const Endpoint& endpoint);
  bool open_session();
  void run();  // the thread
  void process(std::string_view bytes);
  void flush();  // as much as the socket takes
  bool fill();   // output_ from the session; false when there is nothing
  void wake();
  void die(Error error);  // ends all calls
  void end_call(GrpcCall& call, std::optional<Error> error, bool unprocessed = false);
  void end_by_status(GrpcCall& call);
  void cancel_locked(GrpcCall& call, Error error);
  void take_data(GrpcCall& call, std::string_view bytes);
  void give_room(GrpcCall& call);

  const std::unique_ptr<Transport> transport_;
  const std::string authority_;
  const bool tls_;
  int wake_fd_ = -1;

  std::mutex mutex_;
  nghttp2_session* session_ = nullptr;
  std::unordered_map<std::int32_t, std::shared_ptr<GrpcCall>> calls_;  // by stream, until nghttp2 has closed it
  std::string output_;                                                 // for the socket, from output_taken_
  std::size_t output_taken_ = 0;
  std::uint64_t produced_bytes_ = 0, written_bytes_ = 0;
  bool socket_full_ = false;
  bool draining_ = false;  // the peer said GOAWAY
  bool stopping_ = false;
  bool dead_ = false;
  std::optional<Error> write_error_;  // what the peer said before it went is read first
  Error death_;
  std::thread::id runner_;  // thread_'s, as it says itself
  std::thread thread_;
};

}  // namespace kybern::net
