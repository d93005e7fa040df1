// HTTP/1.1 on a connection: one exchange at a time, the next request is read when the answer before has been written.
#include <algorithm>
#include <utility>

#include "net/http1.h"
#include "net/server/http1_response.h"
#include "net/server/request_frame.h"
#include "net/server/server_core.h"
#include "net/server/session.h"

namespace kybern::net {
namespace {

constexpr std::size_t max_pipelined_bytes = 64 << 10;  // kept while an exchange is under way; then the peer is not read

class Http1Session final : public Session, public StreamOwner {
 public:
  explicit Http1Session(Connection& connection) : connection_(connection) { connection_.set_deadline(now() + options().header_timeout); }
  ~Http1Session() override { on_gone(); }

  void on_bytes(std::string_view bytes) override;
  void on_eof() override;
  void fill() override;
  void on_sent() override;
  void on_deadline(Instant now) override;
  void on_gone() override;
  bool idle() const override { return step_ == Step::head && !started_ && in_.empty(); }
  void stop() override;
  void on_core_ready(StreamCore& core) override;

 private:
  enum class Step : unsigned char { head, body, exchange, raw, closing };

  const ServerOptions& options() { return connection_.server().options(); }
  Instant now() { return connection_.server().reactor().now(); }
  void process(std::string_view bytes);  // `in_` is empty; what is left over goes there
  void process_buffered();
  void keep(std::string_view bytes);  // for later
  // Answers to pipelined requests are not piled up for a peer that does not read them.
  bool may_begin() { return connection_.out().bytes() < Connection::out_high_bytes; }
  void run(std::string_view& bytes);        // takes what can be taken
  bool take_head(std::string_view& bytes);  // false: more is needed, or the connection closes
  bool take_body(std::string_view& bytes);
  void begin_request(Http1RequestHead head);
  void dispatch();
  void refuse(int status, std::string_view message);
  void on_answered();
  void become_raw();
  void deliver(std::string_view bytes);
  bool grow_body(std::size_t bytes);

  Connection& connection_;
  Http1HeadScanner scanner_;
  std::string in_;                       // received and not used yet,
  std::size_t used_ = 0;                 // behind this many bytes that are
  std::unique_ptr<RequestFrame> frame_;  // while a body is received
  std::shared_ptr<StreamCore> core_;     // while an exchange is under way
  AnswerForm form_;
  Step step_ = Step::head;
  bool peer_ended_ = false;
  bool stopping_ = false;
  bool started_ = false;  // of this request, something has come
};

void Http1Session::on_bytes(std::string_view bytes) {
  switch (step_) {
    case Step::closing: return;
    case Step::raw: return deliver(bytes);
    case Step::exchange: return keep(bytes);
    case Step::head:
      if (!may_begin()) return keep(bytes);
      break;
    case Step::body: break;
  }
  if (in_.empty()) return process(bytes);
  in_.append(bytes);
  process_buffered();
}

void Http1Session::keep(std::string_view bytes) {
  in_.append(bytes);
  if (in_.size() > max_pipelined_bytes) connection_.set_reading(false);
}

void Http1Session::process_buffered() {
  std::string_view bytes = std::string_view(in_).substr(used_);
  run(bytes);
  used_ = in_.size() - bytes.size();
  if (bytes.empty() || step_ == Step::closing) {
    std::string().swap(in_);
    used_ = 0;
  } else if (used_ > in_.size() / 2) {
    in_.erase(0, used_);
    used_ = 0;
  }
}

void Http1Session::process(std::string_view bytes) {
  run(bytes);
  if (!bytes.empty() && step_ != Step::closing) in_.assign(bytes);
}

void Http1Session::run(std::string_view& bytes) {
  while (!bytes.empty() && (step_ == Step::head || step_ == Step::body)) {
    if (!(step_ == Step::head ? take_head(bytes) : take_body(bytes))) return;
  }
}

bool Http1Session::take_head(std::string_view& bytes) {
  if (!started_) {
    started_ = true;
    connection_.set_deadline(now() + options().header_timeout);
  }
  const Http1Limits limits{options().max_header_bytes, max_header_fields};
  switch (scanner_.scan(bytes, limits.max_head_bytes)) {
    case Http1HeadScanner::State::incomplete: return false;
    case Http1HeadScanner::State::bad: refuse(400, "malformed request head"); return false;
    case Http1HeadScanner::State::too_large: refuse(431, "request head too large"); return false;
    case Http1HeadScanner::State::complete: break;
  }
  auto head = parse_request_head(bytes.substr(0, scanner_.head_bytes()), limits);
  bytes.remove_prefix(scanner_.head_bytes());
  scanner_.reset();
  if (!head) {
    refuse(head.error().status, head.error().message);
    return false;
  }
  begin_request(std::move(*head));
  return true;
}

void Http1Session::begin_request(Http1RequestHead head) {
  form_ = AnswerForm{};
  form_.head_request = head.method == "HEAD";
  form_.http10 = head.minor_version == 0;
  form_.keep_alive = head.keep_alive;
  form_.can_upgrade = head.upgrade;
  frame_ = std::make_unique<RequestFrame>();
  Request& request = frame_->request;
  request.method = std::move(head.method);
  request.path = std::move(head.path);
  request.query = std::move(head.query);
  request.headers = std::move(head.headers);
  if (head.body == BodyKind::none) return dispatch();

  frame_->limit_bytes = connection_.server().body_limit(request);
  if (head.body == BodyKind::length) {
    if (head.content_length > frame_->limit_bytes) return refuse(413, too_large_message(frame_->limit_bytes));
    frame_->left_bytes = head.content_length;
  } else {
    frame_->chunks = std::make_unique<ChunkedDecoder>();
  }
  step_ = Step::body;
  connection_.set_deadline(now() + options().body_timeout);
  if (head.expect_continue) {
    connection_.out().append("HTTP/1.1 100 Continue\r\n\r\n");
    connection_.want_flush();
  }
}

bool Http1Session::grow_body(std::size_t bytes) {
  if (!connection_.server().reserve_body(bytes)) {
    refuse(503, "too many request bodies are being received");
    return false;
  }
  frame_->reserved_bytes += bytes;
  if (frame_->timed_bytes + body_time_bytes <= frame_->reserved_bytes) {
    frame_->timed_bytes = frame_->reserved_bytes;
    connection_.set_deadline(now() + options().body_timeout);
  }
  return true;
}

bool Http1Session::take_body(std::string_view& bytes) {
  std::string& body = frame_->request.body;
  if (frame_->chunks) {
    std::size_t before = body.size();
    auto state = frame_->chunks->feed(bytes, body);
    if (state == ChunkedDecoder::State::bad) {
      refuse(400, frame_->chunks->error());
      return false;
    }
    if (body.size() > frame_->limit_bytes) {
      refuse(413, too_large_message(frame_->limit_bytes));
      return false;
    }
    if (!grow_body(body.size() - before)) return false;
    if (state == ChunkedDecoder::State::more) return false;
  } else {
    std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(frame_->left_bytes, bytes.size()));
    if (!grow_body(count)) return false;
    // Reserved memory that nothing has come for is not touched, so it costs an address range only.
    if (body.empty()) body.reserve(static_cast<std::size_t>(frame_->left_bytes));
    body.append(bytes.substr(0, count));
    bytes.remove_prefix(count);
    frame_->left_bytes -= count;
    if (frame_->left_bytes > 0) return false;
  }
  dispatch();
  return true;
}

void Http1Session::dispatch() {
  connection_.set_deadline(std::nullopt);
  step_ = Step::exchange;
  started_ = false;
  connection_.server().release_body(frame_->reserved_bytes);
  Request request = std::move(frame_->request);
  frame_.reset();
  fill_connection_facts(request, connection_);
  form_.flow = connection_.server().flow_of(request);
  connection_.set_flow(form_.flow);
  core_ = std::make_shared<StreamCore>(connection_.server().runtime(), form_);
  core_->attach(*this);
  connection_.server().dispatch(std::make_shared<ServerExchange>(std::move(request), core_));
}

// The connection closes: where the next request would begin is not known for sure.
void Http1Session::refuse(int status, std::string_view message) {
  Response response = connection_.server().refusal(status, message);
  std::string head;
  append_status_line(head, status);
  for (const auto& [name, value] : response.headers.fields()) append_field(head, name, value);
  head.append("Date: ").append(http_date()).append("\r\nContent-Length: ").append(std::to_string(response.body.size()));
  head.append("\r\nConnection: close\r\n\r\n");
  connection_.out().append(std::move(head));
  if (!form_.head_request || step_ == Step::head) connection_.out().append(std::move(response.body));
  if (frame_) connection_.server().release_body(frame_->reserved_bytes);
  frame_.reset();
  step_ = Step::closing;
  connection_.close_when_sent();
}

// ---- the answer

void Http1Session::on_core_ready(StreamCore& core) {
  if (step_ == Step::raw) connection_.set_reading(!core.state().held_back && !peer_ended_, true);
  connection_.want_flush();
}

void Http1Session::fill() {
  if (step_ == Step::head && may_begin() && !peer_ended_) {
    connection_.set_reading(true);
    if (!in_.empty()) process_buffered();
  }
  if (!core_ || step_ == Step::closing) return;
  StreamCore::State state = core_->state();
  if (state.aborted) return connection_.kill();
  if (!state.empty) core_->take_bytes(connection_.out());
  core_->set_in_flight(connection_.out().bytes());
  if (state.upgraded && step_ == Step::exchange) become_raw();
  if (state.finished) return on_answered();
  // The reader of an open-ended stream has gone away, as far as HTTP can tell. One of a list gets it to its end.
  if (peer_ended_ && state.answered && !state.pulled) connection_.close_when_sent();
}

void Http1Session::on_sent() {
  if (core_) core_->set_in_flight(connection_.out().bytes());
}

void Http1Session::on_answered() {
  bool close = core_->state().close_after || peer_ended_ || stopping_;
  core_->detach();
  core_->complete();
  core_.reset();
  if (close) {
    step_ = Step::closing;
    std::string().swap(in_);
    used_ = 0;
    connection_.close_when_sent();
    return;
  }
  step_ = Step::head;
  connection_.set_deadline(in_.empty() ? std::optional(now() + options().idle_timeout) : std::nullopt);
  if (!in_.empty()) connection_.want_flush();  // fill() comes again and takes the next request
}

void Http1Session::become_raw() {
  step_ = Step::raw;
  connection_.set_reading(!peer_ended_);
  std::string bytes;
  bytes.swap(in_);
  if (bytes.size() > used_) deliver(std::string_view(bytes).substr(used_));
  used_ = 0;
  if (peer_ended_) core_->peer_ended();
}

void Http1Session::deliver(std::string_view bytes) {
  core_->deliver(bytes);
  if (core_->state().held_back) connection_.set_reading(false, true);
}

// ---- ends

void Http1Session::on_eof() {
  peer_ended_ = true;
  if (step_ == Step::closing) return;
  if (!core_) return connection_.close_when_sent();  // between requests, or in the middle of one
  core_->peer_ended();
  connection_.want_flush();
}

void Http1Session::on_deadline(Instant) {
  if (step_ == Step::body || (step_ == Step::head && started_)) return refuse(408, "the request did not come in time");
  if (step_ == Step::head) connection_.close_when_sent();
}

void Http1Session::on_gone() {
  if (frame_) connection_.server().release_body(frame_->reserved_bytes);
  frame_.reset();
  if (!core_) return;
  auto core = std::move(core_);
  core->detach();
  core->close();
}

void Http1Session::stop() {
  stopping_ = true;
  if (core_) {
    core_->server_stops();
  } else if (step_ == Step::head && !started_) {
    connection_.close_when_sent();
  }
}

}  // namespace

std::unique_ptr<Session> make_http1_session(Connection& connection) { return std::make_unique<Http1Session>(connection); }

}  // namespace kybern::net
