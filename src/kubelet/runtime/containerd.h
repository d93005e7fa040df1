// containerd as this node's own runtime: when no runtime endpoint is given, the kubelet writes its configuration, starts
// it, watches it and starts it again when it ends.
//
// Everything lies under one folder. containerd runs in a session of its own, and its shims in theirs, so containers
// outlive both containerd and this process, however they end: a pid file says which containerd is ours, and the next
// start takes it over instead of starting a second one.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace kybern::kubelet {

struct ContainerdOptions {
  std::string dir;                     // <data-dir>/containerd
  std::string program = "containerd";  // found on PATH when it has no slash
  std::string shim_runtime = "runc";   // the OCI runtime's program
  std::string sandbox_image = "kybern.io/pause:1";
  std::string cni_bin_dir;  // "" for /opt/cni/bin or, as Debian has it, /usr/lib/cni
  std::string bridge = "cni0";
  int mtu = 0;                         // 0: the plugin's default
  std::vector<std::string> pod_cidrs;  // empty: no network configuration is written until set_pod_cidrs()
};

class Containerd {
 public:
  // Writes the configuration, takes over a running containerd of ours or starts one, and waits until it listens.
  static Result<std::unique_ptr<Containerd>> start(ContainerdOptions options, std::chrono::milliseconds wait);
  ~Containerd();  // stops watching; containerd goes on

  std::string endpoint() const;  // unix:///.../containerd.sock
  int pid() const;               // of the one that runs now; 0 while it is down
  bool adopted() const;          // the first one was there already
  int restarts() const;
  // The network for pods. containerd sees the new file by itself.
  Result<void> set_pod_cidrs(const std::vector<std::string>& pod_cidrs);

  // Ends the containerd of that folder for good: its pods and containers first, then itself, its shims and its mounts.
  // Fine when there is none.
  static Result<void> shut_down(const std::string& dir, std::chrono::milliseconds wait);

 private:
  struct State;
  explicit Containerd(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Texts of the two files, for the tests.
std::string containerd_config(const ContainerdOptions& options, bool may_lower_oom_score);
std::string cni_config(const ContainerdOptions& options);

}  // namespace kybern::kubelet
