#include "net/server/test_clients.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "net/certificates.h"
#include "net/http1.h"

namespace kybern::net::test {
namespace {
using Clock = std::chrono::steady_clock;
// The test's own TLS clients write to closed sockets; OpenSSL cannot be told MSG_NOSIGNAL.
[[maybe_unused]] const auto no_pipe_signal = ::signal(SIGPIPE, SIG_IGN);
}  // namespace

TemporaryDirectory::TemporaryDirectory() {
  std::string pattern = (std::filesystem::temp_directory_path() / "kybern-net-XXXXXX").string();
  path_ = ::mkdtemp(pattern.data());
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryDirectory::write(std::string_view name, std::string_view content) const {
  std::ofstream(path(name), std::ios::binary | std::ios::trunc) << content;
  return path(name);
}

// ---- TCP

TcpClient::TcpClient(int port, int receive_buffer_bytes) {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_buffer_bytes > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ended_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0;
  int one = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  timeval limit{10, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

TcpClient::~TcpClient() { close(); }

void TcpClient::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void TcpClient::shutdown_write() { ::shutdown(fd_, SHUT_WR); }

bool TcpClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

long TcpClient::receive(char* out, std::size_t bytes) {
  ssize_t got = ::recv(fd_, out, bytes, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return -1;
  return got < 0 ? 0 : got;
}

bool TcpClient::wait_readable(Clock::time_point deadline) {
  auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  if (left < 0) return false;
  pollfd p{fd_, POLLIN, 0};
  return ::poll(&p, 1, static_cast<int>(left) + 1) > 0;
}

bool TcpClient::read_more(Clock::time_point deadline) {
  if (ended_ || fd_ < 0) return false;
  char buffer[65536];
  for (;;) {
    long got = receive(buffer, sizeof buffer);
    if (got > 0) {
      received_.append(buffer, static_cast<std::size_t>(got));
      return true;
    }
    if (got == 0) {
      ended_ = true;
      return false;
    }
    if (!wait_readable(deadline)) return false;
  }
}

const std::string& TcpClient::read_until(std::string_view marker, std::chrono::milliseconds limit) {
  auto deadline = Clock::now() + limit;
  std::size_t from = 0;
  while (received_.find(marker, from) == std::string::npos) {
    from = received_.size() > marker.size() ? received_.size() - marker.size() : 0;
    if (!read_more(deadline)) break;
  }
  return received_;
}

const std::string& TcpClient::read_bytes(std::size_t count, std::chrono::milliseconds limit) {
  auto deadline = Clock::now() + limit;
  while (received_.size() < count && read_more(deadline)) {}
  return received_;
}

const std::string& TcpClient::read_to_end(std::chrono::milliseconds limit) {
  auto deadline = Clock::now() + limit;
  while (read_more(deadline)) {}
  return received_;
}

std::string TcpClient::take() {
  std::string out;
  out.swap(received_);
  return out;
}

// ---- TLS

TlsClient::TlsClient(int port, const TlsClientOptions& options, int receive_buffer_bytes) : TcpClient(port, receive_buffer_bytes) {
  context_ = ::SSL_CTX_new(::TLS_client_method());
  if (options.max_version) ::SSL_CTX_set_max_proto_version(context_, options.max_version);
  if (options.min_version) ::SSL_CTX_set_min_proto_version(context_, options.min_version);
  if (options.max_version && options.max_version < TLS1_2_VERSION) ::SSL_CTX_set_security_level(context_, 0);
  if (!options.certificate_pem.empty()) {
    TemporaryDirectory directory;
    ::SSL_CTX_use_certificate_chain_file(context_, directory.write("c.pem", options.certificate_pem).c_str());
    ::SSL_CTX_use_PrivateKey_file(context_, directory.write("k.pem", options.key_pem).c_str(), SSL_FILETYPE_PEM);
  }
  ssl_ = ::SSL_new(context_);
  std::string protocols;
  for (const std::string& name : options.alpn) protocols += static_cast<char>(name.size()) + name;
  if (!protocols.empty())
    ::SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(protocols.data()), static_cast<unsigned>(protocols.size()));
  ::SSL_set_fd(ssl_, fd_);
  connected_ = ::SSL_connect(ssl_) == 1;
  ::ERR_clear_error();
}

TlsClient::~TlsClient() {
  ::SSL_free(ssl_);
  ::SSL_CTX_free(context_);
}

bool TlsClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    ::ERR_clear_error();
    int sent = ::SSL_write(ssl_, bytes.data(), static_cast<int>(std::min<std::size_t>(bytes.size(), 1 << 20)));
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

long TlsClient::receive(char* out, std::size_t bytes) {
  // SSL_read would block: only when OpenSSL or the socket has something.
  if (!::SSL_has_pending(ssl_)) {
    pollfd p{fd_, POLLIN, 0};
    if (::poll(&p, 1, 0) <= 0) return -1;
  }
  ::ERR_clear_error();
  int got = ::SSL_read(ssl_, out, static_cast<int>(bytes));
  return got > 0 ? got : 0;
}

std::string TlsClient::alpn() const {
  const unsigned char* name = nullptr;
  unsigned bytes = 0;
  ::SSL_get0_alpn_selected(ssl_, &name, &bytes);
  return {reinterpret_cast<const char*>(name), bytes};
}

std::string TlsClient::server_common_name() const {
  X509* certificate = ::SSL_get0_peer_certificate(ssl_);
  char text[256] = "";
  if (certificate) ::X509_NAME_get_text_by_NID(::X509_get_subject_name(certificate), NID_commonName, text, sizeof text);
  return text;
}

// ---- HTTP/1.1

HttpAnswer read_answer(TcpClient& client, std::string_view method, std::chrono::milliseconds limit) {
  HttpAnswer answer;
  std::string all = client.take();
  auto more = [&] {
    client.read_bytes(1, limit);
    std::string got = client.take();
    all += got;
    return !got.empty();
  };
  Http1HeadScanner scanner;
  while (scanner.scan(all, 1 << 20) == Http1HeadScanner::State::incomplete) {
    if (!more()) return answer;
  }
  auto head = parse_response_head(std::string_view(all).substr(0, scanner.head_bytes()), method);
  if (!head) return answer;
  all.erase(0, scanner.head_bytes());
  ChunkedDecoder decoder;
  for (;;) {
    if (head->body == BodyKind::none || (head->body == BodyKind::length && all.size() >= head->content_length)) break;
    if (head->body == BodyKind::chunked) {
      std::string_view in = all;
      auto state = decoder.feed(in, answer.body);
      all = std::string(in);
      if (state != ChunkedDecoder::State::more) break;
    }
    if (!more()) {
      if (head->body != BodyKind::until_close) return answer;  // cut off: status 0
      break;
    }
  }
  std::size_t taken = head->body == BodyKind::length ? head->content_length : head->body == BodyKind::until_close ? all.size() : 0;
  answer.body += all.substr(0, taken);
  answer.status = head->status;
  answer.headers = head->headers;
  client.put_back(all.substr(taken));  // it belongs to the next answer
  return answer;
}

HttpAnswer get(TcpClient& client, std::string_view path, std::string_view more_headers) {
  client.send("GET " + std::string(path) + " HTTP/1.1\r\nHost: test\r\n" + std::string(more_headers) + "\r\n");
  return read_answer(client);
}

// ---- HTTP/2

struct ClientCallbacks {
  static Http2Client& self(void* user) { return *static_cast<Http2Client*>(user); }

  static int header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_bytes,
                    const std::uint8_t* value, std::size_t value_bytes, std::uint8_t, void* user) {
    Http2Client::Stream& stream = self(user).streams_[frame->hd.stream_id];
    std::string n(reinterpret_cast<const char*>(name), name_bytes), v(reinterpret_cast<const char*>(value), value_bytes);
    if (n == ":status") {
      if (v == "100") stream.continued = true;
      else stream.status = std::stoi(v);
    } else {
      stream.headers[n] = v;
    }
    return 0;
  }

  static int data(nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data, std::size_t bytes, void* user) {
    Http2Client::Stream& stream = self(user).streams_[id];
    stream.body_bytes += bytes;
    if (self(user).keep_bodies_) stream.body.append(reinterpret_cast<const char*>(data), bytes);
    return 0;
  }

  static int closed(nghttp2_session*, std::int32_t id, std::uint32_t error, void* user) {
    Http2Client::Stream& stream = self(user).streams_[id];
    stream.closed = true;
    stream.error = error;
    return 0;
  }

  static int frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_GOAWAY) {
      self(user).goaway_ = true;
      self(user).goaway_error_ = frame->goaway.error_code;
    }
    return 0;
  }

  static ssize_t body(nghttp2_session*, std::int32_t id, std::uint8_t* out, std::size_t bytes, std::uint32_t* flags, nghttp2_data_source*,
                      void* user) {
    auto& [text, used] = self(user).bodies_[id];
    std::size_t count = std::min(bytes, text.size() - used);
    std::memcpy(out, text.data() + used, count);
    used += count;
    if (used < text.size()) return static_cast<ssize_t>(count);
    if (!self(user).open_bodies_[id]) *flags |= NGHTTP2_DATA_FLAG_EOF;
    else if (count == 0) return NGHTTP2_ERR_DEFERRED;
    return static_cast<ssize_t>(count);
  }
};

Http2Client::Http2Client(int port, Options options) : keep_bodies_(options.keep_bodies) {
  options.tls.alpn = {"h2"};
  tls_ = std::make_unique<TlsClient>(port, options.tls);
  nghttp2_session_callbacks* callbacks = nullptr;
  ::nghttp2_session_callbacks_new(&callbacks);
  ::nghttp2_session_callbacks_set_on_header_callback(callbacks, ClientCallbacks::header);
  ::nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, ClientCallbacks::data);
  ::nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, ClientCallbacks::closed);
  ::nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, ClientCallbacks::frame);
  nghttp2_option* option = nullptr;
  ::nghttp2_option_new(&option);
  if (!options.auto_window) ::nghttp2_option_set_no_auto_window_update(option, 1);
  ::nghttp2_session_client_new2(&session_, callbacks, this, option);
  ::nghttp2_option_del(option);
  ::nghttp2_session_callbacks_del(callbacks);
  nghttp2_settings_entry window{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.window_bytes};
  ::nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &window, 1);
  if (options.window_bytes > 65535)
    ::nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0, static_cast<std::int32_t>(options.window_bytes));
  flush();
}

Http2Client::~Http2Client() { ::nghttp2_session_del(session_); }

int Http2Client::request(std::string_view method, std::string_view path, const Headers& headers, std::string body, bool end_stream) {
  std::vector<std::pair<std::string, std::string>> fields = {
      {":method", std::string(method)}, {":scheme", "https"}, {":authority", "test"}, {":path", std::string(path)}};
  for (const auto& field : headers.fields()) fields.push_back(field);
  std::vector<nghttp2_nv> nv;
  for (auto& [name, value] : fields) {
    nv.push_back(
        {reinterpret_cast<std::uint8_t*>(name.data()), reinterpret_cast<std::uint8_t*>(value.data()), name.size(), value.size(), 0});
  }
  nghttp2_data_provider provider{};
  provider.read_callback = ClientCallbacks::body;
  bool with_body = !body.empty() || !end_stream;
  int id = ::nghttp2_submit_request(session_, nullptr, nv.data(), nv.size(), with_body ? &provider : nullptr, nullptr);
  if (id < 0) return id;
  if (with_body) bodies_[id] = {std::move(body), 0};
  open_bodies_[id] = !end_stream;
  flush();
  return id;
}

void Http2Client::reset(int id) {
  ::nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
  flush();
}

void Http2Client::grow_window(int id, int bytes) {
  ::nghttp2_submit_window_update(session_, NGHTTP2_FLAG_NONE, id, bytes);
  flush();
}

bool Http2Client::flush() {
  for (;;) {
    const std::uint8_t* data = nullptr;
    ssize_t bytes = ::nghttp2_session_mem_send(session_, &data);
    if (bytes <= 0) return bytes == 0;
    if (!tls_->send({reinterpret_cast<const char*>(data), static_cast<std::size_t>(bytes)})) return false;
  }
}

bool Http2Client::pump(Clock::time_point deadline) {
  if (ended_) return false;
  if (!tls_->read_more(deadline)) {
    ended_ = tls_->ended();
    return false;
  }
  std::string bytes = tls_->take();
  if (::nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()) < 0) ended_ = true;
  return flush() && !ended_;
}

bool Http2Client::wait(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  auto deadline = Clock::now() + limit;
  while (!condition()) {
    if (!pump(deadline)) return condition();
  }
  return true;
}

bool Http2Client::wait_closed(int id, std::chrono::milliseconds limit) {
  return wait([&] { return streams_[id].closed; }, limit);
}

// ---- certificates

namespace {
Time hours_from_now(int hours) {
  return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()) + std::chrono::hours(hours);
}
}  // namespace

TestPki::TestPki() {
  auto ca = new_ca("test-ca", hours_from_now(-1), hours_from_now(24));
  EXPECT_TRUE(ca.has_value());
  ca_pem = ca->certificate_pem;
  ca_key_pem = ca->key_pem;
  files.client_ca_file = directory.write("ca.pem", ca_pem);
  files.certificate_file = directory.path("server.pem");
  files.key_file = directory.path("server.key");
  write_server("test-server");
}

void TestPki::write_server(std::string_view common_name) const {
  CertificateSpec spec;
  spec.common_name = std::string(common_name);
  spec.ip_addresses = {"127.0.0.1"};
  spec.server = true;
  spec.not_before = hours_from_now(-1);
  spec.not_after = hours_from_now(24);
  auto pair = issue({ca_pem, ca_key_pem}, spec);
  EXPECT_TRUE(pair.has_value());
  directory.write("server.pem", pair->certificate_pem);
  directory.write("server.key", pair->key_pem);
}

TestPki::Pair TestPki::client(std::string_view common_name, const std::vector<std::string>& organizations) const {
  CertificateSpec spec;
  spec.common_name = std::string(common_name);
  spec.organizations = organizations;
  spec.client = true;
  spec.not_before = hours_from_now(-1);
  spec.not_after = hours_from_now(24);
  auto pair = issue({ca_pem, ca_key_pem}, spec);
  EXPECT_TRUE(pair.has_value());
  return {pair->certificate_pem, pair->key_pem};
}

TestPki::Pair TestPki::expired_client() const {
  CertificateSpec spec;
  spec.common_name = "late";
  spec.client = true;
  spec.not_before = hours_from_now(-20);
  spec.not_after = hours_from_now(-10);
  auto pair = issue({ca_pem, ca_key_pem}, spec);
  EXPECT_TRUE(pair.has_value());
  return {pair->certificate_pem, pair->key_pem};
}

std::string run(const std::string& command) {
  std::string out;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (!pipe) return out;
  std::array<char, 4096> buffer;
  while (std::size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe)) out.append(buffer.data(), got);
  ::pclose(pipe);
  return out;
}

std::unique_ptr<Server> start_server(Handler handler, ServerOptions options) {
  auto server = Server::start(std::move(options), std::move(handler));
  EXPECT_TRUE(server.has_value()) << (server ? "" : server.error().message);
  return server ? std::move(*server) : nullptr;
}

}  // namespace kybern::net::test
