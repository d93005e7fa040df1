// The changes that watches read: one window per resource, the newest changes in order, each held once; and the watches,
// which are cursors into a window.
//
// The resource of a key is its first segment: "/pods/default/web-0" belongs to "pods", "/apps/deployments/default/web" to
// "apps". So a window holds the changes of a core resource, or of one API group. A watch's prefix contains a whole first
// segment ("/pods/" or longer), so that one window has all that it may see.
//
// A watch is either armed (it has taken everything; the next change under its prefix calls `notify` and puts the cursor
// right before that change) or behind (to be read by take()). An armed watch cannot expire: nothing that it
// should see has happened since. Armed watches lie in groups by prefix, so a change meets only those that it concerns.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "store/limits.h"
#include "store/notifier.h"
#include "store/store.h"

namespace kybern::store {

std::string_view resource_of(std::string_view key);

class Windows {
 public:
  // Changes up to `floor` are not known. `world`: see StoreOptions.
  static Windows* create(WindowLimits limits, Revision floor, const World* world = nullptr);
  void close();  // by the owner, once: no callback runs or will run; memory is freed when the last watch is gone too

  // By one thread at a time. In order of revision; `settle` then says that everything up to `revision` is in.
  void append(const std::vector<ChangePtr>& changes, Instant now);
  void settle(Revision revision) { settled_.store(revision, std::memory_order_release); }
  // Drops what is over age or over the budget that `live_bytes` of objects give.
  void trim(Instant now, std::size_t live_bytes);
  bool ageing() const;  // trim() will drop something when time has passed

  Result<std::unique_ptr<Watch>> watch(std::string_view prefix, Revision after, std::function<void()> notify);
  Revision oldest(std::string_view prefix) const;  // changes after it are all held
  Revision newest(std::string_view prefix) const;  // of the resource's last change; the floor when there is none
  // Appends the changes of a resource ("": of all) with after < revision <= last, each resource's in order. False when
  // some are not held any more.
  bool collect(std::string_view resource, Revision after, Revision last, std::vector<ChangePtr>& out) const;

  std::size_t watch_count() const { return holders_.load(std::memory_order_relaxed) - 1; }
  std::size_t change_count() const;
  std::size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  std::size_t budget(std::size_t live_bytes) const { return std::max(limits_.min_bytes, live_bytes / limits_.live_divisor); }

 private:
  class Cursor;
  struct Group;
  struct Item;
  struct Window;

  Windows(WindowLimits limits, Revision floor, const World* world);
  ~Windows();
  void release();  // by a watch that ends, and by the owner
  Window& window(std::string_view resource);
  const Window* find(std::string_view resource) const;
  std::vector<Window*> all_windows() const;
  std::uint32_t second_of(Instant now) const;
  // Under the window's mutex. What is dropped goes to `garbage`, to be destroyed later without the lock.
  void drop_first(Window& w, std::size_t n, std::vector<ChangePtr>& garbage);
  void drop_old(Window& w, std::uint32_t second, std::vector<ChangePtr>& garbage);
  void wake(Window& w, const Change& change);
  static std::size_t first_after(const Window& w, Revision revision);

  const WindowLimits limits_;
  const Revision floor_;
  const World* const world_;
  const Instant start_;
  mutable std::shared_mutex map_mutex_;
  std::unordered_map<std::string, std::unique_ptr<Window>> windows_;
  std::atomic<Revision> settled_;
  std::atomic<std::size_t> bytes_{0};
  std::atomic<std::size_t> holders_{1};  // the owner and every watch
  Notifier notifier_;
};

}  // namespace kybern::store
