// The Container Runtime Interface (CRI v1, k8s.io/cri-api): the calls that this kubelet makes, with typed answers.
//
// Requests that carry a whole configuration (RunPodSandbox, CreateContainer) take it as a Document in the shape of the
// CRI message (field names as in the protobuf definition, snake_case); plan/ builds those. All calls block, and every
// one has a time limit. Errors are those of net::GrpcClient: not_found when the runtime does not know the id.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "document/document.h"
#include "kubelet/plan/runtime_state.h"

namespace kybern::kubelet {

// Labels and annotations by which sandboxes and containers are found again.
inline constexpr std::string_view label_pod_name = "io.kubernetes.pod.name";
inline constexpr std::string_view label_pod_namespace = "io.kubernetes.pod.namespace";
inline constexpr std::string_view label_pod_uid = "io.kubernetes.pod.uid";
inline constexpr std::string_view label_container_name = "io.kubernetes.container.name";
inline constexpr std::string_view annotation_hash = "io.kubernetes.container.hash";
inline constexpr std::string_view annotation_restart_count = "io.kubernetes.container.restartCount";
inline constexpr std::string_view annotation_termination_path = "io.kubernetes.container.terminationMessagePath";
inline constexpr std::string_view annotation_termination_policy = "io.kubernetes.container.terminationMessagePolicy";
inline constexpr std::string_view annotation_grace = "io.kubernetes.pod.terminationGracePeriod";

struct RuntimeVersion {
  std::string name, version, api_version;
};
struct RuntimeCondition {
  std::string type, reason, message;
  bool status = false;
};
struct RuntimeHandler {
  std::string name;
  bool recursive_read_only = false, user_namespaces = false;
};
struct RuntimeStatus {
  std::vector<RuntimeCondition> conditions;
  std::vector<RuntimeHandler> handlers;
  bool supplemental_groups_policy = false;
};

// One line of ListPodSandbox / ListContainers: enough to see that something changed.
struct ListedSandbox {
  std::string id, ns, pod, uid;
  std::uint32_t attempt = 0;
  bool ready = false;
  Time created_at;
};
struct ListedContainer {
  std::string id, sandbox_id, name, uid;
  std::uint32_t attempt = 0;
  ContainerState state = ContainerState::unknown;
  Time created_at;
};

struct Image {
  std::string id;
  std::vector<std::string> tags, digests;
  std::uint64_t size_bytes = 0;
  std::optional<std::int64_t> uid;  // the user it runs as, when numeric
  std::string username;
  bool pinned = false;
};
struct RegistryAuth {
  std::string username, password, auth, server_address, identity_token, registry_token;
};

struct ExecResult {
  std::string output_stdout, output_stderr;
  int exit_code = 0;
};

struct ContainerUsage {
  std::string container_id, name, uid;
  std::uint64_t cpu_nanoseconds = 0, memory_working_set = 0, memory_usage = 0, memory_rss = 0, layer_bytes = 0, layer_inodes = 0;
  Time at;
};
struct FilesystemUsage {
  std::string mountpoint;
  std::uint64_t used_bytes = 0, inodes_used = 0;
};

class Cri {
 public:
  // `endpoint`: "unix:///run/containerd/containerd.sock".
  static Result<std::unique_ptr<Cri>> connect(const std::string& endpoint);
  ~Cri();

  Result<RuntimeVersion> version();
  Result<RuntimeStatus> status();

  Result<std::string> run_sandbox(const Document& config, std::string_view handler);
  Result<void> stop_sandbox(std::string_view id);
  Result<void> remove_sandbox(std::string_view id);
  Result<std::vector<ListedSandbox>> list_sandboxes(std::string_view uid = {});
  Result<ObservedSandbox> sandbox_status(std::string_view id);

  Result<std::string> create_container(std::string_view sandbox_id, const Document& config, const Document& sandbox_config);
  Result<void> start_container(std::string_view id);
  Result<void> stop_container(std::string_view id, std::chrono::seconds grace);  // returns when it has stopped
  Result<void> remove_container(std::string_view id);
  Result<std::vector<ListedContainer>> list_containers(std::string_view uid = {});
  Result<ObservedContainer> container_status(std::string_view id);
  Result<void> update_resources(std::string_view id, const Document& linux_resources);
  Result<void> reopen_log(std::string_view id);
  Result<int> container_pid(std::string_view id);  // of its first process, when the runtime tells (verbose status)
  // Everything the runtime holds for one pod, with statuses, newest first.
  Result<RuntimeState> pod_state(std::string_view uid);

  Result<ExecResult> exec_sync(std::string_view id, const std::vector<std::string>& command, std::chrono::seconds timeout);
  // URLs of the runtime's streaming server, each good for one connection.
  struct StreamOptions {
    bool tty = false, in = false, out = true, err = true;
  };
  Result<std::string> exec_url(std::string_view id, const std::vector<std::string>& command, const StreamOptions& options);
  Result<std::string> attach_url(std::string_view id, const StreamOptions& options);
  Result<std::string> port_forward_url(std::string_view sandbox_id, const std::vector<int>& ports);

  Result<std::vector<Image>> list_images();
  Result<std::optional<Image>> image_status(std::string_view image);
  Result<std::string> pull_image(std::string_view image, const RegistryAuth* auth, const Document& sandbox_config,
                                 std::chrono::milliseconds timeout);  // -> image reference
  Result<void> remove_image(std::string_view image);
  Result<std::vector<FilesystemUsage>> image_filesystems();
  Result<std::vector<ContainerUsage>> usage();

  // Ids of containers and sandboxes to which something happened (started, exited, deleted), as the runtime tells it;
  // blocks until the stream breaks or `stop` becomes true. Code::unsupported when the runtime has no such stream.
  // `ready` is called once when the stream stands: what happened before is not told.
  Result<void> watch_events(const std::function<void()>& ready, const std::function<void(const std::string& id)>& on_event);
  void stop_events();

 private:
  struct State;
  explicit Cri(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace kybern::kubelet
