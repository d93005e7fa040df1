// A SPDY/3.1 connection and its streams, over any transport: the server's end of an upgraded connection, or the client's
// end (a duplex stream with a thread that reads).
//
//   auto raw = exchange->upgrade({{"upgrade", "SPDY/3.1"}, {"x-stream-protocol-version", "v4.channel.k8s.io"}});
//   auto session = SpdySession::serve(raw, [](std::shared_ptr<SpdyStream> stream) { ...; return true; }, [] {});
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "net/server.h"
#include "net/spdy.h"

namespace kybern::net {

class SpdySession;

// Calls are thread-safe. Callbacks run where the session's bytes come in (a pool thread, or whoever calls feed), one at a
// time; data that has waited is delivered by the call that lets it go: on_data() and pause_reading(false).
class SpdyStream : public std::enable_shared_from_this<SpdyStream> {
 public:
  std::uint32_t id() const { return id_; }
  const Headers& headers() const { return headers_; }  // of the side that opened it
  bool write(std::string_view bytes);                  // false when this side has finished, or the stream is gone
  void finish();                                       // no more from this side
  void reset(std::uint32_t status = spdy_cancel);
  void on_data(std::function<void(std::string_view)> callback);
  void on_end(std::function<void()> callback);   // the peer has finished, behind its data
  void on_gone(std::function<void()> callback);  // reset by the peer, or the connection ended; not after both have finished
  void pause_reading(bool paused);               // what comes is kept; much of it holds up the whole connection

 private:
  friend class SpdySession;
  SpdyStream(std::shared_ptr<SpdySession> session, std::uint32_t id, Headers headers)
      : session_(std::move(session)), id_(id), headers_(std::move(headers)) {}
  void receive(std::string bytes, bool fin);
  void deliver();
  void go(bool tell);

  const std::shared_ptr<SpdySession> session_;
  const std::uint32_t id_;
  const Headers headers_;
  std::mutex mutex_;
  std::string inbox_;
  std::function<void(std::string_view)> on_data_;
  std::function<void()> on_end_, on_gone_;
  bool paused_ = false, delivering_ = false;
  bool finished_ = false;  // this side
  bool peer_finished_ = false;
  bool end_told_ = false, gone_ = false, gone_told_ = false;
};

// What a session writes to. Absent functions are not needed by a transport whose write() blocks.
struct SpdyTransport {
  std::function<bool(std::string)> write;
  std::function<void()> finish;
  std::function<void(bool)> pause_reading;
  std::function<std::size_t()> queued_bytes;
  std::function<void(std::size_t, std::function<void()>)> on_drained;
};

class SpdySession : public std::enable_shared_from_this<SpdySession> {
 public:
  static constexpr std::size_t max_streams = 1000;
  static constexpr std::size_t max_inbox_bytes = 256 << 10;  // of all streams: then the connection is not read
  static constexpr std::size_t writable_bytes = 64 << 10;

  using OnStream = std::function<bool(std::shared_ptr<SpdyStream>)>;  // sets its callbacks; false refuses it

  static std::shared_ptr<SpdySession> make(bool server, SpdyTransport transport, OnStream on_stream, std::function<void()> on_close);
  static std::shared_ptr<SpdySession> serve(std::shared_ptr<RawStream> raw, OnStream on_stream, std::function<void()> on_close);

  void feed(std::string_view bytes);  // from the peer; not at the same time as itself or transport_closed()
  void transport_closed();            // the peer is gone: streams are told, then on_close is called, once
  std::shared_ptr<SpdyStream> open(const Headers& headers, bool fin = false);  // null when the peer takes no more
  void ping();                                                                 // keeps the connection busy; the answer is not waited for
  void close();  // GOAWAY, then the end of the transport; on_close is called from here
  std::size_t queued_bytes() const { return transport_.queued_bytes ? transport_.queued_bytes() : 0; }
  // Called when queued_bytes() is at most writable_bytes: a producer of a stream waits for it before it writes more.
  void on_writable(std::function<void()> callback);

 private:
  friend class SpdyStream;
  SpdySession(bool server, SpdyTransport transport, OnStream on_stream, std::function<void()> on_close);
  void take(SpdyFrame frame);
  void take_new_stream(SpdyFrame frame);
  std::shared_ptr<SpdyStream> find(std::uint32_t id);
  void forget(std::uint32_t id);
  bool send(std::string frame);
  void count_inbox(std::ptrdiff_t bytes);
  void arm_writable();

  const bool server_;
  SpdyTransport transport_;
  SpdyDecoder decoder_;
  OnStream on_stream_;
  std::function<void()> on_close_;

  std::mutex write_mutex_;  // header blocks go out in the order they were deflated
  SpdyEncoder encoder_;

  std::mutex mutex_;
  std::map<std::uint32_t, std::shared_ptr<SpdyStream>> streams_;
  std::uint32_t next_id_, last_peer_id_ = 0, next_ping_;
  std::size_t inbox_bytes_ = 0;
  bool reading_paused_ = false, closed_ = false, peer_leaving_ = false, writable_armed_ = false;
  std::vector<std::function<void()>> writable_;
};

}  // namespace kybern::net
