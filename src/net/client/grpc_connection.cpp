#include "net/client/grpc_connection.h"

#include <fmt/format.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

#include "base/check.h"
#include "base/strings.h"

namespace kybern::net {
namespace {

constexpr std::int32_t stream_window_bytes = 4 << 20;  // what a peer may send of one call before it is read
constexpr std::int32_t connection_window_bytes = 64 << 20;
constexpr std::size_t max_queued_bytes = 1 << 20;  // of messages not read yet, before the peer has to wait
constexpr std::size_t max_unsent_bytes = 1 << 20;  // of messages not sent yet, before write() waits
constexpr std::size_t read_bytes = 64 << 10;
constexpr std::size_t output_bytes = 64 << 10;  // made ahead for one write

nghttp2_nv field(std::string_view name, std::string_view value, std::uint8_t flags) {
  auto bytes = [](std::string_view text) { return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data())); };
  return {bytes(name), bytes(value), name.size(), value.size(), flags};
}

}  // namespace

// What nghttp2 calls. All run with the connection's mutex held, from process() or flush().
struct GrpcCallbacks {
  static GrpcConnection& self(void* user) { return *static_cast<GrpcConnection*>(user); }
  static GrpcCall* call_of(nghttp2_session* session, std::int32_t id) {
    return static_cast<GrpcCall*>(nghttp2_session_get_stream_user_data(session, id));
  }

  static int header(nghttp2_session* session, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
                    const std::uint8_t* value, std::size_t value_size, std::uint8_t, void*) {
    GrpcCall* call = call_of(session, frame->hd.stream_id);
    if (call == nullptr || call->done) return 0;
    std::string_view key(reinterpret_cast<const char*>(name), name_size), text(reinterpret_cast<const char*>(value), value_size);
    if (key == ":status") call->http_status = static_cast<int>(parse_int(text).value_or(0));
    else if (key == "content-type")
      call->is_grpc = text == "application/grpc" || text.starts_with("application/grpc+") || text.starts_with("application/grpc;");
    else if (key == "grpc-status")
      call->grpc_code = static_cast<int>(std::clamp<std::int64_t>(parse_int(text).value_or(grpc_unknown), 0, 1000));
    else if (key == "grpc-message") call->grpc_text = text;
    return 0;
  }

  static int frame_received(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_GOAWAY) self(user).draining_ = true;
    bool ends = (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    GrpcCall* call = ends ? call_of(session, frame->hd.stream_id) : nullptr;
    if (call == nullptr || call->done) return 0;
    self(user).end_by_status(*call);
    // The server has spoken its last word; what we would still say is of no interest to it.
    if (!call->out_ended || call->out_taken < call->out.size())
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, call->id, NGHTTP2_CANCEL);
    return 0;
  }

  // Just before the frame becomes bytes of the output.
  static int frame_leaves(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (GrpcCall* call = call_of(session, frame->hd.stream_id)) call->start_offset = self(user).produced_bytes_;
    return 0;
  }

  static int data_received(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* data, std::size_t size,
                           void* user) {
    nghttp2_session_consume_connection(session, size);
    GrpcCall* call = call_of(session, id);
    if (call == nullptr || call->done) {
      nghttp2_session_consume_stream(session, id, size);
      return 0;
    }
    self(user).take_data(*call, {reinterpret_cast<const char*>(data), size});
    return 0;
  }

  static int stream_closed(nghttp2_session*, std::int32_t id, std::uint32_t error, void* user) {
    GrpcConnection& connection = self(user);
    auto found = connection.calls_.find(id);
    if (found == connection.calls_.end()) return 0;
    std::shared_ptr<GrpcCall> call = std::move(found->second);
    connection.calls_.erase(found);
    if (call->done) return 0;
    if (error == NGHTTP2_NO_ERROR) connection.end_call(*call, Error{Code::internal, "server closed the stream without sending trailers"});
    else connection.end_call(*call, grpc_error(grpc_status_of_reset(error)), error == NGHTTP2_REFUSED_STREAM);
    return 0;
  }

  static ssize_t read_output(nghttp2_session* session, std::int32_t id, std::uint8_t* to, std::size_t size, std::uint32_t* flags,
                             nghttp2_data_source*, void*) {
    GrpcCall* call = call_of(session, id);
    if (call == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    std::size_t unsent = call->out.size() - call->out_taken, count = std::min(size, unsent);
    std::memcpy(to, call->out.data() + call->out_taken, count);
    call->out_taken += count;
    bool empty = call->out_taken == call->out.size();
    if (empty) {
      call->out.clear();
      call->out_taken = 0;
      if (call->out_ended) *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    if (unsent >= max_unsent_bytes && unsent - count < max_unsent_bytes) call->changed.notify_all();
    if (count == 0 && !call->out_ended) {
      call->out_waiting = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    return static_cast<ssize_t>(count);
  }
};

Result<std::unique_ptr<GrpcConnection>> GrpcConnection::connect(const Endpoint& endpoint, const ClientTlsContext* tls, Instant deadline) {
  auto transport = Transport::connect(endpoint, tls, deadline);
  if (!transport) return std::unexpected(transport.error());
  std::unique_ptr<GrpcConnection> connection(new GrpcConnection(std::move(*transport), endpoint));
  connection->wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (connection->wake_fd_ < 0) return fail(Code::unavailable, fmt::format("eventfd: {}", error_text(errno)));
  {
    std::lock_guard lock(connection->mutex_);
    KYBERN_CHECK(connection->open_session(), "memory for an HTTP/2 session");
    connection->flush();
  }
  try {
    connection->thread_ = std::thread([raw = connection.get()] { raw->run(); });
  } catch (const std::system_error& error) { return fail(Code::unavailable, fmt::format("cannot start a thread: {}", error.what())); }
  return connection;
}

GrpcConnection::GrpcConnection(std::unique_ptr<Transport> transport, const Endpoint& endpoint)
    : transport_(std::move(transport)), authority_(endpoint.authority), tls_(endpoint.tls) {}

GrpcConnection::~GrpcConnection() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    if (!dead_ && session_ != nullptr) {
      nghttp2_session_terminate_session(session_, NGHTTP2_NO_ERROR);
      flush();
    }
  }
  if (thread_.joinable()) {
    wake();
    thread_.join();
  }
  nghttp2_session_del(session_);
  if (wake_fd_ >= 0) close(wake_fd_);
}

bool GrpcConnection::open_session() {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_option* option = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0) return false;
  nghttp2_session_callbacks_set_on_header_callback(callbacks, GrpcCallbacks::header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, GrpcCallbacks::frame_received);
  nghttp2_session_callbacks_set_before_frame_send_callback(callbacks, GrpcCallbacks::frame_leaves);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, GrpcCallbacks::data_received);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, GrpcCallbacks::stream_closed);
  nghttp2_option_set_no_auto_window_update(option, 1);
  int made = nghttp2_session_client_new2(&session_, callbacks, this, option);
  nghttp2_option_del(option);
  nghttp2_session_callbacks_del(callbacks);
  if (made != 0) return false;
  nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, stream_window_bytes}};
  return nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings)) == 0 &&
         nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, connection_window_bytes) == 0;
}

bool GrpcConnection::usable() {
  std::lock_guard lock(mutex_);
  return !dead_ && !draining_ && !write_error_ && !stopping_ && nghttp2_session_check_request_allowed(session_) != 0;
}

// The thread: reads, and writes what callers could not.

void GrpcConnection::run() {
  std::string buffer(read_bytes, '\0');
  {
    std::lock_guard lock(mutex_);
    runner_ = std::this_thread::get_id();
  }
  for (;;) {
    short events = POLLIN;
    {
      std::lock_guard lock(mutex_);
      if (dead_) return;
      if (stopping_) return die({Code::canceled, "grpc: the client connection is closing"});
      if (socket_full_) events |= POLLOUT;
    }
    pollfd fds[] = {{transport_->fd(), events, 0}, {wake_fd_, POLLIN, 0}};
    if (poll(fds, 2, -1) < 0 && errno != EINTR) return die({Code::unavailable, "poll: " + error_text(errno)});
    if (fds[1].revents != 0) {
      std::uint64_t count;
      [[maybe_unused]] ssize_t taken = ::read(wake_fd_, &count, sizeof count);
    }
    Transport::Io io = transport_->try_read(buffer.data(), buffer.size());
    std::lock_guard lock(mutex_);
    if (io.state == Transport::State::done) process({buffer.data(), io.bytes});
    else if (io.state == Transport::State::closed) die({Code::unavailable, "error reading from server: EOF"});
    else if (io.state == Transport::State::failed) die({Code::unavailable, "error reading from server: " + io.error.message});
    else if (write_error_) die(*write_error_);
    if (!dead_) flush();
  }
}

void GrpcConnection::process(std::string_view bytes) {
  ssize_t taken = nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (taken < 0) return die({Code::unavailable, fmt::format("http2: {}", nghttp2_strerror(static_cast<int>(taken)))});
  if (nghttp2_session_want_read(session_) == 0 && nghttp2_session_want_write(session_) == 0)
    die({Code::unavailable, "the server closed the connection"});
}

bool GrpcConnection::fill() {
  if (output_taken_ == output_.size()) {
    output_.clear();
    output_taken_ = 0;
  }
  while (output_.size() - output_taken_ < output_bytes) {
    const std::uint8_t* data = nullptr;
    ssize_t size = nghttp2_session_mem_send(session_, &data);
    if (size < 0) {
      write_error_ = Error{Code::unavailable, fmt::format("http2: {}", nghttp2_strerror(static_cast<int>(size)))};
      break;
    }
    if (size == 0) break;
    output_.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
    produced_bytes_ += static_cast<std::uint64_t>(size);
  }
  return output_taken_ < output_.size();
}

void GrpcConnection::flush() {
  socket_full_ = false;
  while (!dead_ && !write_error_ && fill() && !write_error_) {
    Transport::Io io = transport_->try_write(std::string_view(output_).substr(output_taken_));
    if (io.state == Transport::State::done) {
      output_taken_ += io.bytes;
      written_bytes_ += io.bytes;
    } else if (io.state == Transport::State::blocked) {
      socket_full_ = true;
      if (std::this_thread::get_id() != runner_) wake();  // it must wait for room from now on
      return;
    } else {
      write_error_ = Error{Code::unavailable,
                           "error writing to server: " + (io.state == Transport::State::failed ? io.error.message : std::string("EOF"))};
    }
  }
  if (write_error_) wake();
}

void GrpcConnection::wake() {
  std::uint64_t one = 1;
  [[maybe_unused]] ssize_t written = ::write(wake_fd_, &one, sizeof one);  // a full counter wakes as well
}

void GrpcConnection::die(Error error) {
  if (dead_) return;
  dead_ = true;
  death_ = std::move(error);
  auto calls = std::move(calls_);
  calls_.clear();
  for (auto& [id, call] : calls) {
    nghttp2_session_set_stream_user_data(session_, id, nullptr);
    if (!call->done) end_call(*call, death_, written_bytes_ <= call->start_offset);
  }
}

// Calls

void GrpcConnection::end_call(GrpcCall& call, std::optional<Error> error, bool unprocessed) {
  call.done = true;
  call.error = std::move(error);
  call.unprocessed = unprocessed;
  call.out.clear();
  call.out_taken = 0;
  call.changed.notify_all();
}

void GrpcConnection::end_by_status(GrpcCall& call) {
  if (call.http_status != 200) return end_call(call, grpc_error(grpc_status_of_http(call.http_status)));
  if (!call.is_grpc) return end_call(call, grpc_error({grpc_unknown, "unexpected content-type of the answer: it is not gRPC"}));
  if (!call.grpc_code) return end_call(call, grpc_error({grpc_internal, "server closed the stream without sending trailers"}));
  if (*call.grpc_code != grpc_ok) return end_call(call, grpc_error({*call.grpc_code, decode_grpc_message(call.grpc_text)}));
  if (!call.assembler.between_messages()) return end_call(call, grpc_error({grpc_internal, "unexpected EOF in a message"}));
  end_call(call, std::nullopt);
}

void GrpcConnection::take_data(GrpcCall& call, std::string_view bytes) {
  call.withheld_bytes += bytes.size();
  if (call.http_status == 200 && call.is_grpc) {
    auto fed = call.assembler.feed(bytes, [&call](std::string message) {
      call.queued_bytes += message.size();
      call.messages.push_back(std::move(message));
      call.changed.notify_all();
    });
    if (!fed) return cancel_locked(call, fed.error());
  }
  give_room(call);
}

// The peer may send again what has been taken off the stream, as long as its reader keeps up. A message that is not
// complete yet always gets room, or a large one could never come.
void GrpcConnection::give_room(GrpcCall& call) {
  if (dead_ || call.withheld_bytes == 0 || call.queued_bytes > max_queued_bytes) return;
  nghttp2_session_consume_stream(session_, call.id, call.withheld_bytes);
  call.withheld_bytes = 0;
}

std::shared_ptr<GrpcCall> GrpcConnection::start(std::string_view method, std::string framed, bool last,
                                                std::optional<std::chrono::milliseconds> timeout, const Headers& metadata) {
  auto call = std::make_shared<GrpcCall>();
  call->out = std::move(framed);
  call->out_ended = last;
  std::string limit = timeout ? grpc_timeout_value(*timeout) : std::string();
  constexpr std::uint8_t named = NGHTTP2_NV_FLAG_NO_COPY_NAME, constant = named | NGHTTP2_NV_FLAG_NO_COPY_VALUE;  // literals
  std::vector<nghttp2_nv> fields = {
      field(":method", "POST", constant),     field(":scheme", tls_ ? "https" : "http", constant), field(":path", method, named),
      field(":authority", authority_, named), field("content-type", "application/grpc", constant), field("user-agent", "kybern", constant),
      field("te", "trailers", constant)};
  if (timeout) fields.push_back(field("grpc-timeout", limit, named));
  for (const auto& [name, value] : metadata.fields()) fields.push_back(field(name, value, NGHTTP2_NV_FLAG_NONE));
  nghttp2_data_provider provider{};
  provider.read_callback = GrpcCallbacks::read_output;
  std::lock_guard lock(mutex_);
  if (dead_ || draining_ || stopping_ || write_error_) {
    end_call(*call, dead_ ? death_ : Error{Code::unavailable, "the connection is draining"}, true);
    return call;
  }
  std::int32_t id = nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(), &provider, call.get());
  if (id < 0) {
    draining_ = true;  // its stream numbers are used up
    end_call(*call, Error{Code::unavailable, fmt::format("http2: {}", nghttp2_strerror(id))}, true);
    return call;
  }
  call->id = id;
  calls_.emplace(id, call);
  flush();
  return call;
}

void GrpcConnection::cancel_locked(GrpcCall& call, Error error) {
  if (call.done) return;
  end_call(call, std::move(error));
  if (dead_) return;
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, call.id, NGHTTP2_CANCEL);
}

void GrpcConnection::cancel(GrpcCall& call) {
  std::lock_guard lock(mutex_);
  bool was_done = call.done;
  cancel_locked(call, {Code::canceled, "context canceled"});
  // Nobody will read what came, not even of a call that has ended.
  call.messages.clear();
  call.queued_bytes = 0;
  if (was_done && !call.error) call.error = Error{Code::canceled, "context canceled"};
  if (!dead_) flush();
}

Result<void> GrpcConnection::wait_done(GrpcCall& call, Instant deadline) {
  Lock lock(mutex_);
  auto done = [&call] { return call.done; };
  if (deadline == no_deadline) {
    call.changed.wait(lock, done);
  } else if (!call.changed.wait_until(lock, deadline, done)) {
    cancel_locked(call, {Code::timeout, "context deadline exceeded"});
    if (!dead_) flush();
  }
  if (call.error) return std::unexpected(*call.error);
  return {};
}

Result<std::string> GrpcConnection::read(GrpcCall& call) {
  Lock lock(mutex_);
  call.changed.wait(lock, [&call] { return call.done || !call.messages.empty(); });
  if (call.messages.empty()) {
    if (call.error) return std::unexpected(*call.error);
    return fail(Code::not_found, "EOF");
  }
  std::string message = std::move(call.messages.front());
  call.messages.pop_front();
  call.queued_bytes -= message.size();
  if (!call.done && call.withheld_bytes > 0) {
    give_room(call);
    if (!dead_) flush();
  }
  return message;
}

Result<void> GrpcConnection::write(GrpcCall& call, std::string framed) {
  Lock lock(mutex_);
  call.changed.wait(lock, [&call] { return call.done || call.out.size() - call.out_taken < max_unsent_bytes; });
  if (call.done) return std::unexpected(call.error.value_or(Error{Code::unavailable, "EOF"}));
  if (call.out_ended) return fail(Code::internal, "SendMsg called after CloseSend");
  if (call.out_taken == call.out.size()) {
    call.out = std::move(framed);
    call.out_taken = 0;
  } else {
    call.out += framed;
  }
  if (std::exchange(call.out_waiting, false)) nghttp2_session_resume_data(session_, call.id);
  flush();
  return {};
}

Result<void> GrpcConnection::finish_writing(GrpcCall& call) {
  std::lock_guard lock(mutex_);
  if (call.done || call.out_ended) return {};
  call.out_ended = true;
  if (std::exchange(call.out_waiting, false)) nghttp2_session_resume_data(session_, call.id);
  flush();
  return {};
}

}  // namespace kybern::net
