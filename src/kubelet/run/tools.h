// What the workers of pods act with: one of each per kubelet, outliving all workers.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/world.h"
#include "client/events.h"
#include "client/mirror.h"
#include "client/transport.h"
#include "kubelet/cgroups/cgroups.h"
#include "kubelet/plan/network_files.h"
#include "kubelet/plan/plan.h"
#include "kubelet/plan/resources.h"
#include "kubelet/probes/probers.h"
#include "kubelet/run/object_cache.h"
#include "kubelet/run/tasks.h"
#include "kubelet/runtime/cri.h"
#include "kubelet/runtime/images.h"
#include "kubelet/volumes/tokens.h"
#include "kubelet/volumes/volumes.h"

namespace kybern::kubelet {

struct Tools {
  World world;
  client::Transport& api;
  Cri& cri;
  client::EventRecorder& events;
  Cgroups& cgroups;
  Volumes& volumes;
  Images& images;
  Probers& probers;
  ObjectCache& objects;
  Tokens& tokens;
  Tasks& tasks;
  client::MirrorCore& services;

  NodeFacts node;
  std::string node_name;
  DnsFacts dns;
  std::string log_root;  // container logs: LOG_ROOT/<ns>_<name>_<uid>/<container>/<attempt>.log
  std::int64_t node_memory_bytes = 0;
  Amounts node_allocatable;
  std::int64_t pod_pids_limit = -1;
  std::string runtime_endpoint;
};

}  // namespace kybern::kubelet
