#include "apiserver/authn/token_tracking.h"

#include <mutex>
#include <optional>
#include <vector>

#include "apiserver/authn/legacy_tokens.h"
#include "apiserver/bootstrap.h"
#include "apiserver/registry/work.h"
#include "base/log.h"
#include "base/time.h"
#include "store/store.h"

namespace kybern::apiserver {
namespace {

constexpr Place tracking_place{"", "configmaps", "kube-system", "kube-apiserver-legacy-service-account-token-tracking"};
constexpr Duration between_creations = std::chrono::minutes(30);  // two servers that differ about it do not fight
constexpr Duration after_a_failure = std::chrono::minutes(1);
constexpr std::size_t tracking_changes_per_take = 64;

bool is_day(std::string_view text) { return text.size() == 10 && parse_rfc3339(std::string(text) + "T00:00:00Z").has_value(); }

}  // namespace

struct TokenTracking::State : std::enable_shared_from_this<State> {
  explicit State(Registry& r) : registry(r) {}

  void keep() {
    std::lock_guard lock(mutex);
    if (ended) return;
    follow();
    const World world = registry.world();
    const Document map = registry.read(tracking_place.group, "v1", tracking_place.plural, tracking_place.ns, tracking_place.name);
    if (map && is_day(map["data"]["since"].as_string())) return;
    const Instant now = world.clock.steady();
    if (!map && made && now < *made + between_creations) return look_again(*made + between_creations - now);
    Draft wanted = Draft::object();
    wanted["data"]["since"] = day_of(world.clock.now());
    auto ok = map ? repair(day_of(world.clock.now())) : ensure(registry, world, tracking_place, wanted);
    if (ok) {
      if (!map) made = now;
      return;
    }
    log_error("authn", "since when the use of tokens is noted could not be written", {{"why", ok.error().message}});
    look_again(after_a_failure);
  }

  // Unless somebody has brought it in order meanwhile.
  Result<void> repair(const std::string& today) {
    Work work{.registry = registry,
              .world = registry.world(),
              .user = {"system:apiserver", "", {"system:masters", "system:authenticated"}, {}},
              .served = registry.catalog().find(tracking_place.group, "v1", tracking_place.plural),
              .ns = std::string(tracking_place.ns),
              .name = std::string(tracking_place.name)};
    work.verb = "update";
    auto done = registry.modify(
        work,
        [&](Value before) -> ApiResult<Draft> {
          Draft now(before);
          if (!is_day(before["data"]["since"].as_string())) now["data"]["since"] = today;
          return now;
        },
        true);
    if (!done && done.error().code != 404) return fail(Code::internal, done.error().message);
    return {};
  }

  // With the lock held. Drained before the map is read, so that no change after that goes unseen.
  void follow() {
    std::vector<store::ChangePtr> changes;
    while (watch) {
      changes.clear();
      if (!watch->take(changes, tracking_changes_per_take)) watch.reset();
      else if (changes.empty()) return;
    }
    const std::string key =
        registry.catalog().find(tracking_place.group, "v1", tracking_place.plural)->key(tracking_place.ns, tracking_place.name);
    auto fresh = registry.store().watch(key, registry.store().revision(), [weak = weak_from_this(), world = registry.world()] {
      world.executor.post([weak] {
        if (auto self = weak.lock()) self->keep();
      });
    });
    if (!fresh) return;
    watch = std::move(*fresh);
    changes.clear();
    (void)watch->take(changes, tracking_changes_per_take);
  }

  void look_again(Duration delay) {
    registry.world().executor.cancel(timer);
    timer = registry.world().executor.post_after(delay, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->keep();
    });
  }

  Registry& registry;
  std::mutex mutex;
  std::unique_ptr<store::Watch> watch;
  std::optional<Instant> made;
  TimerId timer = 0;
  bool ended = false;
};

TokenTracking::TokenTracking(Registry& registry) : state_(std::make_shared<State>(registry)) {}

TokenTracking::~TokenTracking() {
  std::unique_ptr<store::Watch> watch;
  std::lock_guard lock(state_->mutex);
  state_->ended = true;
  watch = std::move(state_->watch);
  state_->registry.world().executor.cancel(state_->timer);
}

void TokenTracking::begin() { state_->keep(); }

}  // namespace kybern::apiserver
