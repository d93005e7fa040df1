// One check of a container, as probes and lifecycle hooks make them. They block until their timeout at most, and word
// their failures as upstream does: that text is what a person reads in the pod's events.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "document/document.h"
#include "kubelet/plan/pod_view.h"

namespace kybern::kubelet {

class Cri;

struct CheckOutcome {
  enum class Result : unsigned char { success, failure, unknown } result = Result::unknown;
  std::string output;  // of failure: why; of unknown: what kept the check from being made
};

struct HttpTarget {
  std::string scheme = "http", host, path = "/";  // path with its query
  int port = 80;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string url() const;
};

CheckOutcome check_tcp(const std::string& host, int port, std::chrono::milliseconds timeout);
CheckOutcome check_http(const HttpTarget& target, std::chrono::milliseconds timeout);
CheckOutcome check_grpc(const std::string& host, int port, std::string_view service, std::chrono::milliseconds timeout);
CheckOutcome check_exec(Cri& cri, const std::string& container_id, const std::vector<std::string>& command, std::chrono::seconds timeout);

// A port by number or by name of the container's ports.
std::optional<int> port_of(Value port, const ContainerView& c);
// Of an httpGet action; absent when its port cannot be resolved.
std::optional<HttpTarget> http_target(Value action, const ContainerView& c, const std::string& pod_ip);

// The check of a probe (exec, httpGet, tcpSocket or grpc) with its timeoutSeconds.
CheckOutcome run_probe(Cri& cri, Value probe, const ContainerView& c, const std::string& container_id, const std::string& pod_ip);

}  // namespace kybern::kubelet
