#include "bin/diagnostics.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "base/debug.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/strings.h"
#include "net/certificates.h"
#include "net/server.h"

namespace kybern::bin {
namespace {

constexpr Duration remembered_for = std::chrono::seconds(10);  // an answer of the API about a caller
constexpr std::size_t most_remembered = 1000;
constexpr std::chrono::milliseconds stop_grace{500};

struct Caller {
  std::string name;
  std::vector<std::string> groups;
};

// Answers of the API that need not be asked for again at once.
template <class T>
class Remembered {
 public:
  std::optional<T> find(const std::string& key, Instant now) {
    std::lock_guard lock(mutex_);
    auto found = entries_.find(key);
    if (found == entries_.end() || found->second.second < now) return std::nullopt;
    return found->second.first;
  }
  void keep(const std::string& key, T value, Instant now) {
    std::lock_guard lock(mutex_);
    if (entries_.size() >= most_remembered) entries_.clear();
    entries_[key] = {std::move(value), now + remembered_for};
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::pair<T, Instant>> entries_;
};

Result<void> write_file(const std::string& path, std::string_view text) {
  int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  bool good = fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (fd >= 0) ::close(fd);
  if (!good) return fail(Code::unavailable, path + ": cannot be written");
  return {};
}

class Impl final : public Diagnostics {
 public:
  Impl(client::Transport& api, World world, std::string component, DiagnosticsOptions options)
      : api_(api), world_(world), component_(std::move(component)), options_(std::move(options)) {}
  ~Impl() override {
    if (server_) server_->stop(stop_grace);
    std::error_code ignored;
    if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
  }
  int port() const override { return server_->port(); }

  Result<void> listen() {
    if (options_.certificate_file.empty())
      if (auto made = make_certificate(); !made) return made;
    net::ServerOptions server;
    server.bind_address = options_.bind_address;
    server.port = options_.port < 0 ? options_.usual_port : options_.port;
    server.tls = net::TlsFiles{options_.certificate_file, options_.key_file, options_.client_ca_file};
    auto started = net::Server::start(std::move(server), [this](std::shared_ptr<net::Exchange> exchange) { handle(exchange); });
    if (!started) return std::unexpected(started.error());
    server_ = std::move(*started);
    return {};
  }

 private:
  Result<void> make_certificate() {
    char pattern[] = "/tmp/kybern-diagnostics-XXXXXX";
    if (!::mkdtemp(pattern)) return fail(Code::unavailable, "no folder can be made in /tmp");
    folder_ = pattern;
    Time now = world_.clock.now();
    auto ca = net::new_ca(component_, now - std::chrono::hours(1), now + std::chrono::hours(24 * 365));
    if (!ca) return std::unexpected(ca.error());
    auto pair = net::issue(*ca, {component_,
                                 {},
                                 {"localhost", component_},
                                 {"127.0.0.1"},
                                 true,
                                 false,
                                 now - std::chrono::hours(1),
                                 now + std::chrono::hours(24 * 365)});
    if (!pair) return std::unexpected(pair.error());
    options_.certificate_file = folder_ + "/tls.crt";
    options_.key_file = folder_ + "/tls.key";
    if (auto ok = write_file(options_.certificate_file, pair->certificate_pem); !ok) return ok;
    return write_file(options_.key_file, pair->key_pem);
  }

  static void answer(const std::shared_ptr<net::Exchange>& exchange, int status, std::string_view type, std::string body) {
    net::Response response;
    response.status = status;
    response.headers.set("content-type", type);
    response.headers.set("x-content-type-options", "nosniff");
    response.body = std::move(body);
    exchange->respond(std::move(response));
  }
  static void answer_text(const std::shared_ptr<net::Exchange>& exchange, int status, std::string body) {
    answer(exchange, status, "text/plain; charset=utf-8", std::move(body));
  }

  void handle(const std::shared_ptr<net::Exchange>& exchange) {
    const net::Request& request = exchange->request();
    if (request.method != "GET" && request.method != "HEAD") return answer_text(exchange, 405, "only GET is served here\n");
    std::string path = url_decode(request.path, false);
    if (path == "/healthz" || path == "/livez" || path == "/readyz") return answer_text(exchange, 200, "ok");
    auto caller = find_caller(request);
    if (!caller) return answer_text(exchange, 401, "Unauthorized\n");
    if (!may(*caller, path))
      return answer_text(exchange, 403, fmt::format("Forbidden: User {} cannot get path {}\n", go_quote(caller->name), go_quote(path)));
    if (path == "/metrics") return answer(exchange, 200, metrics::content_type, metrics::expose());
    bool known = debug::serve(world_.executor, path, request.query, [exchange](debug::Reply reply) {
      answer(exchange, reply.status, reply.content_type, std::move(reply.body));
    });
    if (!known) answer_text(exchange, 404, "404 page not found\n");
  }

  std::optional<Caller> find_caller(const net::Request& request) {
    if (request.peer) return Caller{request.peer->common_name, request.peer->organizations};
    std::string_view given = request.headers.get("authorization");
    constexpr std::string_view bearer = "Bearer ";
    if (!given.starts_with(bearer)) return std::nullopt;
    std::string token(given.substr(bearer.size()));
    std::string key = net::sha256(token);
    Instant now = world_.clock.steady();
    if (auto known = callers_.find(key, now)) return known->name.empty() ? std::nullopt : std::optional<Caller>(*known);
    Draft review = Draft::object({{"apiVersion", "authentication.k8s.io/v1"}, {"kind", "TokenReview"}});
    review["spec"]["token"] = token;
    auto reviewed = api_.call({"POST", "/apis/authentication.k8s.io/v1/tokenreviews", "", review.freeze()});
    if (!reviewed) {
      log_warn(component_, "a token cannot be reviewed", {{"why", reviewed.error().message}});
      return std::nullopt;
    }
    Value status = (*reviewed)["status"];
    Caller caller;
    if (status["authenticated"].as_bool()) {
      caller.name = status["user"]["username"].str();
      for (Value group : status["user"]["groups"].items()) caller.groups.push_back(group.str());
    }
    callers_.keep(key, caller, now);
    return caller.name.empty() ? std::nullopt : std::optional<Caller>(caller);
  }

  bool may(const Caller& caller, const std::string& path) {
    if (std::find(caller.groups.begin(), caller.groups.end(), "system:masters") != caller.groups.end()) return true;
    std::string key = fmt::format("{}\n{}\n{}", caller.name, fmt::join(caller.groups, ","), path);
    Instant now = world_.clock.steady();
    if (auto known = verdicts_.find(key, now)) return *known;
    Draft review = Draft::object({{"apiVersion", "authorization.k8s.io/v1"}, {"kind", "SubjectAccessReview"}});
    review["spec"]["user"] = caller.name;
    for (const std::string& group : caller.groups) review["spec"]["groups"].push_back(group);
    review["spec"]["nonResourceAttributes"] = Draft::object({{"path", path}, {"verb", "get"}});
    auto reviewed = api_.call({"POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", "", review.freeze()});
    if (!reviewed) {
      log_warn(component_, "a caller's access cannot be reviewed", {{"why", reviewed.error().message}});
      return false;
    }
    bool allowed = (*reviewed)["status"]["allowed"].as_bool();
    verdicts_.keep(key, allowed, now);
    return allowed;
  }

  client::Transport& api_;
  World world_;
  std::string component_, folder_;
  DiagnosticsOptions options_;
  Remembered<Caller> callers_;
  Remembered<bool> verdicts_;
  std::unique_ptr<net::Server> server_;  // last: no handler runs when the rest goes
};

}  // namespace

Result<std::unique_ptr<Diagnostics>> Diagnostics::start(client::Transport& api, World world, std::string component,
                                                        DiagnosticsOptions options) {
  bool usual = options.port < 0;
  auto out = std::make_unique<Impl>(api, world, component, std::move(options));
  if (auto ok = out->listen(); !ok) {
    if (!usual) return std::unexpected(ok.error());
    log_warn(component, "no metrics and no /debug: the usual port is taken", {{"why", ok.error().message}});
    return nullptr;
  }
  log_info(component, "metrics and /debug", {{"port", std::to_string(out->port())}});
  return out;
}

}  // namespace kybern::bin
