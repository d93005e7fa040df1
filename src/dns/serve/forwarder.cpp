#include "dns/serve/forwarder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace kybern::dns {
namespace {

constexpr std::string_view probe_suffix = "loop-probe.kybern.invalid";  // RFC 6761: never a real name

void put16(std::string& bytes, std::size_t at, std::uint16_t value) {
  bytes[at] = static_cast<char>(value >> 8);
  bytes[at + 1] = static_cast<char>(value & 0xff);
}

}  // namespace

struct Forwarder::Pending {
  enum class Purpose { forward, chase, probe } purpose = Purpose::forward;
  Query query;
  Answer answer;        // of chase: what comes first
  std::string message;  // what is asked, with our id
  Client client;
  SocketAddress upstream;
  std::uint16_t id = 0;
  std::vector<SocketAddress> tried;
  bool tcp = false;
  int file = -1;
  std::string out, in;  // TCP: what is still to be written, what has been read
  Deadlines::iterator deadline;

  ~Pending() {
    if (file >= 0) ::close(file);
  }
};

Forwarder::Forwarder(int epoll, World world, ForwardOptions options, Upstreams upstreams, Cache cache, Reply reply)
    : epoll_(epoll),
      world_(world),
      options_(options),
      upstreams_(std::move(upstreams)),
      cache_(std::move(cache)),
      reply_(std::move(reply)) {}
Forwarder::~Forwarder() = default;

void Forwarder::forward(Query query, std::string_view message, Client client) {
  const Instant now = world_.clock.steady();
  if (std::optional<std::string> kept = cache_.find(query, message, now)) {
    ++counts_.cached;
    reply_(client, std::move(*kept));
    return;
  }
  auto pending = std::make_unique<Pending>();
  pending->message = message;
  pending->query = std::move(query);
  pending->client = std::move(client);
  start(std::move(pending));
}

void Forwarder::chase(Query query, Answer answer, Client client) {
  auto pending = std::make_unique<Pending>();
  pending->purpose = Pending::Purpose::chase;
  std::optional<std::string> message = write_query(0, answer.chase, query.question.type);
  pending->query = std::move(query);
  pending->answer = std::move(answer);
  pending->client = std::move(client);
  if (!message) return give_up(*pending);  // the service's externalName is no name
  pending->message = std::move(*message);
  start(std::move(pending));
}

void Forwarder::start(std::unique_ptr<Pending> pending) {
  look_at_upstreams(world_.clock.steady());
  pending->tcp = pending->client.connection != 0;
  if (pending_.size() >= options_.max_pending) return give_up(*pending);
  ++counts_.forwarded;
  retry(std::move(pending));
}

void Forwarder::retry(std::unique_ptr<Pending> pending) {
  while (!upstreams_.list().empty() && pending->tried.size() < static_cast<std::size_t>(options_.attempts)) {
    if (attempt(pending)) return;
  }
  give_up(*pending);
}

void Forwarder::give_up(Pending& pending) {
  if (pending.purpose == Pending::Purpose::probe) return;
  ++counts_.failed;
  Answer failure;
  failure.rcode = Rcode::server_failure;
  const std::size_t limit = pending.client.connection != 0 ? max_message_bytes : udp_limit(pending.query);
  reply_(pending.client, write_answer(pending.query, failure, limit));
}

bool Forwarder::open_socket(Pending& pending, const SocketAddress& upstream) {
  if (pending.file >= 0) ::close(pending.file);
  pending.file = ::socket(upstream.family(), (pending.tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (pending.file < 0) return false;
  if (::connect(pending.file, upstream.get(), upstream.size) != 0 && errno != EINPROGRESS) return false;
  epoll_event event{};
  event.events = pending.tcp ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.u64 = static_cast<std::uint64_t>(pending.file);
  return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, pending.file, &event) == 0;
}

// Sends to the next upstream; false when that failed at once. Takes `pending` when it worked.
bool Forwarder::attempt(std::unique_ptr<Pending>& pending) {
  const Instant now = world_.clock.steady();
  const bool probing = pending->purpose == Pending::Purpose::probe;
  if (!probing) pending->upstream = upstreams_.list()[upstreams_.choose(pending->tried, now)];
  pending->tried.push_back(pending->upstream);
  pending->id = static_cast<std::uint16_t>(world_.random.next());
  put16(pending->message, 0, pending->id);
  bool sent = open_socket(*pending, pending->upstream);
  if (sent && !pending->tcp) sent = ::send(pending->file, pending->message.data(), pending->message.size(), MSG_NOSIGNAL) >= 0;
  if (!sent) {
    if (!probing) upstreams_.failed(pending->upstream, now);
    return false;
  }
  if (pending->tcp) {
    pending->in.clear();
    pending->out.assign(2, '\0');
    put16(pending->out, 0, static_cast<std::uint16_t>(pending->message.size()));
    pending->out += pending->message;
  }
  const int file = pending->file;
  pending->deadline = deadlines_.emplace(now + options_.timeout, file);
  pending_.emplace(file, std::move(pending));
  return true;
}

std::unique_ptr<Forwarder::Pending> Forwarder::take(int file) {
  auto found = pending_.find(file);
  if (found == pending_.end()) return nullptr;
  std::unique_ptr<Pending> pending = std::move(found->second);
  pending_.erase(found);
  deadlines_.erase(pending->deadline);
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, file, nullptr);
  return pending;
}

bool Forwarder::write_some(Pending& pending) {
  while (!pending.out.empty()) {
    const ssize_t count = ::send(pending.file, pending.out.data(), pending.out.size(), MSG_NOSIGNAL);
    if (count < 0) return errno == EAGAIN || errno == EINTR || errno == ENOTCONN;
    pending.out.erase(0, static_cast<std::size_t>(count));
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = static_cast<std::uint64_t>(pending.file);
  ::epoll_ctl(epoll_, EPOLL_CTL_MOD, pending.file, &event);
  return true;
}

// True when pending.in holds an answer to the question. Datagrams that are not are passed over: somebody guesses.
bool Forwarder::read_some(Pending& pending, bool& broken) {
  char buffer[16 << 10];
  while (true) {
    const ssize_t count = ::recv(pending.file, buffer, sizeof buffer, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return false;
    if (count < 0 || (count == 0 && pending.tcp)) {
      broken = true;
      return false;
    }
    const std::string_view got(buffer, static_cast<std::size_t>(count));
    if (!pending.tcp) {
      if (!answers_query(got, pending.id, pending.message)) continue;
      pending.in = got;
      return true;
    }
    pending.in += got;
    if (pending.in.size() < 2) continue;
    const std::size_t length =
        static_cast<std::size_t>(static_cast<unsigned char>(pending.in[0])) << 8 | static_cast<unsigned char>(pending.in[1]);
    if (pending.in.size() < 2 + length) continue;
    pending.in = pending.in.substr(2, length);
    broken = !answers_query(pending.in, pending.id, pending.message);
    return !broken;
  }
}

void Forwarder::on_event(int file, std::uint32_t events) {
  auto found = pending_.find(file);
  if (found == pending_.end()) return;
  Pending& pending = *found->second;
  bool broken = false;
  if ((events & EPOLLOUT) != 0 && !pending.out.empty()) broken = !write_some(pending);
  const bool readable = (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0;
  if (!broken && readable && read_some(pending, broken)) {
    const std::unique_ptr<Pending> done = take(file);
    if (done->purpose == Pending::Purpose::probe) return;
    upstreams_.worked(done->upstream);
    return finish(*done, std::move(done->in));
  }
  if (!broken) return;
  std::unique_ptr<Pending> failed = take(file);
  if (failed->purpose == Pending::Purpose::probe) return;
  upstreams_.failed(failed->upstream, world_.clock.steady());
  retry(std::move(failed));
}

void Forwarder::finish(Pending& pending, std::string message) {
  const bool udp = pending.client.connection == 0;
  if (pending.purpose == Pending::Purpose::chase) {
    std::optional<std::string> whole =
        write_chased(pending.query, pending.answer, message, udp ? udp_limit(pending.query) : max_message_bytes);
    if (!whole) return give_up(pending);
    reply_(pending.client, std::move(*whole));
    return;
  }
  cache_.put(pending.query, message, world_.clock.steady());
  put16(message, 0, pending.query.id);
  reply_(pending.client, std::move(message));
}

std::optional<Instant> Forwarder::next_deadline() const {
  if (deadlines_.empty()) return std::nullopt;
  return deadlines_.begin()->first;
}

void Forwarder::expire(Instant now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    std::unique_ptr<Pending> late = take(deadlines_.begin()->second);
    if (late->purpose == Pending::Purpose::probe) continue;
    upstreams_.failed(late->upstream, now);
    retry(std::move(late));
  }
}

void Forwarder::look_at_upstreams(Instant now) {
  if (!upstreams_.refresh(now)) return;
  probes_.clear();
  for (const SocketAddress& upstream : upstreams_.list()) {
    const std::string label = fmt::format("{:016x}", world_.random.next());
    auto probe = std::make_unique<Pending>();
    probe->purpose = Pending::Purpose::probe;
    probe->upstream = upstream;
    std::optional<std::string> message = write_query(0, label + "." + std::string(probe_suffix), Type::hinfo);
    if (!message) continue;
    probe->message = std::move(*message);
    probes_[label] = upstream;
    attempt(probe);
  }
}

bool Forwarder::came_back(const std::vector<std::string>& labels) {
  if (probes_.empty() || labels.size() != 4 || labels[3] != "invalid" || labels[1] != "loop-probe") return false;
  auto found = probes_.find(labels[0]);
  if (found == probes_.end()) return false;
  upstreams_.drop(found->second);
  probes_.erase(found);
  return true;
}

}  // namespace kybern::dns
