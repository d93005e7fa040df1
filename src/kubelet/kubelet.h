// The kubelet: runs the pods that the API has bound to this node, on a container runtime, and reports how they are.
//
//   auto kubelet = Kubelet::start(transport, real_world(), {.node_name = "one", .node_ip = "192.0.2.1", .data_dir = "/var/lib/kybern"});
//
// It registers the node, keeps its lease and status, serves logs, exec, attach, port-forward and figures over HTTPS, and
// takes over what runs already, whether started by an earlier kubelet or while the runtime was away.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/world.h"
#include "client/transport.h"

namespace kybern::kubelet {

struct KubeletOptions {
  std::string node_name;
  std::vector<std::string> node_ips;  // the primary one first; at least one
  std::string data_dir;               // everything of this node lies below: <data_dir>/kubelet, <data_dir>/containerd, <data_dir>/logs
  std::string runtime_endpoint;       // unix:///run/containerd/containerd.sock; "": an own containerd below data_dir
  std::string sandbox_image = "kybern.io/pause:1";
  std::vector<std::string> image_archives;  // OCI archives imported into the own containerd when their first image is missing
  std::vector<std::string> pod_cidrs;  // of the own containerd's pod network; empty: those of Node.spec.podCIDRs, as soon as it has any
  std::string bridge = "cni0";
  int pod_mtu = 0;                       // 0: the bridge plugin's choice
  std::vector<std::string> cluster_dns;  // addresses of the DNS service; empty: pods use the node's resolver
  std::string cluster_domain = "cluster.local";
  std::string resolv_conf = "/etc/resolv.conf";

  std::string bind_address = "0.0.0.0";
  int port = 10250;                                // 0: any; then Kubelet::port() tells
  std::string tls_certificate_file, tls_key_file;  // of the server; without them it is not served
  std::string client_ca_file;                      // signs those who may call

  std::string static_pod_path;  // a folder of manifests, or ""
  std::string cgroup_base;      // kubepods lies below it
  std::map<std::string, std::string> node_labels;
  std::vector<std::string> node_taints;  // "key=value:Effect"
  std::string provider_id;
  std::string version = "v1.36.0";
  std::int64_t max_pods = 110;
  std::int64_t pod_pids_limit = -1;              // -1: none
  std::int64_t cpu_milli = 0, memory_bytes = 0;  // capacity to report instead of the machine's
  std::int64_t container_log_max_bytes = 10 << 20;
  int container_log_max_files = 5;
  std::size_t threads = 512;  // for work that blocks; 0: all on the world's executor
};

class Kubelet {
 public:
  // Returns when the runtime answers. Registering the node goes on in the background until the API takes it. `transport`
  // must outlive the kubelet.
  static Result<std::unique_ptr<Kubelet>> start(client::Transport& transport, World world, KubeletOptions options);
  ~Kubelet();   // as stop()
  void stop();  // pods, and a containerd of its own, go on

  int port() const;  // of the HTTPS server; 0 when there is none
  std::string runtime_endpoint() const;

  // Ends the own containerd below that folder with all its pods (`run.sh down`). Fine when there is none.
  static Result<void> shut_down_runtime(const std::string& data_dir);

 private:
  struct State;
  explicit Kubelet(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace kybern::kubelet
