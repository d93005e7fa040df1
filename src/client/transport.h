// How a component talks to the API: the same calls over HTTP or, in the all-in-one program, straight into the API
// server's handler under the component's own identity. Nothing else in a component knows which.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "document/document.h"
#include "machinery/status.h"

namespace kybern::client {

enum class PatchType { json, merge, strategic, apply };

struct Call {
  std::string method;                      // GET POST PUT PATCH DELETE
  std::string path;                        // "/api/v1/namespaces/default/pods/web/status"
  std::string query;                       // "fieldManager=...", percent-encoded; may be empty
  Document body;                           // of POST, PUT, PATCH, DELETE; may be empty
  PatchType patch = PatchType::strategic;  // of PATCH
};

// One thing that happened to an object; `object` is the last state for a deletion.
struct Event {
  enum class Type { put, erased } type;
  Document object;
};

// A list and everything that happens after it, for as long as the Subscription lives. Reconnects, resumes and lists
// again by itself. Callbacks come one at a time, in order.
struct Listener {
  std::function<void(std::vector<Document> objects)> replaced;  // the whole state: first, and after a gap
  std::function<void(std::vector<Event> events)> changed;
  // May be empty. Every change up to this resource version has been delivered: after `replaced` and at bookmarks.
  std::function<void(std::uint64_t resource_version)> progressed;
};
class Subscription {
 public:
  virtual ~Subscription() = default;  // no callback runs after it
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual ApiResult<Document> call(Call call) = 0;  // blocks; bounded by the transport's timeout (Status reason Timeout)
  // `path`: a collection ("/api/v1/pods", "/api/v1/namespaces/x/pods"); `query`: selectors.
  virtual std::unique_ptr<Subscription> subscribe(std::string path, std::string query, Listener listener) = 0;
};

// Over HTTP, by a kubeconfig (file, or its content) or explicit options. `user_agent` names the component.
struct HttpOptions {
  std::string url, ca_pem, certificate_pem, key_pem, token, token_file, user_agent;
  bool insecure = false;
  std::string server_name;         // verified instead of the url's host; may be empty
  std::string username, password;  // basic authentication, when there is no token
  std::string ns;                  // the namespace of the kubeconfig's context; not used by the transport
};
Result<HttpOptions> read_kubeconfig(const std::string& file, std::string_view context = {});
// The same from text; relative file names in it are relative to `folder`.
Result<HttpOptions> parse_kubeconfig(std::string_view yaml, std::string_view context, const std::string& folder);
// What a container finds about its cluster (service account token, CA, KUBERNETES_SERVICE_HOST and _PORT).
Result<HttpOptions> in_cluster_options();
Result<std::unique_ptr<Transport>> http_transport(HttpOptions options);

// The calls of controllers, by kind. `api_version` and `resource`: "apps/v1", "deployments"; `ns` "" for cluster scope.
std::string object_path(std::string_view api_version, std::string_view resource, std::string_view ns, std::string_view name,
                        std::string_view subresource = {});
// "a=b&c=d" with every value percent-encoded.
std::string make_query(std::initializer_list<std::pair<std::string_view, std::string_view>> parameters);

}  // namespace kybern::client
