#include "net/call_loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "base/check.h"
#include "net/client/endpoint.h"
#include "net/client/http1_connection.h"
#include "net/client/http1_messages.h"
#include "net/client/transport.h"

namespace kybern::net {
namespace {
constexpr std::size_t events_per_wait = 64;
constexpr std::chrono::milliseconds deadlines_interval{100};  // calls that take too long are looked for so often

int milliseconds_until(Instant when, Instant now) {
  if (when <= now) return 0;
  auto left = std::chrono::ceil<std::chrono::milliseconds>(std::min<Duration>(when - now, deadlines_interval));
  return static_cast<int>(left.count());
}
}  // namespace

struct CallLoop::Common {
  Endpoint endpoint;
  ClientOptions options;
  std::shared_ptr<const ClientTlsContext> tls;
  int epoll_fd = -1;
  std::vector<std::pair<std::size_t, Error>> failures;  // of begin(), not told yet
  ~Common() {
    if (epoll_fd >= 0) ::close(epoll_fd);
  }
};

struct CallLoop::Line {
  std::unique_ptr<Http1Connection> connection;
  std::string method;  // of the call under way
  Instant deadline{};
  bool busy = false;
};

CallLoop::CallLoop() : common_(new Common) {}
CallLoop::~CallLoop() = default;

Result<std::unique_ptr<CallLoop>> CallLoop::make(ClientOptions options, std::size_t connections) {
  std::unique_ptr<CallLoop> loop(new CallLoop);
  auto endpoint = parse_endpoint(options.url);
  if (!endpoint) return std::unexpected(endpoint.error());
  if (endpoint->tls) {
    auto tls = ClientTlsContext::make(options.tls, *endpoint, "http/1.1");
    if (!tls) return std::unexpected(tls.error());
    loop->common_->tls = std::move(*tls);
  }
  loop->common_->endpoint = std::move(*endpoint);
  loop->common_->options = std::move(options);
  loop->common_->epoll_fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (loop->common_->epoll_fd < 0) return fail(Code::internal, std::string("epoll_create1: ") + ::strerror(errno));
  loop->lines_.resize(connections);
  return loop;
}

bool CallLoop::busy(std::size_t connection) const { return lines_[connection].busy; }

void CallLoop::close(Line& line) { line.connection = nullptr; }  // which takes its descriptor out of the epoll set

Result<void> CallLoop::send(Line& line, std::size_t place, const ClientRequest& request) {
  auto bytes = write_request(common_->endpoint, request);
  if (!bytes) return std::unexpected(bytes.error());
  line.method = request.method;
  line.deadline = deadline_of(request);
  const Instant now = std::chrono::steady_clock::now();
  if (line.connection && !(line.connection->fresh_enough(now) && line.connection->still_good(now))) close(line);
  if (!line.connection) {
    const Instant limit = std::min(line.deadline, deadline_after(common_->options.connect_timeout));
    auto transport = Transport::connect(common_->endpoint, common_->tls.get(), limit);
    if (!transport) return std::unexpected(while_awaiting_head(transport.error()));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = place;
    if (::epoll_ctl(common_->epoll_fd, EPOLL_CTL_ADD, (*transport)->fd(), &event) != 0)
      return fail(Code::internal, std::string("epoll_ctl: ") + ::strerror(errno));
    line.connection = std::make_unique<Http1Connection>(std::move(*transport));
  }
  return line.connection->begin(bytes->head, bytes->body, line.deadline);
}

void CallLoop::begin(std::size_t connection, const ClientRequest& request) {
  Line& line = lines_[connection];
  KYBERN_CHECK(!line.busy, "a connection has one call at a time");
  line.busy = true;
  if (auto sent = send(line, connection, request); !sent) {
    close(line);
    common_->failures.emplace_back(connection, sent.error());
  }
}

// An answer's first bytes are there; the rest is waited for, which for what a server sends in one piece is no wait.
Result<Response> CallLoop::answer_of(Line& line) {
  auto head = line.connection->finish(line.method, line.deadline);
  if (!head) return std::unexpected(while_awaiting_head(head.error()));
  if (head->status == 101) return fail(Code::unavailable, "net/http: the server switched protocols unasked");
  auto body = read_whole(*line.connection, common_->options.max_body_bytes, line.deadline);
  if (!body) return std::unexpected(body.error());
  return Response{head->status, std::move(head->headers), std::move(*body)};
}

bool CallLoop::tell_failures(const Done& done) {
  auto failures = std::exchange(common_->failures, {});
  for (auto& [place, error] : failures) {
    lines_[place].busy = false;
    done(place, std::unexpected(std::move(error)));
  }
  return !failures.empty();
}

void CallLoop::wait(Instant until, const Done& done) {
  for (;;) {
    if (tell_failures(done)) return;
    std::array<epoll_event, events_per_wait> events;
    int count = ::epoll_wait(common_->epoll_fd, events.data(), static_cast<int>(events.size()),
                             milliseconds_until(until, std::chrono::steady_clock::now()));
    bool told = false;
    for (int i = 0; i < count; ++i) {
      const std::size_t place = events[static_cast<std::size_t>(i)].data.u64;
      Line& line = lines_[place];
      if (!line.busy) {  // the server ended it, or says what was not asked
        close(line);
        continue;
      }
      auto answer = answer_of(line);
      if (answer && line.connection->reusable()) line.connection->now_idle(std::chrono::steady_clock::now());
      else close(line);
      line.busy = false;
      told = true;
      done(place, std::move(answer));
    }
    if (told) return;
    const Instant now = std::chrono::steady_clock::now();
    for (std::size_t place = 0; place < lines_.size(); ++place) {
      Line& line = lines_[place];
      if (!line.busy || line.deadline > now) continue;
      close(line);
      common_->failures.emplace_back(place, while_awaiting_head({Code::timeout, "i/o timeout"}));
    }
    if (common_->failures.empty() && now >= until) return;
  }
}

}  // namespace kybern::net
