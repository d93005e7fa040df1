#include "net/client/http1_connection.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>

namespace kybern::net {
namespace {

constexpr std::size_t min_read_bytes = 4 << 10, max_read_bytes = 128 << 10;  // asked of the kernel at once: more while it fills
constexpr std::size_t max_early_answer_bytes = 256 << 10;                    // kept while the request is still being sent
constexpr std::size_t max_response_head_bytes = 1 << 20;
constexpr std::size_t max_interim_answers = 32;
constexpr Duration max_idle_time = std::chrono::seconds(90);  // servers keep idle connections longer than that

}  // namespace

bool Http1Connection::fresh_enough(Instant now) const { return now - idle_since_ < max_idle_time; }

void Http1Connection::drop_taken() {
  if (taken_ == in_.size()) in_.clear();
  else if (taken_ >= max_read_bytes) in_.erase(0, taken_);
  else return;
  taken_ = 0;
}

Result<bool> Http1Connection::receive(Instant deadline) {
  if (ended_) return false;
  drop_taken();
  std::size_t before = in_.size();
  in_.resize_and_overwrite(before + read_size_, [](char*, std::size_t size) { return size; });
  auto count = transport_->read(in_.data() + before, read_size_, deadline);
  in_.resize(before + count.value_or(0));
  if (!count) return std::unexpected(count.error());
  if (*count == 0) ended_ = true;
  received_bytes_ += *count;
  read_size_ = *count == read_size_ ? std::min(read_size_ * 2, max_read_bytes) : min_read_bytes;
  return *count > 0;
}

// Without waiting. A failure is kept for the time when the bytes are asked for.
void Http1Connection::take_early_answer() {
  while (!ended_ && in_.size() - taken_ < max_early_answer_bytes) {
    std::size_t before = in_.size();
    in_.resize(before + min_read_bytes);
    Transport::Io io = transport_->try_read(in_.data() + before, min_read_bytes);
    in_.resize(before + io.bytes);
    received_bytes_ += io.bytes;
    if (io.state == Transport::State::failed) broken_ = std::move(io.error);
    if (io.state == Transport::State::closed || io.state == Transport::State::failed) ended_ = true;
    if (io.state != Transport::State::done) return;
  }
}

bool Http1Connection::final_head_is_here() {
  Http1HeadScanner scanner;
  auto state = scanner.scan(unread(), max_response_head_bytes);
  if (state == Http1HeadScanner::State::incomplete) return false;
  if (state != Http1HeadScanner::State::complete) return true;  // nonsense: to be reported at once
  auto head = parse_response_head(unread().substr(0, scanner.head_bytes()), "GET");
  return !head || head->status >= 200;
}

Result<void> Http1Connection::send(std::string_view bytes, Instant deadline) {
  while (!bytes.empty() && !early_answer_) {
    if (transport_->interrupted()) return fail(Code::canceled, "context canceled");
    Transport::Io io = transport_->try_write(bytes);
    if (io.state == Transport::State::done) {
      bytes.remove_prefix(io.bytes);
      sent_bytes_ += io.bytes;
      continue;
    }
    if (io.state == Transport::State::blocked) {
      bool listen = !ended_ && in_.size() - taken_ < max_early_answer_bytes;
      short events = wait_ready(transport_->fd(), static_cast<short>(io.wait_for | (listen ? POLLIN : 0)), deadline);
      if (events == 0) return fail(Code::timeout, "i/o timeout");
      if ((events & ~POLLOUT) == 0) continue;
    }
    take_early_answer();
    early_answer_ = final_head_is_here();
    if (early_answer_ || (io.state == Transport::State::blocked && !ended_)) continue;
    // What the peer said before it closed (a TLS alert) tells more than that the pipe is broken.
    if (!broken_.message.empty() && (io.state != Transport::State::failed || broken_.message.starts_with("remote error")))
      return std::unexpected(broken_);
    return std::unexpected(io.state == Transport::State::failed ? std::move(io.error) : Error{Code::unavailable, "EOF"});
  }
  return {};
}

Result<Http1ResponseHead> Http1Connection::read_head(std::string_view method, Instant deadline) {
  for (;;) {
    auto state = scanner_.scan(unread(), max_response_head_bytes);
    if (state == Http1HeadScanner::State::too_large)
      return fail(Code::too_large, fmt::format("net/http: server response headers exceeded {} bytes; aborted", max_response_head_bytes));
    if (state == Http1HeadScanner::State::bad)
      return fail(Code::unavailable, "net/http: HTTP/1.x transport connection broken: malformed HTTP response");
    if (state == Http1HeadScanner::State::complete) {
      auto head = parse_response_head(unread().substr(0, scanner_.head_bytes()), method);
      taken_ += scanner_.head_bytes();
      scanner_.reset();
      if (!head) return fail(Code::unavailable, fmt::format("net/http: HTTP/1.x transport connection broken: {}", head.error().message));
      return std::move(*head);
    }
    auto more = receive(deadline);
    if (!more) return std::unexpected(more.error());
    if (*more) continue;
    if (!broken_.message.empty()) return std::unexpected(broken_);
    return fail(Code::unavailable, received_bytes_ == 0 ? "EOF" : "unexpected EOF");
  }
}

Result<void> Http1Connection::begin(std::string_view head, std::string_view body, Instant deadline) {
  sent_bytes_ = received_bytes_ = 0;
  body_done_ = keep_alive_ = early_answer_ = false;
  scanner_.reset();
  auto sent = send(head, deadline);
  return sent ? send(body, deadline) : sent;
}

Result<Http1ResponseHead> Http1Connection::exchange(std::string_view head, std::string_view body, std::string_view method,
                                                    Instant deadline) {
  if (auto sent = begin(head, body, deadline); !sent) return std::unexpected(sent.error());
  if (!early_answer_ && unread().empty() && !ended_) transport_->await(deadline);
  return finish(method, deadline);
}

Result<Http1ResponseHead> Http1Connection::finish(std::string_view method, Instant deadline) {
  for (std::size_t interim = 0; interim < max_interim_answers; ++interim) {
    auto answer = read_head(method, deadline);
    if (!answer) return answer;
    if (answer->status < 200 && answer->status != 101) continue;
    kind_ = answer->body;
    left_ = answer->content_length;
    chunked_ = ChunkedDecoder();
    body_done_ = kind_ == BodyKind::none || (kind_ == BodyKind::length && left_ == 0);
    keep_alive_ = answer->keep_alive && answer->status != 101 && !early_answer_;
    return answer;
  }
  return fail(Code::unavailable, "net/http: too many 1xx informational responses");
}

// Moves what has been received into `out`.
Result<void> Http1Connection::decode(std::string& out) {
  std::string_view bytes = unread();
  if (kind_ == BodyKind::chunked) {
    auto state = chunked_.feed(bytes, out);
    taken_ = in_.size() - bytes.size();
    if (state == ChunkedDecoder::State::bad)
      return fail(Code::unavailable, fmt::format("malformed chunked encoding: {}", chunked_.error()));
    body_done_ = state == ChunkedDecoder::State::done;
    return {};
  }
  if (kind_ == BodyKind::length) bytes = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), left_)));
  out.append(bytes);
  taken_ += bytes.size();
  if (kind_ == BodyKind::length) {
    left_ -= bytes.size();
    body_done_ = left_ == 0;
  }
  return {};
}

Result<void> Http1Connection::read_body(std::string& out, Instant deadline) {
  const std::size_t before = out.size();
  while (!body_done_) {
    if (auto decoded = decode(out); !decoded) return decoded;
    if (out.size() > before || body_done_) break;
    auto more = receive(deadline);
    if (!more) return std::unexpected(more.error());
    if (*more) continue;
    if (!broken_.message.empty()) return std::unexpected(broken_);
    if (kind_ != BodyKind::until_close) return fail(Code::unavailable, "unexpected EOF");
    body_done_ = true;
  }
  return {};
}

Result<std::string> Http1Connection::read_raw(Instant deadline) {
  if (taken_ == in_.size()) {
    auto more = receive(deadline);
    if (!more) return std::unexpected(more.error());
    if (!*more) return std::string();
  }
  std::string out(unread());
  taken_ = in_.size();
  drop_taken();
  return out;
}

}  // namespace kybern::net
