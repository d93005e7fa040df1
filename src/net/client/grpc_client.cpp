#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "net/client.h"
#include "net/client/endpoint.h"
#include "net/client/grpc_connection.h"
#include "net/client/grpc_message.h"
#include "net/http1.h"

namespace kybern::net {
namespace {

constexpr Duration first_backoff = std::chrono::milliseconds(50), max_backoff = std::chrono::seconds(2);

using GrpcConnectionPtr = std::shared_ptr<GrpcConnection>;

class GrpcCallStream final : public GrpcStream {
 public:
  GrpcCallStream(GrpcConnectionPtr connection, std::shared_ptr<GrpcCall> call)
      : connection_(std::move(connection)), call_(std::move(call)) {}
  ~GrpcCallStream() override { connection_->cancel(*call_); }

  Result<std::string> read() override { return connection_->read(*call_); }
  Result<void> write(std::string_view message) override {
    auto framed = frame_grpc_message(message);
    if (!framed) return std::unexpected(framed.error());
    return connection_->write(*call_, std::move(*framed));
  }
  Result<void> finish_writing() override { return connection_->finish_writing(*call_); }
  void close() override { connection_->cancel(*call_); }

 private:
  const GrpcConnectionPtr connection_;
  const std::shared_ptr<GrpcCall> call_;
};

class Http2GrpcClient final : public GrpcClient {
 public:
  Http2GrpcClient(ClientOptions options, Endpoint endpoint, std::shared_ptr<const ClientTlsContext> tls)
      : options_(std::move(options)), endpoint_(std::move(endpoint)), tls_(std::move(tls)) {}

  Result<std::string> call(std::string_view method, std::string_view message, std::chrono::milliseconds timeout) override {
    bool limited = timeout.count() > 0;
    Instant deadline = limited ? deadline_after(timeout) : no_deadline;
    auto framed = frame_grpc_message(message);
    if (!framed) return std::unexpected(framed.error());
    for (bool again = true;; again = false) {
      auto connection = connected(deadline);
      if (!connection) return std::unexpected(connection.error());
      auto call = (*connection)->start(method, *framed, true, limited ? std::optional(timeout) : std::nullopt, options_.metadata);
      auto done = (*connection)->wait_done(*call, deadline);
      if (done) return only_message(**connection, *call);
      if (!again || !call->unprocessed) return std::unexpected(done.error());
    }
  }

  Result<std::unique_ptr<GrpcStream>> stream(std::string_view method) override {
    for (bool again = true;; again = false) {
      auto connection = connected(no_deadline);
      if (!connection) return std::unexpected(connection.error());
      auto call = (*connection)->start(method, {}, false, std::nullopt, options_.metadata);
      if (again && call->id == 0) continue;  // the connection would not take it
      return std::make_unique<GrpcCallStream>(std::move(*connection), std::move(call));
    }
  }

 private:
  static Result<std::string> only_message(GrpcConnection& connection, GrpcCall& call) {
    auto message = connection.read(call);
    if (!message) return fail(Code::internal, "cardinality violation: received no response message from non-server-streaming RPC");
    if (connection.read(call))
      return fail(Code::internal, "cardinality violation: expected <EOF> for non server-streaming RPCs, but received another message");
    return message;
  }

  // The connection, made anew when the last one is gone. One thread connects, the others wait for it.
  Result<GrpcConnectionPtr> connected(Instant deadline) {
    std::unique_lock lock(mutex_);
    auto idle = [this] { return !connecting_; };
    if (deadline == no_deadline) changed_.wait(lock, idle);
    else if (!changed_.wait_until(lock, deadline, idle)) return fail(Code::timeout, "context deadline exceeded");
    if (current_ && current_->usable()) return current_;
    if (std::chrono::steady_clock::now() < retry_at_) return std::unexpected(last_error_);
    connecting_ = true;
    GrpcConnectionPtr gone = std::exchange(current_, nullptr);
    lock.unlock();
    gone.reset();  // ends its thread, unless calls still use it
    auto made = GrpcConnection::connect(endpoint_, tls_.get(), std::min(deadline, deadline_after(options_.connect_timeout)));
    lock.lock();
    connecting_ = false;
    changed_.notify_all();
    if (!made) {
      last_error_ = {made.error().code,
                     fmt::format("connection error: desc = {}", go_quote("transport: Error while dialing: " + made.error().message))};
      backoff_ = std::clamp(backoff_ * 2, first_backoff, max_backoff);
      retry_at_ = std::chrono::steady_clock::now() + backoff_;
      return std::unexpected(last_error_);
    }
    backoff_ = {};
    current_ = std::move(*made);
    return current_;
  }

  const ClientOptions options_;
  const Endpoint endpoint_;
  const std::shared_ptr<const ClientTlsContext> tls_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool connecting_ = false;
  GrpcConnectionPtr current_;
  Duration backoff_{};
  Instant retry_at_{};
  Error last_error_;
};

}  // namespace

Result<std::unique_ptr<GrpcClient>> GrpcClient::make(ClientOptions options) {
  auto endpoint = parse_endpoint(options.url);
  if (!endpoint) return std::unexpected(endpoint.error());
  for (const auto& [name, value] : options.metadata.fields())
    if (!is_token(name) || !is_field_value(value)) return fail(Code::invalid, fmt::format("invalid metadata {}", go_quote(name)));
  std::shared_ptr<const ClientTlsContext> tls;
  if (endpoint->tls) {
    auto made = ClientTlsContext::make(options.tls, *endpoint, "h2");
    if (!made) return std::unexpected(made.error());
    tls = std::move(*made);
  }
  return std::make_unique<Http2GrpcClient>(std::move(options), std::move(*endpoint), std::move(tls));
}

}  // namespace kybern::net
