#include "apiserver/flow/keeper.h"

#include <atomic>
#include <mutex>

#include "apiserver/flow/flow_control.h"
#include "base/log.h"

namespace kybern::apiserver {
namespace {

constexpr Duration ensure_interval = std::chrono::minutes(1);
constexpr Duration settle_time = std::chrono::milliseconds(50);  // changes often come in a row
constexpr std::size_t changes_at_once = 256;
constexpr std::string_view watched[] = {"/flowcontrol.apiserver.k8s.io/flowschemas/",
                                        "/flowcontrol.apiserver.k8s.io/prioritylevelconfigurations/"};

}  // namespace

// Timers and the store's notices hold it weakly.
struct FlowKeeper::State : std::enable_shared_from_this<FlowKeeper::State> {
  State(Registry& registry_given, World world_given) : registry(registry_given), world(world_given) {}

  void arm_ensure() {
    world.executor.post_after(ensure_interval, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self) return;
      std::lock_guard lock(self->mutex);
      if (self->ended) return;
      self->said(ensure_flow_objects(self->registry, self->world));
      self->arm_ensure();
    });
  }

  void changed() {
    if (due.exchange(true)) return;
    world.executor.post_after(settle_time, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self) return;
      std::lock_guard lock(self->mutex);
      if (self->ended) return;
      self->due = false;
      self->rearm();
      self->said(tell_dangling(self->registry, self->world));
    });
  }

  // Taking what changed arms the watches again; what it was does not matter.
  void rearm() {
    std::vector<store::ChangePtr> changes;
    for (std::size_t i = 0; i < std::size(watched); ++i) {
      do {
        changes.clear();
        if (!watches[i]) {
          auto opened = registry.store().watch(watched[i], registry.store().revision(), [weak = weak_from_this()] {
            if (auto self = weak.lock()) self->changed();
          });
          if (!opened) break;
          watches[i] = std::move(*opened);
        }
        if (!watches[i]->take(changes, changes_at_once)) watches[i].reset();
      } while (!watches[i] || changes.size() == changes_at_once);
    }
  }

  void said(const Result<void>& result) {
    if (!result) log_warn("apiserver", "priority and fairness could not be kept up", {{"why", result.error().message}});
  }

  Registry& registry;
  World world;
  std::mutex mutex;  // of a pass
  bool ended = false;
  std::atomic<bool> due{false};
  std::unique_ptr<store::Watch> watches[std::size(watched)];
};

FlowKeeper::FlowKeeper(Registry& registry, World world) : state_(std::make_shared<State>(registry, world)) {
  std::lock_guard lock(state_->mutex);
  state_->rearm();
  state_->arm_ensure();
  state_->changed();
}

FlowKeeper::~FlowKeeper() {
  std::lock_guard lock(state_->mutex);
  state_->ended = true;
  for (auto& watch : state_->watches) watch.reset();
}

}  // namespace kybern::apiserver
