// Requests that become a stream to a kubelet or a pod: logs, exec, attach, port-forward, and the proxies.
#pragma once

#include <memory>

#include "apiserver/registry/registry.h"
#include "net/server.h"

namespace kybern::apiserver {

struct ConnectorOptions {
  std::string client_certificate_file, client_key_file;  // the server's identity towards kubelets
  std::string kubelet_ca_file;
  bool local_targets = false;  // proxies may lead to this machine itself: for tests
};

class Connector {
 public:
  static Result<std::unique_ptr<Connector>> make(ConnectorOptions options, Registry& registry);
  virtual ~Connector() = default;
  // Whether group/plural/subresource is one of these.
  virtual bool connects(const Work& work) const = 0;
  // Answers the exchange, now or later.
  virtual void connect(Work work, std::shared_ptr<net::Exchange> exchange) = 0;
  // What a node's kubelet tells of its use (/stats/summary). Waits for it.
  virtual ApiResult<Document> summary(const std::string& node) = 0;
};

}  // namespace kybern::apiserver
