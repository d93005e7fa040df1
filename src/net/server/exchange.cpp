#include "net/server/exchange.h"

#include <utility>

#include "base/log.h"
#include "net/server/pool.h"

namespace kybern::net {
namespace {

constexpr std::size_t pull_high_bytes = 128 << 10;  // a pulled body rests when this much waits for the peer,
constexpr std::size_t pull_low_bytes = 32 << 10;    // and goes on at this
constexpr std::size_t pull_turn_bytes = 80 << 10;   // room for what a producer appends at a time

// The producer's end of a stream. Letting go of it without finish() breaks the body off, as the peer must see.
class BodyHandle final : public RawStream {
 public:
  explicit BodyHandle(std::shared_ptr<StreamCore> core) : core_(std::move(core)) {}
  ~BodyHandle() override {
    if (!finished_) core_->abort();
  }
  bool write(std::string bytes) override { return core_->write(std::move(bytes)); }
  std::size_t queued_bytes() const override { return core_->queued_bytes(); }
  void on_drained(std::size_t low_bytes, std::function<void()> callback) override { core_->on_drained(low_bytes, std::move(callback)); }
  void on_close(std::function<void()> callback) override { core_->on_close(std::move(callback)); }
  void finish() override {
    finished_ = true;
    core_->finish();
  }
  void abort() override { core_->abort(); }
  void on_data(std::function<void(std::string_view)> callback) override { core_->on_data(std::move(callback)); }
  void pause_reading(bool paused) override { core_->pause_reading(paused); }

 private:
  std::shared_ptr<StreamCore> core_;
  std::atomic<bool> finished_ = false;
};

// Calls `produce` while the peer keeps up. A body that is whole after the first call gets a Content-Length.
class Puller : public std::enable_shared_from_this<Puller> {
 public:
  Puller(std::shared_ptr<StreamCore> core, int status, Headers headers, std::function<bool(std::string&)> produce)
      : core_(std::move(core)), status_(status), headers_(std::move(headers)), produce_(std::move(produce)) {}
  ~Puller() {
    if (ended_) return;
    // `produce` threw, or was dropped with the pool.
    if (!started_) core_->respond(Response{500, {}, {}});
    core_->abort();
  }

  void run() {
    for (;;) {
      if (core_->gone()) return end();
      std::string bytes;
      bytes.reserve(pull_turn_bytes);
      bool more = produce_(bytes);
      if (!started_) {
        started_ = true;
        if (!more) {
          core_->respond(Response{status_, std::move(headers_), std::move(bytes)});
          return end();
        }
        core_->start(status_, std::move(headers_), true);
      }
      if (!core_->write(std::move(bytes))) return end();
      if (!more) {
        core_->finish();
        return end();
      }
      if (core_->queued_bytes() < pull_high_bytes) continue;
      core_->on_drained(pull_low_bytes, [self = shared_from_this()] { self->run(); });
      return;
    }
  }

 private:
  void end() {
    ended_ = true;
    produce_ = nullptr;
  }

  std::shared_ptr<StreamCore> core_;
  int status_;
  Headers headers_;
  std::function<bool(std::string&)> produce_;
  bool started_ = false, ended_ = false;
};

}  // namespace

ServerExchange::ServerExchange(Request request, std::shared_ptr<StreamCore> core, std::shared_ptr<std::atomic<std::size_t>> counter)
    : request_(std::move(request)), core_(std::move(core)), counter_(std::move(counter)) {
  if (counter_) counter_->fetch_add(1, std::memory_order_relaxed);
}

ServerExchange::~ServerExchange() {
  if (counter_) counter_->fetch_sub(1, std::memory_order_relaxed);
  if (completed_) return;
  if (!core_->canceled()) log_error("net", "a handler gave no answer", {{"method", request_.method}, {"path", request_.path}});
  core_->respond(Response{500, {{"content-type", "text/plain; charset=utf-8"}}, "Internal Server Error\n"});
}

bool ServerExchange::complete_once() {
  if (!completed_.exchange(true)) return true;
  log_error("net", "a request was answered twice; the second answer is dropped", {{"method", request_.method}, {"path", request_.path}});
  return false;
}

void ServerExchange::respond(Response response) {
  if (complete_once()) core_->respond(std::move(response));
}

void ServerExchange::respond_pulled(int status, Headers headers, std::function<bool(std::string& out)> produce) {
  if (!complete_once()) return;
  if (core_->form().head_request) {
    core_->start(status, std::move(headers), true);
    core_->finish();
    return;
  }
  auto puller = std::make_shared<Puller>(core_, status, std::move(headers), std::move(produce));
  core_->pool().post([puller] { puller->run(); }, core_->form().flow);
}

std::shared_ptr<BodyStream> ServerExchange::respond_stream(int status, Headers headers) {
  if (!complete_once()) return std::make_shared<BodyHandle>(core_->closed_twin());
  core_->start(status, std::move(headers), false);
  return std::make_shared<BodyHandle>(core_);
}

std::shared_ptr<RawStream> ServerExchange::upgrade(Headers headers) {
  if (!core_->form().can_upgrade || completed_) return nullptr;
  if (!headers.find("connection")) headers.add("connection", "Upgrade");
  if (!headers.find("upgrade")) headers.add("upgrade", request_.headers.get("upgrade"));
  if (!core_->upgrade(std::move(headers))) return nullptr;
  completed_ = true;
  return std::make_shared<BodyHandle>(core_);
}

}  // namespace kybern::net
