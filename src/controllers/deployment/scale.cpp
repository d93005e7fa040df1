// How many pods each ReplicaSet of a Deployment should have.
#include <algorithm>
#include <cmath>

#include "controllers/deployment/rollout.h"
#include "controllers/objects.h"

namespace kybern::controllers::deployment {
namespace {

std::vector<Document> active_of(const Rollout& rollout, bool with_fresh) {
  std::vector<Document> out;
  for (const Document& set : rollout.old)
    if (size(set) > 0) out.push_back(set);
  if (with_fresh && rollout.fresh && size(rollout.fresh) > 0) out.push_back(rollout.fresh);
  return out;
}

// What can count on being there: a ReplicaSet that was scaled down a moment ago may still report more.
std::int64_t lasting(Value set, std::int64_t wanted) { return std::min(available(set), wanted); }

bool annotations_differ(const Rollout& rollout, Value set) {
  return annotated(set, desired_annotation) != rollout.replicas ||
         annotated(set, maximum_annotation) != rollout.replicas + rollout.posts.surge;
}

// The share of one ReplicaSet in a change of the Deployment's size: in proportion to its own size, at most what is left.
std::int64_t proportion(const Rollout& rollout, Value set, std::int64_t to_add, std::int64_t added) {
  if (size(set) == 0 || to_add == 0 || to_add == added) return 0;
  std::int64_t fraction = -size(set);
  if (rollout.replicas > 0) {
    std::int64_t before = annotated(set, maximum_annotation).value_or(0);
    if (before == 0) before = rollout.deployment["status"]["replicas"].as_int();
    if (before == 0) return 0;
    const double exact = static_cast<double>(size(set) * (rollout.replicas + rollout.posts.surge)) / static_cast<double>(before);
    fraction = static_cast<std::int64_t>(std::llround(exact)) - size(set);
  }
  const std::int64_t allowed = to_add - added;
  return to_add > 0 ? std::min(fraction, allowed) : std::max(fraction, allowed);
}

bool is_saturated(const Rollout& rollout) {
  return rollout.fresh && size(rollout.fresh) == rollout.replicas && annotated(rollout.fresh, desired_annotation) == rollout.replicas &&
         available(rollout.fresh) == rollout.replicas;
}

}  // namespace

std::int64_t new_size(const Rollout& rollout, std::int64_t current) {
  if (!is_rolling(rollout.deployment)) return rollout.replicas;
  const std::int64_t pods = total_size(rollout.old) + current;
  const std::int64_t most = rollout.replicas + rollout.posts.surge;
  if (pods >= most) return current;
  return current + std::min(most - pods, rollout.replicas - current);
}

std::vector<Action> scale_new(const Rollout& rollout) {
  const std::int64_t current = size(rollout.fresh);
  if (current == rollout.replicas) return {};
  const std::int64_t wanted = current > rollout.replicas ? rollout.replicas : new_size(rollout, current);
  if (wanted == current) return {};
  return {scale(rollout, rollout.fresh, wanted)};
}

std::vector<Action> scale_old_rolling(const Rollout& rollout) {
  const std::vector<Document> old = active_of(rollout, false);
  const std::int64_t old_pods = total_size(old);
  if (old_pods == 0) return {};
  const std::int64_t least = rollout.replicas - rollout.posts.unavailable;
  const std::int64_t fresh_size = size(rollout.fresh), fresh_available = lasting(rollout.fresh, fresh_size);
  const std::int64_t spare = old_pods + fresh_size - least - (fresh_size - fresh_available);
  if (spare <= 0) return {};

  // First those that are not available: they help nobody.
  std::vector<std::int64_t> wanted;
  std::int64_t given_up = 0;
  for (const Document& set : old) {
    const std::int64_t idle = size(set) - lasting(set, size(set));
    const std::int64_t fewer = std::clamp<std::int64_t>(spare - given_up, 0, idle);
    wanted.push_back(size(set) - fewer);
    given_up += fewer;
  }
  // Then as many as availability allows.
  std::int64_t serving = fresh_available;
  for (std::size_t i = 0; i < old.size(); ++i) serving += lasting(old[i], wanted[i]);
  for (std::size_t i = 0; i < old.size() && serving > least; ++i) {
    const std::int64_t fewer = std::min(wanted[i], serving - least);
    wanted[i] -= fewer;
    serving -= fewer;
  }
  std::vector<Action> out;
  for (std::size_t i = 0; i < old.size(); ++i)
    if (wanted[i] != size(old[i])) out.push_back(scale(rollout, old[i], wanted[i]));
  return out;
}

bool is_scaling_event(const Rollout& rollout) {
  for (const Document& set : active_of(rollout, true)) {
    const std::optional<std::int64_t> desired = annotated(set, desired_annotation);
    if (desired && *desired != rollout.replicas) return true;
  }
  return false;
}

std::vector<Action> scale_proportionally(const Rollout& rollout) {
  std::vector<Document> active = active_of(rollout, true);
  if (active.size() <= 1) {  // it, or the latest one, gets everything
    const Document target = !active.empty()       ? active[0]
                            : rollout.fresh       ? rollout.fresh
                            : rollout.old.empty() ? Document()
                                                  : rollout.old.back();
    if (!target || (size(target) == rollout.replicas && (size(target) == 0 || !annotations_differ(rollout, target)))) return {};
    return {scale(rollout, target, rollout.replicas)};
  }
  std::vector<Action> out;
  if (is_saturated(rollout)) {
    for (const Document& set : active_of(rollout, false)) out.push_back(scale(rollout, set, 0));
    return out;
  }
  if (!is_rolling(rollout.deployment)) return {};
  const std::int64_t allowed = rollout.replicas > 0 ? rollout.replicas + rollout.posts.surge : 0;
  const std::int64_t to_add = allowed - total_size(active);
  std::stable_sort(active.begin(), active.end(), [&](const Document& a, const Document& b) {
    if (size(a) != size(b)) return size(a) > size(b);
    return to_add > 0 ? created_before(b, a) : created_before(a, b);  // grow the newer, shrink the older
  });
  std::vector<std::int64_t> wanted;
  std::int64_t added = 0;
  for (const Document& set : active) {
    const std::int64_t share = proportion(rollout, set, to_add, added);
    wanted.push_back(size(set) + share);
    added += share;
  }
  wanted[0] = std::max<std::int64_t>(0, wanted[0] + to_add - added);  // what rounding left
  for (std::size_t i = 0; i < active.size(); ++i)
    if (wanted[i] != size(active[i]) || annotations_differ(rollout, active[i])) out.push_back(scale(rollout, active[i], wanted[i]));
  return out;
}

}  // namespace kybern::controllers::deployment
