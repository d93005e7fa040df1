// HTTP/2 on a connection, by nghttp2: streams, flow control and header compression are its; this carries requests to
// handlers and answers back, and bounds what a peer can make the server do.
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/log.h"
#include "net/http1.h"
#include "net/server/http1_response.h"
#include "net/server/request_frame.h"
#include "net/server/server_core.h"
#include "net/server/session.h"

namespace kybern::net {
namespace {

constexpr std::int32_t connection_window_bytes = 1 << 20;
constexpr std::uint32_t stream_window_bytes = 256 << 10;
constexpr double reset_burst = 800, resets_per_second = 33;  // streams that a peer may open and cancel; nghttp2 stops at 1000
constexpr std::size_t handlers_per_stream_slot = 4;          // handlers of canceled streams may still run, up to this
constexpr Duration longest_look = std::chrono::seconds(5);
constexpr Duration drain_time = std::chrono::seconds(1);  // for the rest of a request that is answered already,
constexpr std::size_t max_drain_bytes = 4 << 20;          // or so much of it: then the stream is reset

class Http2Session;

// One request and its answer. Owned by nghttp2's stream (user data) and the session's list.
struct Http2Stream final : StreamOwner {
  Http2Stream(Http2Session& session, std::int32_t id) : session(session), id(id) {}
  void on_core_ready(StreamCore& ready) override;

  Http2Session& session;
  Http2Stream* next = nullptr;
  Http2Stream** link = nullptr;
  std::shared_ptr<StreamCore> core;     // from the dispatch on
  std::unique_ptr<RequestFrame> frame;  // until then
  Instant since;                        // receiving: the deadline; sending: the last progress
  const std::int32_t id;
  std::uint32_t header_bytes = 0;
  std::uint16_t header_fields = 0;
  bool receiving = false;  // counted in the session's busy_
  bool sending = false;    // bytes may wait for the peer; counted too
  bool submitted = false;  // the head is with nghttp2
  bool refused = false;    // the server has answered for the handler; what still comes is dropped
  bool too_large = false;  // the head
  bool head_done = false;
  bool half_closed = false;  // the peer's side
  bool draining = false;     // answered before the request was whole; counted in busy_
  std::size_t drained_bytes = 0;
};

class Http2Session final : public Session {
 public:
  explicit Http2Session(Connection& connection);
  ~Http2Session() override;

  void on_bytes(std::string_view bytes) override;
  void on_eof() override { connection_.kill(); }
  void fill() override;
  void on_sent() override {}
  void on_deadline(Instant now) override;
  void on_gone() override;
  bool idle() const override { return stream_count_ == 0; }
  void stop() override;
  void on_ready(Http2Stream& stream);

 private:
  friend struct Callbacks;
  const ServerOptions& options() { return connection_.server().options(); }
  Instant now() { return connection_.server().reactor().now(); }

  int begin_stream(std::int32_t id);
  void add_header(Http2Stream& stream, std::string_view name, std::string_view value);
  void store_header(Http2Stream& stream, std::string_view name, std::string_view value);
  void end_head(Http2Stream& stream, bool end_stream);
  void add_body(Http2Stream& stream, std::string_view bytes);
  int dispatch(Http2Stream& stream);
  void refuse(Http2Stream& stream, int status, std::string_view message);
  void submit(Http2Stream& stream, ResponseHead head);
  ssize_t read_body(Http2Stream& stream, char* out, std::size_t bytes, std::uint32_t& flags);
  void end_sent(Http2Stream& stream);
  void close_stream(Http2Stream& stream);
  int count_reset();
  void leave_receiving(Http2Stream& stream);
  void set_sending(Http2Stream& stream, bool sending);
  void set_deadline();
  Duration look_interval();
  void look_at(Http2Stream& stream, Instant now);
  void finish_goaway();

  Connection& connection_;
  nghttp2_session* session_ = nullptr;
  Http2Stream* streams_ = nullptr;
  std::size_t stream_count_ = 0;
  std::size_t busy_ = 0;  // streams with something that can be late
  std::shared_ptr<std::atomic<std::size_t>> handlers_ = std::make_shared<std::atomic<std::size_t>>(0);
  double reset_tokens_ = reset_burst;
  Instant reset_counted_;
  bool stopping_ = false, goaway_final_ = false;
  bool gone_ = false, broken_ = false;
  bool greeted_ = false;  // the peer has sent its settings
  bool looking_ = false;  // the deadline is for looking at late streams
};

std::string_view view(const std::uint8_t* bytes, std::size_t count) { return {reinterpret_cast<const char*>(bytes), count}; }

void Http2Stream::on_core_ready(StreamCore&) { session.on_ready(*this); }

// nghttp2 calls these from within on_bytes() and fill().
struct Callbacks {
  static Http2Session& self(void* user_data) { return *static_cast<Http2Session*>(user_data); }
  static Http2Stream* stream_of(nghttp2_session* session, std::int32_t id) {
    return static_cast<Http2Stream*>(::nghttp2_session_get_stream_user_data(session, id));
  }

  static int begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    return self(user_data).begin_stream(frame->hd.stream_id);
  }

  static int header(nghttp2_session* session, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_bytes,
                    const std::uint8_t* value, std::size_t value_bytes, std::uint8_t, void* user_data) {
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (Http2Stream* stream = stream_of(session, frame->hd.stream_id)) {
      self(user_data).add_header(*stream, view(name, name_bytes), view(value, value_bytes));
    }
    return 0;
  }

  static int frame_received(nghttp2_session* session, const nghttp2_frame* frame, void* user_data) {
    Http2Session& s = self(user_data);
    bool end_stream = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
      case NGHTTP2_DATA: {
        Http2Stream* stream = stream_of(session, frame->hd.stream_id);
        if (!stream) return 0;
        stream->half_closed = stream->half_closed || end_stream;
        if (!stream->head_done) {
          s.end_head(*stream, end_stream);
          if (!end_stream || stream->refused) return 0;
        }
        return end_stream ? s.dispatch(*stream) : 0;
      }
      case NGHTTP2_SETTINGS: s.greeted_ = true; return 0;
      case NGHTTP2_RST_STREAM: return s.count_reset();
      case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) && s.stopping_) s.finish_goaway();
        return 0;
      default: return 0;
    }
  }

  static int data_chunk(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* data, std::size_t bytes,
                        void* user_data) {
    if (Http2Stream* stream = stream_of(session, id)) self(user_data).add_body(*stream, view(data, bytes));
    return 0;
  }

  static int frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user_data) {
    bool carries_end = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (!carries_end || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
    if (Http2Stream* stream = stream_of(session, frame->hd.stream_id)) self(user_data).end_sent(*stream);
    return 0;
  }

  static int stream_closed(nghttp2_session* session, std::int32_t id, std::uint32_t, void* user_data) {
    if (Http2Stream* stream = stream_of(session, id)) self(user_data).close_stream(*stream);
    return 0;
  }

  static ssize_t read_body(nghttp2_session*, std::int32_t, std::uint8_t* out, std::size_t bytes, std::uint32_t* flags,
                           nghttp2_data_source* source, void* user_data) {
    return self(user_data).read_body(*static_cast<Http2Stream*>(source->ptr), reinterpret_cast<char*>(out), bytes, *flags);
  }

  static const nghttp2_session_callbacks* table() {
    static const nghttp2_session_callbacks* made = [] {
      nghttp2_session_callbacks* callbacks = nullptr;
      KYBERN_CHECK(::nghttp2_session_callbacks_new(&callbacks) == 0, "memory for a table");
      ::nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, begin_headers);
      ::nghttp2_session_callbacks_set_on_header_callback(callbacks, header);
      ::nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame_received);
      ::nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data_chunk);
      ::nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, frame_sent);
      ::nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, stream_closed);
      return callbacks;
    }();
    return made;
  }

  static const nghttp2_option* options() {
    static const nghttp2_option* made = [] {
      nghttp2_option* option = nullptr;
      KYBERN_CHECK(::nghttp2_option_new(&option) == 0, "memory for options");
      ::nghttp2_option_set_no_closed_streams(option, 1);
      return option;
    }();
    return made;
  }
};

Http2Session::Http2Session(Connection& connection) : connection_(connection), reset_counted_(now()) {
  KYBERN_CHECK(::nghttp2_session_server_new2(&session_, Callbacks::table(), this, Callbacks::options()) == 0, "memory for a session");
  const std::array<nghttp2_settings_entry, 3> settings{{
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, static_cast<std::uint32_t>(options().max_concurrent_streams)},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, stream_window_bytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(std::min<std::size_t>(options().max_header_bytes, 1u << 30))},
  }};
  ::nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  ::nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, connection_window_bytes);
  connection_.set_deadline(now() + options().header_timeout);  // for the preface
  connection_.want_flush();
}

Http2Session::~Http2Session() {
  on_gone();
  ::nghttp2_session_del(session_);
}

// ---- bytes

void Http2Session::on_bytes(std::string_view bytes) {
  if (broken_) return;
  ssize_t taken = ::nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (taken == NGHTTP2_ERR_BAD_CLIENT_MAGIC || taken == NGHTTP2_ERR_NOMEM) return connection_.kill();
  if (taken < 0) broken_ = true;  // what explains it to the peer is sent still
  connection_.want_flush();
}

void Http2Session::fill() {
  OutputQueue& out = connection_.out();
  while (out.bytes() < Connection::out_high_bytes) {
    const std::uint8_t* data = nullptr;
    ssize_t bytes = ::nghttp2_session_mem_send(session_, &data);
    if (bytes < 0) return connection_.kill();
    if (bytes == 0) break;
    out.append(view(data, static_cast<std::size_t>(bytes)));
  }
  set_deadline();
  bool over = !::nghttp2_session_want_read(session_) && !::nghttp2_session_want_write(session_);
  bool stopped = goaway_final_ && stream_count_ == 0 && !::nghttp2_session_want_write(session_);
  if (over || stopped || broken_) connection_.close_when_sent();
}

// ---- requests

int Http2Session::begin_stream(std::int32_t id) {
  auto* stream = new Http2Stream(*this, id);
  stream->next = streams_;
  stream->link = &streams_;
  if (streams_) streams_->link = &stream->next;
  streams_ = stream;
  ++stream_count_;
  stream->frame = std::make_unique<RequestFrame>();
  stream->receiving = true;
  stream->since = now() + options().header_timeout;
  ++busy_;
  ::nghttp2_session_set_stream_user_data(session_, id, stream);
  return 0;
}

// Counted as HTTP/2 counts a header list: 32 bytes for each field besides its text.
void Http2Session::add_header(Http2Stream& stream, std::string_view name, std::string_view value) {
  if (stream.too_large || !stream.frame) return;
  stream.header_bytes += static_cast<std::uint32_t>(name.size() + value.size() + 32);
  if (stream.header_bytes > options().max_header_bytes || ++stream.header_fields > max_header_fields) {
    stream.too_large = true;
    stream.frame->request.headers = Headers();
    return;
  }
  store_header(stream, name, value);
}

void Http2Session::store_header(Http2Stream& stream, std::string_view name, std::string_view value) {
  Request& request = stream.frame->request;
  if (name.empty() || name[0] != ':') {
    if (name == "cookie") {  // the crumbs of one field may come apart (RFC 9113 section 8.2.3)
      if (auto before = request.headers.find("cookie")) {
        request.headers.set("cookie", std::string(*before).append("; ").append(value));
        return;
      }
    }
    if (name == "host" && request.headers.find("host")) return;  // :authority came first and counts
    request.headers.add(name, value);
  } else if (name == ":method") {
    request.method = std::string(value);
  } else if (name == ":path") {
    std::size_t mark = value.find('?');
    request.path = std::string(value.substr(0, mark));
    if (mark != std::string_view::npos) request.query = std::string(value.substr(mark + 1));
  } else if (name == ":authority") {
    request.headers.add("host", value);
  }
}

void Http2Session::end_head(Http2Stream& stream, bool end_stream) {
  stream.head_done = true;
  if (!stream.frame) return;
  if (stream.too_large) return refuse(stream, 431, "request head too large");
  Request& request = stream.frame->request;
  bool good_path = !request.path.empty() && (request.path[0] == '/' || (request.path == "*" && request.method == "OPTIONS"));
  if (!good_path || !valid_escapes(request.path) || request.method == "CONNECT") return refuse(stream, 400, "invalid request target");
  if (end_stream) return;
  RequestFrame& frame = *stream.frame;
  frame.limit_bytes = connection_.server().body_limit(request);
  // The head waits for the body, and may be far larger than what was sent of it.
  if (!connection_.server().reserve_body(stream.header_bytes)) return refuse(stream, 503, "too many request bodies are being received");
  frame.reserved_bytes = frame.timed_bytes = stream.header_bytes;
  stream.since = now() + options().body_timeout;
  if (auto length = request.headers.find("content-length")) {
    bool fits = length->size() <= 18 && std::all_of(length->begin(), length->end(), [](char c) { return c >= '0' && c <= '9'; }) &&
                !length->empty() && std::stoull(std::string(*length)) <= frame.limit_bytes;
    if (!fits) return refuse(stream, 413, too_large_message(frame.limit_bytes));
  }
  if (request.headers.get("expect") == "100-continue") {
    std::string name = ":status", value = "100";
    nghttp2_nv field{reinterpret_cast<std::uint8_t*>(name.data()), reinterpret_cast<std::uint8_t*>(value.data()), name.size(), value.size(),
                     0};
    ::nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream.id, nullptr, &field, 1, nullptr);
  }
}

void Http2Session::add_body(Http2Stream& stream, std::string_view bytes) {
  if (!stream.frame) {
    stream.drained_bytes += bytes.size();
    if (stream.drained_bytes > max_drain_bytes) ::nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id, NGHTTP2_NO_ERROR);
    return;
  }
  RequestFrame& frame = *stream.frame;
  if (frame.request.body.size() + bytes.size() > frame.limit_bytes) return refuse(stream, 413, too_large_message(frame.limit_bytes));
  if (!connection_.server().reserve_body(bytes.size())) return refuse(stream, 503, "too many request bodies are being received");
  frame.reserved_bytes += bytes.size();
  frame.request.body.append(bytes);
  if (frame.timed_bytes + body_time_bytes <= frame.reserved_bytes) {
    frame.timed_bytes = frame.reserved_bytes;
    stream.since = now() + options().body_timeout;
  }
}

void Http2Session::leave_receiving(Http2Stream& stream) {
  if (stream.frame) connection_.server().release_body(stream.frame->reserved_bytes);
  stream.frame.reset();
  if (stream.receiving) --busy_;
  stream.receiving = false;
}

int Http2Session::dispatch(Http2Stream& stream) {
  if (!stream.frame || gone_) return 0;
  if (handlers_->load(std::memory_order_relaxed) >= handlers_per_stream_slot * options().max_concurrent_streams) {
    log_warn("net", "a peer cancels requests faster than they are handled", {{"peer", connection_.remote_address()}});
    ::nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
    return 0;
  }
  AnswerForm form;
  form.http2 = true;
  form.head_request = stream.frame->request.method == "HEAD";
  Request request = std::move(stream.frame->request);
  leave_receiving(stream);
  fill_connection_facts(request, connection_);
  form.flow = connection_.server().flow_of(request);
  connection_.set_flow(form.flow);
  stream.core = std::make_shared<StreamCore>(connection_.server().runtime(), form);
  stream.core->attach(stream);
  connection_.server().dispatch(std::make_shared<ServerExchange>(std::move(request), stream.core, handlers_));
  return 0;
}

void Http2Session::refuse(Http2Stream& stream, int status, std::string_view message) {
  AnswerForm form;
  form.http2 = true;
  form.head_request = stream.frame && stream.frame->request.method == "HEAD";
  leave_receiving(stream);
  stream.refused = true;
  stream.core = std::make_shared<StreamCore>(connection_.server().runtime(), form);
  stream.core->attach(stream);
  stream.core->respond(connection_.server().refusal(status, message));
}

// A peer may cancel what it likes, but opening and canceling streams as fast as it can is an attack (CVE-2023-44487).
int Http2Session::count_reset() {
  double passed = std::chrono::duration<double>(now() - reset_counted_).count();
  reset_counted_ = now();
  reset_tokens_ = std::min(reset_burst, reset_tokens_ + passed * resets_per_second) - 1;
  if (reset_tokens_ < 0) {
    log_warn("net", "a peer resets streams too fast", {{"peer", connection_.remote_address()}});
    ::nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
  }
  return 0;
}

// ---- answers

void Http2Session::set_sending(Http2Stream& stream, bool sending) {
  if (sending && !stream.sending) stream.since = now();
  if (stream.sending != sending) busy_ += sending ? 1 : std::size_t(-1);
  stream.sending = sending;
}

void Http2Session::on_ready(Http2Stream& stream) {
  StreamCore::State state = stream.core->state();
  if (state.aborted) {
    set_sending(stream, false);
    ::nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id, NGHTTP2_INTERNAL_ERROR);
  } else if (!stream.submitted) {
    if (auto head = stream.core->take_head()) submit(stream, std::move(*head));
  } else if (!stream.sending && (!state.empty || state.finished)) {
    set_sending(stream, true);
    ::nghttp2_session_resume_data(session_, stream.id);
  }
  connection_.want_flush();
}

// A header as HTTP/2 may carry it. The texts stay where they are.
nghttp2_nv to_field(std::string_view name, std::string_view value) {
  auto bytes = [](std::string_view text) { return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data())); };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

void Http2Session::submit(Http2Stream& stream, ResponseHead head) {
  std::string status = std::to_string(head.status);
  std::vector<nghttp2_nv> fields;
  fields.reserve(head.headers.fields().size() + 2);
  fields.push_back(to_field(":status", status));
  bool dated = false;
  for (const auto& [name, value] : head.headers.fields()) {
    if (name == "connection" && list_contains(value, "close")) stop();
    if (name == "connection" || name == "transfer-encoding" || name == "keep-alive" || name == "proxy-connection" || name == "upgrade")
      continue;
    if (!is_token(name) || !is_field_value(value)) continue;
    dated = dated || name == "date";
    fields.push_back(to_field(name, value));
  }
  std::string date(http_date());
  if (!dated) fields.push_back(to_field("date", date));
  StreamCore::State state = stream.core->state();
  nghttp2_data_provider body{};
  body.source.ptr = &stream;
  body.read_callback = Callbacks::read_body;
  bool bodiless = state.finished && state.empty;
  stream.submitted = true;
  if (!bodiless) set_sending(stream, true);
  ::nghttp2_submit_response(session_, stream.id, fields.data(), fields.size(), bodiless ? nullptr : &body);
}

ssize_t Http2Session::read_body(Http2Stream& stream, char* out, std::size_t bytes, std::uint32_t& flags) {
  bool at_end = false;
  std::size_t count = stream.core->read(out, bytes, at_end);
  if (at_end) {
    flags |= NGHTTP2_DATA_FLAG_EOF;
    set_sending(stream, false);
    return static_cast<ssize_t>(count);
  }
  if (count == 0) {
    set_sending(stream, false);
    return NGHTTP2_ERR_DEFERRED;
  }
  stream.since = now();
  return static_cast<ssize_t>(count);
}

// The answer is out. When the request is not whole yet, its sender is told that the rest is not wanted; but not at once:
// some clients (curl 7.88) forget an answer when the reset comes right behind it.
void Http2Session::end_sent(Http2Stream& stream) {
  if (stream.half_closed || stream.draining) return;
  stream.draining = true;
  stream.since = now() + drain_time;
  ++busy_;
}

void Http2Session::close_stream(Http2Stream& stream) {
  *stream.link = stream.next;
  if (stream.next) stream.next->link = stream.link;
  --stream_count_;
  leave_receiving(stream);
  set_sending(stream, false);
  if (stream.draining) --busy_;
  if (stream.core) {
    stream.core->detach();
    stream.core->close();
  }
  ::nghttp2_session_set_stream_user_data(session_, stream.id, nullptr);
  delete &stream;
}

// ---- time and ends

Duration Http2Session::look_interval() {
  Duration shortest = std::min({Duration(options().body_timeout), Duration(options().write_timeout), Duration(options().header_timeout)});
  return std::clamp(shortest / 4, Duration(TimerWheel::tick), longest_look);
}

void Http2Session::set_deadline() {
  if (!greeted_) return;
  if (stream_count_ == 0) {
    looking_ = false;
    connection_.set_deadline(now() + (stopping_ ? options().header_timeout : options().idle_timeout));
  } else if (busy_ == 0) {
    looking_ = false;
    connection_.set_deadline(std::nullopt);
  } else if (!looking_) {  // not put off by whatever else happens on the connection
    looking_ = true;
    connection_.set_deadline(now() + look_interval());
  }
}

void Http2Session::look_at(Http2Stream& stream, Instant now) {
  if (stream.receiving && now >= stream.since) {
    if (stream.head_done) return refuse(stream, 408, "the request did not come in time");
    ::nghttp2_session_terminate_session(session_, NGHTTP2_NO_ERROR);  // a head that does not end blocks all others
  } else if (stream.draining && now >= stream.since) {
    ::nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id, NGHTTP2_NO_ERROR);
  } else if (stream.sending && now >= stream.since + options().write_timeout) {
    set_sending(stream, false);
    ::nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id, NGHTTP2_CANCEL);
  }
}

void Http2Session::on_deadline(Instant now) {
  looking_ = false;
  if (!greeted_) return connection_.kill();
  if (stream_count_ == 0) {
    if (stopping_) finish_goaway();  // the peer did not answer the ping
    stop();
  }
  for (Http2Stream* stream = streams_; stream;) {
    Http2Stream* next = stream->next;
    look_at(*stream, now);
    stream = next;
  }
  connection_.want_flush();
}

// In two steps, so that no request on its way is lost: first the peer learns that no more are wanted; when its answer to a
// ping shows that it has read that, the last stream that will be served is named.
void Http2Session::stop() {
  if (gone_) return;
  for (Http2Stream* stream = streams_; stream && connection_.server().stopping(); stream = stream->next) {
    if (stream->core) stream->core->server_stops();
  }
  connection_.want_flush();
  if (stopping_) return;
  stopping_ = true;
  ::nghttp2_submit_shutdown_notice(session_);
  ::nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr);
}

void Http2Session::finish_goaway() {
  if (goaway_final_) return;
  goaway_final_ = true;
  ::nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, ::nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR, nullptr, 0);
  connection_.want_flush();
}

void Http2Session::on_gone() {
  if (gone_) return;
  gone_ = true;
  while (streams_) close_stream(*streams_);
}

}  // namespace

std::unique_ptr<Session> make_http2_session(Connection& connection) { return std::make_unique<Http2Session>(connection); }

}  // namespace kybern::net
