#include "apiserver/hooks/hook_client.h"

#include <fmt/format.h>

#include <vector>

#include "apiserver/registry/registry.h"
#include "base/strings.h"
#include "document/json.h"

namespace kybern::apiserver {
namespace {

constexpr std::int64_t default_port = 443;

std::string with_port(std::string_view host, std::int64_t port) {
  return host.find(':') == std::string_view::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

// "/validate/" -> "/validate"; nothing -> "/".
std::string clean_path(std::string_view path) {
  std::string out;
  for (std::string_view part : split(path, '/'))
    if (!part.empty()) out.append("/").append(part);
  return out.empty() ? "/" : out;
}

}  // namespace

std::string describe_http_failure(int status, const std::string& body) {
  if (auto parsed = parse_json(body); parsed)
    if (auto told = Status::read(parsed->root()); told && !told->success && !told->message.empty()) return told->message;
  switch (status) {
    case 400: return "the server rejected our request for an unknown reason";
    case 401: return "the server has asked for the client to provide credentials";
    case 403: return body.empty() ? "forbidden" : std::string(trim(body));
    case 404: return "the server could not find the requested resource";
    case 405: return "the server does not allow this method on the requested resource";
    case 406:
      return body.empty() ? "the server was unable to respond with a content type that the client supports" : std::string(trim(body));
    case 409: return "the server reported a conflict";
    case 413: return "the request entity is too large";
    case 415: return body.empty() ? "unknown" : std::string(trim(body));
    case 422: return "the server rejected our request due to an error in our request";
    case 429: return "the server has received too many requests and has asked us to try again later";
    case 503: return "the server is currently unable to handle the request";
    case 504: return "the server was unable to return a response in the time allotted, but may still be processing the request";
    default: break;
  }
  if (status >= 500) return fmt::format("an error on the server ({}) has prevented the request from succeeding", go_quote(trim(body)));
  return fmt::format("the server responded with the status code {} but did not return more information", status);
}

std::expected<std::string, std::string> HookClients::endpoint_of(std::string_view ns, std::string_view name, std::int64_t port) const {
  Document service = registry_.read("", "v1", "services", ns, name);
  if (!service) return std::unexpected(fmt::format("service {} not found", go_quote(name)));
  Value spec = service["spec"];
  if (spec["type"].as_string() == "ExternalName")
    return std::unexpected(fmt::format("unsupported service type {}", go_quote("ExternalName")));
  Value wanted;
  for (Value p : spec["ports"].items())
    if (p["port"].as_int() == port) wanted = p;
  if (!wanted.exists()) return std::unexpected(fmt::format("no service port {} found for service {}", port, go_quote(name)));
  std::vector<std::string> hosts;
  registry_.each("discovery.k8s.io", "v1", "endpointslices", ns, [&](Value slice) {
    if (slice["metadata"]["labels"]["kubernetes.io/service-name"].as_string() != name) return true;
    for (Value p : slice["ports"].items()) {
      if (p["name"].as_string() != wanted["name"].as_string()) continue;
      for (Value endpoint : slice["endpoints"].items())
        if (endpoint["conditions"]["ready"].as_bool(true) && !endpoint["addresses"].empty())
          hosts.push_back(with_port(endpoint["addresses"][0].as_string(), p["port"].as_int()));
    }
    return true;
  });
  if (hosts.empty()) return std::unexpected(fmt::format("no endpoints available for service {}", go_quote(name)));
  return hosts[registry_.world().random.next() % hosts.size()];
}

std::expected<HookClients::Target, std::string> HookClients::resolve(Value config) const {
  Target target;
  if (Value service = config["service"]; service.is_object()) {
    std::string_view name = service["name"].as_string(), ns = service["namespace"].as_string();
    std::int64_t port = service["port"].as_int(default_port);
    target.server_name = fmt::format("{}.{}.svc", name, ns);
    target.host = with_port(target.server_name, port);
    target.path = clean_path(service["path"].as_string());
    target.shown = "https://" + target.host + target.path;
    auto endpoint = endpoint_of(ns, name, port);
    if (endpoint) target.url = "https://" + *endpoint;
    else target.unreachable = endpoint.error();
    return target;
  }
  std::string_view url = config["url"].as_string();
  if (url.empty()) return std::unexpected(std::string("webhook configuration must have either service or URL"));
  auto scheme = url.find("://");
  if (scheme == std::string_view::npos)
    return std::unexpected(fmt::format("Unparsable URL: parse {}: invalid URI for request", go_quote(url)));
  auto slash = url.find('/', scheme + 3);
  target.url = url.substr(0, slash);
  target.path = clean_path(slash == std::string_view::npos ? std::string_view() : url.substr(slash));
  target.shown = target.url + target.path;
  return target;
}

std::expected<std::shared_ptr<net::HttpClient>, std::string> HookClients::client(const Target& target, std::string_view ca_bundle) {
  std::string key = target.url + "\n" + target.server_name + "\n" + std::string(ca_bundle);
  std::lock_guard lock(mutex_);
  if (auto found = clients_.find(key); found != clients_.end()) return found->second;
  net::ClientOptions options;
  options.url = target.url;
  options.tls.server_name = target.server_name;
  if (!ca_bundle.empty()) {
    auto pem = base64_decode(ca_bundle);
    if (!pem || pem->empty()) return std::unexpected(std::string("unable to load root certificates: unable to parse bytes as PEM block"));
    options.tls.ca_pem = std::move(*pem);
  }
  options.max_idle_connections = 64;
  options.max_body_bytes = max_answer_bytes;
  auto made = net::HttpClient::make(std::move(options));
  if (!made) return std::unexpected("unable to load root certificates: " + made.error().message);
  if (clients_.size() >= max_clients) clients_.clear();  // those in use live on with their users
  std::shared_ptr<net::HttpClient> client = std::move(*made);
  clients_.emplace(std::move(key), client);
  return client;
}

std::expected<Document, HookFailure> HookClients::post(Value config, Value body, std::chrono::milliseconds timeout,
                                                       std::string_view user_agent) {
  auto target = resolve(config);
  if (!target) return std::unexpected(HookFailure{target.error()});
  std::string query = fmt::format("?timeout={}s", std::chrono::ceil<std::chrono::seconds>(timeout).count());
  auto failed = [&](std::string_view why) { return HookFailure{fmt::format("Post {}: {}", go_quote(target->shown + query), why)}; };
  if (!target->unreachable.empty()) return std::unexpected(failed(target->unreachable));
  auto http = client(*target, config["caBundle"].as_string());
  if (!http) return std::unexpected(HookFailure{"could not get REST client: " + http.error(), 500});
  net::ClientRequest request;
  request.method = "POST";
  request.target = target->path + query;
  if (!target->host.empty()) request.headers.set("host", target->host);
  request.headers.set("content-type", "application/json");
  request.headers.set("accept", "application/json, */*");
  request.headers.set("user-agent", user_agent);
  request.timeout = timeout;
  write_json(body, request.body);
  auto answer = (*http)->call(std::move(request));
  if (!answer) {
    bool late = answer.error().code == Code::timeout;
    HookFailure failure = failed(late ? "context deadline exceeded" : answer.error().message);
    failure.timed_out = late;
    return std::unexpected(std::move(failure));
  }
  if (answer->status < 200 || answer->status > 206)
    return std::unexpected(HookFailure{describe_http_failure(answer->status, answer->body), answer->status});
  if (answer->body.empty())
    return std::unexpected(HookFailure{
        fmt::format("0-length response with status code: {} and content type: {}", answer->status, answer->headers.get("content-type")),
        500});
  auto document = parse_json(answer->body);
  if (!document) return std::unexpected(HookFailure{"couldn't get version/kind; json parse error: " + document.error().message, 500});
  if (!document->root().is_object())
    return std::unexpected(
        HookFailure{"couldn't get version/kind; json parse error: json: cannot unmarshal the answer into an object", 500});
  return std::move(*document);
}

}  // namespace kybern::apiserver
