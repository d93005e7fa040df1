// One watch of one client: a cursor in the store's changes, encoded as the client reads them.
#pragma once

#include <memory>

#include "apiserver/http/media.h"
#include "apiserver/registry/registry.h"
#include "net/server.h"

namespace kybern::apiserver {

struct WatchSettings {
  Accepted accepted;
  bool bookmarks = false;
  bool include_full_object = false, include_none = false;  // of tables
  std::int64_t timeout_seconds = 0;                        // 0: chosen at random between 30 and 60 minutes, as upstream
  std::vector<std::string> warnings{};
  std::shared_ptr<const void> counted{};  // while it is held, the watch is one of those that a write is told to
};

// Takes the exchange over. `post`: runs work on a pool thread of the server. `refused`: why there is nothing to watch; that is
// told as an event.
void start_watch(Registry& registry, ServedRef served, WatchPlan plan, WatchSettings settings, std::shared_ptr<net::Exchange> exchange,
                 std::function<void(std::function<void()>)> post, const Status* refused = nullptr);

}  // namespace kybern::apiserver
