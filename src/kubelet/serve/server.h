// The kubelet's own HTTPS server: logs, exec, attach, port-forward, figures. For the API server only: a caller needs a
// client certificate of the cluster's CA, in the group system:masters or named kube-apiserver-kubelet-client.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/world.h"
#include "net/http.h"

namespace kybern::kubelet {

class Pods;
struct Tools;

struct NodeServerOptions {
  std::string bind_address;
  int port = 10250;
  std::string certificate_file, key_file, client_ca_file;
  std::string data_dir;
  std::function<bool()> healthy;  // of /healthz
};

class NodeServer {
 public:
  static Result<std::unique_ptr<NodeServer>> start(NodeServerOptions options, Tools& tools, std::shared_ptr<Pods> pods);
  ~NodeServer();
  int port() const;
  void stop();

 private:
  struct State;
  explicit NodeServer(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

// "" when the caller may use this server, else why not; `code` is 401 or 403 then.
std::string refuse_caller(const net::Request& request, int& code);

}  // namespace kybern::kubelet
