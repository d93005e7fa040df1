// Runs the ReplicaSet controller: which events concern which ReplicaSet, and what it observes.
#pragma once

#include <memory>

#include "controllers/environment.h"
#include "controllers/run.h"

namespace kybern::controllers::replicaset {

std::unique_ptr<Runner> make_runner(const Environment& environment);              // ReplicaSets
std::unique_ptr<Runner> make_replication_runner(const Environment& environment);  // ReplicationControllers

}  // namespace kybern::controllers::replicaset
