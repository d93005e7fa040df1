// One accepted socket: bytes in and out, with or without TLS, and the time-outs of both directions. Reactor thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "net/server/output_queue.h"
#include "net/server/reactor.h"
#include "net/server/session.h"
#include "net/server/tls.h"

namespace kybern::net {

class ServerCore;

class Connection final : public Watched, public Timer, public Flushed {
 public:
  // Above this a session puts nothing more into out(), except what producers have bounded themselves.
  static constexpr std::size_t out_high_bytes = 64 << 10;

  Connection(ServerCore& server, int fd, std::string remote_address);
  ~Connection();

  void start();                                            // once it is in the server's list
  std::list<std::shared_ptr<Connection>>::iterator place;  // in the server's list

  // For sessions.
  ServerCore& server() { return server_; }
  OutputQueue& out() { return out_; }
  void want_flush();  // fill() is called, and out() is sent, at the end of this turn
  void set_flow(std::uint64_t flow) { Watched::set_flow(flow), Flushed::set_flow(flow); }  // of its last request
  // Held back, a peer still may leave: with `watch_end` that is seen, and what it sent before is read, no more than the
  // kernel holds.
  void set_reading(bool reading, bool watch_end = false);
  void set_deadline(std::optional<Instant> deadline);
  void close_when_sent();  // sends what is queued, then ends politely
  void kill();             // ends now; the session's on_gone() is called from here
  bool closing() const { return closing_ || closed_; }
  bool tls() const { return ssl_ != nullptr; }
  const std::string& remote_address() const { return remote_address_; }
  std::shared_ptr<const PeerIdentity> peer();  // as of now: checked again when the client CA or the time has moved on
  void stop();
  bool idle() const { return session_ && !closing_ && !lingering_ && out_.empty() && session_->idle(); }

  void on_events(std::uint32_t events) override;
  void on_timer(Instant now) override;
  void on_flush() override;

 private:
  enum class Io : unsigned char { done, blocked, ended, failed };
  void continue_handshake();
  void begin_session();
  void refuse_plain_http();
  void read_all();
  Io read_some(std::size_t& count);
  Io write_some(std::size_t& count);
  Io write_tls(std::size_t& count);
  Io write_plain(std::size_t& count);
  bool send_out();  // false: the connection is gone
  void end_politely();
  void update_interest();
  void update_timer();

  ServerCore& server_;
  ssl_st* ssl_ = nullptr;
  std::unique_ptr<Session> session_;
  OutputQueue out_;
  std::string remote_address_;
  std::shared_ptr<const PeerIdentity> peer_;
  std::shared_ptr<const TlsContext> checked_by_;  // what peer_ was checked by
  std::optional<Instant> deadline_;
  std::optional<Instant> stuck_since_;  // the peer has taken nothing since
  std::size_t lingered_bytes_ = 0;
  int fd_;
  std::uint32_t interest_ = 0;
  bool reading_ = true;
  bool watch_end_ = false;   // while nothing is read
  bool ending_ = false;      // it was seen: all is read from now on
  bool read_again_ = false;  // OpenSSL may hold bytes that epoll does not see
  bool handshaking_ = false;
  bool closing_ = false;
  bool lingering_ = false;
  bool peer_ended_ = false;  // it has said that it sends no more
  bool closed_ = false;
};

}  // namespace kybern::net
