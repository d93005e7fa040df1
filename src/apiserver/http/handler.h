// The road of one HTTP request: who, what, may they, then the registry; and the encoding of what it answers.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "apiserver/authn/authenticator.h"
#include "apiserver/authz/authorizer.h"
#include "apiserver/authz/impersonation.h"
#include "apiserver/discovery/discovery.h"
#include "apiserver/flow/flow_control.h"
#include "apiserver/http/debug_pages.h"
#include "apiserver/http/observed.h"
#include "apiserver/http/quick_reads.h"
#include "apiserver/http/requests.h"
#include "base/metrics.h"
#include "net/server.h"

namespace kybern::apiserver {

class Aggregator;  // group-versions that other servers serve (aggregation/aggregator.h)
class UsageApi;    // metrics.k8s.io (usage/usage_api.h)
class Connector;   // streams to kubelets and pods: log, exec, attach, portforward, proxy (http/connect.h)

class Handler {
 public:
  Handler(Registry& registry, Authenticator& authenticator, Authorizer& authorizer, Discovery& discovery, Connector& connector,
          std::size_t max_requests);
  void handle(std::shared_ptr<net::Exchange> exchange, const std::function<void(std::function<void()>)>& post);
  void set_ready(bool ready) { ready_ = ready; }
  // What /healthz, /livez and /readyz look at besides: name, and whether it is well.
  using HealthChecks = std::function<std::vector<std::pair<std::string, bool>>()>;
  void set_health_checks(HealthChecks checks) { health_checks_ = std::move(checks); }
  // Answers what waits for nothing and is done within microseconds: the read of one object of a built-in kind by somebody
  // who is known already. False for everything else, which may meet a disk, a webhook, a signature to verify. By one thread.
  bool answer_at_once(const std::shared_ptr<net::Exchange>& exchange, const std::function<void(std::function<void()>)>& post);

  // Authorization with impersonation resolved; for requests from inside, too.
  ApiResult<void> authorize(const User& user, const RequestInfo& info, audit::Record* record = nullptr) const;

  // Both live as long as the handler; without them nothing is proxied, and nobody tells what is used.
  void set_neighbours(const Aggregator* aggregator, UsageApi* usage) { aggregator_ = aggregator, usage_ = usage; }
  void set_auditor(std::shared_ptr<audit::Auditor> auditor) { auditor_ = std::move(auditor); }
  audit::Auditor* auditor() const { return auditor_.get(); }

 private:
  using Post = std::function<void(std::function<void()>)>;
  void route(std::shared_ptr<ObservedExchange> exchange, const Post& post);
  // Does `ask`, which may wait for services outside, where nobody else waits, and then goes on where it was.
  void wait_for(const std::shared_ptr<ObservedExchange>& exchange, const Post& post, std::function<std::function<void()>()> ask);
  ApiResult<User> identify(ObservedExchange& exchange, const RequestInfo& info);
  void enter(std::shared_ptr<ObservedExchange> exchange, const User& user, RequestInfo info, Query query, const Post& post);
  // The wait for a seat. `decision`: when it is known what the user may.
  void seat(std::shared_ptr<ObservedExchange> exchange, const User& user, RequestInfo info, Query query, const Post& post,
            std::optional<Decision> decision);
  // What comes after it: authorization, then the answer.
  void proceed(std::shared_ptr<ObservedExchange> exchange, const User& user, RequestInfo info, Query query, const Post& post,
               std::optional<Decision> decision);
  void serve_resource(std::shared_ptr<ObservedExchange> exchange, const User& user, RequestInfo info, Query query,
                      const std::function<void(std::function<void()>)>& post);
  void serve_connect(std::shared_ptr<ObservedExchange> exchange, Work work);
  void serve_watch(std::shared_ptr<ObservedExchange> exchange, Work& work, const Accepted& accepted,
                   std::function<void(std::function<void()>)> post);
  void unless_it_waits(const std::shared_ptr<ObservedExchange>& exchange, Work& work, std::function<void()> go_on);
  void answer_object(ObservedExchange& exchange, Work& work, const Accepted& accepted, std::string_view verb, Document body,
                     PatchKind kind);
  void serve_usage(net::Exchange& exchange, Work& work, const Accepted& accepted);
  // The APIService by which another server serves the path; empty for what is served here.
  Document served_elsewhere(const RequestInfo& info) const;
  void serve_list(std::shared_ptr<ObservedExchange> exchange, Work& work, const Accepted& accepted);
  bool asks_outside(const Work& work) const;
  bool serve_health(net::Exchange& exchange, const RequestInfo& info, const Query& query);
  void write_store_metrics(std::string& out) const;

  Registry& registry_;
  Authenticator& authenticator_;
  Authorizer& authorizer_;
  Impersonation impersonation_;
  Discovery& discovery_;
  Connector& connector_;
  const Aggregator* aggregator_ = nullptr;
  UsageApi* usage_ = nullptr;
  std::shared_ptr<audit::Auditor> auditor_;
  FlowControl flow_;
  QuickReads quick_reads_;
  std::atomic<bool> ready_{false};
  HealthChecks health_checks_;
  metrics::Collector store_metrics_;
  DebugPages debug_pages_;
};

}  // namespace kybern::apiserver
