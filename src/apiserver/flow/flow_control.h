// API priority and fairness: which FlowSchema a request falls under, and with it which priority level (KEP-1040). The
// configuration is the stored FlowSchemas and PriorityLevelConfigurations; a change is seen a moment after
// it was written.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "apiserver/flow/levels.h"
#include "apiserver/http/request_info.h"
#include "apiserver/registry/registry.h"
#include "apiserver/user.h"
#include "base/metrics.h"

namespace kybern::apiserver {

inline constexpr std::string_view flow_group = "flowcontrol.apiserver.k8s.io";
inline constexpr Duration longest_wait = std::chrono::seconds(15);  // in a queue: a quarter of a request's 60 seconds

struct Flow {
  std::string schema, schema_uid;
  std::shared_ptr<Level> level;         // absent: nothing is configured, nothing limited
  std::uint64_t hash = 0;               // of the schema and whom it tells apart
  std::shared_ptr<const void> schemas;  // that it was found among
};

class FlowControl {
 public:
  FlowControl(Registry& registry, int seats);
  ~FlowControl();

  Flow classify(const User& user, const RequestInfo& info);
  // go: leave() once the request is done. queued: what `make_later` gave is called with true when the request may go on,
  // with false when it waited too long; from another thread, which it must not hold up.
  Levels::Entry enter(const Flow& flow, const std::function<std::function<void(bool)>()>& make_later);
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

  Registry& registry_;
  std::shared_ptr<Levels> levels_;  // requests that end after the server still have it
  std::mutex mutex_;
  Schemas schemas_;
  std::atomic<bool> stale_{true};
  std::unique_ptr<store::Watch> schema_changes_, level_changes_;
  metrics::Collector collector_;
};

// Upstream's mandatory and suggested objects (flow/bootstrap.cpp).
Result<void> ensure_flow_objects(Registry& registry, World world);

}  // namespace kybern::apiserver
