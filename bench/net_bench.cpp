// What the HTTP server costs: small GETs per second of its processor time, and memory of an idle watch.
//
//   net_bench                 all of it, about half a minute
//   net_bench http1 tls http2 watch2 watch1   only those (NET_BENCH_WATCHES: how many watches, 10000)
//
// The load comes from a child process, so that the figures are the server's alone.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/world.h"
#include "net/certificates.h"
#include "net/server.h"
#include "settle.h"

namespace {

using namespace kybern;
using namespace kybern::net;
using Clock = std::chrono::steady_clock;

constexpr auto run_time = std::chrono::seconds(3);
constexpr int http1_connections = 64;
constexpr int http2_connections = 4, http2_streams = 100;
constexpr std::size_t watches_per_connection = 250;
std::size_t watches = 10000;  // NET_BENCH_WATCHES
constexpr const char* request_text =
    "GET /api/v1/namespaces/default/pods/a HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench/1\r\nAccept: application/json\r\n"
    "Authorization: Bearer 0123456789012345678901234567890123456789\r\n\r\n";

void check(bool good, const char* what) {
  if (good) return;
  fmt::print(stderr, "net_bench: {}\n", what);
  ::exit(1);
}

// ---- the load: a child process

struct Connection {
  Connection(int port, SSL_CTX* context, const char* protocol) {
    fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(fd >= 0 && ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "cannot connect (too few descriptors?)");
    int one = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (!context) return;
    ssl = ::SSL_new(context);
    std::string alpn = static_cast<char>(std::strlen(protocol)) + std::string(protocol);
    ::SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(alpn.data()), static_cast<unsigned>(alpn.size()));
    ::SSL_set_fd(ssl, fd);
    check(::SSL_connect(ssl) == 1, "TLS handshake");
  }
  void send(const char* data, std::size_t bytes) {
    while (bytes > 0) {
      long sent = ssl ? ::SSL_write(ssl, data, static_cast<int>(bytes)) : ::send(fd, data, bytes, MSG_NOSIGNAL);
      check(sent > 0, "the server is gone");
      data += sent;
      bytes -= static_cast<std::size_t>(sent);
    }
  }
  std::size_t receive(char* out, std::size_t bytes) {
    long got = ssl ? ::SSL_read(ssl, out, static_cast<int>(bytes)) : ::recv(fd, out, bytes, 0);
    check(got > 0, "the server is gone");
    return static_cast<std::size_t>(got);
  }
  int fd;
  SSL* ssl = nullptr;
};

std::size_t answers_in(std::string& buffer) {  // whole ones; they all have the same length
  static std::size_t answer_bytes = 0;
  if (answer_bytes == 0) {
    std::size_t head = buffer.find("\r\n\r\n"), length = buffer.find("Content-Length: ");
    if (head == std::string::npos || length == std::string::npos) return 0;
    answer_bytes = head + 4 + std::stoul(buffer.substr(length + 16));
  }
  std::size_t count = buffer.size() / answer_bytes;
  buffer.erase(0, count * answer_bytes);
  return count;
}

std::uint64_t load_http1(int port, SSL_CTX* context) {
  std::vector<std::unique_ptr<Connection>> connections;
  std::vector<std::string> buffers(http1_connections);
  for (int i = 0; i < http1_connections; ++i) connections.push_back(std::make_unique<Connection>(port, context, "http/1.1"));
  std::uint64_t done = 0;
  char data[65536];
  const std::size_t bytes = std::strlen(request_text);
  for (auto until = Clock::now() + run_time; Clock::now() < until;) {
    for (auto& connection : connections) connection->send(request_text, bytes);
    for (std::size_t i = 0; i < connections.size(); ++i) {
      std::size_t got = 0;
      while (got == 0) {
        buffers[i].append(data, connections[i]->receive(data, sizeof data));
        got = answers_in(buffers[i]);
      }
      done += got;
    }
  }
  return done;
}

// One HTTP/2 connection that keeps `want` requests open.
struct Http2Load {
  Http2Load(int port, SSL_CTX* context, const char* path) : connection(port, context, "h2"), path(path) {
    nghttp2_session_callbacks* callbacks = nullptr;
    ::nghttp2_session_callbacks_new(&callbacks);
    ::nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, [](nghttp2_session*, std::int32_t, std::uint32_t, void* self) {
      auto* load = static_cast<Http2Load*>(self);
      --load->open;
      ++load->done;
      return 0;
    });
    ::nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
      if (frame->hd.type == NGHTTP2_HEADERS) ++static_cast<Http2Load*>(self)->heads;
      return 0;
    });
    ::nghttp2_session_client_new(&session, callbacks, this);
    ::nghttp2_session_callbacks_del(callbacks);
    ::nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, nullptr, 0);
    ::nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, 1 << 24);
  }
  void submit() {
    static const std::pair<const char*, const char*> fields[] = {
        {":method", "GET"},        {":scheme", "https"},           {":authority", "127.0.0.1"},
        {"user-agent", "bench/1"}, {"accept", "application/json"}, {"authorization", "Bearer 0123456789012345678901234567890123456789"}};
    std::vector<nghttp2_nv> nv;
    auto add = [&](const char* name, const char* value) {
      nv.push_back({reinterpret_cast<std::uint8_t*>(const_cast<char*>(name)), reinterpret_cast<std::uint8_t*>(const_cast<char*>(value)),
                    std::strlen(name), std::strlen(value), 0});
    };
    for (auto& [name, value] : fields) add(name, value);
    add(":path", path);
    std::swap(nv.back(), nv[3]);
    ::nghttp2_submit_request(session, nullptr, nv.data(), nv.size(), nullptr, nullptr);
    ++open;
  }
  void send() {
    std::string out;
    const std::uint8_t* data = nullptr;
    for (ssize_t bytes; (bytes = ::nghttp2_session_mem_send(session, &data)) > 0;)
      out.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(bytes));
    if (!out.empty()) connection.send(out.data(), out.size());
  }
  void receive() {
    char data[65536];
    std::size_t got = connection.receive(data, sizeof data);
    check(::nghttp2_session_mem_recv(session, reinterpret_cast<std::uint8_t*>(data), got) >= 0, "HTTP/2");
  }
  Connection connection;
  const char* path;
  nghttp2_session* session = nullptr;
  int open = 0;
  std::uint64_t done = 0, heads = 0;
};

std::uint64_t load_http2(int port, SSL_CTX* context) {
  std::vector<std::unique_ptr<Http2Load>> loads;
  for (int i = 0; i < http2_connections; ++i)
    loads.push_back(std::make_unique<Http2Load>(port, context, "/api/v1/namespaces/default/pods/a"));
  for (auto until = Clock::now() + run_time; Clock::now() < until;) {
    for (auto& load : loads) {
      while (load->open < http2_streams) load->submit();
      load->send();
    }
    for (auto& load : loads) load->receive();
  }
  std::uint64_t done = 0;
  for (auto& load : loads) done += load->done;
  return done;
}

void hold_http2(int port, SSL_CTX* context, int ready_fd, int end_fd) {
  std::vector<std::unique_ptr<Http2Load>> loads;
  for (std::size_t i = 0; i < watches / watches_per_connection; ++i) {
    auto& load = *loads.emplace_back(std::make_unique<Http2Load>(port, context, "/watch"));
    for (std::size_t k = 0; k < watches_per_connection; ++k) load.submit();
    load.send();
    while (load.heads < watches_per_connection) {
      load.receive();
      load.send();
    }
  }
  char byte = 'r';
  check(::write(ready_fd, &byte, 1) == 1 && ::read(end_fd, &byte, 1) >= 0, "pipe");
}

void hold_http1(int port, SSL_CTX* context, int ready_fd, int end_fd) {
  std::vector<std::unique_ptr<Connection>> connections;
  const std::string head = "GET /watch HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench/1\r\nAccept: application/json\r\n\r\n";
  char data[4096];
  for (std::size_t i = 0; i < watches; ++i) {
    auto& connection = *connections.emplace_back(std::make_unique<Connection>(port, context, "http/1.1"));
    connection.send(head.data(), head.size());
    connection.receive(data, sizeof data);
  }
  char byte = 'r';
  check(::write(ready_fd, &byte, 1) == 1 && ::read(end_fd, &byte, 1) >= 0, "pipe");
}

// ---- the server: this process

std::size_t resident_bytes() {
  std::size_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

struct Bench {
  TlsFiles files;
  std::mutex mutex;
  std::vector<std::shared_ptr<BodyStream>> streams;

  void handle(std::shared_ptr<Exchange> exchange) {
    static const std::string body(300, 'x');
    if (exchange->request().path == "/watch") {
      auto stream = exchange->respond_stream(200, {{"content-type", "application/json"}});
      stream->on_close([] {});
      std::lock_guard lock(mutex);
      streams.push_back(std::move(stream));
      return;
    }
    exchange->respond(
        {200, {{"content-type", "application/json"}, {"cache-control", "no-cache, private"}, {"audit-id", "0123456789"}}, body});
  }

  std::unique_ptr<Server> start(bool tls) {
    ServerOptions options;
    if (tls) options.tls = files;
    options.idle_timeout = options.header_timeout = std::chrono::seconds(600);
    auto server = Server::start(options, [this](std::shared_ptr<Exchange> exchange) { handle(std::move(exchange)); });
    check(server.has_value(), "the server does not start");
    return std::move(*server);
  }

  // The child is forked before there are threads; it learns the port by a pipe.
  template <class Load>
  void throughput(const char* name, bool tls, Load load) {
    int port_pipe[2], count_pipe[2];
    check(::pipe(port_pipe) == 0 && ::pipe(count_pipe) == 0, "pipe");
    pid_t child = ::fork();
    if (child == 0) {
      int port = 0;
      check(::read(port_pipe[0], &port, sizeof port) == sizeof port, "pipe");
      std::uint64_t done = load(port, tls ? ::SSL_CTX_new(::TLS_client_method()) : nullptr);
      check(::write(count_pipe[1], &done, sizeof done) == sizeof done, "pipe");
      ::_exit(0);
    }
    auto server = start(tls);
    int port = server->port();
    double before = bench::own_cpu_seconds();
    check(::write(port_pipe[1], &port, sizeof port) == sizeof port, "pipe");
    std::uint64_t done = 0;
    check(::read(count_pipe[0], &done, sizeof done) == sizeof done, "the load failed");
    double used = bench::own_cpu_seconds() - before;
    ::waitpid(child, nullptr, 0);
    server->stop(std::chrono::milliseconds(0));
    for (int fd : {port_pipe[0], port_pipe[1], count_pipe[0], count_pipe[1]}) ::close(fd);
    fmt::print("{:<36} {:>9.0f} requests/s {:>9.0f} requests per CPU-second\n", name,
               static_cast<double>(done) / std::chrono::duration<double>(run_time).count(), static_cast<double>(done) / used);
    std::fflush(stdout);
  }

  template <class Hold>
  void memory(const char* name, bool tls, Hold hold) {
    int port_pipe[2], ready_pipe[2], end_pipe[2];
    check(::pipe(port_pipe) == 0 && ::pipe(ready_pipe) == 0 && ::pipe(end_pipe) == 0, "pipe");
    pid_t child = ::fork();
    if (child == 0) {
      ::close(end_pipe[1]);
      int port = 0;
      check(::read(port_pipe[0], &port, sizeof port) == sizeof port, "pipe");
      hold(port, tls ? ::SSL_CTX_new(::TLS_client_method()) : nullptr, ready_pipe[1], end_pipe[0]);
      ::_exit(0);
    }
    auto server = start(tls);
    int port = server->port();
    ::malloc_trim(0);
    std::size_t heap = ::mallinfo2().uordblks + ::mallinfo2().hblkhd, resident = resident_bytes();
    check(::write(port_pipe[1], &port, sizeof port) == sizeof port, "pipe");
    char byte = 0;
    check(::read(ready_pipe[0], &byte, 1) == 1, "the load failed");
    check(bench::wait_until_still(), "it does not come to rest");
    ::malloc_trim(0);
    std::size_t heap_after = ::mallinfo2().uordblks + ::mallinfo2().hblkhd, resident_after = resident_bytes();
    double before = bench::own_cpu_seconds();
    std::this_thread::sleep_for(std::chrono::seconds(1));
    double idle = bench::own_cpu_seconds() - before;
    fmt::print("{:<36} {:>9.0f} bytes of heap each {:>9.0f} resident, {} connections, {:.4f} CPU-seconds in an idle second\n", name,
               static_cast<double>(heap_after - heap) / watches, static_cast<double>(resident_after - resident) / watches,
               server->connections(), idle);
    std::fflush(stdout);
    ::close(end_pipe[1]);
    ::waitpid(child, nullptr, 0);
    server->stop(std::chrono::milliseconds(0));
    std::lock_guard lock(mutex);
    streams.clear();
    for (int fd : {port_pipe[0], port_pipe[1], ready_pipe[0], ready_pipe[1], end_pipe[0]}) ::close(fd);
  }
};

}  // namespace

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  rlimit files_limit{};
  ::getrlimit(RLIMIT_NOFILE, &files_limit);
  files_limit.rlim_cur = files_limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files_limit);
  if (const char* count = ::getenv("NET_BENCH_WATCHES")) watches = std::stoul(count);
  auto wanted = [&](std::string_view name) {
    for (int i = 1; i < argc; ++i) {
      if (name == argv[i]) return true;
    }
    return argc == 1;
  };
  std::string directory = (std::filesystem::temp_directory_path() / "net-bench-XXXXXX").string();
  check(::mkdtemp(directory.data()) != nullptr, "no temporary directory");
  Time now = real_world().clock.now();
  auto ca = new_ca("bench", now - std::chrono::hours(1), now + std::chrono::hours(1));
  check(ca.has_value(), "certificates");
  CertificateSpec spec;
  spec.common_name = "bench";
  spec.ip_addresses = {"127.0.0.1"};
  spec.server = true;
  spec.not_before = now - std::chrono::hours(1);
  spec.not_after = now + std::chrono::hours(1);
  auto pair = issue(*ca, spec);
  check(pair.has_value(), "certificates");
  std::ofstream(directory + "/c.pem") << pair->certificate_pem;
  std::ofstream(directory + "/k.pem") << pair->key_pem;
  std::ofstream(directory + "/ca.pem") << ca->certificate_pem;
  Bench bench;
  bench.files = {directory + "/c.pem", directory + "/k.pem", directory + "/ca.pem"};
  if (wanted("http1")) bench.throughput("HTTP/1.1, 64 connections", false, load_http1);
  if (wanted("tls")) bench.throughput("HTTP/1.1 over TLS, 64 connections", true, load_http1);
  if (wanted("http2")) bench.throughput("HTTP/2 over TLS, 4 x 100 streams", true, load_http2);
  if (wanted("watch2")) bench.memory("idle watch, HTTP/2, 40 connections", true, hold_http2);
  if (wanted("watch1")) bench.memory("idle watch, HTTP/1.1 over TLS", true, hold_http1);
  std::filesystem::remove_all(directory);
}
