#include "apiserver/flow/levels.h"

#include <algorithm>
#include <cmath>

namespace kybern::apiserver {
namespace {

int percent_of(int seats, int percent) { return static_cast<int>(std::lround(seats * percent / 100.0)); }

// One request takes no more than 15% of its level, and leaves room for one of each queue of a hand.
int widest(const LevelSettings& s, int nominal) {
  if (!s.queues_requests) return 0;
  int part = static_cast<int>(std::ceil(nominal * 0.15));
  return std::max(1, std::min(part, nominal / std::max(1, s.hand_size)));
}

}  // namespace

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
      level->lendable_ = percent_of(level->nominal_, s.lendable_percent);
      level->most_ = s.borrowing_limit_percent < 0 ? seats_ : level->nominal_ + percent_of(level->nominal_, s.borrowing_limit_percent);
      level->max_width_ = widest(s, level->nominal_);
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

// Below its own share always; above it while others leave more of what they lend than is borrowed already. What is wider
// than the whole level has it for itself.
bool Levels::has_room(const Level& level, int width) const {
  const int then = level.executing_seats_ + width;
  if (level.settings_.exempt || then <= level.nominal_) return true;
  if (width > 1 && level.nominal_ > 0 && level.executing_ == 0) return true;
  if (then > level.most_) return false;
  int lent = 0;
  for (const auto& other : levels_) {
    if (other->settings_.exempt) continue;
    if (other.get() != &level) lent += std::clamp(other->nominal_ - other->executing_seats_, 0, other->lendable_);
    lent -= std::max(0, other->executing_seats_ - other->nominal_);
  }
  return lent >= then - std::max(level.nominal_, level.executing_seats_);
}

std::vector<std::size_t> Levels::hand(std::uint64_t flow, std::size_t queues, std::size_t size) {
  std::vector<std::size_t> dealt, sorted;
  dealt.reserve(std::min(size, queues));
  sorted.reserve(std::min(size, queues));
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

void Levels::sit(Level& level, const Seat& seat) {
  ++level.executing_;
  level.executing_seats_ += seat.width;
  if (seat.queue < 0) return;
  Level::Queue& queue = level.queues_[static_cast<std::size_t>(seat.queue)];
  ++queue.executing;
  queue.executing_seats += seat.width;
}

bool Levels::enter_now(const Seat& seat) {
  std::lock_guard lock(mutex_);
  if (seat.level->waiting_ > 0 || !has_room(*seat.level, seat.width)) return false;
  sit(*seat.level, seat);
  return true;
}

Levels::Entry Levels::enter(Seat& seat, std::uint64_t flow, const std::function<std::shared_ptr<Waiter>()>& make_waiter) {
  std::lock_guard lock(mutex_);
  Level& level = *seat.level;
  const LevelSettings& s = level.settings_;
  const bool queues = s.queues_requests && !level.queues_.empty();
  const bool room = level.waiting_ == 0 && has_room(level, seat.width);
  if (queues) {
    constexpr int full = 1 << 20;  // comes after all that have room
    int least = INT32_MAX;
    for (std::size_t one :
         hand(flow, static_cast<std::size_t>(std::max(1, s.queues)), static_cast<std::size_t>(std::max(1, s.hand_size)))) {
      const Level::Queue& queue = level.queues_[one];
      const bool no_room = queue.waiting.size() >= static_cast<std::size_t>(s.queue_length_limit);
      const int before = queue.waiting_seats + queue.executing_seats + (no_room ? full : 0);
      if (before >= least) continue;
      least = before;
      seat.queue = static_cast<int>(one);
    }
  }
  if (room) {
    sit(level, seat);
    return Entry::go;
  }
  if (!queues) return Entry::refused;
  Level::Queue& queue = level.queues_[static_cast<std::size_t>(seat.queue)];
  if (queue.waiting.size() >= static_cast<std::size_t>(s.queue_length_limit)) return Entry::refused;
  auto waiter = make_waiter();
  waiter->seat = seat;
  // A queue that was empty saves nothing up for later.
  if (queue.waiting.empty()) queue.served = std::max(queue.served, level.served_);
  queue.waiting.push_back(std::move(waiter));
  queue.waiting_seats += seat.width;
  ++level.waiting_;
  level.waiting_seats_ += seat.width;
  return Entry::queued;
}

void Levels::dispatch(Level& level, Ready& ready) {
  while (level.waiting_ > 0) {
    const std::size_t count = level.queues_.size();
    std::size_t chosen = count;
    for (std::size_t i = 0; i < count; ++i) {
      std::size_t at = (level.next_queue_ + i) % count;
      if (level.queues_[at].waiting.empty()) continue;
      if (chosen == count || level.queues_[at].served < level.queues_[chosen].served) chosen = at;
    }
    Level::Queue& queue = level.queues_[chosen];
    // Whose turn it is may be too wide for what is free: then that is kept for it.
    if (!has_room(level, queue.waiting.front()->seat.width)) return;
    std::shared_ptr<Waiter> waiter = std::move(queue.waiting.front());
    queue.waiting.pop_front();
    const int width = waiter->seat.width;
    queue.waiting_seats -= width;
    level.served_ = queue.served;
    queue.served += width;
    level.next_queue_ = chosen + 1;
    --level.waiting_;
    level.waiting_seats_ -= width;
    sit(level, waiter->seat);
    waiter->settled = true;
    ready.push_back(std::move(waiter));
  }
}

void Levels::leave(const Seat& seat) {
  Ready ready;
  {
    std::lock_guard lock(mutex_);
    Level& level = *seat.level;
    --level.executing_;
    level.executing_seats_ -= seat.width;
    if (seat.queue >= 0) {
      Level::Queue& queue = level.queues_[static_cast<std::size_t>(seat.queue)];
      --queue.executing;
      queue.executing_seats -= seat.width;
    }
    dispatch(level, ready);
    // The seat may be one that another level is allowed to borrow.
    for (const auto& other : levels_)
      if (other != seat.level && other->waiting_ > 0) dispatch(*other, ready);
  }
  for (const auto& waiter : ready) waiter->go(true);
}

void Levels::give_up(const std::shared_ptr<Waiter>& waiter) {
  Ready ready;
  {
    std::lock_guard lock(mutex_);
    if (waiter->settled) return;
    waiter->settled = true;
    Level& level = *waiter->seat.level;
    Level::Queue& queue = level.queues_[static_cast<std::size_t>(waiter->seat.queue)];
    auto found = std::find(queue.waiting.begin(), queue.waiting.end(), waiter);
    if (found == queue.waiting.end()) return;
    queue.waiting.erase(found);
    queue.waiting_seats -= waiter->seat.width;
    --level.waiting_;
    level.waiting_seats_ -= waiter->seat.width;
    dispatch(level, ready);  // seats may have been kept for it
  }
  waiter->go(false);
  for (const auto& next : ready) next->go(true);
}

std::vector<Levels::Seen> Levels::look() const {
  std::lock_guard lock(mutex_);
  std::vector<Seen> out;
  for (const auto& level : levels_) {
    out.push_back({level->settings_.name,
                   level->settings_.exempt,
                   level->settings_.queues_requests,
                   level->nominal_,
                   level->executing_,
                   level->executing_seats_,
                   level->waiting_,
                   level->waiting_seats_,
                   {}});
    for (const Level::Queue& queue : level->queues_)
      out.back().queues.push_back({queue.waiting.size(), queue.waiting_seats, queue.executing, queue.executing_seats, queue.served});
  }
  return out;
}

void Levels::each_waiting(
    const std::function<void(const std::string& level, std::size_t queue, std::size_t place, const Waiter&)>& visit) const {
  std::lock_guard lock(mutex_);
  for (const auto& level : levels_)
    for (std::size_t queue = 0; queue < level->queues_.size(); ++queue)
      for (std::size_t place = 0; place < level->queues_[queue].waiting.size(); ++place)
        visit(level->settings_.name, queue, place, *level->queues_[queue].waiting[place]);
}

}  // namespace kybern::apiserver
