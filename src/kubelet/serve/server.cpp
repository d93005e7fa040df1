#include "kubelet/serve/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <vector>

#include "base/debug.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/strings.h"
#include "document/json.h"
#include "kubelet/measures.h"
#include "kubelet/run/pods.h"
#include "kubelet/run/tools.h"
#include "kubelet/serve/logs.h"
#include "kubelet/serve/stats.h"
#include "kubelet/serve/streams.h"
#include "net/server.h"

namespace kybern::kubelet {
namespace {

using ExchangePtr = std::shared_ptr<net::Exchange>;

constexpr std::chrono::milliseconds stop_grace{1000};
constexpr std::size_t most_queued_log_bytes = 1 << 20, resume_log_below_bytes = 256 << 10;

void answer(const ExchangePtr& exchange, int status, std::string body, std::string_view type = "text/plain; charset=utf-8") {
  net::Response response;
  response.status = status;
  response.headers.set("content-type", type);
  response.body = std::move(body);
  exchange->respond(std::move(response));
}

// Parameters of a query, in order.
std::vector<std::pair<std::string, std::string>> parameters(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> out;
  for (std::string_view pair : split(query, '&')) {
    if (pair.empty()) continue;
    std::size_t equals = pair.find('=');
    out.emplace_back(url_decode(pair.substr(0, equals), true),
                     equals == std::string_view::npos ? "" : url_decode(pair.substr(equals + 1), true));
  }
  return out;
}

// For counting: paths of callers must not become labels without end.
std::string_view known_path(std::string_view first) {
  for (std::string_view known : {"healthz", "pods", "metrics", "stats", "containerLogs", "exec", "attach", "portForward", "run", "debug"}) {
    if (known == first) return known;
  }
  return "other";
}

struct StreamQuery {
  std::vector<std::string> command;
  std::vector<int> ports;
  ExecChannels channels;
};

// The API server's words (stdin, stdout...) and the kubelet's own (input, output...) are both understood.
StreamQuery stream_query(std::string_view query) {
  StreamQuery q;
  q.channels = {false, false, false, false};
  for (const auto& [key, value] : parameters(query)) {
    bool on = value == "1" || value == "true";
    if (key == "command") q.command.push_back(value);
    else if (key == "input" || key == "stdin") q.channels.in = on;
    else if (key == "output" || key == "stdout") q.channels.out = on;
    else if (key == "error" || key == "stderr") q.channels.err = on;
    else if (key == "tty") q.channels.tty = on;
    else if (key == "port" || key == "ports") {
      for (std::string_view one : split(value, ',')) {
        if (auto n = parse_int(one); n && *n > 0 && *n < 65536) q.ports.push_back(static_cast<int>(*n));
      }
    }
  }
  if (q.channels.tty) q.channels.err = false;
  return q;
}

}  // namespace

std::string refuse_caller(const net::Request& request, int& code) {
  code = 401;
  if (!request.peer) return "Unauthorized";
  const std::vector<std::string>& groups = request.peer->organizations;
  if (request.peer->common_name == "kube-apiserver-kubelet-client" ||
      std::find(groups.begin(), groups.end(), "system:masters") != groups.end())
    return "";
  code = 403;
  return fmt::format("Forbidden (user={}, path={})", request.peer->common_name, request.path);
}

struct NodeServer::State : std::enable_shared_from_this<NodeServer::State> {
  NodeServerOptions options;
  Tools& tools;
  std::shared_ptr<Pods> pods;
  Time started;
  std::unique_ptr<net::Server> server;
  std::atomic<bool> stopping = false;
  metrics::Collector figures{[this](std::string& out) { collect(out); }};

  State(NodeServerOptions o, Tools& t, std::shared_ptr<Pods> p)
      : options(std::move(o)), tools(t), pods(std::move(p)), started(t.world.clock.now()) {}

  void handle(const ExchangePtr& exchange) {
    const net::Request& request = exchange->request();
    int code = 0;
    if (std::string why = refuse_caller(request, code); !why.empty()) return answer(exchange, code, why + "\n");
    std::vector<std::string> path;
    for (std::string_view piece : split(std::string_view(request.path).substr(1), '/')) path.push_back(url_decode(piece, false));
    const std::string& first = path[0];
    measures::request(request.method, known_path(first), first == "exec" || first == "attach" || first == "portForward");
    if (first == "healthz") return healthz(exchange);
    if (first == "pods") return list_pods(exchange);
    if (first == "metrics") return show_metrics(exchange, path);
    if (first == "stats" && path.size() == 2 && path[1] == "summary") {
      return answer(exchange, 200, to_json(stats_summary(*pods, tools, options.data_dir, started).root()), "application/json");
    }
    if (first == "containerLogs" && path.size() == 4) return logs(exchange, path[1], path[2], path[3]);
    if ((first == "exec" || first == "attach") && path.size() >= 4) return exec(exchange, first == "exec", path[1], path[2], path.back());
    if (first == "portForward" && path.size() >= 3) return port_forward(exchange, path[1], path[2]);
    if (first == "debug" && debug::serve(tools.world.executor, request.path, request.query,
                                         [exchange](debug::Reply r) { answer(exchange, r.status, std::move(r.body), r.content_type); }))
      return;
    if (first == "run" && path.size() >= 4) return run(exchange, path[1], path[2], path.back());
    answer(exchange, 404, "404 page not found\n");
  }

  void healthz(const ExchangePtr& exchange) {
    bool well = !options.healthy || options.healthy();
    answer(exchange, well ? 200 : 500, well ? "ok" : "[-]syncloop failed\nhealthz check failed\n");
  }

  void list_pods(const ExchangePtr& exchange) {
    Draft items = Draft::array();
    for (const auto& worker : pods->all()) {
      Draft pod(worker->view().document);
      if (Document status = worker->status()) pod["status"] = status;
      items.push_back(std::move(pod));
    }
    Draft list = Draft::object({{"kind", "PodList"}, {"apiVersion", "v1"}, {"metadata", Draft::object()}});
    list["items"] = std::move(items);
    answer(exchange, 200, to_json(list), "application/json");
  }

  void show_metrics(const ExchangePtr& exchange, const std::vector<std::string>& path) {
    std::string text;
    if (path.size() == 2 && path[1] == "resource") text = resource_metrics(*pods, tools, started);
    else if (path.size() == 2) return answer(exchange, path[1] == "cadvisor" || path[1] == "probes" ? 200 : 404, "");
    else text = metrics::expose();
    answer(exchange, 200, std::move(text), metrics::content_type);
  }

  // What is read off the pods when it is asked for.
  void collect(std::string& out) {
    std::size_t desired[2] = {}, mirrors = 0, running_pods = 0;
    std::map<std::string_view, std::size_t> containers{{"created", 0}, {"running", 0}, {"exited", 0}, {"unknown", 0}};
    for (const auto& worker : pods->all()) {
      ++desired[worker->view().is_static ? 1 : 0];
      RuntimeState state = worker->runtime();
      running_pods += !state.sandboxes.empty() && state.sandboxes.front().ready ? 1 : 0;
      for (const ObservedContainer& c : state.containers) {
        ++containers[c.state == ContainerState::running   ? "running"
                     : c.state == ContainerState::exited  ? "exited"
                     : c.state == ContainerState::created ? "created"
                                                          : "unknown"];
      }
    }
    mirrors = desired[1];
    using metrics::Type;
    metrics::write_header(out, "kubelet_desired_pods", "Pods that this node is to run.", Type::gauge);
    metrics::write_sample(out, "kubelet_desired_pods", {{"static", ""}}, static_cast<double>(desired[0]));
    metrics::write_sample(out, "kubelet_desired_pods", {{"static", "true"}}, static_cast<double>(desired[1]));
    metrics::write_header(out, "kubelet_mirror_pods", "Objects that stand for static pods in the API.", Type::gauge);
    metrics::write_sample(out, "kubelet_mirror_pods", {}, static_cast<double>(mirrors));
    metrics::write_header(out, "kubelet_running_pods", "Pods with a sandbox that runs.", Type::gauge);
    metrics::write_sample(out, "kubelet_running_pods", {}, static_cast<double>(running_pods));
    metrics::write_header(out, "kubelet_running_containers", "Containers by their state.", Type::gauge);
    for (const auto& [state, count] : containers)
      metrics::write_sample(out, "kubelet_running_containers", {{"container_state", state}}, static_cast<double>(count));
    metrics::write_header(out, "kubelet_node_name", "The name of this node; always 1.", Type::gauge);
    metrics::write_sample(out, "kubelet_node_name", {{"node", tools.node_name}}, 1);
  }

  // The worker of a pod, or null when the exchange has been answered with 404.
  std::shared_ptr<PodWorker> find(const ExchangePtr& exchange, const std::string& ns, const std::string& name) {
    auto worker = pods->find(ns, name);
    if (!worker) answer(exchange, 404, fmt::format("pod \"{}\" does not exist\n", name));
    return worker;
  }

  void logs(const ExchangePtr& exchange, const std::string& ns, const std::string& name, const std::string& container) {
    auto worker = find(exchange, ns, name);
    if (!worker) return;
    if (worker->view().find(container) == nullptr)
      return answer(exchange, 404, fmt::format("container \"{}\" not found in pod \"{}\"\n", container, name));
    auto wanted = parse_log_options(exchange->request().query, tools.world.clock.now());
    if (!wanted) return answer(exchange, 422, wanted.error().message + "\n");
    auto id = log_container_id(worker->status().root(), name, container, wanted->previous);
    if (!id) return answer(exchange, 400, id.error().message);
    std::string path;
    for (const ObservedContainer& c : worker->runtime().containers) {
      if (c.id == *id) path = c.log_path;
    }
    if (path.empty()) return answer(exchange, 400, fmt::format("unable to retrieve container logs for {}://{}", tools.node.runtime, *id));
    net::Headers headers;
    headers.set("content-type", "text/plain");
    auto body = exchange->respond_stream(200, std::move(headers));
    if (!body) return;
    auto gone = std::make_shared<std::atomic<bool>>(false);
    body->on_close([gone] { *gone = true; });
    tools.tasks.post([self = shared_from_this(), body, gone, path, options = *wanted, worker, id = *id] {
      auto write = [&](std::string bytes) {
        if (*gone || self->stopping) return false;
        if (bytes.empty()) return true;
        if (!body->write(std::move(bytes))) return false;
        wait_for_room(*body);
        return !*gone;
      };
      auto running = [&] {
        for (const ObservedContainer& c : worker->runtime().containers) {
          if (c.id == id) return c.state == ContainerState::running || c.state == ContainerState::created;
        }
        return false;
      };
      auto copied = copy_log(path, options, write, running);
      if (!copied) body->write(copied.error().message + "\n");
      body->finish();
    });
  }

  static void wait_for_room(net::BodyStream& body) {
    if (body.queued_bytes() < most_queued_log_bytes) return;
    struct Room {
      std::mutex mutex;
      std::condition_variable changed;
      bool free = false;
    };
    auto room = std::make_shared<Room>();
    body.on_drained(resume_log_below_bytes, [room] {
      std::lock_guard lock(room->mutex);
      room->free = true;
      room->changed.notify_all();
    });
    std::unique_lock lock(room->mutex);
    room->changed.wait(lock, [&] { return room->free; });
  }

  // The id of a container that runs; "" when the exchange has been answered.
  std::string running_id(const ExchangePtr& exchange, const std::shared_ptr<PodWorker>& worker, const std::string& name,
                         const std::string& container) {
    RuntimeState state = worker->runtime();
    const ObservedContainer* seen = state.newest(container);
    if (seen != nullptr && seen->state == ContainerState::running) return seen->id;
    answer(exchange, 500, fmt::format("container not found (\"{}\")", container));
    (void)name;
    return "";
  }

  void exec(const ExchangePtr& exchange, bool command, const std::string& ns, const std::string& name, const std::string& container) {
    auto worker = find(exchange, ns, name);
    if (!worker) return;
    std::string id = running_id(exchange, worker, name, container);
    if (id.empty()) return;
    StreamQuery q = stream_query(exchange->request().query);
    if (!q.channels.in && !q.channels.out && !q.channels.err)
      return answer(exchange, 400, "you must specify at least 1 of stdin, stdout, stderr\n");
    Cri::StreamOptions o{q.channels.tty, q.channels.in, q.channels.out, q.channels.err};
    auto url = command ? tools.cri.exec_url(id, q.command, o) : tools.cri.attach_url(id, o);
    if (!url) return answer(exchange, 500, url.error().message);
    serve_exec(exchange, *url, q.channels);
  }

  void port_forward(const ExchangePtr& exchange, const std::string& ns, const std::string& name) {
    auto worker = find(exchange, ns, name);
    if (!worker) return;
    RuntimeState state = worker->runtime();
    StreamQuery q = stream_query(exchange->request().query);
    const ObservedSandbox* sandbox = state.newest_sandbox();
    if (sandbox == nullptr || !sandbox->ready) return answer(exchange, 500, fmt::format("pod not found (\"{}_{}\")", name, ns));
    if (q.ports.empty() || q.ports.size() > 64) return answer(exchange, 400, "query parameter \"port\" is required\n");
    auto url = tools.cri.port_forward_url(sandbox->id, q.ports);
    if (!url) return answer(exchange, 500, url.error().message);
    serve_port_forward(exchange, *url, q.ports);
  }

  void run(const ExchangePtr& exchange, const std::string& ns, const std::string& name, const std::string& container) {
    auto worker = find(exchange, ns, name);
    if (!worker) return;
    std::string id = running_id(exchange, worker, name, container);
    if (id.empty()) return;
    std::vector<std::string> command;
    for (const auto& [key, value] : parameters(exchange->request().query)) {
      if (key != "cmd") continue;
      for (std::string_view word : split(value, ' ')) command.emplace_back(word);
    }
    auto result = tools.cri.exec_sync(id, command, std::chrono::seconds(60));
    if (!result) return answer(exchange, 500, result.error().message);
    answer(exchange, 200, result->output_stdout + result->output_stderr);
  }
};

NodeServer::NodeServer(std::shared_ptr<State> state) : state_(std::move(state)) {}
NodeServer::~NodeServer() { stop(); }
int NodeServer::port() const { return state_->server ? state_->server->port() : 0; }

void NodeServer::stop() {
  state_->stopping = true;
  if (state_->server) state_->server->stop(stop_grace);
  state_->server.reset();
}

Result<std::unique_ptr<NodeServer>> NodeServer::start(NodeServerOptions options, Tools& tools, std::shared_ptr<Pods> pods) {
  net::ServerOptions o;
  o.bind_address = options.bind_address;
  o.port = options.port;
  o.tls = net::TlsFiles{options.certificate_file, options.key_file, options.client_ca_file};
  auto state = std::make_shared<State>(std::move(options), tools, std::move(pods));
  std::weak_ptr<State> weak = state;
  auto server = net::Server::start(std::move(o), [weak](ExchangePtr exchange) {
    if (auto self = weak.lock()) self->handle(exchange);
  });
  if (!server) return std::unexpected(server.error());
  state->server = std::move(*server);
  return std::unique_ptr<NodeServer>(new NodeServer(std::move(state)));
}

}  // namespace kybern::kubelet
