// What pods and the node use, from their cgroups: /stats/summary and /metrics/resource.
#pragma once

#include <memory>
#include <string>

#include "base/world.h"
#include "document/document.h"

namespace kybern::kubelet {

class Pods;
struct Tools;

Document stats_summary(const Pods& pods, Tools& tools, const std::string& data_dir, Time started);
std::string resource_metrics(const Pods& pods, Tools& tools, Time started);  // Prometheus text

}  // namespace kybern::kubelet
