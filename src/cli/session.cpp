#include "cli/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "base/strings.h"
#include "base/time.h"
#include "cli/config.h"
#include "document/json.h"

namespace kybern::cli {
namespace {

constexpr std::string_view discovery_type =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/"
    "json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";
constexpr std::size_t longest_message_bytes = 16u << 20;
constexpr const char* user_agent = "kubectl/v1.36.0 (linux) kybern";

Status status_of(int code, std::string_view body) {
  if (auto parsed = parse_json(body); parsed && (*parsed)["kind"].as_string() == "Status") {
    if (auto read = Status::read(*parsed)) {
      if (read->code == 0) read->code = code;
      return *std::move(read);
    }
  }
  Status out;
  out.code = code;
  if (code == 404) {
    out = generic_not_found();
  } else if (code == 401) {
    out = unauthorized();
  } else {
    out.reason = code == 500 ? "InternalError" : code == 503 ? "ServiceUnavailable" : "";
    out.message = code == 503 && body.empty() ? "the server is currently unable to handle the request"
                                              : fmt::format("an error on the server ({}) has prevented the request from succeeding",
                                                            body.empty() ? "\"unknown\"" : go_quote(trim(body)));
  }
  return out;
}

std::string invalid_text(const Status& status) {
  std::string head = "The request is invalid";
  if (!status.kind.empty() || !status.name.empty()) {
    head = fmt::format("The {} {} is invalid", status.kind, go_quote(status.name));
  } else if (!status.message.empty() && status.causes.empty()) {
    head += ": " + status.message;
  }
  std::vector<std::string> lines;
  for (const StatusCause& cause : status.causes) {
    std::string line = cause.field + ": " + cause.message;
    if (std::find(lines.begin(), lines.end(), line) == lines.end()) lines.push_back(std::move(line));
  }
  if (lines.empty()) return head;
  if (lines.size() == 1) return head + ": " + lines[0];
  head += ": ";
  for (const std::string& line : lines) head += "\n* " + line;
  return head;
}

Code code_of(const Status& status) {
  switch (status.code) {
    case 404: return Code::not_found;
    case 409: return status.is("AlreadyExists") ? Code::already_exists : Code::conflict;
    case 401:
    case 403: return Code::forbidden;
    case 400:
    case 422: return Code::invalid;
    case 410: return Code::expired;
    case 0: return Code::unavailable;
    default: return Code::internal;
  }
}

}  // namespace

Error shown(const Status& status, std::string_view before) {
  const Code code = code_of(status);
  if (status.code == 0) return {code, status.message};
  if (status.is("Invalid")) return {code, invalid_text(status)};
  if (status.is("Unauthorized")) return {code, "error: You must be logged in to the server (" + status.message + ")"};
  std::string head = status.reason.empty() ? "Error from server: " : "Error from server (" + status.reason + "): ";
  return {code, head + std::string(before) + status.message};
}

std::vector<Flag> global_flags() {
  using namespace flags;
  std::vector<Flag> out{
      text("kubeconfig", "the file that names clusters and users"),
      text("context", "the context of the kubeconfig to use"),
      text("cluster", "the cluster of the kubeconfig to use"),
      text("user", "the user of the kubeconfig to be"),
      text("namespace", "the namespace of the request", "", 'n'),
      text("server", "the API server's address, https://HOST:PORT", "", 's'),
      text("token", "a bearer token"),
      text("username", "a user name, with --password"),
      text("password", "its password"),
      text("as", "act as this user"),
      texts("as-group", "act as a member of this group"),
      text("as-uid", "act as the user with this uid"),
      text("certificate-authority", "a file with the certificates to trust"),
      text("client-certificate", "a file with the client's certificate"),
      text("client-key", "a file with the client's key"),
      text("tls-server-name", "the name that the server's certificate must have"),
      boolean("insecure-skip-tls-verify", "do not verify the server's certificate"),
      text("request-timeout", "how long one request may take; 0: no limit", "0"),
      text("v", "the level of log messages (there are none)", "0", 'v'),
      boolean("warnings-as-errors", "warnings of the server make the command fail"),
      text("cache-dir", "accepted for compatibility: nothing is cached"),
      boolean("match-server-version", "accepted for compatibility"),
      boolean("disable-compression", "accepted for compatibility"),
      boolean("help", "this text", false, 'h'),
  };
  for (Flag& flag : out) flag.global = true;
  return out;
}

Session::Session(const Arguments& arguments) : arguments_(arguments) {}
Session::~Session() = default;

Result<client::HttpOptions> Session::find_options() const {
  auto loaded = load_options(
      {arguments_.text("kubeconfig"), arguments_.text("context"), arguments_.global_text("cluster"), arguments_.global_text("user")});
  const std::string server = arguments_.text("server");
  if (!loaded && server.empty()) return std::unexpected(loaded.error());
  client::HttpOptions out = loaded ? *loaded : client::HttpOptions();
  if (!server.empty()) out.url = server.find("://") == std::string::npos ? "http://" + server : server;
  if (auto token = arguments_.text("token"); !token.empty()) {
    out.token = token;
    out.token_file.clear();
  }
  if (const std::string name = arguments_.global_text("username"); !name.empty()) out.username = name;
  if (const std::string password = arguments_.global_text("password"); !password.empty()) out.password = password;
  const auto file = [&](std::string_view flag, std::string& into) -> Result<void> {
    if (!arguments_.given(flag)) return {};
    auto bytes = read_whole_file(arguments_.text(flag));
    if (!bytes) return std::unexpected(bytes.error());
    into = *std::move(bytes);
    return {};
  };
  if (auto r = file("certificate-authority", out.ca_pem); !r) return std::unexpected(r.error());
  if (auto r = file("client-certificate", out.certificate_pem); !r) return std::unexpected(r.error());
  if (auto r = file("client-key", out.key_pem); !r) return std::unexpected(r.error());
  if (arguments_.given("tls-server-name")) out.server_name = arguments_.text("tls-server-name");
  if (arguments_.given("insecure-skip-tls-verify")) out.insecure = arguments_.on("insecure-skip-tls-verify");
  if (out.insecure) out.ca_pem.clear();
  if (!out.token_file.empty() && out.token.empty()) {
    if (auto token = read_whole_file(out.token_file)) out.token = std::string(trim(*token));
  }
  return out;
}

Result<void> Session::connect() {
  if (client_) return {};
  auto options = find_options();
  if (!options) return std::unexpected(options.error());
  options_ = *std::move(options);
  while (options_.url.ends_with('/')) options_.url.pop_back();
  ns_ = arguments_.text("namespace");
  if (ns_.empty()) ns_ = options_.ns.empty() ? "default" : options_.ns;
  auto timeout = arguments_.duration("request-timeout");
  if (!timeout)
    return fail(Code::invalid,
                "error: Invalid timeout value. Timeout must be a single integer in seconds, or an integer followed by a corresponding time "
                "unit (e.g. 1s | 2m | 3h)");
  timeout_ = std::chrono::duration_cast<std::chrono::milliseconds>(*timeout);
  net::ClientOptions made;
  made.url = options_.url;
  made.tls = {options_.ca_pem, options_.certificate_pem, options_.key_pem, options_.server_name, options_.insecure};
  auto client = net::HttpClient::make(made);
  if (!client) return fail(client.error().code, "error: " + client.error().message);
  client_ = *std::move(client);
  return {};
}

const std::string& Session::ns() {
  (void)connect();
  return ns_;
}

bool Session::ns_given() const { return arguments_.given("namespace"); }

net::ClientRequest Session::request(std::string method, std::string_view path, const std::string& query, std::string_view accept) {
  net::ClientRequest out;
  out.method = std::move(method);
  out.target = std::string(path);
  if (!query.empty()) out.target += (out.target.find('?') == std::string::npos ? "?" : "&") + query;
  out.headers.set("accept", accept);
  out.headers.set("user-agent", user_agent);
  if (!options_.token.empty()) {
    out.headers.set("authorization", "Bearer " + options_.token);
  } else if (!options_.username.empty()) {
    out.headers.set("authorization", "Basic " + base64_encode(options_.username + ":" + options_.password));
  }
  if (auto as = arguments_.text("as"); !as.empty()) out.headers.set("impersonate-user", as);
  if (auto uid = arguments_.text("as-uid"); !uid.empty()) out.headers.set("impersonate-uid", uid);
  for (const std::string& group : arguments_.list("as-group")) out.headers.add("impersonate-group", group);
  out.timeout = timeout_;
  return out;
}

Status Session::refused(const Error& error) const {
  Status out;
  out.code = 0;
  std::string_view host = options_.url;
  if (auto at = host.find("://"); at != std::string_view::npos) host.remove_prefix(at + 3);
  if (error.message.find("connection refused") != std::string::npos) {
    out.message = fmt::format("The connection to the server {} was refused - did you specify the right host or port?", host);
  } else {
    out.message = "Unable to connect to the server: " + error.message;
  }
  return out;
}

void Session::print_warnings(const net::Headers& headers) {
  for (std::string_view warning : headers.all("warning")) {  // 299 - "text"
    const std::size_t begin = warning.find('"'), end = warning.rfind('"');
    if (begin == std::string_view::npos || end <= begin) continue;
    std::string text;
    for (std::size_t i = begin + 1; i < end; ++i) {
      if (warning[i] == '\\' && i + 1 < end) ++i;
      text += warning[i];
    }
    if (std::find(warned_.begin(), warned_.end(), text) != warned_.end()) continue;
    fmt::print(stderr, "Warning: {}\n", text);
    warned_.push_back(std::move(text));
  }
}

ApiResult<std::string> Session::raw(std::string method, std::string_view path, std::string query, std::string body,
                                    std::string_view content_type, std::string_view accept) {
  if (auto ready = connect(); !ready) {
    Status status;
    status.code = 0;
    status.message = ready.error().message;
    return fail(std::move(status));
  }
  net::ClientRequest made = request(std::move(method), path, query, accept);
  if (!body.empty()) made.headers.set("content-type", content_type);
  made.body = std::move(body);
  auto answer = client_->call(std::move(made));
  if (!answer) return fail(refused(answer.error()));
  print_warnings(answer->headers);
  if (answer->status >= 400) return fail(status_of(answer->status, answer->body));
  return std::move(answer->body);
}

ApiResult<Document> Session::call(std::string method, std::string_view path, std::string query, Value body, std::string_view content_type,
                                  std::string_view accept) {
  auto text = raw(std::move(method), path, std::move(query), body.exists() ? to_json(body) : std::string(), content_type, accept);
  if (!text) return std::unexpected(text.error());
  auto parsed = parse_json(*text);
  if (parsed) return *std::move(parsed);
  Status status;
  status.code = 0;
  status.message = "error: the server's answer is no JSON: " + parsed.error().message;
  return fail(std::move(status));
}

ApiResult<std::unique_ptr<net::ClientStream>> Session::stream(std::string_view path, std::string query, std::string_view accept) {
  if (auto ready = connect(); !ready) {
    Status status;
    status.code = 0;
    status.message = ready.error().message;
    return fail(std::move(status));
  }
  auto opened = client_->stream(request("GET", path, query, accept));
  if (!opened) return fail(refused(opened.error()));
  print_warnings((*opened)->headers());
  if ((*opened)->status() >= 400) {
    std::string body;
    while (body.size() < (1u << 20)) {
      auto piece = (*opened)->read();
      if (!piece || piece->empty()) break;
      body += *piece;
    }
    return fail(status_of((*opened)->status(), body));
  }
  return *std::move(opened);
}

Result<std::unique_ptr<net::ClientStream>> Session::forward(std::string method, std::string_view target,
                                                            const std::vector<std::pair<std::string, std::string>>& headers,
                                                            std::string body) {
  if (auto ready = connect(); !ready) return std::unexpected(ready.error());
  net::ClientRequest made = request(std::move(method), target, "", "*/*");
  for (const auto& [name, value] : headers) made.headers.set(name, value);
  made.body = std::move(body);
  return client_->stream(std::move(made));
}

ApiResult<std::unique_ptr<net::WebSocketClient>> Session::websocket(std::string_view path, std::string query,
                                                                    const std::vector<std::string>& protocols) {
  Status failed;
  failed.code = 0;
  if (auto ready = connect(); !ready) {
    failed.message = ready.error().message;
    return fail(std::move(failed));
  }
  net::ClientRequest made = request("GET", path, query, "*/*");
  made.timeout = std::chrono::milliseconds(0);
  auto opened = net::WebSocketClient::connect(*client_, std::move(made), protocols, {.max_message_bytes = longest_message_bytes});
  if (opened) return *std::move(opened);
  const std::string& message = opened.error().message;
  if (const std::size_t brace = message.find('{'); brace != std::string::npos) {  // the refusal is a Status in the message
    if (auto parsed = parse_json(trim(std::string_view(message).substr(brace))); parsed)
      if (auto status = Status::read(*parsed)) return fail(*std::move(status));
  }
  failed.message = "error: unable to upgrade connection: " + message;
  return fail(std::move(failed));
}

Result<const Discovery*> Session::discovery() {
  if (discovery_) return discovery_.get();
  auto made = std::make_unique<Discovery>();
  for (const char* root : {"/api", "/apis"}) {
    auto answer = call("GET", root, {}, {}, json_type, discovery_type);
    if (!answer) return std::unexpected(shown(answer.error()));
    if ((*answer)["kind"].as_string() == "APIGroupDiscoveryList") {
      made->add_groups(*answer);
      continue;
    }
    std::vector<std::string> paths;
    for (Value version : (*answer)["versions"].items()) paths.push_back("/api/" + version.str());
    for (Value group : (*answer)["groups"].items()) {
      const std::string preferred = group["preferredVersion"]["groupVersion"].str();
      paths.push_back("/apis/" + preferred);
      for (Value version : group["versions"].items())
        if (version["groupVersion"].as_string() != preferred) paths.push_back("/apis/" + version["groupVersion"].str());
    }
    for (const std::string& path : paths)
      if (auto list = call("GET", path)) made->add_resources(*list);
  }
  discovery_ = std::move(made);
  return discovery_.get();
}

std::string query_of(std::initializer_list<std::pair<std::string_view, std::string_view>> parameters) {
  std::string out;
  for (const auto& [name, value] : parameters) {
    if (value.empty()) continue;
    if (!out.empty()) out += '&';
    out += std::string(name) + "=" + url_encode(value);
  }
  return out;
}

}  // namespace kybern::cli
