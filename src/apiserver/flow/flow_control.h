// API priority and fairness: which FlowSchema a request falls under, and with it which priority level (KEP-1040). The
// configuration is the stored FlowSchemas and PriorityLevelConfigurations; a change is seen a moment after
// it was written.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "apiserver/flow/levels.h"
#include "apiserver/flow/retry_after.h"
#include "apiserver/http/query.h"
#include "apiserver/http/request_info.h"
#include "apiserver/registry/registry.h"
#include "apiserver/user.h"
#include "base/metrics.h"

namespace kybern::apiserver {

inline constexpr std::string_view flow_group = "flowcontrol.apiserver.k8s.io";
inline constexpr Duration longest_wait = std::chrono::seconds(15);  // in a queue: a quarter of a request's 60 seconds

struct Flow {
  std::string schema, schema_uid;
  Seat seat;                            // without a level: nothing is configured, nothing limited
  std::uint64_t hash = 0;               // of the schema and whom it tells apart
  std::string_view distinguisher;       // ByUser, ByNamespace or nothing; of one of:
  std::shared_ptr<const void> schemas;  // that it was found among
};

// Whom a waiting request is of, for those who look at the queues.
struct Asker {
  const User& user;
  const RequestInfo& info;
};

class FlowControl {
 public:
  FlowControl(Registry& registry, int seats);
  ~FlowControl();

  Flow classify(const User& user, const RequestInfo& info);
  // How many seats it takes, where that is not one.
  void measure(Flow& flow, const RequestInfo& info, const Query& query) const;
  // go: leave() its seat once the request is done. queued: what `make_later` gave is called with the seat when the request
  // may go on, without one when it waited too long; from another thread, which it must not hold up.
  using Later = std::function<void(std::optional<Seat>)>;
  Levels::Entry enter(Flow& flow, const Asker& asker, const std::function<Later()>& make_later);
  // Seconds that who is refused, or waited too long, is told to stay away.
  int retry_after(const Flow& flow);
  // A watch counts as long as this is held: those who write what it shows take more seats.
  std::shared_ptr<const void> count_watch(const std::string& prefix);
  // The same request would be classified in the same way now.
  bool holds(const Flow& flow) { return flow.schemas == schemas(); }
  bool enter_now(const Flow& flow);  // go, or false where enter() would do something else
  const std::shared_ptr<Levels>& levels() const { return levels_; }

 private:
  struct Schema;
  using Schemas = std::shared_ptr<const std::vector<Schema>>;
  void reload();
  Schemas schemas();
  void write_metrics(std::string& out) const;
  int watchers(const std::string& prefix) const;

  Registry& registry_;
  std::shared_ptr<Levels> levels_;  // requests that end after the server still have it
  std::mutex mutex_;
  Schemas schemas_;
  std::atomic<bool> stale_{true};
  std::unique_ptr<store::Watch> schema_changes_, level_changes_;
  RetryAfter retry_after_;
  struct WatchCounts {
    std::mutex mutex;
    std::map<std::string, int> by_prefix;
  };
  std::shared_ptr<WatchCounts> watch_counts_ = std::make_shared<WatchCounts>();  // watches may outlive the server
  metrics::Collector collector_;
};

// Upstream's mandatory and suggested objects (flow/bootstrap.cpp): made when they are missing; mandatory ones are always
// brought to what they should be, suggested ones unless apf.kubernetes.io/autoupdate-spec says no. What has that annotation
// and is none of them any more is removed.
Result<void> ensure_flow_objects(Registry& registry, World world);
// Every FlowSchema says whether its priority level exists.
Result<void> tell_dangling(Registry& registry, World world);

// Pages below /debug/api_priority_and_fairness/, as upstream lays them out; nothing for another path.
std::optional<std::string> flow_dump(const Levels& levels, std::string_view path, const Query& query);

}  // namespace kybern::apiserver
