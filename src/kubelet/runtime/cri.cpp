#include "kubelet/runtime/cri.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include "base/check.h"
#include "base/strings.h"
#include "document/json.h"
#include "kubelet/measures.h"
#include "kubelet/runtime/wire.h"
#include "net/client.h"
#include "schema/protobuf.h"

namespace kybern::kubelet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds short_call{10'000};     // lists and statuses: in memory at the runtime
constexpr milliseconds change_call{120'000};   // upstream's runtime request timeout
constexpr milliseconds sandbox_call{240'000};  // network plugins may be slow: twice that, as upstream
constexpr seconds exec_slack{5};               // a call that carries its own timeout gets this much more

constexpr std::string_view runtime_service = "/runtime.v1.RuntimeService/";
constexpr std::string_view image_service = "/runtime.v1.ImageService/";

const schema::Type& type_of(std::string_view message) {
  const schema::Type* type = schema::find_type_named(fmt::format("cri.runtime.v1.{}", message));
  KYBERN_CHECK(type != nullptr, "every CRI message that is used here is in the tables");
  return *type;
}

Time from_nanos(Value v) { return Time(Duration(v.as_int())); }

std::string label(Value labels, std::string_view key) { return labels[key].str(); }

std::uint32_t attempt_of(Value metadata) { return static_cast<std::uint32_t>(metadata["attempt"].as_int()); }

ContainerState state_of(Value v) {
  std::int64_t n = v.as_int();
  return n >= 0 && n <= 3 ? static_cast<ContainerState>(n) : ContainerState::unknown;
}

std::vector<std::string> strings_of(Value list) {
  std::vector<std::string> out;
  for (Value v : list.items()) out.push_back(v.str());
  return out;
}

Draft uid_filter(std::string_view uid) {
  Draft request = Draft::object();
  if (!uid.empty()) request["filter"]["label_selector"][label_pod_uid] = uid;
  return request;
}

Image read_image(Value v) {
  Image image;
  image.id = v["id"].str();
  image.tags = strings_of(v["repo_tags"]);
  image.digests = strings_of(v["repo_digests"]);
  image.size_bytes = static_cast<std::uint64_t>(v["size"].as_int());
  if (v["uid"].is_object()) image.uid = v["uid"]["value"].as_int();
  image.username = v["username"].str();
  image.pinned = v["pinned"].as_bool();
  return image;
}

FilesystemUsage read_filesystem(Value v) {
  return {v["fs_id"]["mountpoint"].str(), static_cast<std::uint64_t>(v["used_bytes"]["value"].as_int()),
          static_cast<std::uint64_t>(v["inodes_used"]["value"].as_int())};
}

ObservedContainer read_container(Value s) {
  ObservedContainer c;
  Value labels = s["labels"], annotations = s["annotations"];
  c.id = s["id"].str();
  c.name = label(labels, label_container_name);
  if (c.name.empty()) c.name = s["metadata"]["name"].str();
  c.attempt = attempt_of(s["metadata"]);
  if (auto n = parse_int(annotations[annotation_restart_count].as_string())) c.attempt = static_cast<std::uint32_t>(*n);
  c.state = state_of(s["state"]);
  c.created_at = from_nanos(s["created_at"]);
  c.started_at = from_nanos(s["started_at"]);
  c.finished_at = from_nanos(s["finished_at"]);
  c.exit_code = static_cast<int>(s["exit_code"].as_int());
  c.reason = s["reason"].str();
  c.message = s["message"].str();
  c.image = s["image"]["image"].str();
  c.image_id = s["image_ref"].str();
  c.hash = annotations[annotation_hash].str();
  c.termination_path = annotations[annotation_termination_path].str();
  c.termination_policy = annotations[annotation_termination_policy].str();
  c.log_path = s["log_path"].str();
  for (Value m : s["mounts"].items()) { c.mounts.push_back({m["container_path"].str(), m["host_path"].str(), m["readonly"].as_bool()}); }
  return c;
}

ListedContainer read_listed(Value v) {
  return {v["id"].str(),
          v["pod_sandbox_id"].str(),
          label(v["labels"], label_container_name),
          label(v["labels"], label_pod_uid),
          attempt_of(v["metadata"]),
          state_of(v["state"]),
          from_nanos(v["created_at"])};
}

}  // namespace

struct Cri::State {
  std::unique_ptr<net::GrpcClient> client;
  std::mutex mutex;
  std::shared_ptr<net::GrpcStream> events;  // while watch_events runs
  bool events_stopped = false;

  Result<Document> call(std::string_view service, std::string_view method, const Draft& request, milliseconds timeout) {
    return call(service, method, request.freeze(), timeout);
  }
  Result<Document> call(std::string_view service, std::string_view method, const Document& request, milliseconds timeout) {
    std::string bytes;
    schema::encode_message(type_of(fmt::format("{}Request", method)), request.root(), bytes);
    auto begin = std::chrono::steady_clock::now();
    auto answer = client->call(fmt::format("{}{}", service, method), bytes, timeout);
    measures::runtime_operation(method, answer.has_value(), std::chrono::steady_clock::now() - begin);
    if (!answer) return std::unexpected(answer.error());
    return schema::decode_message(type_of(fmt::format("{}Response", method)), *answer);
  }
  // A call on one object of which only success matters.
  Result<void> act(std::string_view method, std::string_view key, std::string_view id, milliseconds timeout) {
    auto answer = call(runtime_service, method, Draft::object({{key, id}}), timeout);
    if (!answer) return std::unexpected(answer.error());
    return {};
  }
};

Cri::Cri(std::unique_ptr<State> state) : state_(std::move(state)) {}
Cri::~Cri() { stop_events(); }

Result<std::unique_ptr<Cri>> Cri::connect(const std::string& endpoint) {
  net::ClientOptions options;
  options.url = endpoint.starts_with('/') ? fmt::format("unix://{}", endpoint) : endpoint;
  auto client = net::GrpcClient::make(std::move(options));
  if (!client) return std::unexpected(client.error());
  auto state = std::make_unique<State>();
  state->client = std::move(*client);
  return std::unique_ptr<Cri>(new Cri(std::move(state)));
}

Result<RuntimeVersion> Cri::version() {
  auto answer = state_->call(runtime_service, "Version", Draft::object(), short_call);
  if (!answer) return std::unexpected(answer.error());
  Value v = answer->root();
  return RuntimeVersion{v["runtime_name"].str(), v["runtime_version"].str(), v["runtime_api_version"].str()};
}

Result<RuntimeStatus> Cri::status() {
  auto answer = state_->call(runtime_service, "Status", Draft::object(), short_call);
  if (!answer) return std::unexpected(answer.error());
  RuntimeStatus out;
  for (Value c : (*answer)["status"]["conditions"].items()) {
    out.conditions.push_back({c["type"].str(), c["reason"].str(), c["message"].str(), c["status"].as_bool()});
  }
  for (Value h : (*answer)["runtime_handlers"].items()) {
    out.handlers.push_back(
        {h["name"].str(), h["features"]["recursive_read_only_mounts"].as_bool(), h["features"]["user_namespaces"].as_bool()});
  }
  out.supplemental_groups_policy = (*answer)["features"]["supplemental_groups_policy"].as_bool();
  return out;
}

// ---- sandboxes

Result<std::string> Cri::run_sandbox(const Document& config, std::string_view handler) {
  auto answer =
      state_->call(runtime_service, "RunPodSandbox", Draft::object({{"config", config}, {"runtime_handler", handler}}), sandbox_call);
  if (!answer) return std::unexpected(answer.error());
  return (*answer)["pod_sandbox_id"].str();
}

Result<void> Cri::stop_sandbox(std::string_view id) { return state_->act("StopPodSandbox", "pod_sandbox_id", id, change_call); }
Result<void> Cri::remove_sandbox(std::string_view id) { return state_->act("RemovePodSandbox", "pod_sandbox_id", id, change_call); }

Result<std::vector<ListedSandbox>> Cri::list_sandboxes(std::string_view uid) {
  auto answer = state_->call(runtime_service, "ListPodSandbox", uid_filter(uid), short_call);
  if (!answer) return std::unexpected(answer.error());
  std::vector<ListedSandbox> out;
  for (Value v : (*answer)["items"].items()) {
    Value m = v["metadata"];
    out.push_back({v["id"].str(), m["namespace"].str(), m["name"].str(), m["uid"].str(), attempt_of(m), v["state"].as_int() == 0,
                   from_nanos(v["created_at"])});
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.created_at > b.created_at; });
  return out;
}

Result<ObservedSandbox> Cri::sandbox_status(std::string_view id) {
  auto answer = state_->call(runtime_service, "PodSandboxStatus", Draft::object({{"pod_sandbox_id", id}}), short_call);
  if (!answer) return std::unexpected(answer.error());
  Value s = (*answer)["status"];
  ObservedSandbox out;
  out.id = s["id"].str();
  out.attempt = attempt_of(s["metadata"]);
  out.ready = s["state"].as_int() == 0;
  out.host_network = s["linux"]["namespaces"]["options"]["network"].as_int() == 2;
  out.created_at = from_nanos(s["created_at"]);
  if (std::string ip = s["network"]["ip"].str(); !ip.empty()) out.ips.push_back(std::move(ip));
  for (Value more : s["network"]["additional_ips"].items()) out.ips.push_back(more["ip"].str());
  return out;
}

// ---- containers

Result<std::string> Cri::create_container(std::string_view sandbox_id, const Document& config, const Document& sandbox_config) {
  auto answer =
      state_->call(runtime_service, "CreateContainer",
                   Draft::object({{"pod_sandbox_id", sandbox_id}, {"config", config}, {"sandbox_config", sandbox_config}}), change_call);
  if (!answer) return std::unexpected(answer.error());
  return (*answer)["container_id"].str();
}

Result<void> Cri::start_container(std::string_view id) { return state_->act("StartContainer", "container_id", id, change_call); }
Result<void> Cri::remove_container(std::string_view id) { return state_->act("RemoveContainer", "container_id", id, change_call); }
Result<void> Cri::reopen_log(std::string_view id) { return state_->act("ReopenContainerLog", "container_id", id, short_call); }

Result<void> Cri::stop_container(std::string_view id, seconds grace) {
  auto answer = state_->call(runtime_service, "StopContainer", Draft::object({{"container_id", id}, {"timeout", grace.count()}}),
                             change_call + grace);
  if (!answer) return std::unexpected(answer.error());
  return {};
}

Result<std::vector<ListedContainer>> Cri::list_containers(std::string_view uid) {
  auto answer = state_->call(runtime_service, "ListContainers", uid_filter(uid), short_call);
  if (!answer) return std::unexpected(answer.error());
  std::vector<ListedContainer> out;
  for (Value v : (*answer)["containers"].items()) out.push_back(read_listed(v));
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.created_at > b.created_at; });
  return out;
}

Result<ObservedContainer> Cri::container_status(std::string_view id) {
  auto answer = state_->call(runtime_service, "ContainerStatus", Draft::object({{"container_id", id}}), short_call);
  if (!answer) return std::unexpected(answer.error());
  return read_container((*answer)["status"]);
}

Result<int> Cri::container_pid(std::string_view id) {
  auto answer = state_->call(runtime_service, "ContainerStatus", Draft::object({{"container_id", id}, {"verbose", true}}), short_call);
  if (!answer) return std::unexpected(answer.error());
  auto info = parse_json((*answer)["info"]["info"].as_string("{}"));
  if (!info || !(*info)["pid"].is_int()) return fail(Code::unsupported, "the runtime does not tell the container's process");
  return static_cast<int>((*info)["pid"].as_int());
}

Result<void> Cri::update_resources(std::string_view id, const Document& linux_resources) {
  auto answer = state_->call(runtime_service, "UpdateContainerResources", Draft::object({{"container_id", id}, {"linux", linux_resources}}),
                             change_call);
  if (!answer) return std::unexpected(answer.error());
  return {};
}

Result<RuntimeState> Cri::pod_state(std::string_view uid) {
  auto sandboxes = list_sandboxes(uid);
  if (!sandboxes) return std::unexpected(sandboxes.error());
  auto containers = list_containers(uid);
  if (!containers) return std::unexpected(containers.error());
  RuntimeState out;
  for (const ListedSandbox& s : *sandboxes) {
    auto status = sandbox_status(s.id);
    if (!status && status.error().code == Code::not_found) continue;  // removed in between
    if (!status) return std::unexpected(status.error());
    out.sandboxes.push_back(std::move(*status));
  }
  for (const ListedContainer& c : *containers) {
    auto status = container_status(c.id);
    if (!status && status.error().code == Code::not_found) continue;
    if (!status) return std::unexpected(status.error());
    status->sandbox_id = c.sandbox_id;
    out.containers.push_back(std::move(*status));
  }
  return out;
}

// ---- exec and streams

Result<ExecResult> Cri::exec_sync(std::string_view id, const std::vector<std::string>& command, seconds timeout) {
  Draft request = Draft::object({{"container_id", id}, {"cmd", Draft::strings(command)}, {"timeout", timeout.count()}});
  milliseconds limit = timeout.count() > 0 ? milliseconds(timeout + exec_slack) : change_call * 10;
  auto answer = state_->call(runtime_service, "ExecSync", request, limit);
  if (!answer) return std::unexpected(answer.error());
  ExecResult out;
  out.output_stdout = (*answer)["stdout"].str();  // bytes of a CRI message are raw
  out.output_stderr = (*answer)["stderr"].str();
  out.exit_code = static_cast<int>((*answer)["exit_code"].as_int());
  return out;
}

Result<std::string> Cri::exec_url(std::string_view id, const std::vector<std::string>& command, const StreamOptions& options) {
  auto answer = state_->call(runtime_service, "Exec",
                             Draft::object({{"container_id", id},
                                            {"cmd", Draft::strings(command)},
                                            {"tty", options.tty},
                                            {"stdin", options.in},
                                            {"stdout", options.out},
                                            {"stderr", options.err}}),
                             short_call);
  if (!answer) return std::unexpected(answer.error());
  return (*answer)["url"].str();
}

Result<std::string> Cri::attach_url(std::string_view id, const StreamOptions& options) {
  auto answer = state_->call(
      runtime_service, "Attach",
      Draft::object({{"container_id", id}, {"tty", options.tty}, {"stdin", options.in}, {"stdout", options.out}, {"stderr", options.err}}),
      short_call);
  if (!answer) return std::unexpected(answer.error());
  return (*answer)["url"].str();
}

Result<std::string> Cri::port_forward_url(std::string_view sandbox_id, const std::vector<int>& ports) {
  Draft list = Draft::array();
  for (int port : ports) list.push_back(port);
  auto answer = state_->call(runtime_service, "PortForward", Draft::object({{"pod_sandbox_id", sandbox_id}, {"port", list}}), short_call);
  if (!answer) return std::unexpected(answer.error());
  return (*answer)["url"].str();
}

// ---- images and figures

Result<std::vector<Image>> Cri::list_images() {
  auto answer = state_->call(image_service, "ListImages", Draft::object(), short_call);
  if (!answer) return std::unexpected(answer.error());
  std::vector<Image> out;
  for (Value v : (*answer)["images"].items()) out.push_back(read_image(v));
  return out;
}

Result<std::optional<Image>> Cri::image_status(std::string_view image) {
  auto answer = state_->call(image_service, "ImageStatus", Draft::object({{"image", Draft::object({{"image", image}})}}), short_call);
  if (!answer) return std::unexpected(answer.error());
  Value v = (*answer)["image"];
  if (!v.is_object() || v["id"].as_string().empty()) return std::optional<Image>();
  return std::optional(read_image(v));
}

Result<std::string> Cri::pull_image(std::string_view image, const RegistryAuth* auth, const Document& sandbox_config,
                                    milliseconds timeout) {
  Draft request = Draft::object({{"image", Draft::object({{"image", image}})}, {"sandbox_config", sandbox_config}});
  if (auth != nullptr) {
    request["auth"] = Draft::object({{"username", auth->username},
                                     {"password", auth->password},
                                     {"auth", auth->auth},
                                     {"server_address", auth->server_address},
                                     {"identity_token", auth->identity_token},
                                     {"registry_token", auth->registry_token}});
  }
  auto answer = state_->call(image_service, "PullImage", request, timeout);
  if (!answer) return std::unexpected(answer.error());
  return (*answer)["image_ref"].str();
}

Result<void> Cri::remove_image(std::string_view image) {
  auto answer = state_->call(image_service, "RemoveImage", Draft::object({{"image", Draft::object({{"image", image}})}}), change_call);
  if (!answer) return std::unexpected(answer.error());
  return {};
}

Result<std::vector<FilesystemUsage>> Cri::image_filesystems() {
  auto answer = state_->call(image_service, "ImageFsInfo", Draft::object(), short_call);
  if (!answer) return std::unexpected(answer.error());
  std::vector<FilesystemUsage> out;
  for (Value v : (*answer)["image_filesystems"].items()) out.push_back(read_filesystem(v));
  return out;
}

Result<std::vector<ContainerUsage>> Cri::usage() {
  auto answer = state_->call(runtime_service, "ListContainerStats", Draft::object(), short_call);
  if (!answer) return std::unexpected(answer.error());
  std::vector<ContainerUsage> out;
  auto number = [](Value v) { return static_cast<std::uint64_t>(v["value"].as_int()); };
  for (Value v : (*answer)["stats"].items()) {
    ContainerUsage u;
    u.container_id = v["attributes"]["id"].str();
    u.name = label(v["attributes"]["labels"], label_container_name);
    u.uid = label(v["attributes"]["labels"], label_pod_uid);
    u.at = from_nanos(v["cpu"]["timestamp"]);
    u.cpu_nanoseconds = number(v["cpu"]["usage_core_nano_seconds"]);
    u.memory_working_set = number(v["memory"]["working_set_bytes"]);
    u.memory_usage = number(v["memory"]["usage_bytes"]);
    u.memory_rss = number(v["memory"]["rss_bytes"]);
    u.layer_bytes = number(v["writable_layer"]["used_bytes"]);
    u.layer_inodes = number(v["writable_layer"]["inodes_used"]);
    out.push_back(std::move(u));
  }
  return out;
}

// ---- events

// containerd's own stream (containerd.services.events.v1). Its messages are few and small, so they are read by hand:
// SubscribeRequest {1: repeated filters}; Envelope {3: topic, 4: Any {2: value}}; every task event has its container's id
// as field 1.
Result<void> Cri::watch_events(const std::function<void()>& ready, const std::function<void(const std::string& id)>& on_event) {
  auto stream = state_->client->stream("/containerd.services.events.v1.Events/Subscribe");
  if (!stream) return std::unexpected(stream.error());
  std::shared_ptr<net::GrpcStream> events = std::move(*stream);
  {
    std::lock_guard lock(state_->mutex);
    if (state_->events_stopped) return fail(Code::canceled, "the event stream is stopped");
    state_->events = events;
  }
  wire::Writer request;
  for (std::string_view topic : {"/tasks/start", "/tasks/exit", "/tasks/oom", "/tasks/delete"}) {
    request.bytes(1, fmt::format("namespace==k8s.io,topic==\"{}\"", topic));
  }
  Result<void> outcome = events->write(request.text());
  if (outcome) ready();
  while (outcome) {
    auto message = events->read();
    if (!message) {
      outcome = std::unexpected(message.error());
      break;
    }
    std::string_view id = wire::Reader::field(wire::Reader::field(wire::Reader::field(*message, 4), 2), 1);
    if (!id.empty()) on_event(std::string(id));
  }
  std::lock_guard lock(state_->mutex);
  state_->events.reset();
  return outcome;
}

void Cri::stop_events() {
  std::shared_ptr<net::GrpcStream> events;
  {
    std::lock_guard lock(state_->mutex);
    state_->events_stopped = true;
    events = state_->events;
  }
  if (events) events->close();
}

}  // namespace kybern::kubelet
