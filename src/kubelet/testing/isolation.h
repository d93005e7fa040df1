// Tests with a real runtime run in a small world of their own: network, mounts and processes of the test program are in new
// namespaces (when it runs as root), so that nothing of them can be left behind, whatever happens: when the program ends,
// containerd, shims and containers end with it. A process outside waits, and removes cgroups and files.
#pragma once

#include <string>

namespace kybern::kubelet::testing {

// "" or why real pods cannot be run here (not root, no containerd, no busybox...).
std::string why_no_real_pods();
// A folder for this run, removed afterwards; "" outside of isolation.
std::string run_folder();
// A cgroup path of this run, removed afterwards.
std::string run_cgroup();

}  // namespace kybern::kubelet::testing
