// proxy: a plain HTTP server on this machine that passes requests on to the API server as the kubeconfig's user.
#include <fmt/format.h>
#include <re2/re2.h>
#include <signal.h>

#include <atomic>

#include "base/strings.h"
#include "cli/command.h"
#include "net/server.h"

namespace kybern::cli {
namespace {

bool matches_any(const std::vector<std::string>& patterns, std::string_view text) {
  for (const std::string& pattern : patterns)
    if (!pattern.empty() && RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), pattern)) return true;
  return false;
}

struct Rules {  // upstream's defaults keep streams into containers, and other hosts' pages, out
  std::vector<std::string> hosts, paths, no_paths, no_methods;

  bool allows(const net::Request& request) const {
    std::string_view host = request.headers.get("host");
    if (const std::size_t colon = host.rfind(':'); colon != std::string_view::npos && !host.ends_with(']')) host = host.substr(0, colon);
    return !matches_any(no_paths, request.path) && !matches_any(no_methods, request.method) && matches_any(paths, request.path) &&
           matches_any(hosts, host);
  }
};

net::Response plain(int status, std::string text) {
  net::Response out;
  out.status = status;
  out.headers.set("content-type", "text/plain; charset=utf-8");
  out.body = std::move(text);
  return out;
}

void pass_on(Session& session, std::shared_ptr<net::Exchange> exchange, const std::string& target) {
  const net::Request& request = exchange->request();
  std::vector<std::pair<std::string, std::string>> headers;
  for (const char* name : {"accept", "content-type", "if-none-match", "if-modified-since"})
    if (const std::string_view value = request.headers.get(name); !value.empty()) headers.emplace_back(name, value);
  auto answer = session.forward(request.method, target, headers, request.body);
  if (!answer) return exchange->respond(plain(502, answer.error().message + "\n"));
  net::Headers out;
  for (const char* name : {"content-type", "etag", "last-modified", "location", "warning", "retry-after", "audit-id", "cache-control"})
    if (const std::string_view value = (*answer)->headers().get(name); !value.empty()) out.set(name, value);
  std::shared_ptr<net::ClientStream> stream = *std::move(answer);
  const int status = stream->status();
  exchange->respond_pulled(status, std::move(out), [stream](std::string& into) {
    auto piece = stream->read();
    if (!piece || piece->empty()) return false;
    into += *piece;
    return true;
  });
}

Result<int> proxy(Session& session, const Arguments& arguments) {
  if (auto ready = session.connect(); !ready) return std::unexpected(ready.error());
  Rules rules;
  for (auto& [flag, list] : {std::pair{"accept-hosts", &rules.hosts}, std::pair{"accept-paths", &rules.paths},
                             std::pair{"reject-paths", &rules.no_paths}, std::pair{"reject-methods", &rules.no_methods}}) {
    const std::string given = arguments.text(flag);
    for (std::string_view pattern : split(given, ','))
      if (!pattern.empty()) list->emplace_back(pattern);
    for (const std::string& pattern : *list)
      if (RE2 compiled(pattern, RE2::Quiet); !compiled.ok()) return refuse("--" + std::string(flag) + ": " + compiled.error());
  }
  if (arguments.on("disable-filter")) {
    fmt::print(stderr, "Request filter disabled, your proxy is vulnerable to XSRF attacks, please be cautious\n");
    rules = {{".*"}, {".*"}, {}, {}};
  }
  std::string prefix = arguments.text("api-prefix");
  if (!prefix.starts_with('/')) prefix = "/" + prefix;
  if (!prefix.ends_with('/')) prefix += '/';
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before the server's threads, which inherit it
  net::ServerOptions options;
  options.bind_address = arguments.text("address");
  options.port = static_cast<int>(*arguments.number("port"));
  options.unix_path = arguments.text("unix-socket");
  auto server = net::Server::start(options, [&](std::shared_ptr<net::Exchange> exchange) {
    if (!rules.allows(exchange->request())) return exchange->respond(plain(403, "Forbidden\n"));
    const net::Request& request = exchange->request();
    if (!request.path.starts_with(prefix)) return exchange->respond(plain(404, "404 page not found\n"));
    pass_on(session, exchange, request.path.substr(prefix.size() - 1) + (request.query.empty() ? "" : "?" + request.query));
  });
  if (!server) return refuse(server.error().message);
  if (options.unix_path.empty()) fmt::print("Starting to serve on {}:{}\n", options.bind_address, (*server)->port());
  else fmt::print("Starting to serve on {}\n", options.unix_path);
  std::fflush(stdout);
  int caught = 0;
  sigwait(&signals, &caught);
  (*server)->stop(std::chrono::milliseconds(200));
  return 0;
}

}  // namespace

Command proxy_command() {
  using namespace flags;
  return {"proxy",
          "serve the API on this machine, as this user",
          "[--port=PORT] [flags]",
          {number("port", "where to listen; 0: any free port", "8001", 'p'), text("address", "the address to listen on", "127.0.0.1"),
           text("unix-socket", "listen on this socket instead", "", 'u'), text("api-prefix", "serve the API under this path", "/"),
           text("accept-hosts", "hosts that may ask, regular expressions", "^localhost$,^127\\.0\\.0\\.1$,^\\[::1\\]$"),
           text("accept-paths", "paths that may be asked for", "^.*"),
           text("reject-paths", "paths that may not", "^/api/.*/pods/.*/exec,^/api/.*/pods/.*/attach"),
           text("reject-methods", "methods that may not be used", "^$"), boolean("disable-filter", "let everything pass"),
           boolean("append-server-path", "accepted for compatibility"), duration("keepalive", "accepted for compatibility")},
          proxy};
}

}  // namespace kybern::cli
