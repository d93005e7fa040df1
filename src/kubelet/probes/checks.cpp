#include "kubelet/probes/checks.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/strings.h"
#include "kubelet/files.h"
#include "kubelet/runtime/cri.h"
#include "kubelet/runtime/wire.h"
#include "net/client.h"

namespace kybern::kubelet {
namespace {

using std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;
using Kind = CheckOutcome::Result;

constexpr std::string_view user_agent = "kube-probe/1.36";
constexpr std::string_view timed_out = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
constexpr std::size_t most_head_bytes = 64 * 1024;
constexpr std::size_t most_output_bytes = 10 * 1024;
constexpr int most_redirects = 10;

CheckOutcome failure(std::string why) { return {Kind::failure, std::move(why)}; }

class Socket {
 public:
  explicit Socket(SteadyClock::time_point deadline) : deadline_(deadline) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  Socket(const Socket&) = delete;

  // "" or why not, in Go's words; timeout() tells that it was the deadline.
  std::string connect(const std::string& host, int port) {
    std::string target = host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
    addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    if (int code = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found); code != 0 || found == nullptr) {
      return fmt::format("dial tcp: lookup {}: no such host", host);
    }
    fd_ = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int outcome = fd_ < 0 ? -1 : ::connect(fd_, found->ai_addr, found->ai_addrlen);
    int error = outcome == 0 ? 0 : errno;
    ::freeaddrinfo(found);
    if (fd_ >= 0 && error == EINPROGRESS) {
      if (!wait(POLLOUT)) return fmt::format("dial tcp {}: i/o timeout", target);
      socklen_t size = sizeof error;
      ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    return error == 0 ? std::string() : fmt::format("dial tcp {}: connect: {}", target, errno_text(error));
  }

  std::string send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(n));
      } else if (errno == EAGAIN) {
        if (!wait(POLLOUT)) return std::string(timed_out);
      } else if (errno != EINTR) {
        return fmt::format("write: {}", errno_text(errno));
      }
    }
    return {};
  }

  // Reads until the head of the answer is whole.
  std::string read_head(std::string& head) {
    char buffer[4096];
    while (head.find("\r\n\r\n") == std::string::npos && head.find("\n\n") == std::string::npos) {
      ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
      if (n > 0) {
        head.append(buffer, static_cast<std::size_t>(n));
        if (head.size() > most_head_bytes) return "response headers exceeded the limit";
      } else if (n == 0) {
        return head.empty() ? "EOF" : "unexpected EOF";
      } else if (errno == EAGAIN) {
        if (!wait(POLLIN)) return std::string(timed_out);
      } else if (errno != EINTR) {
        return fmt::format("read: {}", errno_text(errno));
      }
    }
    return {};
  }

 private:
  bool wait(short events) {
    auto left = std::chrono::duration_cast<milliseconds>(deadline_ - SteadyClock::now()).count();
    pollfd p{fd_, events, 0};
    return left > 0 && ::poll(&p, 1, static_cast<int>(left)) > 0;
  }
  int fd_ = -1;
  SteadyClock::time_point deadline_;
};

std::string host_header(const HttpTarget& t) {
  std::string host = t.host.find(':') == std::string::npos ? t.host : fmt::format("[{}]", t.host);
  bool usual = (t.scheme == "http" && t.port == 80) || (t.scheme == "https" && t.port == 443);
  return usual ? host : fmt::format("{}:{}", host, t.port);
}

// The headers of the request; those of the probe win. A header with an empty value takes a default one away.
std::vector<std::pair<std::string, std::string>> request_headers(const HttpTarget& t) {
  std::vector<std::pair<std::string, std::string>> out = {
      {"Host", host_header(t)}, {"User-Agent", std::string(user_agent)}, {"Accept", "*/*"}, {"Connection", "close"}};
  for (const auto& [name, value] : t.headers) {
    auto same = [&, &wanted = name](const auto& h) { return equals_ignore_case(h.first, wanted); };
    if (name.empty()) continue;
    if (equals_ignore_case(name, "host") || equals_ignore_case(name, "accept") || equals_ignore_case(name, "user-agent"))
      std::erase_if(out, same);
    if (!value.empty()) out.emplace_back(name, value);
  }
  return out;
}

struct Answer {
  int status = 0;
  std::string location, error;
};

Answer get_plain(const HttpTarget& t, SteadyClock::time_point deadline) {
  Socket socket(deadline);
  if (std::string error = socket.connect(t.host, t.port); !error.empty()) {
    return {0, "", error.ends_with("i/o timeout") ? std::string(timed_out) : error};
  }
  std::string request = fmt::format("GET {} HTTP/1.1\r\n", t.path);
  for (const auto& [name, value] : request_headers(t)) request += fmt::format("{}: {}\r\n", name, value);
  std::string head;
  if (std::string error = socket.send(request + "\r\n"); !error.empty()) return {0, "", error};
  if (std::string error = socket.read_head(head); !error.empty()) return {0, "", error};
  std::vector<std::string_view> lines = split(head, '\n');
  std::vector<std::string_view> first = split(trim(lines[0]), ' ');
  auto status = first.size() >= 2 && first[0].starts_with("HTTP/") ? parse_int(first[1]) : std::nullopt;
  if (!status) return {0, "", fmt::format("malformed HTTP response {}", go_quote(trim(lines[0])))};
  Answer answer{static_cast<int>(*status), "", ""};
  for (std::string_view line : lines) {
    std::size_t colon = line.find(':');
    if (colon != std::string_view::npos && equals_ignore_case(line.substr(0, colon), "location"))
      answer.location = std::string(trim(line.substr(colon + 1)));
  }
  return answer;
}

Answer get_tls(const HttpTarget& t, SteadyClock::time_point deadline) {
  auto left = std::max(milliseconds(1), std::chrono::duration_cast<milliseconds>(deadline - SteadyClock::now()));
  net::ClientOptions options;
  options.url = fmt::format("https://{}:{}", t.host.find(':') == std::string::npos ? t.host : fmt::format("[{}]", t.host), t.port);
  options.tls.insecure = true;
  options.connect_timeout = left;
  options.max_idle_connections = 0;
  auto client = net::HttpClient::make(std::move(options));
  if (!client) return {0, "", client.error().message};
  net::ClientRequest request;
  request.target = t.path;
  request.timeout = left;
  for (const auto& [name, value] : request_headers(t)) request.headers.add(to_lower(name), value);
  auto answer = (*client)->stream(std::move(request));
  if (!answer) return {0, "", answer.error().code == Code::timeout ? std::string(timed_out) : answer.error().message};
  return {(*answer)->status(), std::string((*answer)->headers().get("location")), ""};
}

// A redirect to the same host is followed; one to another host counts as an answer.
std::optional<HttpTarget> redirected(const HttpTarget& from, const std::string& location) {
  HttpTarget to = from;
  if (location.starts_with('/')) {
    to.path = location;
    return to;
  }
  std::size_t scheme = location.find("://");
  if (scheme == std::string::npos) return std::nullopt;
  to.scheme = to_lower(location.substr(0, scheme));
  std::string rest = location.substr(scheme + 3);
  std::size_t slash = rest.find('/');
  std::string authority = rest.substr(0, slash);
  to.path = slash == std::string::npos ? "/" : rest.substr(slash);
  to.port = to.scheme == "https" ? 443 : 80;
  std::size_t colon = authority.rfind(':');
  if (colon != std::string::npos && authority.find(']', colon) == std::string::npos) {
    to.port = static_cast<int>(parse_int(authority.substr(colon + 1)).value_or(to.port));
    authority.resize(colon);
  }
  if (authority != from.host || (to.scheme != "http" && to.scheme != "https")) return std::nullopt;
  return to;
}

}  // namespace

std::string HttpTarget::url() const {
  return fmt::format("{}://{}:{}{}", scheme, host.find(':') == std::string::npos ? host : fmt::format("[{}]", host), port, path);
}

CheckOutcome check_tcp(const std::string& host, int port, milliseconds timeout) {
  Socket socket(SteadyClock::now() + timeout);
  std::string error = socket.connect(host, port);
  return error.empty() ? CheckOutcome{Kind::success, ""} : failure(std::move(error));
}

CheckOutcome check_http(const HttpTarget& first, milliseconds timeout) {
  auto deadline = SteadyClock::now() + timeout;
  HttpTarget target = first;
  for (int redirects = 0;; ++redirects) {
    Answer answer = target.scheme == "https" ? get_tls(target, deadline) : get_plain(target, deadline);
    if (!answer.error.empty()) return failure(fmt::format("Get \"{}\": {}", target.url(), answer.error));
    bool moved = answer.status >= 300 && answer.status < 400 && !answer.location.empty();
    auto next = moved ? redirected(target, answer.location) : std::nullopt;
    if (next && redirects < most_redirects) {
      target = *next;
      continue;
    }
    if (next) return failure(fmt::format("Get \"{}\": stopped after {} redirects", target.url(), most_redirects));
    if (answer.status >= 200 && answer.status < 400) return {Kind::success, ""};
    return failure(fmt::format("HTTP probe failed with statuscode: {}", answer.status));
  }
}

// grpc.health.v1.Health/Check: HealthCheckRequest {1: service}, HealthCheckResponse {1: status}, SERVING is 1.
CheckOutcome check_grpc(const std::string& host, int port, std::string_view service, milliseconds timeout) {
  std::string address = fmt::format("{}:{}", host.find(':') == std::string::npos ? host : fmt::format("[{}]", host), port);
  net::ClientOptions options;
  options.url = "http://" + address;
  options.connect_timeout = timeout;
  auto client = net::GrpcClient::make(std::move(options));
  if (!client) return {Kind::unknown, client.error().message};
  wire::Writer request;
  if (!service.empty()) request.bytes(1, service);
  auto answer = (*client)->call("/grpc.health.v1.Health/Check", request.text(), timeout);
  double limit_s = std::chrono::duration<double>(timeout).count();
  if (!answer) {
    switch (answer.error().code) {
      case Code::unsupported: return failure("error: this server does not implement the grpc health protocol (grpc.health.v1.Health)");
      case Code::timeout: return failure(fmt::format("timeout: health rpc did not complete within {}s", limit_s));
      case Code::unavailable:
        return failure(fmt::format("timeout: failed to connect service \"{}\" within {}s: {}", address, limit_s, answer.error().message));
      default: return failure(fmt::format("error: health rpc probe failed: {}", answer.error().message));
    }
  }
  static constexpr std::string_view names[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
  std::uint64_t status = wire::Reader::scalar_field(*answer, 1);
  if (status == 1) return {Kind::success, "service healthy"};
  return failure(fmt::format("service unhealthy (responded with \"{}\")", status < 4 ? names[status] : std::to_string(status)));
}

CheckOutcome check_exec(Cri& cri, const std::string& container_id, const std::vector<std::string>& command, std::chrono::seconds timeout) {
  auto result = cri.exec_sync(container_id, command, timeout);
  if (!result) {
    if (result.error().code == Code::timeout) {
      return failure(fmt::format("command timed out: {} timed out after {}s", go_quote(join(command, " ")), timeout.count()));
    }
    return {Kind::unknown, result.error().message};
  }
  std::string output = (result->output_stdout + result->output_stderr).substr(0, most_output_bytes);
  return {result->exit_code == 0 ? Kind::success : Kind::failure, std::move(output)};
}

std::optional<int> port_of(Value port, const ContainerView& c) {
  std::int64_t number = port.as_int();
  if (port.is_string()) {
    for (Value p : c.spec["ports"].items()) {
      if (p["name"].as_string() == port.as_string()) number = p["containerPort"].as_int();
    }
    if (number == 0) number = parse_int(port.as_string()).value_or(0);
  }
  if (number < 1 || number > 65535) return std::nullopt;
  return static_cast<int>(number);
}

std::optional<HttpTarget> http_target(Value action, const ContainerView& c, const std::string& pod_ip) {
  auto port = port_of(action["port"], c);
  if (!port) return std::nullopt;
  HttpTarget t;
  t.scheme = to_lower(action["scheme"].as_string("HTTP"));
  t.host = action["host"].as_string().empty() ? pod_ip : action["host"].str();
  t.path = action["path"].as_string("/");
  if (!t.path.starts_with('/')) t.path = "/" + t.path;
  t.port = *port;
  for (Value h : action["httpHeaders"].items()) t.headers.emplace_back(h["name"].str(), h["value"].str());
  return t;
}

CheckOutcome run_probe(Cri& cri, Value probe, const ContainerView& c, const std::string& container_id, const std::string& pod_ip) {
  std::chrono::seconds timeout(std::max<std::int64_t>(1, probe["timeoutSeconds"].as_int(1)));
  if (Value exec = probe["exec"]; exec.is_object()) {
    std::vector<std::string> command;
    for (Value v : exec["command"].items()) command.push_back(v.str());
    return check_exec(cri, container_id, command, timeout);
  }
  if (Value get = probe["httpGet"]; get.is_object()) {
    auto target = http_target(get, c, pod_ip);
    if (!target) return {Kind::unknown, fmt::format("invalid port number: {}", get["port"].as_string())};
    return check_http(*target, timeout);
  }
  if (Value tcp = probe["tcpSocket"]; tcp.is_object()) {
    auto port = port_of(tcp["port"], c);
    if (!port) return {Kind::unknown, fmt::format("invalid port number: {}", tcp["port"].as_string())};
    return check_tcp(tcp["host"].as_string().empty() ? pod_ip : tcp["host"].str(), *port, timeout);
  }
  if (Value grpc = probe["grpc"]; grpc.is_object()) {
    return check_grpc(pod_ip, static_cast<int>(grpc["port"].as_int()), grpc["service"].as_string(), timeout);
  }
  return {Kind::unknown, fmt::format("missing probe handler for {}", c.name)};
}

}  // namespace kybern::kubelet
