// Calls of webhooks: where a clientConfig leads, and what comes back (admissionregistration.k8s.io/v1 and
// apiextensions.k8s.io/v1 WebhookClientConfig).
//
// A service is called at one of its ready endpoints, by TLS under the name NAME.NAMESPACE.svc. Connections are kept. The
// server's certificate is verified by caBundle, or by the system's roots where there is none.
#pragma once

#include <expected>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/time.h"
#include "document/document.h"
#include "net/client.h"

namespace kybern::apiserver {

class Registry;

// Why there is no answer, as upstream prints it: `Post "https://a.b.svc:443/x?timeout=10s": dial tcp ...: connection refused`.
struct HookFailure {
  std::string message;
  int code = 503;  // for metrics: the answer's status where there was one
  bool timed_out = false;
};

class HookClients {
 public:
  static constexpr std::size_t max_clients = 200;
  static constexpr std::size_t max_answer_bytes = 64 << 20;

  explicit HookClients(const Registry& registry) : registry_(registry) {}

  // The answer's JSON. `timeout` is told to the webhook in whole seconds, as `?timeout=10s`. Blocks.
  std::expected<Document, HookFailure> post(Value client_config, Value body, std::chrono::milliseconds timeout,
                                            std::string_view user_agent);

 private:
  struct Target {
    std::string url, shown, path, host, server_name;
    std::string unreachable;  // why the service leads nowhere
  };
  std::expected<Target, std::string> resolve(Value client_config) const;
  std::expected<std::string, std::string> endpoint_of(std::string_view ns, std::string_view name, std::int64_t port) const;
  std::expected<std::shared_ptr<net::HttpClient>, std::string> client(const Target& target, std::string_view ca_bundle);

  const Registry& registry_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<net::HttpClient>> clients_;
};

// What upstream's client says of an answer that is no success.
std::string describe_http_failure(int status, const std::string& body);

}  // namespace kybern::apiserver
