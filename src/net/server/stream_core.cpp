#include "net/server/stream_core.h"

#include <algorithm>
#include <charconv>
#include <deque>
#include <utility>

#include "net/http1.h"
#include "net/server/http1_response.h"
#include "net/server/pool.h"

namespace kybern::net {
namespace {

bool never_has_body(int status) { return status < 200 || status == 204 || status == 304; }

std::optional<std::size_t> announced_length(const Headers& headers) {
  auto text = headers.find("content-length");
  if (!text || text->empty() || text->size() > 18) return std::nullopt;
  std::size_t value = 0;
  auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return value;
}

bool is_per_connection(std::string_view name) {
  return name == "connection" || name == "transfer-encoding" || name == "keep-alive" || name == "proxy-connection";
}

}  // namespace

Runtime::Runtime() = default;
Runtime::~Runtime() = default;

// Made when the first callback is set: most answers never need them.
struct StreamCore::Callbacks {
  std::function<void()> drained;
  std::size_t low_bytes = 0;
  std::function<void()> close;
  std::function<void(std::string_view)> data;
  std::string inbox;
  bool paused = false;
  bool delivery_planned = false;
  bool running = false;  // a pool thread works on the tasks
  std::vector<std::move_only_function<void()>> tasks;
};

StreamCore::StreamCore(std::shared_ptr<Runtime> runtime, AnswerForm form) : runtime_(std::move(runtime)), form_(form) {}
StreamCore::~StreamCore() = default;

std::shared_ptr<StreamCore> StreamCore::closed_twin() const {
  auto twin = std::make_shared<StreamCore>(runtime_, form_);
  twin->close();
  return twin;
}

StreamCore::Callbacks& StreamCore::callbacks() {
  if (!callbacks_) callbacks_ = std::make_unique<Callbacks>();
  return *callbacks_;
}

// ---- the producer's side

bool StreamCore::accepts_answer() const { return !answered_ && !closed_; }

void StreamCore::schedule() {
  if (scheduled_ || closed_) return;
  scheduled_ = true;
  runtime_->reactor->schedule(shared_from_this());
}

void StreamCore::choose_body(int status, const Headers& headers) {
  if (form_.head_request || never_has_body(status)) {
    body_ = Body::none;
  } else if (form_.http2) {
    body_ = Body::open;
  } else if (auto length = announced_length(headers)) {
    body_ = Body::sized;
    left_ = *length;
  } else {
    body_ = form_.http10 ? Body::open : Body::chunked;
    if (form_.http10) close_after_ = true;
  }
}

void StreamCore::write_http1_head(int status, const Headers& headers, std::size_t body_bytes) {
  std::string head;
  head.reserve(256 + (body_ == Body::whole && body_bytes < 4096 ? body_bytes : 0));
  append_status_line(head, status);
  bool dated = false, sized = false;
  for (const auto& [name, value] : headers.fields()) {
    if (is_per_connection(name) && !upgraded_) {
      if (name == "connection" && list_contains(value, "close")) close_after_ = true;
      continue;
    }
    if (name == "content-length") {
      if (body_ == Body::whole || never_has_body(status) || sized) continue;
      sized = true;
    }
    dated = dated || name == "date";
    append_field(head, name, value);
  }
  if (!dated && status >= 200) head.append("Date: ").append(http_date()).append("\r\n");
  if (body_ == Body::whole || (form_.head_request && body_bytes > 0 && !sized)) {
    char digits[24];
    head.append("Content-Length: ").append(digits, std::to_chars(digits, digits + sizeof digits, body_bytes).ptr).append("\r\n");
  } else if (body_ == Body::chunked) {
    head.append("Transfer-Encoding: chunked\r\n");
  }
  if (!form_.keep_alive || runtime_->stopping.load(std::memory_order_relaxed)) close_after_ = true;
  if (close_after_ && !upgraded_) {
    head.append("Connection: close\r\n");
  } else if (form_.http10 && !upgraded_) {
    head.append("Connection: keep-alive\r\n");
  }
  head.append("\r\n");
  queue_.append(std::move(head));
}

void StreamCore::respond(Response response) {
  std::lock_guard lock(mutex_);
  if (!accepts_answer()) return;
  answered_ = finished_ = true;
  bool bodiless = form_.head_request || never_has_body(response.status);
  body_ = bodiless ? Body::none : Body::whole;
  if (form_.http2) {
    if (!never_has_body(response.status) && (!bodiless || !response.body.empty())) {
      response.headers.set("content-length", std::to_string(response.body.size()));
    }
    head_ = std::make_unique<ResponseHead>(ResponseHead{response.status, std::move(response.headers)});
  } else {
    write_http1_head(response.status, response.headers, response.body.size());
  }
  if (!bodiless) queue_.append(std::move(response.body));
  schedule();
}

void StreamCore::start(int status, Headers headers, bool pulled) {
  std::lock_guard lock(mutex_);
  if (!accepts_answer()) return;
  answered_ = true;
  pulled_ = pulled;
  choose_body(status, headers);
  if (form_.http2) {
    head_ = std::make_unique<ResponseHead>(ResponseHead{status, std::move(headers)});
  } else {
    write_http1_head(status, headers, 0);
  }
  schedule();
}

bool StreamCore::upgrade(Headers headers) {
  std::lock_guard lock(mutex_);
  if (!accepts_answer() || !form_.can_upgrade || runtime_->stopping) return false;
  answered_ = upgraded_ = close_after_ = true;
  body_ = Body::open;
  write_http1_head(101, headers, 0);
  schedule();
  return true;
}

bool StreamCore::write(std::string bytes) {
  std::lock_guard lock(mutex_);
  if (closed_ || finished_ || aborted_ || !answered_) return false;
  if (bytes.empty() || body_ == Body::none) return true;
  switch (body_) {
    case Body::chunked: {
      char size[20];
      auto end = std::to_chars(size, size + sizeof size, bytes.size(), 16).ptr;
      *end++ = '\r';
      *end++ = '\n';
      queue_.append(std::string_view(size, static_cast<std::size_t>(end - size)));
      queue_.append(std::move(bytes));
      queue_.append("\r\n");
      break;
    }
    case Body::sized:
      if (bytes.size() > left_) {  // more than announced: the peer must not take the rest for another message
        aborted_ = true;
        schedule();
        return false;
      }
      left_ -= bytes.size();
      queue_.append(std::move(bytes));
      break;
    default: queue_.append(std::move(bytes)); break;
  }
  schedule();
  return true;
}

std::size_t StreamCore::queued_bytes() const {
  std::lock_guard lock(mutex_);
  return queue_.bytes() + in_flight_;
}

void StreamCore::finish() {
  std::lock_guard lock(mutex_);
  if (closed_ || finished_ || aborted_ || !answered_) return;
  if (body_ == Body::sized && left_ > 0) {
    aborted_ = true;
  } else {
    finished_ = true;
    if (body_ == Body::chunked) queue_.append("0\r\n\r\n");
  }
  schedule();
}

void StreamCore::abort() {
  std::lock_guard lock(mutex_);
  if (closed_ || aborted_) return;
  aborted_ = answered_ = true;
  schedule();
}

bool StreamCore::gone() const {
  std::lock_guard lock(mutex_);
  return closed_ || aborted_;
}

bool StreamCore::canceled() const {
  std::lock_guard lock(mutex_);
  return closed_ || aborted_ || peer_ended_;
}

// ---- callbacks to the producer

void StreamCore::run_serially(std::move_only_function<void()> task) {
  Callbacks& c = callbacks();
  c.tasks.push_back(std::move(task));
  if (c.running) return;
  c.running = true;
  runtime_->pool->post([self = shared_from_this()] { self->run_serial_tasks(); }, form_.flow);
}

void StreamCore::run_serial_tasks() {
  for (;;) {
    std::vector<std::move_only_function<void()>> tasks;
    {
      std::lock_guard lock(mutex_);
      if (callbacks_->tasks.empty()) {
        callbacks_->running = false;
        return;
      }
      tasks.swap(callbacks_->tasks);
    }
    for (auto& task : tasks) task();
  }
}

void StreamCore::check_drained() {
  if (!callbacks_ || !callbacks_->drained) return;
  if (!closed_ && queue_.bytes() + in_flight_ > callbacks_->low_bytes) return;
  run_serially([callback = std::exchange(callbacks_->drained, nullptr)] { callback(); });
}

void StreamCore::on_drained(std::size_t low_bytes, std::function<void()> callback) {
  std::lock_guard lock(mutex_);
  Callbacks& c = callbacks();
  c.drained = std::move(callback);
  c.low_bytes = low_bytes;
  check_drained();
}

void StreamCore::call_close() {
  if (close_called_ || !callbacks_ || !callbacks_->close) return;
  close_called_ = true;
  run_serially([callback = std::exchange(callbacks_->close, nullptr)] { callback(); });
}

void StreamCore::on_close(std::function<void()> callback) {
  std::lock_guard lock(mutex_);
  if (close_called_) return;
  callbacks().close = std::move(callback);
  if (closed_ || peer_ended_ || stop_told_) call_close();
}

void StreamCore::on_data(std::function<void(std::string_view)> callback) {
  std::lock_guard lock(mutex_);
  callbacks().data = std::move(callback);
  plan_delivery();
  if (closed_) release_callbacks();
}

void StreamCore::pause_reading(bool paused) {
  std::lock_guard lock(mutex_);
  Callbacks& c = callbacks();
  if (c.paused == paused) return;
  c.paused = paused;
  if (!paused) plan_delivery();
  schedule();
}

void StreamCore::plan_delivery() {
  Callbacks& c = callbacks();
  if (c.inbox.empty() || !c.data || c.paused || c.delivery_planned) return;
  c.delivery_planned = true;
  run_serially([this] { deliver_inbox(); });
}

// As one of the serial tasks; `data` is not changed while they run.
void StreamCore::deliver_inbox() {
  std::string bytes;
  bool held_back;
  {
    std::lock_guard lock(mutex_);
    Callbacks& c = *callbacks_;
    c.delivery_planned = false;
    if (c.paused && !closed_ && !peer_ended_) return;
    held_back = c.inbox.size() >= max_inbox_bytes;
    bytes.swap(c.inbox);
    if (held_back) schedule();
  }
  if (!bytes.empty() && callbacks_->data) callbacks_->data(bytes);
}

// The callbacks often own what owns this stream. They are let go of in order, on a pool thread.
void StreamCore::release_callbacks() {
  if (!callbacks_) return;
  Callbacks& c = *callbacks_;
  if (!c.drained && !c.close && !c.data && c.inbox.empty()) return;
  run_serially([this] {
    std::function<void()> drained, close;
    std::function<void(std::string_view)> data;
    std::lock_guard lock(mutex_);
    drained.swap(callbacks_->drained);
    close.swap(callbacks_->close);
    data.swap(callbacks_->data);
    // Destroyed behind the lock: in reverse order of declaration, the lock goes first.
  });
}

// ---- the session's side

StreamCore::State StreamCore::state() const {
  std::lock_guard lock(mutex_);
  State s;
  s.answered = answered_;
  s.finished = finished_;
  s.aborted = aborted_;
  s.upgraded = upgraded_;
  s.pulled = pulled_;
  s.close_after = close_after_;
  s.held_back = callbacks_ && (callbacks_->paused || callbacks_->inbox.size() >= max_inbox_bytes);
  s.empty = queue_.empty();
  return s;
}

void StreamCore::on_schedule() {
  {
    std::lock_guard lock(mutex_);
    scheduled_ = false;
  }
  if (owner_) owner_->on_core_ready(*this);
}

void StreamCore::take_bytes(OutputQueue& out) {
  std::lock_guard lock(mutex_);
  in_flight_ += queue_.bytes();
  out.append(std::move(queue_));
}

std::unique_ptr<ResponseHead> StreamCore::take_head() {
  std::lock_guard lock(mutex_);
  return std::move(head_);
}

std::size_t StreamCore::read(char* out, std::size_t max_bytes, bool& at_end) {
  std::lock_guard lock(mutex_);
  std::size_t count = queue_.copy_front(out, max_bytes);
  queue_.consume(count);
  at_end = finished_ && queue_.empty();
  check_drained();
  return count;
}

void StreamCore::set_in_flight(std::size_t bytes) {
  std::lock_guard lock(mutex_);
  in_flight_ = bytes;
  check_drained();
}

void StreamCore::deliver(std::string_view bytes) {
  std::lock_guard lock(mutex_);
  if (closed_) return;
  callbacks().inbox.append(bytes);
  plan_delivery();
}

void StreamCore::peer_ended() {
  std::lock_guard lock(mutex_);
  if (peer_ended_ || closed_) return;
  peer_ended_ = true;
  if (callbacks_ && callbacks_->data && !callbacks_->inbox.empty()) run_serially([this] { deliver_inbox(); });
  if (answered_ && !finished_) call_close();
}

void StreamCore::server_stops() {
  std::lock_guard lock(mutex_);
  if (stop_told_ || closed_) return;
  stop_told_ = true;
  if (answered_ && !finished_) call_close();
}

void StreamCore::close() { end(true); }
void StreamCore::complete() { end(false); }

void StreamCore::end(bool tell) {
  std::lock_guard lock(mutex_);
  if (closed_) return;
  closed_ = true;
  queue_.clear();
  head_.reset();
  in_flight_ = 0;
  if (callbacks_ && callbacks_->data && !callbacks_->inbox.empty()) run_serially([this] { deliver_inbox(); });
  check_drained();
  // A producer that has ended the body itself has nothing left to be told.
  if (tell && !finished_ && !aborted_) {
    call_close();
  } else {
    close_called_ = true;
  }
  release_callbacks();
}

}  // namespace kybern::net
