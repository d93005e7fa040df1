#include "apiserver/authn/trust_map.h"

#include <mutex>
#include <vector>

#include "apiserver/bootstrap.h"
#include "base/log.h"
#include "store/store.h"

namespace kybern::apiserver {
namespace {

constexpr Place place{"", "configmaps", "kube-system", "extension-apiserver-authentication"};
constexpr Duration look_again = std::chrono::minutes(1);  // at the files
constexpr std::size_t trust_changes_per_take = 64;

}  // namespace

struct TrustMap::State : std::enable_shared_from_this<State> {
  State(Registry& r, std::function<Draft()> d) : registry(r), data(std::move(d)) {}

  Result<void> write() {
    Draft map = Draft::object();
    map["data"] = data();
    return ensure_fields(registry, registry.world(), place, map, {"data"});
  }

  void keep() {
    std::lock_guard lock(mutex);
    if (ended) return;
    follow();
    if (auto ok = write(); !ok) log_error("apiserver", "the map of whom to believe could not be written", {{"why", ok.error().message}});
    registry.world().executor.cancel(timer);
    timer = registry.world().executor.post_after(look_again, task());
  }

  // With the lock held. Drained before the map is written, so that no change after that goes unseen.
  void follow() {
    std::vector<store::ChangePtr> changes;
    while (watch) {
      changes.clear();
      if (!watch->take(changes, trust_changes_per_take)) watch.reset();
      else if (changes.empty()) return;
    }
    const std::string key = registry.catalog().find(place.group, "v1", place.plural)->key(place.ns, place.name);
    auto made = registry.store().watch(key, registry.store().revision(), [weak = weak_from_this(), world = registry.world()] {
      world.executor.post([weak] {
        if (auto self = weak.lock()) self->keep();
      });
    });
    if (!made) return;
    watch = std::move(*made);
    changes.clear();
    (void)watch->take(changes, trust_changes_per_take);
  }

  Task task() {
    return [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->keep();
    };
  }

  Registry& registry;
  const std::function<Draft()> data;
  std::mutex mutex;
  std::unique_ptr<store::Watch> watch;
  TimerId timer = 0;
  bool ended = false;
};

TrustMap::TrustMap(Registry& registry, std::function<Draft()> data) : state_(std::make_shared<State>(registry, std::move(data))) {}

TrustMap::~TrustMap() {
  std::unique_ptr<store::Watch> watch;
  std::lock_guard lock(state_->mutex);
  state_->ended = true;
  watch = std::move(state_->watch);
  state_->registry.world().executor.cancel(state_->timer);
}

Result<void> TrustMap::write() { return state_->write(); }

Result<void> TrustMap::begin() {
  if (auto ok = write(); !ok) return ok;
  state_->keep();
  return {};
}

}  // namespace kybern::apiserver
