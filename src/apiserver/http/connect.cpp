#include "apiserver/http/connect.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <optional>

#include "apiserver/http/pod_logs.h"
#include "apiserver/http/spdy_bridge.h"
#include "apiserver/http/tunnel.h"
#include "base/files.h"
#include "base/strings.h"
#include "document/json.h"
#include "machinery/status.h"

namespace kybern::apiserver {
namespace {

constexpr std::int64_t kubelet_port = 10250;
constexpr std::chrono::milliseconds summary_timeout{10000};

bool needs_pod(std::string_view subresource) {
  return subresource == "log" || subresource == "exec" || subresource == "attach" || subresource == "portforward";
}

// "[scheme:]name[:port]" of the proxy subresource.
struct Named {
  std::string scheme = "http", name, port;
};
std::optional<Named> read_named(std::string_view text) {
  auto parts = split(text, ':');
  Named out;
  if (parts.size() == 3) out = {std::string(parts[0].empty() ? "http" : parts[0]), std::string(parts[1]), std::string(parts[2])};
  else if (parts.size() == 2) out = {"http", std::string(parts[0]), std::string(parts[1])};
  else if (parts.size() == 1) out.name = text;
  if (out.name.empty() || (out.scheme != "http" && out.scheme != "https")) return std::nullopt;
  return out;
}

// The path up to and with the subresource, and what follows it, both as the client wrote them: what is escaped stays so.
std::pair<std::string_view, std::string_view> split_proxy_path(std::string_view path, bool namespaced) {
  std::size_t at = 0;
  for (int left = namespaced ? 7 : 5; left > 0 && at < path.size(); --left) {
    at = std::min(path.find_first_not_of('/', at), path.size());
    at = std::min(path.find('/', at), path.size());
  }
  return {path.substr(0, at), path.substr(at)};
}

// Addresses of this machine or of its link are no pods or nodes; what listens there trusts whoever can reach it.
bool may_be_proxied_to(std::string_view host) {
  in6_addr six{};
  in_addr four{};
  std::string text(host);
  if (::inet_pton(AF_INET, text.c_str(), &four) == 1) {
    std::uint32_t address = ntohl(four.s_addr);
    return address >> 24 != 127 && address >> 16 != 0xa9fe && address >> 8 != 0xe00000;
  }
  if (::inet_pton(AF_INET6, text.c_str(), &six) == 1) {
    if (IN6_IS_ADDR_V4MAPPED(&six))
      return may_be_proxied_to(fmt::format("{}.{}.{}.{}", six.s6_addr[12], six.s6_addr[13], six.s6_addr[14], six.s6_addr[15]));
    return !IN6_IS_ADDR_LOOPBACK(&six) && !IN6_IS_ADDR_LINKLOCAL(&six) && !IN6_IS_ADDR_MC_LINKLOCAL(&six) &&
           !IN6_IS_ADDR_MC_NODELOCAL(&six);
  }
  return text != "localhost" && !text.ends_with(".localhost");
}

std::string joined(std::string_view host, std::string_view port) {
  std::string out = host.find(':') == std::string_view::npos ? std::string(host) : fmt::format("[{}]", host);
  return port.empty() ? out : out.append(":").append(port);
}

class KubeletConnector : public Connector {
 public:
  KubeletConnector(ConnectorOptions options, Registry& registry) : options_(std::move(options)), registry_(registry) {}

  bool connects(const Work& work) const override {
    if (!work.served->group().empty()) return false;
    std::string_view plural = work.served->plural(), sub = work.subresource;
    if (plural == "pods") return needs_pod(sub) || sub == "proxy";
    return (plural == "services" || plural == "nodes") && sub == "proxy";
  }

  ApiResult<Document> summary(const std::string& node) override {
    net::Request none;
    auto target = kubelet_target(node, "/stats/summary", "", none);
    if (!target) return fail(std::move(target.error()));
    auto client = net::HttpClient::make(target->first.options);
    if (!client) return fail(internal_error(client.error().message));
    target->first.request.method = "GET";
    target->first.request.timeout = summary_timeout;
    auto answer = (*client)->call(std::move(target->first.request));
    if (!answer) return fail(service_unavailable(answer.error().message));
    if (answer->status != 200) return fail(service_unavailable(fmt::format("the kubelet answers with {}", answer->status)));
    auto document = parse_json(answer->body);
    if (!document) return fail(service_unavailable(document.error().message));
    return std::move(*document);
  }

  void connect(Work work, std::shared_ptr<net::Exchange> exchange) override {
    const net::Request& request = exchange->request();
    auto [begin, rest] = split_proxy_path(request.path, work.served->namespaced());
    if (work.subresource == "proxy" && rest.empty() && !is_upgrade(request) && (request.method == "GET" || request.method == "HEAD")) {
      // Relative links of what is there would lead astray.
      std::string query = request.query.empty() ? "" : "?" + request.query;
      if (auto known = target_of(work, "", request); known) return exchange->respond({301, {{"location", request.path + "/" + query}}, ""});
    }
    auto target = target_of(work, std::string(rest), request);
    if (target && work.subresource == "proxy") {
      ClientFacts facts{std::string(begin), std::string(rest), request};
      add_proxy_facts(target->first, facts);
    }
    if (target && needs_pod(work.subresource) && work.subresource != "log" && !is_upgrade(request))
      target = fail(bad_request("Upgrade request required"));
    if (target && needs_pod(work.subresource) && wants_spdy(exchange->request()))
      return bridge_spdy(std::move(target->first), std::move(target->second), work.subresource == "portforward", std::move(exchange));
    if (target) return tunnel(std::move(target->first), std::move(target->second), std::move(exchange));
    net::Response response;
    response.status = target.error().code;
    response.headers.set("content-type", "application/json");
    if (response.status == 200) response.headers.set("content-type", "text/plain");  // the log of a pod that has not begun
    else response.body = to_json(target.error().document().root()) + "\n";
    exchange->respond(std::move(response));
  }

 private:
  using Target = std::pair<TunnelTarget, std::string>;

  struct ClientFacts {
    std::string prefix, rest;
    const net::Request& request;
  };
  // What a reverse proxy tells the server behind it, and what it needs to know of its answers.
  static void add_proxy_facts(TunnelTarget& target, const ClientFacts& facts) {
    net::Headers& headers = target.request.headers;
    std::string host(facts.request.headers.get("host")), address = facts.request.remote_address;
    address = address.substr(0, address.rfind(':'));
    if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
    if (!host.empty()) headers.set("host", host);
    std::string before(headers.get("x-forwarded-for"));
    headers.set("x-forwarded-for", before.empty() ? address : before + ", " + address);
    headers.set("x-forwarded-uri", facts.prefix + (facts.rest.empty() ? "/" : facts.rest));
    std::string_view url = target.options.url;
    target.links = ProxyLinks{facts.prefix, std::string(url.substr(url.find("//") + 2)), std::move(host)};
  }

  ApiResult<Target> target_of(Work& work, const std::string& rest, const net::Request& request) {
    if (work.served->plural() == "services") return service_target(work, rest, request);
    if (work.served->plural() == "nodes") return node_target(work, rest, request);
    if (work.subresource == "log")
      if (auto ok = check_log_options(work); !ok) return fail(std::move(ok.error()));
    auto read = work.subresource == "proxy" ? read_named(work.name) : Named{"", work.name, ""};
    if (!read) return fail(bad_request(fmt::format("invalid pod request {}", go_quote(work.name))));
    Named named = std::move(*read);
    Document pod = registry_.read("", "v1", "pods", work.ns, named.name);
    if (!pod) return fail(not_found("", "pods", named.name));
    if (work.subresource == "proxy") {
      std::string ip = pod["status"]["podIP"].str();
      if (ip.empty() || !(options_.local_targets || may_be_proxied_to(ip))) return fail(bad_request("address not allowed"));
      for (Value container : pod["spec"]["containers"].items()) {
        if (!named.port.empty()) break;
        if (container["ports"].size()) named.port = std::to_string(container["ports"][0]["containerPort"].as_int());
      }
      return plain_target(named.scheme, joined(ip, named.port), rest, request);
    }
    std::string node = pod["spec"]["nodeName"].str();
    if (node.empty()) {
      if (work.subresource != "log") return fail(bad_request(fmt::format("pod {} does not have a host assigned", work.name)));
      Status empty;
      empty.code = 200;
      return fail(std::move(empty));
    }
    std::string path = fmt::format("/portForward/{}/{}", work.ns, work.name);
    if (work.subresource != "portforward") {
      auto container = container_of(work, pod.root());
      if (!container) return fail(std::move(container.error()));
      path = fmt::format("/{}/{}/{}/{}", work.subresource == "log" ? "containerLogs" : work.subresource, work.ns, work.name, *container);
    }
    auto target = kubelet_target(node, path, request.query, request);
    if (!target) return target;
    target->first.pod = work.name;
    if (work.subresource == "log") target->first.about = TunnelTarget::About::log;
    else if (work.subresource != "portforward") target->first.about = TunnelTarget::About::exec;
    return target;
  }

  ApiResult<std::string> container_of(const Work& work, Value pod) {
    std::string given = work.query.get("container");
    std::vector<std::string> containers, inits;
    for (Value c : pod["spec"]["containers"].items()) containers.push_back(c["name"].str());
    for (Value c : pod["spec"]["initContainers"].items()) inits.push_back(c["name"].str());
    if (given.empty()) {
      if (containers.size() == 1) return containers[0];
      std::string message =
          fmt::format("a container name must be specified for pod {}, choose one of: [{}]", work.name, join(containers, " "));
      if (!inits.empty()) message += fmt::format(" or one of the init containers: [{}]", join(inits, " "));
      return fail(bad_request(message));
    }
    for (Value list : {pod["spec"]["containers"], pod["spec"]["initContainers"], pod["spec"]["ephemeralContainers"]})
      for (Value c : list.items())
        if (c["name"].as_string() == given) return given;
    return fail(bad_request(fmt::format("container {} is not valid for pod {}", given, work.name)));
  }

  // The kubelet itself, or with another port whatever else listens on the node.
  ApiResult<Target> node_target(Work& work, const std::string& rest, const net::Request& request) {
    auto named = read_named(work.name);
    if (!named) return fail(bad_request(fmt::format("invalid node request {}", go_quote(work.name))));
    auto kubelet = kubelet_target(named->name, rest.empty() ? "/" : rest, request.query, request);
    if (!kubelet) return kubelet;
    std::string_view url = kubelet->first.options.url;
    std::string_view host = url.substr(url.find("//") + 2), port = host.substr(host.rfind(':') + 1);
    std::string address(host.substr(0, host.rfind(':')));
    if (address.starts_with('[')) address = address.substr(1, address.size() - 2);
    if (!options_.local_targets && !may_be_proxied_to(address)) return fail(bad_request("address not allowed"));
    if (named->port.empty() || named->port == port) return kubelet;
    return plain_target(named->scheme, joined(address, named->port), rest, request);
  }

  ApiResult<Target> kubelet_target(const std::string& node, std::string path, const std::string& query, const net::Request& request) {
    Document object = registry_.read("", "v1", "nodes", "", node);
    if (!object) return fail(not_found("", "nodes", node));
    std::string address;
    for (std::string_view type : {"InternalIP", "ExternalIP", "Hostname"})
      for (Value a : object["status"]["addresses"].items())
        if (address.empty() && a["type"].as_string() == type) address = a["address"].str();
    if (address.empty())
      return fail(service_unavailable(fmt::format("no preferred addresses found for node {}; known addresses: []", go_quote(node))));
    std::int64_t port = object["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_int(kubelet_port);
    TunnelTarget target;
    target.options.url = "https://" + joined(address, std::to_string(port));
    target.options.tls = {file_text(options_.kubelet_ca_file), file_text(options_.client_certificate_file),
                          file_text(options_.client_key_file), "", false};
    fill(target, path + (query.empty() ? "" : "?" + query), request);
    return Target{std::move(target), fmt::format("dial tcp {}:{}", address, port)};
  }

  ApiResult<Target> plain_target(const std::string& scheme, const std::string& host, const std::string& rest, const net::Request& request) {
    TunnelTarget target;
    target.options.url = fmt::format("{}://{}", scheme == "https" ? "https" : "http", host);
    target.options.tls.insecure = true;  // pods have certificates of their own making, as upstream's proxy assumes
    fill(target, (rest.empty() ? "/" : rest) + (request.query.empty() ? "" : "?" + request.query), request);
    return Target{std::move(target), fmt::format("dial tcp {}", host)};
  }

  ApiResult<Target> service_target(Work& work, const std::string& rest, const net::Request& request) {
    auto read = read_named(work.name);
    if (!read) return fail(bad_request(fmt::format("invalid service request {}", go_quote(work.name))));
    Named named = std::move(*read);
    Document service = registry_.read("", "v1", "services", work.ns, named.name);
    if (!service) return fail(not_found("", "services", named.name));
    Value wanted;
    for (Value p : service["spec"]["ports"].items())
      if (named.port.empty() || p["name"].as_string() == named.port || std::to_string(p["port"].as_int()) == named.port) {
        wanted = p;
        break;
      }
    if (!wanted.exists())
      return fail(service_unavailable(fmt::format("no service port {} found for service {}", go_quote(named.port), go_quote(named.name))));
    std::vector<std::string> hosts;
    registry_.each("discovery.k8s.io", "v1", "endpointslices", work.ns, [&](Value slice) {
      if (slice["metadata"]["labels"]["kubernetes.io/service-name"].as_string() != named.name) return true;
      for (Value port : slice["ports"].items()) {
        if (port["name"].as_string() != wanted["name"].as_string()) continue;
        for (Value endpoint : slice["endpoints"].items())
          if (endpoint["conditions"]["ready"].as_bool(true) && (options_.local_targets || is_of_pod(work.ns, endpoint)))
            hosts.push_back(joined(endpoint["addresses"][0].as_string(), std::to_string(port["port"].as_int())));
      }
      return true;
    });
    if (hosts.empty()) return fail(service_unavailable(fmt::format("no endpoints available for service {}", go_quote(work.name))));
    return plain_target(named.scheme, hosts[work.world.random.next() % hosts.size()], rest, request);
  }

  // Only pods' own addresses: who may write slices is not to reach all that this machine can.
  bool is_of_pod(const std::string& ns, Value endpoint) const {
    Value reference = endpoint["targetRef"];
    if (reference["namespace"].as_string() != ns) return false;
    Document pod = registry_.read("", "v1", "pods", ns, reference["name"].str());
    for (Value ip : pod["status"]["podIPs"].items())
      if (ip["ip"].as_string() == endpoint["addresses"][0].as_string()) return true;
    return false;
  }

  void fill(TunnelTarget& target, std::string path, const net::Request& request) {
    target.request.method = request.method;
    target.request.target = std::move(path);
    target.request.headers = forwarded_headers(request.headers, is_upgrade(request));
    target.request.body = request.body;
  }

  ConnectorOptions options_;
  Registry& registry_;
};

}  // namespace

Result<std::unique_ptr<Connector>> Connector::make(ConnectorOptions options, Registry& registry) {
  return std::make_unique<KubeletConnector>(std::move(options), registry);
}

}  // namespace kybern::apiserver
