// What an idle watch costs the API server, all in: TLS, the HTTP/2 stream, the request, the cursor in the store, the timers.
//
//   idle_watches_bench [watches=10000] [streams a connection=250]
//
// The watchers are a child process, so that the figures are the server's alone.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <malloc.h>
#include <netinet/in.h>
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "apiserver/server.h"
#include "settle.h"

namespace {

using namespace kybern;

void check(bool good, const char* what) {
  if (good) return;
  fmt::print(stderr, "idle_watches_bench: {}\n", what);
  ::exit(1);
}

// A connection of the child with its watches.
class Watches {
 public:
  Watches(int port, SSL_CTX* context) {
    int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    check(fd >= 0 && ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0, "cannot connect");
    ssl_ = ::SSL_new(context);
    ::SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>("\x02h2"), 3);
    ::SSL_set_fd(ssl_, fd);
    check(::SSL_connect(ssl_) == 1, "TLS handshake");
    nghttp2_session_callbacks* callbacks = nullptr;
    ::nghttp2_session_callbacks_new(&callbacks);
    ::nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
      if (frame->hd.type == NGHTTP2_HEADERS) ++static_cast<Watches*>(self)->answered_;
      return 0;
    });
    ::nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t n, const std::uint8_t* value,
                      std::size_t m, std::uint8_t, void*) {
          if (std::string_view(reinterpret_cast<const char*>(name), n) == ":status")
            check(std::string_view(reinterpret_cast<const char*>(value), m) == "200", "a watch was refused");
          return 0;
        });
    ::nghttp2_session_client_new(&session_, callbacks, this);
    ::nghttp2_session_callbacks_del(callbacks);
    ::nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0);
  }

  void open(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      std::string path =
          fmt::format("/api/v1/namespaces/ns-{}/configmaps?watch=1&resourceVersion=1&allowWatchBookmarks=true&timeoutSeconds=600", i % 50);
      const std::pair<std::string_view, std::string_view> fields[] = {{":method", "GET"},
                                                                      {":scheme", "https"},
                                                                      {":authority", "127.0.0.1"},
                                                                      {":path", path},
                                                                      {"user-agent", "bench/1"},
                                                                      {"accept", "application/json"},
                                                                      {"authorization", "Bearer bench-token"}};
      std::vector<nghttp2_nv> nv;
      for (auto [name, value] : fields)
        nv.push_back({reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),
                      reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(), 0});
      check(::nghttp2_submit_request(session_, nullptr, nv.data(), nv.size(), nullptr, nullptr) > 0, "HTTP/2");
    }
    send();
    while (answered_ < count) {
      char data[65536];
      int got = ::SSL_read(ssl_, data, sizeof data);
      check(got > 0 && ::nghttp2_session_mem_recv(session_, reinterpret_cast<std::uint8_t*>(data), static_cast<std::size_t>(got)) >= 0,
            "the server is gone");
      send();
    }
  }

 private:
  void send() {
    const std::uint8_t* data = nullptr;
    for (ssize_t bytes; (bytes = ::nghttp2_session_mem_send(session_, &data)) > 0;)
      check(::SSL_write(ssl_, data, static_cast<int>(bytes)) == bytes, "the server is gone");
  }
  SSL* ssl_ = nullptr;
  nghttp2_session* session_ = nullptr;
  std::size_t answered_ = 0;
};

std::size_t resident_bytes() {
  std::size_t total = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  ::mallopt(M_ARENA_MAX, 2);  // as the program does it
  std::size_t watches = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 10000,
              streams = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 250;
  check(watches > 0 && streams > 0 && streams <= 250, "at least one watch, and up to 250 streams a connection");
  int port_pipe[2], ready_pipe[2], end_pipe[2];
  check(::pipe(port_pipe) == 0 && ::pipe(ready_pipe) == 0 && ::pipe(end_pipe) == 0, "pipe");
  pid_t child = ::fork();
  if (child == 0) {
    ::close(end_pipe[1]);
    int port = 0;
    check(::read(port_pipe[0], &port, sizeof port) == sizeof port, "pipe");
    SSL_CTX* context = ::SSL_CTX_new(::TLS_client_method());
    std::vector<std::unique_ptr<Watches>> all;
    for (std::size_t left = watches; left > 0; left -= std::min(left, streams))
      all.emplace_back(std::make_unique<Watches>(port, context))->open(std::min(left, streams));
    char byte = 'r';
    check(::write(ready_pipe[1], &byte, 1) == 1 && ::read(end_pipe[0], &byte, 1) >= 0, "pipe");
    ::_exit(0);
  }
  std::string folder = (std::filesystem::temp_directory_path() / "idle-watches-XXXXXX").string();
  check(::mkdtemp(folder.data()) != nullptr, "no temporary folder");
  std::ofstream(folder + "/tokens") << "bench-token,bench,1,system:masters\n";
  apiserver::ServerOptions options;
  options.data_dir = folder;
  options.bind_address = "127.0.0.1";
  options.secure_port = 0;
  options.token_file = folder + "/tokens";
  options.max_requests = 100000;
  auto server = apiserver::ApiServer::start(options, real_world());
  check(server.has_value(), server ? "" : server.error().message.c_str());
  ::malloc_trim(0);
  std::size_t before = resident_bytes();
  int port = (*server)->port();
  check(::write(port_pipe[1], &port, sizeof port) == sizeof port, "pipe");
  char byte = 0;
  check(::read(ready_pipe[0], &byte, 1) == 1, "the watchers failed");
  check(bench::wait_until_still(), "it does not come to rest");
  std::size_t after = resident_bytes();
  ::malloc_trim(0);
  std::size_t trimmed = resident_bytes();
  double used = bench::own_cpu_seconds();
  std::this_thread::sleep_for(std::chrono::seconds(2));
  used = bench::own_cpu_seconds() - used;
  fmt::print("{} idle watches, {} a connection: {:.0f} bytes resident each ({:.0f} before malloc_trim), {:.2f} % of a processor\n", watches,
             streams, static_cast<double>(trimmed - before) / static_cast<double>(watches),
             static_cast<double>(after - before) / static_cast<double>(watches), used * 50);
  ::close(end_pipe[1]);
  ::waitpid(child, nullptr, 0);
  (*server)->stop(std::chrono::milliseconds(0));
  server->reset();
  stop_real_world();
  std::filesystem::remove_all(folder);
  return 0;
}
