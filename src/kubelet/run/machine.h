// What this machine is: capacity, ids, versions.
#pragma once

#include <string>

#include "kubelet/plan/node.h"

namespace kybern::kubelet {

MachineFacts read_machine(const std::string& data_dir);  // all but name, addresses, versions of kubelet and runtime, and port

}  // namespace kybern::kubelet
