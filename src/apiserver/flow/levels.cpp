#include "apiserver/flow/levels.h"

#include <algorithm>

namespace kybern::apiserver {

void Levels::configure(const std::vector<LevelSettings>& settings) {
  Ready ready;
  {
    std::lock_guard lock(mutex_);
    int shares = 0;
    for (const LevelSettings& s : settings) shares += s.shares;
    std::vector<std::shared_ptr<Level>> now;
    for (const LevelSettings& s : settings) {
      auto same = std::find_if(levels_.begin(), levels_.end(), [&](const auto& level) { return level->settings_.name == s.name; });
      std::shared_ptr<Level> level = same != levels_.end() ? *same : std::make_shared<Level>();
      level->settings_ = s;
      level->nominal_ = shares > 0 ? (seats_ * s.shares + shares - 1) / shares : 0;
      level->lendable_ = level->nominal_ * s.lendable_percent / 100;
      level->most_ = s.borrowing_limit_percent < 0 ? seats_ : level->nominal_ + level->nominal_ * s.borrowing_limit_percent / 100;
      // Queues are only added: whoever waits keeps its place.
      std::size_t queues = s.queues_requests ? static_cast<std::size_t>(std::max(1, s.queues)) : 0;
      if (level->queues_.size() < queues) level->queues_.resize(queues);
      now.push_back(std::move(level));
    }
    levels_ = std::move(now);
    for (const auto& level : levels_) dispatch(*level, ready);
  }
  for (const auto& waiter : ready) waiter->go(true);
}

std::shared_ptr<Level> Levels::find(std::string_view name) const {
  std::lock_guard lock(mutex_);
  for (const auto& level : levels_)
    if (level->settings_.name == name) return level;
  return nullptr;
}

// Below its own share always; above it while others leave more of what they lend than is borrowed already.
bool Levels::has_room(const Level& level) const {
  if (level.settings_.exempt || level.executing_ < level.nominal_) return true;
  if (level.executing_ >= level.most_) return false;
  int lent = 0;
  for (const auto& other : levels_) {
    if (other->settings_.exempt) continue;
    if (other.get() != &level) lent += std::clamp(other->nominal_ - other->executing_, 0, other->lendable_);
    lent -= std::max(0, other->executing_ - other->nominal_);
  }
  return lent > 0;
}

std::vector<std::size_t> Levels::hand(std::uint64_t flow, std::size_t queues, std::size_t size) {
  std::vector<std::size_t> dealt, sorted;
  for (std::size_t i = 0; i < std::min(size, queues); ++i) {
    std::size_t left = queues - i;
    std::size_t card = flow % left;
    flow /= left;
    // The card-th of those that are still in the deck.
    for (std::size_t gone : sorted)
      if (card >= gone) ++card;
    sorted.insert(std::lower_bound(sorted.begin(), sorted.end(), card), card);
    dealt.push_back(card);
  }
  return dealt;
}

bool Levels::enter_now(Level& level) {
  std::lock_guard lock(mutex_);
  if (level.waiting_ > 0 || !has_room(level)) return false;
  ++level.executing_;
  return true;
}

Levels::Entry Levels::enter(const std::shared_ptr<Level>& level, std::uint64_t flow,
                            const std::function<std::shared_ptr<Waiter>()>& make_waiter) {
  std::lock_guard lock(mutex_);
  if (level->waiting_ == 0 && has_room(*level)) {
    ++level->executing_;
    return Entry::go;
  }
  const LevelSettings& s = level->settings_;
  if (!s.queues_requests || level->queues_.empty()) return Entry::refused;
  std::size_t best = 0, shortest = SIZE_MAX;
  for (std::size_t queue :
       hand(flow, static_cast<std::size_t>(std::max(1, s.queues)), static_cast<std::size_t>(std::max(1, s.hand_size)))) {
    if (level->queues_[queue].size() >= shortest) continue;
    shortest = level->queues_[queue].size();
    best = queue;
  }
  if (shortest >= static_cast<std::size_t>(s.queue_length_limit)) return Entry::refused;
  auto waiter = make_waiter();
  waiter->queue = best;
  level->queues_[best].push_back(std::move(waiter));
  ++level->waiting_;
  return Entry::queued;
}

void Levels::dispatch(Level& level, Ready& ready) {
  while (level.waiting_ > 0 && has_room(level)) {
    while (level.queues_[level.next_queue_ % level.queues_.size()].empty()) ++level.next_queue_;
    auto& queue = level.queues_[level.next_queue_++ % level.queues_.size()];
    std::shared_ptr<Waiter> waiter = std::move(queue.front());
    queue.pop_front();
    --level.waiting_;
    ++level.executing_;
    waiter->settled = true;
    ready.push_back(std::move(waiter));
  }
}

void Levels::leave(const std::shared_ptr<Level>& level) {
  Ready ready;
  {
    std::lock_guard lock(mutex_);
    --level->executing_;
    dispatch(*level, ready);
    // The seat may be one that another level is allowed to borrow.
    for (const auto& other : levels_)
      if (other != level && other->waiting_ > 0) dispatch(*other, ready);
  }
  for (const auto& waiter : ready) waiter->go(true);
}

void Levels::give_up(const std::shared_ptr<Level>& level, const std::shared_ptr<Waiter>& waiter) {
  {
    std::lock_guard lock(mutex_);
    if (waiter->settled) return;
    waiter->settled = true;
    auto& queue = level->queues_[waiter->queue];
    auto found = std::find(queue.begin(), queue.end(), waiter);
    if (found == queue.end()) return;
    queue.erase(found);
    --level->waiting_;
  }
  waiter->go(false);
}

std::vector<Levels::Seen> Levels::look() const {
  std::lock_guard lock(mutex_);
  std::vector<Seen> out;
  for (const auto& level : levels_) {
    out.push_back({level->settings_.name, level->settings_.exempt, level->nominal_, level->executing_, level->waiting_, {}});
    for (const auto& queue : level->queues_) out.back().queue_lengths.push_back(queue.size());
  }
  return out;
}

}  // namespace kybern::apiserver
