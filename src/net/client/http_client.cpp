#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "net/client.h"
#include "net/client/endpoint.h"
#include "net/client/http1_connection.h"
#include "net/client/http1_messages.h"
#include "net/client/transport.h"

namespace kybern::net {
namespace {

using ConnectionPtr = std::unique_ptr<Http1Connection>;

constexpr std::size_t max_refusal_bytes = 64 << 10;  // of a refused upgrade's body, for the message

bool has_no_effect(std::string_view method) { return method == "GET" || method == "HEAD" || method == "OPTIONS"; }

// The connections of one client that are not in use, the last used first.
class Pool {
 public:
  Pool(ClientOptions options, Endpoint endpoint, std::shared_ptr<const ClientTlsContext> tls)
      : options_(std::move(options)), endpoint_(std::move(endpoint)), tls_(std::move(tls)) {}

  const Endpoint& endpoint() const { return endpoint_; }
  const ClientOptions& options() const { return options_; }

  ConnectionPtr take() {
    for (;;) {
      ConnectionPtr connection;
      {
        std::lock_guard lock(mutex_);
        if (idle_.empty()) return nullptr;
        connection = std::move(idle_.back());
        idle_.pop_back();
      }
      Instant now = std::chrono::steady_clock::now();
      if (connection->fresh_enough(now) && connection->still_good(now)) return connection;
    }
  }

  Result<ConnectionPtr> connect(Instant deadline) {
    auto transport = Transport::connect(endpoint_, tls_.get(), std::min(deadline, deadline_after(options_.connect_timeout)));
    if (!transport) return std::unexpected(transport.error());
    return std::make_unique<Http1Connection>(std::move(*transport));
  }

  void give_back(ConnectionPtr connection) {
    if (!connection->reusable()) return;
    Instant now = std::chrono::steady_clock::now();
    connection->now_idle(now);
    std::vector<ConnectionPtr> dropped;  // closed outside the lock
    std::lock_guard lock(mutex_);
    if (idle_.size() >= options_.max_idle_connections) return;
    idle_.push_back(std::move(connection));
    while (!idle_.front()->fresh_enough(now)) {
      dropped.push_back(std::move(idle_.front()));
      idle_.erase(idle_.begin());
    }
  }

 private:
  const ClientOptions options_;
  const Endpoint endpoint_;
  const std::shared_ptr<const ClientTlsContext> tls_;
  std::mutex mutex_;
  std::vector<ConnectionPtr> idle_;
};

// An answer whose body is still to come.
struct Answer {
  ConnectionPtr connection;
  Http1ResponseHead head;
};

Result<Answer> exchange(Pool& pool, const ClientRequest& request, Instant deadline) {
  auto bytes = write_request(pool.endpoint(), request);
  if (!bytes) return std::unexpected(bytes.error());
  ConnectionPtr connection = pool.take();
  bool kept = connection != nullptr;
  for (;;) {
    if (!connection) {
      auto made = pool.connect(deadline);
      if (!made) return std::unexpected(while_awaiting_head(made.error()));
      connection = std::move(*made);
    }
    auto answer = connection->exchange(bytes->head, bytes->body, request.method, deadline);
    if (answer) return Answer{std::move(connection), std::move(*answer)};
    bool again = kept && answer.error().code == Code::unavailable && connection->received_nothing() &&
                 (connection->sent_nothing() || has_no_effect(request.method));
    if (!again) return std::unexpected(while_awaiting_head(answer.error()));
    connection = nullptr;
    kept = false;
  }
}

// The body of an answer, or after 101 both directions.
class Http1Stream final : public DuplexStream {
 public:
  Http1Stream(std::shared_ptr<Pool> pool, Answer answer)
      : pool_(std::move(pool)), connection_(std::move(answer.connection)), head_(std::move(answer.head)) {}
  ~Http1Stream() override { pool_->give_back(std::move(connection_)); }

  int status() const override { return head_.status; }
  const Headers& headers() const override { return head_.headers; }
  Result<std::string> read() override { return read_until(no_deadline); }
  Result<std::string> read_for(std::chrono::milliseconds limit) override { return read_until(deadline_after(limit)); }
  void close() override { connection_->transport().interrupt(); }
  Result<void> write(std::string_view bytes) override {
    std::lock_guard lock(write_mutex_);  // two writers' bytes must not mix
    return connection_->transport().write(bytes, no_deadline);
  }

 private:
  Result<std::string> read_until(Instant deadline) {
    if (connection_->transport().interrupted()) return fail(Code::canceled, "context canceled");
    if (head_.status == 101) return connection_->read_raw(deadline);
    std::string bytes;
    if (auto more = connection_->read_body(bytes, deadline); !more) return std::unexpected(more.error());
    return bytes;
  }

  std::shared_ptr<Pool> pool_;
  ConnectionPtr connection_;
  const Http1ResponseHead head_;
  std::mutex write_mutex_;
};

class Http1Client final : public HttpClient {
 public:
  explicit Http1Client(std::shared_ptr<Pool> pool) : pool_(std::move(pool)) {}

  Result<Response> call(ClientRequest request) override {
    Instant deadline = deadline_of(request);
    auto answer = exchange(*pool_, request, deadline);
    if (!answer) return std::unexpected(answer.error());
    if (answer->head.status == 101) return fail(Code::unavailable, "net/http: the server switched protocols unasked");
    auto body = read_whole(*answer->connection, pool_->options().max_body_bytes, deadline);
    if (!body) return std::unexpected(body.error());
    pool_->give_back(std::move(answer->connection));
    return Response{answer->head.status, std::move(answer->head.headers), std::move(*body)};
  }

  Result<std::unique_ptr<ClientStream>> stream(ClientRequest request) override {
    auto answer = exchange(*pool_, request, deadline_of(request));
    if (!answer) return std::unexpected(answer.error());
    if (answer->head.status == 101) return fail(Code::unavailable, "net/http: the server switched protocols unasked");
    return std::make_unique<Http1Stream>(pool_, std::move(*answer));
  }

  Result<std::unique_ptr<DuplexStream>> upgrade(ClientRequest request) override {
    Instant deadline = deadline_of(request);
    auto answer = exchange(*pool_, request, deadline);
    if (!answer) return std::unexpected(answer.error());
    if (answer->head.status == 101) return std::make_unique<Http1Stream>(pool_, std::move(*answer));
    auto body = read_whole(*answer->connection, max_refusal_bytes, deadline);
    std::string message = fmt::format("unable to upgrade connection: {} {}", answer->head.status, reason_phrase(answer->head.status));
    if (body && !body->empty()) message += ": " + *body;
    pool_->give_back(std::move(answer->connection));
    return fail(Code::unavailable, std::move(message));
  }

 private:
  std::shared_ptr<Pool> pool_;
};

}  // namespace

Result<std::unique_ptr<HttpClient>> HttpClient::make(ClientOptions options) {
  auto endpoint = parse_endpoint(options.url);
  if (!endpoint) return std::unexpected(endpoint.error());
  std::shared_ptr<const ClientTlsContext> tls;
  if (endpoint->tls) {
    auto made = ClientTlsContext::make(options.tls, *endpoint, "http/1.1");
    if (!made) return std::unexpected(made.error());
    tls = std::move(*made);
  }
  return std::make_unique<Http1Client>(std::make_shared<Pool>(std::move(options), std::move(*endpoint), std::move(tls)));
}

}  // namespace kybern::net
