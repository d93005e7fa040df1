#include "dns/serve/server.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "dns/answer/message.h"

namespace kybern::dns {
namespace {

constexpr std::size_t batch_size = 32;
constexpr std::size_t query_bytes = 1500;  // over UDP; larger ones are no queries
constexpr std::size_t control_bytes = 64;
constexpr std::size_t max_under_way = 64;          // queries of one TCP connection
constexpr std::size_t max_queued_bytes = 1 << 20;  // answers a TCP client does not take
constexpr int port_tries = 20;
constexpr int backlog = 128;

bool is_wildcard(const Ip& ip) {
  return std::ranges::all_of(ip.bytes, [](std::uint8_t byte) { return byte == 0; });
}

std::string system_error() { return std::strerror(errno); }

// "listen 192.0.2.1:53 (UDP): permission denied: ...": what went wrong, and what to do.
std::unexpected<Error> listen_error(const SocketAddress& address, bool tcp, int error) {
  std::string text = std::strerror(error), advice;
  text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  Code code = Code::unavailable;
  if (error == EADDRINUSE) {
    code = Code::already_exists;
    advice = fmt::format(
        ": another process holds this port; `ss -lnp sport = :{}` shows which; stop it, choose another port, or do without "
        "the cluster's DNS server",
        address.port());
  } else if (error == EACCES) {
    code = Code::forbidden;
    advice = ": ports below 1024 need root or CAP_NET_BIND_SERVICE; choose another port";
  } else if (error == EADDRNOTAVAIL) {
    advice = ": no network interface of this machine has this address; choose one that `ip address` shows";
  }
  return fail(code, fmt::format("listen {} ({}): {}{}", address.text(), tcp ? "TCP" : "UDP", text, advice));
}

// A received packet's destination as the control message that sends from there.
std::string source_control(msghdr& message) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    const bool v4 = part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO;
    const bool v6 = part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO;
    if (!v4 && !v6) continue;
    std::string out(CMSG_SPACE(v4 ? sizeof(in_pktinfo) : sizeof(in6_pktinfo)), '\0');
    std::memcpy(out.data(), part, part->cmsg_len);
    if (v4) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(part), sizeof info);
      info.ipi_ifindex = 0;  // the route decides
      info.ipi_spec_dst = info.ipi_addr;
      std::memcpy(out.data() + CMSG_LEN(0), &info, sizeof info);
    }
    return out;
  }
  return {};
}

}  // namespace

struct Server::Batch {
  mmsghdr headers[batch_size];
  iovec parts[batch_size];
  sockaddr_storage peers[batch_size];
  char data[batch_size][query_bytes];
  alignas(cmsghdr) char control[batch_size][control_bytes];
  struct Out {
    Client client;
    std::string message;
  };
  std::vector<Out> replies;
  bool collecting = false;
};

Server::Server(World world, const DnsOptions& options)
    : world_(world), options_(options), zone_(make_zone(options.domain, options.ttl_s)), batch_(std::make_unique<Batch>()) {
  index_.store(std::make_shared<const Index>());
  shuffle_ = world_.random.next() | 1;
}

Result<void> Server::listen(const Ip& ip, int port) {
  for (bool tcp : {false, true}) {
    SocketAddress address = SocketAddress::of(ip, port == 0 ? port_ : port);
    Listener listener{::socket(address.family(), (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), tcp, is_wildcard(ip)};
    if (listener.file < 0) return fail(Code::unavailable, "socket: " + system_error());
    listeners_.push_back(listener);
    const int on = 1;
    if (tcp) ::setsockopt(listener.file, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (ip.v6) ::setsockopt(listener.file, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (listener.wildcard && !tcp) {
      ::setsockopt(listener.file, ip.v6 ? IPPROTO_IPV6 : IPPROTO_IP, ip.v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, &on, sizeof on);
    }
    if (::bind(listener.file, address.get(), address.size) != 0 || (tcp && ::listen(listener.file, backlog) != 0)) {
      return listen_error(address, tcp, errno);
    }
    if (port_ == 0) {
      ::getsockname(listener.file, address.get(), &address.size);
      port_ = address.port();
    }
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = static_cast<std::uint64_t>(listener.file);
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, listener.file, &event) != 0) return fail(Code::unavailable, "epoll: " + system_error());
  }
  return {};
}

// All addresses on one port, UDP and TCP; a free port is tried again when it is not free for all of them.
Result<std::vector<SocketAddress>> Server::open_listeners() {
  if (options_.port < 0 || options_.port > 65535)
    return fail(Code::invalid, fmt::format("listen port {}: a port is a number from 0 to 65535", options_.port));
  std::vector<Ip> ips;
  for (const std::string& text : options_.addresses) {
    const std::optional<Ip> ip = parse_ip(text);
    if (!ip) return fail(Code::invalid, fmt::format("listen address \"{}\" is not an IP address", text));
    ips.push_back(*ip);
  }
  if (ips.empty()) return fail(Code::invalid, "no listen address");
  for (int i = 1;; ++i) {
    Result<void> done;
    port_ = options_.port;
    for (const Ip& ip : ips) {
      done = listen(ip, options_.port);
      if (!done) break;
    }
    if (done) break;
    for (const Listener& listener : listeners_) ::close(listener.file);
    listeners_.clear();
    if (options_.port != 0 || done.error().code != Code::already_exists || i == port_tries) return std::unexpected(done.error());
  }
  std::vector<SocketAddress> own;
  for (const Ip& ip : ips) own.push_back(SocketAddress::of(ip, port_));
  for (const std::string& text : options_.own_addresses) {
    const std::optional<SocketAddress> address = parse_socket_address(text, 53);
    if (!address) return fail(Code::invalid, fmt::format("own address \"{}\" is not an IP address", text));
    own.push_back(*address);
  }
  return own;
}

Result<std::unique_ptr<Server>> Server::start(World world, const DnsOptions& options) {
  std::unique_ptr<Server> out(new Server(world, options));
  out->epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  out->wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = static_cast<std::uint64_t>(out->wake_);
  if (out->epoll_ < 0 || out->wake_ < 0 || ::epoll_ctl(out->epoll_, EPOLL_CTL_ADD, out->wake_, &event) != 0) {
    return fail(Code::unavailable, "epoll: " + system_error());
  }
  Result<std::vector<SocketAddress>> own = out->open_listeners();
  if (!own) return std::unexpected(own.error());
  std::vector<SocketAddress> fixed;
  for (const std::string& text : options.upstreams) {
    const std::optional<SocketAddress> address = parse_socket_address(text, 53);
    if (!address) return fail(Code::invalid, fmt::format("upstream \"{}\" is not an IP address with an optional port", text));
    fixed.push_back(*address);
  }
  Server* self = out.get();
  out->forwarder_ =
      std::make_unique<Forwarder>(out->epoll_, world, ForwardOptions{options.upstream_timeout, options.attempts, options.max_forwarded},
                                  Upstreams(options.resolv_conf, std::move(fixed), std::move(*own)), Cache(options.cache_entries),
                                  [self](const Client& client, std::string message) { self->reply(client, std::move(message)); });
  out->thread_ = std::thread([self] { self->run(); });
  return out;
}

Server::~Server() {
  stopping_ = true;
  if (thread_.joinable()) {
    const std::uint64_t one = 1;
    (void)!::write(wake_, &one, sizeof one);
    thread_.join();
  }
  forwarder_.reset();
  for (const auto& [number, connection] : connections_) ::close(connection.file);
  for (const Listener& listener : listeners_) ::close(listener.file);
  for (int file : {epoll_, wake_}) {
    if (file >= 0) ::close(file);
  }
}

DnsStatus Server::status() const {
  const std::shared_ptr<const Index> index = index_.load();
  return {index->synced, index->services(), queries_, forwarded_, cached_, failed_};
}

int Server::wait_ms(Instant now) const {
  std::optional<Instant> next = forwarder_->next_deadline();
  if (!connections_.empty() && (!next || next_idle_look_ < *next)) next = next_idle_look_;
  if (!next) return -1;
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(*next - now).count();
  return static_cast<int>(std::clamp<std::int64_t>(ms, 0, 60'000));
}

void Server::run() {
  epoll_event events[64];
  forwarder_->look_at_upstreams(world_.clock.steady());
  while (!stopping_) {
    const int count = ::epoll_wait(epoll_, events, 64, wait_ms(world_.clock.steady()));
    for (int i = 0; i < count; ++i) dispatch(static_cast<int>(events[i].data.u64), events[i].events);
    const Instant now = world_.clock.steady();
    forwarder_->expire(now);
    resume_connections();
    close_idle(now);
    forwarded_ = forwarder_->counts().forwarded;
    cached_ = forwarder_->counts().cached;
    failed_ = forwarder_->counts().failed;
  }
}

// A file closed in this turn may have been given out again: an event of the old one then only finds nothing to read.
void Server::dispatch(int file, std::uint32_t events) {
  if (auto found = connection_of_.find(file); found != connection_of_.end()) {
    on_connection(connections_.at(found->second), events);
  } else if (forwarder_->owns(file)) {
    forwarder_->on_event(file, events);
  } else {
    for (const Listener& listener : listeners_) {
      if (listener.file != file) continue;
      if (listener.tcp) accept_all(listener);
      else read_datagrams(listener);
    }
  }
}

void Server::read_datagrams(const Listener& listener) {
  Batch& batch = *batch_;
  for (std::size_t i = 0; i < batch_size; ++i) {
    batch.parts[i] = {batch.data[i], query_bytes};
    msghdr& header = batch.headers[i].msg_hdr;
    header = {};
    header.msg_name = &batch.peers[i];
    header.msg_namelen = sizeof batch.peers[i];
    header.msg_iov = &batch.parts[i];
    header.msg_iovlen = 1;
    if (listener.wildcard) {
      header.msg_control = batch.control[i];
      header.msg_controllen = control_bytes;
    }
  }
  const int count = ::recvmmsg(listener.file, batch.headers, batch_size, MSG_DONTWAIT, nullptr);
  batch.collecting = true;
  for (int i = 0; i < count; ++i) {
    msghdr& header = batch.headers[i].msg_hdr;
    if ((header.msg_flags & MSG_TRUNC) != 0) continue;
    Client client;
    client.socket = listener.file;
    std::memcpy(&client.peer.storage, &batch.peers[i], header.msg_namelen);
    client.peer.size = header.msg_namelen;
    if (listener.wildcard) client.local = source_control(header);
    handle({batch.data[i], batch.headers[i].msg_len}, std::move(client));
  }
  batch.collecting = false;
  send_replies();
}

void Server::send_replies() {
  std::vector<Batch::Out>& replies = batch_->replies;
  mmsghdr headers[batch_size];
  iovec parts[batch_size];
  std::size_t at = 0;
  while (at < replies.size()) {
    // One call for what goes out by the same socket.
    std::size_t count = 0;
    while (count < batch_size && at + count < replies.size() && replies[at + count].client.socket == replies[at].client.socket) {
      Batch::Out& reply = replies[at + count];
      parts[count] = {reply.message.data(), reply.message.size()};
      headers[count] = {};
      msghdr& header = headers[count].msg_hdr;
      header.msg_name = &reply.client.peer.storage;
      header.msg_namelen = reply.client.peer.size;
      header.msg_iov = &parts[count];
      header.msg_iovlen = 1;
      if (!reply.client.local.empty()) {
        header.msg_control = reply.client.local.data();
        header.msg_controllen = reply.client.local.size();
      }
      ++count;
    }
    // An answer that cannot be sent (the client's network is gone, buffers are full) is lost, as datagrams are.
    const int sent = ::sendmmsg(replies[at].client.socket, headers, static_cast<unsigned>(count), MSG_DONTWAIT | MSG_NOSIGNAL);
    at += sent > 0 ? static_cast<std::size_t>(sent) : 1;
  }
  replies.clear();
}

void Server::handle(std::string_view message, Client client) {
  std::optional<Query> query = parse_query(message);
  if (!query) return reply(client, {});
  queries_.fetch_add(1, std::memory_order_relaxed);
  const std::size_t limit = client.connection != 0 ? max_message_bytes : udp_limit(*query);
  if (query->refusal == Rcode::no_error && forwarder_->came_back(query->question.labels)) query->refusal = Rcode::refused;
  if (query->refusal != Rcode::no_error) {
    Answer refusal;
    refusal.rcode = query->refusal;
    return reply(client, write_answer(*query, refusal, limit));
  }
  shuffle_ ^= shuffle_ << 13;
  shuffle_ ^= shuffle_ >> 7;
  shuffle_ ^= shuffle_ << 17;
  const std::shared_ptr<const Index> index = index_.load();
  Answer found = answer(*index, zone_, query->question, shuffle_ >> 16);
  if (found.forward) forwarder_->forward(std::move(*query), message, std::move(client));
  else if (!found.chase.empty()) forwarder_->chase(std::move(*query), std::move(found), std::move(client));
  else reply(client, write_answer(*query, found, limit));
}

// An empty message: there is nothing to say (the query was none).
void Server::reply(const Client& client, std::string message) {
  if (client.connection == 0) {
    if (message.empty()) return;
    batch_->replies.push_back({client, std::move(message)});
    if (!batch_->collecting) send_replies();
    return;
  }
  auto found = connections_.find(client.connection);
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  if (connection.under_way-- == max_under_way) resumable_.push_back(connection.number);
  if (message.empty()) {
    connection.ended = true;
  } else {
    connection.out += static_cast<char>(message.size() >> 8);
    connection.out += static_cast<char>(message.size() & 0xff);
    connection.out += message;
  }
  flush(connection);
}

void Server::accept_all(const Listener& listener) {
  while (true) {
    const int file = ::accept4(listener.file, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (file < 0) return;
    if (connections_.size() >= options_.max_connections) {
      ::close(file);
      continue;
    }
    const Instant now = world_.clock.steady();
    if (connections_.empty()) next_idle_look_ = now + options_.idle_timeout;
    Connection connection;
    connection.number = ++last_connection_;
    connection.file = file;
    connection.last = now;
    connection_of_[file] = connection.number;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = static_cast<std::uint64_t>(file);
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, file, &event);
    connections_.emplace(connection.number, std::move(connection));
  }
}

void Server::on_connection(Connection& connection, std::uint32_t events) {
  const std::uint64_t number = connection.number;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) return close_connection(number);
  if ((events & EPOLLIN) != 0 && connection.under_way < max_under_way) {
    char buffer[4096];
    const ssize_t count = ::recv(connection.file, buffer, sizeof buffer, 0);
    if (count < 0 && errno != EAGAIN && errno != EINTR) return close_connection(number);
    if (count == 0) connection.ended = true;
    if (count > 0) connection.in.append(buffer, static_cast<std::size_t>(count));
    connection.last = world_.clock.steady();
    read_queries(connection);
  }
  if (auto found = connections_.find(number); found != connections_.end()) flush(found->second);
}

// Whole queries in `in`, each after its length. Answering one may close the connection.
void Server::read_queries(Connection& connection) {
  const std::uint64_t number = connection.number;
  Connection* open = &connection;
  while (open->in.size() >= 2 && open->under_way < max_under_way) {
    const std::size_t length =
        static_cast<std::size_t>(static_cast<unsigned char>(open->in[0])) << 8 | static_cast<unsigned char>(open->in[1]);
    if (open->in.size() < 2 + length) return;
    const std::string message = open->in.substr(2, length);
    open->in.erase(0, 2 + length);
    ++open->under_way;
    Client client;
    client.connection = number;
    handle(message, std::move(client));
    auto found = connections_.find(number);
    if (found == connections_.end()) return;
    open = &found->second;
  }
}

// Queries that were read already and had to wait.
void Server::resume_connections() {
  while (!resumable_.empty()) {
    const std::uint64_t number = resumable_.back();
    resumable_.pop_back();
    if (auto found = connections_.find(number); found != connections_.end()) read_queries(found->second);
    if (auto found = connections_.find(number); found != connections_.end()) flush(found->second);
  }
}

void Server::flush(Connection& connection) {
  while (!connection.out.empty()) {
    const ssize_t count = ::send(connection.file, connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) break;
    if (count < 0) return close_connection(connection.number);
    connection.out.erase(0, static_cast<std::size_t>(count));
    connection.last = world_.clock.steady();
  }
  const bool done = connection.ended && connection.under_way == 0 && connection.out.empty();
  if (done || connection.out.size() > max_queued_bytes) return close_connection(connection.number);
  watch(connection);
}

void Server::watch(Connection& connection) {
  epoll_event event{};
  if (!connection.ended && connection.under_way < max_under_way) event.events |= EPOLLIN;
  if (!connection.out.empty()) event.events |= EPOLLOUT;
  event.data.u64 = static_cast<std::uint64_t>(connection.file);
  ::epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.file, &event);
}

void Server::close_connection(std::uint64_t number) {
  auto found = connections_.find(number);
  if (found == connections_.end()) return;
  connection_of_.erase(found->second.file);
  ::close(found->second.file);
  connections_.erase(found);
}

void Server::close_idle(Instant now) {
  if (connections_.empty() || now < next_idle_look_) return;
  std::vector<std::uint64_t> idle;
  next_idle_look_ = now + options_.idle_timeout;
  for (const auto& [number, connection] : connections_) {
    const Instant end = connection.last + options_.idle_timeout;
    if (end <= now) idle.push_back(number);
    else next_idle_look_ = std::min(next_idle_look_, end);
  }
  for (std::uint64_t number : idle) close_connection(number);
}

}  // namespace kybern::dns
