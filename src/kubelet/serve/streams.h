// exec, attach and port-forward: a WebSocket from the API server on one side, the runtime's streaming server on the other.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "net/server.h"

namespace kybern::kubelet {

struct ExecChannels {
  bool in = false, out = true, err = true, tty = false;
};

// Both answer the exchange in every case. `url`: what CRI's Exec, Attach or PortForward returned.
// Channels of exec and attach: 0 stdin, 1 stdout, 2 stderr, 3 error, 4 resize (v4 and v5.channel.k8s.io).
void serve_exec(const std::shared_ptr<net::Exchange>& exchange, const std::string& url, const ExecChannels& channels);
// Channels of port-forward: 2i data and 2i+1 error of the i-th port; the first message on each is the port, two bytes,
// the low one first (v4.channel.k8s.io).
void serve_port_forward(const std::shared_ptr<net::Exchange>& exchange, const std::string& url, const std::vector<int>& ports);

}  // namespace kybern::kubelet
