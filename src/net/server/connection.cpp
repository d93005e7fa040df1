#include "net/server/connection.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/log.h"
#include "net/pem.h"
#include "net/server/server_core.h"

namespace kybern::net {
namespace {

constexpr std::size_t read_budget_bytes = 256 << 10;  // of one connection in one turn
constexpr std::size_t write_budget_bytes = 64 << 10;  // likewise
constexpr std::size_t tls_record_bytes = 16 << 10;
constexpr std::size_t max_pieces = 32;
constexpr std::chrono::milliseconds linger_time{1000};  // for a peer to see the last answer and close
constexpr std::size_t max_linger_bytes = 16 << 20;      // thrown away meanwhile
constexpr int max_flush_rounds = 8;

}  // namespace

Connection::Connection(ServerCore& server, int fd, std::string remote_address)
    : server_(server), remote_address_(std::move(remote_address)), fd_(fd) {}

Connection::~Connection() { kill(); }

void Connection::start() {
  interest_ = EPOLLIN;
  if (!server_.reactor().watch(fd_, interest_, *this)) return kill();
  if (server_.tls()) {
    ssl_ = server_.tls()->new_connection(fd_);
    if (!ssl_) return kill();
    handshaking_ = true;
    deadline_ = server_.reactor().now() + server_.options().header_timeout;
  } else {
    session_ = make_http1_session(*this);
  }
  update_timer();
}

// ---- events

void Connection::on_events(std::uint32_t events) {
  if (closed_) return;
  if (handshaking_) {
    continue_handshake();
  } else if (!reading_ && watch_end_ && (events & EPOLLRDHUP)) {
    ending_ = true;
    set_reading(true);
    read_all();
  } else if (reading_ && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
    read_all();
  } else if (events & (EPOLLHUP | EPOLLERR)) {
    return kill();
  }
  if (closed_) return;
  want_flush();
}

void Connection::want_flush() {
  if (!closed_) server_.reactor().want_flush(*this);
}

void Connection::on_flush() {
  if (closed_) return;
  if (read_again_ && reading_) {
    read_again_ = false;
    read_all();
    if (closed_) return;
  }
  for (int round = 0; session_ && round < max_flush_rounds; ++round) {
    if (!lingering_) session_->fill();
    if (closed_) return;
    if (out_.empty()) break;
    std::size_t before = out_.bytes();
    if (!send_out()) return;
    if (out_.bytes() == before) break;
    session_->on_sent();
    if (closed_) return;
    if (!out_.empty()) {
      if (!stuck_since_) want_flush();  // the socket has room, but others' turn comes first
      break;
    }
    if (round + 1 == max_flush_rounds) want_flush();
  }
  if (closing_ && out_.empty() && !lingering_) end_politely();
  if (closed_) return;
  update_interest();
  update_timer();
}

void Connection::on_timer(Instant now) {
  if (closed_) return;
  if (stuck_since_ && now >= *stuck_since_ + server_.options().write_timeout) {
    log_debug("net", "a peer takes nothing and is dropped", {{"peer", remote_address_}});
    return kill();
  }
  if (deadline_ && now >= *deadline_) {
    deadline_.reset();
    if (lingering_ || handshaking_ || !session_) return kill();
    session_->on_deadline(now);
    if (closed_) return;
    want_flush();
  }
  update_timer();
}

void Connection::update_timer() {
  std::optional<Instant> due = deadline_;
  if (stuck_since_) {
    Instant stuck = *stuck_since_ + server_.options().write_timeout;
    due = due ? std::min(*due, stuck) : stuck;
  }
  // A timer that is armed for an earlier time is left: it finds nothing to do then and is armed again.
  if (due && !(armed() && Timer::due() <= *due)) server_.reactor().timers().arm(*this, *due);
}

void Connection::update_interest() {
  std::uint32_t wanted = (reading_ || handshaking_ ? static_cast<std::uint32_t>(EPOLLIN) : 0u) |
                         (!reading_ && watch_end_ ? static_cast<std::uint32_t>(EPOLLRDHUP) : 0u) |
                         (out_.empty() || !stuck_since_ ? 0u : static_cast<std::uint32_t>(EPOLLOUT));
  if (wanted == interest_) return;
  interest_ = wanted;
  server_.reactor().rewatch(fd_, interest_, *this);
}

// ---- TLS

void Connection::continue_handshake() {
  forget_errors();
  int result = ::SSL_do_handshake(ssl_);
  if (result == 1) {
    handshaking_ = false;
    begin_session();
    if (!closed_) read_all();
    return;
  }
  switch (::SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ: return;
    case SSL_ERROR_WANT_WRITE:
      if (!(interest_ & EPOLLOUT)) server_.reactor().rewatch(fd_, interest_ |= EPOLLOUT, *this);
      return;
    default: break;
  }
  unsigned long error = ::ERR_peek_error();
  bool plain_http = ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) == SSL_R_HTTP_REQUEST;
  const char* reason = ::ERR_reason_error_string(error);
  log_debug("net", "TLS handshake failed", {{"peer", remote_address_}, {"error", reason ? reason : "connection closed"}});
  forget_errors();
  if (plain_http) return refuse_plain_http();
  kill();
}

// Somebody speaks plain HTTP to the TLS port: they are told so, in words.
void Connection::refuse_plain_http() {
  constexpr std::string_view answer = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
  [[maybe_unused]] ssize_t sent = ::send(fd_, answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  handshaking_ = false;
  ::SSL_free(ssl_);
  ssl_ = nullptr;
  closing_ = true;
  end_politely();
}

void Connection::begin_session() {
  deadline_.reset();
  checked_by_ = server_.tls();
  peer_ = checked_by_->identify(ssl_);
  session_ = negotiated_protocol(ssl_) == AlpnProtocol::http2 ? make_http2_session(*this) : make_http1_session(*this);
  if (server_.stopping()) session_->stop();
}

std::shared_ptr<const PeerIdentity> Connection::peer() {
  if (!peer_) return nullptr;
  if (checked_by_ != server_.tls()) {
    checked_by_ = server_.tls();
    peer_ = checked_by_->identify(ssl_);
    if (!peer_) return nullptr;
  }
  Time now = std::chrono::system_clock::now();
  if ((peer_->certificate || peer_->proxy) && now > peer_->not_after) {
    auto expired = std::make_shared<PeerIdentity>(*peer_);
    expired->certificate.reset();
    expired->proxy.reset();
    expired->error = "x509: certificate has expired or is not yet valid";
    peer_ = expired;
  }
  return peer_;
}

// ---- reading

Connection::Io Connection::read_some(std::size_t& count) {
  char* buffer = server_.reactor().scratch();
  if (!ssl_) {
    ssize_t got = ::recv(fd_, buffer, Reactor::scratch_bytes, 0);
    if (got > 0) {
      count = static_cast<std::size_t>(got);
      return Io::done;
    }
    if (got == 0) return Io::ended;
    return errno == EAGAIN || errno == EINTR ? Io::blocked : Io::failed;
  }
  forget_errors();
  int got = ::SSL_read(ssl_, buffer, static_cast<int>(Reactor::scratch_bytes));
  if (got > 0) {
    count = static_cast<std::size_t>(got);
    return Io::done;
  }
  switch (::SSL_get_error(ssl_, got)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return Io::blocked;
    case SSL_ERROR_ZERO_RETURN: return Io::ended;
    default: return Io::failed;
  }
}

void Connection::read_all() {
  std::size_t budget = read_budget_bytes;
  while (!closed_ && reading_) {
    std::size_t count = 0;
    Io result = read_some(count);
    if (result == Io::blocked) return;
    if (result == Io::failed) return kill();
    if (result == Io::ended) {
      reading_ = watch_end_ = false;
      peer_ended_ = true;
      if (lingering_ || !session_) return kill();
      session_->on_eof();
      return;
    }
    if (lingering_) {
      lingered_bytes_ += count;
      if (lingered_bytes_ > max_linger_bytes) return kill();
    } else {
      session_->on_bytes(std::string_view(server_.reactor().scratch(), count));
    }
    // What is left in the socket, epoll tells of; what OpenSSL holds, nobody does.
    if (ssl_ ? !::SSL_has_pending(ssl_) : count < Reactor::scratch_bytes) return;
    if (count >= budget) {
      read_again_ = ssl_ != nullptr;
      want_flush();
      return;
    }
    budget -= count;
  }
}

void Connection::set_reading(bool reading, bool watch_end) {
  if (ending_ && !reading) return;
  watch_end_ = watch_end && !peer_ended_;
  if (reading_ == reading || closed_) return;
  reading_ = reading;
  if (reading && ssl_) read_again_ = true;  // what OpenSSL holds raises no event
  want_flush();
}

// ---- writing

Connection::Io Connection::write_tls(std::size_t& count) {
  // After a blocked write OpenSSL wants the same bytes again; more of them may follow. out() only grows meanwhile.
  std::size_t bytes = std::min(out_.bytes(), tls_record_bytes);
  std::string_view piece;
  out_.front(&piece, 1);
  const char* data = piece.data();
  if (piece.size() < bytes) {
    out_.copy_front(server_.reactor().scratch(), bytes);
    data = server_.reactor().scratch();
  }
  forget_errors();
  int sent = ::SSL_write(ssl_, data, static_cast<int>(bytes));
  if (sent > 0) {
    count = static_cast<std::size_t>(sent);
    return Io::done;
  }
  int error = ::SSL_get_error(ssl_, sent);
  return error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ ? Io::blocked : Io::failed;
}

Connection::Io Connection::write_plain(std::size_t& count) {
  std::array<std::string_view, max_pieces> pieces;
  std::array<iovec, max_pieces> vectors;
  std::size_t found = out_.front(pieces.data(), max_pieces);
  for (std::size_t i = 0; i < found; ++i) vectors[i] = {const_cast<char*>(pieces[i].data()), pieces[i].size()};
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = found;
  ssize_t sent = ::sendmsg(fd_, &message, MSG_NOSIGNAL);
  if (sent >= 0) {
    count = static_cast<std::size_t>(sent);
    return Io::done;
  }
  return errno == EAGAIN || errno == EINTR ? Io::blocked : Io::failed;
}

Connection::Io Connection::write_some(std::size_t& count) { return ssl_ ? write_tls(count) : write_plain(count); }

bool Connection::send_out() {
  std::size_t budget = write_budget_bytes;
  while (!out_.empty()) {
    std::size_t count = 0;
    Io result = write_some(count);
    if (result == Io::failed) {
      kill();
      return false;
    }
    if (result == Io::blocked) {
      if (!stuck_since_) stuck_since_ = server_.reactor().now();
      return true;
    }
    stuck_since_.reset();
    out_.consume(count);
    if (count >= budget) return true;
    budget -= count;
  }
  return true;
}

// ---- the end

void Connection::set_deadline(std::optional<Instant> deadline) {
  deadline_ = deadline;
  if (!closed_) update_timer();
}

void Connection::close_when_sent() {
  if (closing_ || closed_) return;
  closing_ = true;
  deadline_.reset();
  want_flush();
}

// Says goodbye and waits a little for the peer's: closing at once could destroy the last answer on its way, when the peer
// has sent something that was not read.
void Connection::end_politely() {
  lingering_ = true;
  if (ssl_) {
    forget_errors();
    ::SSL_shutdown(ssl_);
    forget_errors();
  }
  if (peer_ended_) return kill();
  ::shutdown(fd_, SHUT_WR);
  if (session_) {
    session_->on_gone();
    session_.reset();
  }
  deadline_ = server_.reactor().now() + (server_.stopping() ? linger_time / 10 : linger_time);
  reading_ = true;
  read_again_ = ssl_ != nullptr;
  want_flush();
  update_interest();
  update_timer();
}

void Connection::kill() {
  if (closed_) return;
  closed_ = true;
  server_.reactor().unwant_flush(*this);
  server_.reactor().timers().disarm(*this);
  if (session_) session_->on_gone();
  server_.reactor().unwatch(fd_);
  if (ssl_) ::SSL_free(ssl_);
  ssl_ = nullptr;
  ::close(fd_);
  out_.clear();
  server_.remove(*this);
}

void Connection::stop() {
  if (closed_) return;
  if (session_ && !lingering_) session_->stop();
  if (handshaking_) kill();
}

}  // namespace kybern::net
