#include "net/server/reactor.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "base/check.h"
#include "net/server/slice.h"

namespace kybern::net {
namespace {
constexpr int events_per_turn = 256;
// A turn ends early when it has taken so long, so that who comes meanwhile is not behind all who were there.
constexpr std::chrono::microseconds turn_limit{300};
constexpr std::size_t surely_per_turn = 4;
constexpr std::chrono::microseconds reactor_slice{100};

Instant steady_now() { return std::chrono::steady_clock::now(); }

// The order in which each flow has one turn after the other: the first of each, the second of each. Stable.
template <class Item, class FlowOf>
void in_turns(std::span<Item> items, const FlowOf& flow_of) {
  if (items.size() < 2) return;
  constexpr std::size_t places = 64;  // flows that meet in one share its turns
  std::array<std::uint16_t, places> seen{};
  bool several = false;
  const std::uint64_t first = flow_of(items[0]) % places;
  for (const Item& item : items) several = several || flow_of(item) % places != first;
  if (!several) return;
  std::vector<std::pair<std::uint16_t, Item>> ranked;
  ranked.reserve(items.size());
  for (const Item& item : items) ranked.emplace_back(seen[flow_of(item) % places]++, item);
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (std::size_t i = 0; i < items.size(); ++i) items[i] = ranked[i].second;
}

}  // namespace

struct Reactor::Events {
  std::array<epoll_event, events_per_turn> all;
  std::vector<const void*> left;  // whose were not dealt with in the turn before; only compared
};

Result<std::unique_ptr<Reactor>> Reactor::make() {
  int epoll_fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return fail(Code::internal, std::string("epoll_create1: ") + ::strerror(errno));
  int event_fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (event_fd < 0) {
    int error = errno;
    ::close(epoll_fd);
    return fail(Code::internal, std::string("eventfd: ") + ::strerror(error));
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
  ::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event_fd, &event);
  return std::unique_ptr<Reactor>(new Reactor(epoll_fd, event_fd));
}

Reactor::Reactor(int epoll_fd, int event_fd)
    : epoll_fd_(epoll_fd), event_fd_(event_fd), now_(steady_now()), timers_(now_), scratch_(new char[scratch_bytes]), events_(new Events) {}

Reactor::~Reactor() {
  ::close(event_fd_);
  ::close(epoll_fd_);
}

void Reactor::wake() {
  if (!sleeping_.exchange(false)) return;
  std::uint64_t one = 1;
  [[maybe_unused]] ssize_t written = ::write(event_fd_, &one, sizeof one);
}

void Reactor::post(std::move_only_function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    posted_.push_back(std::move(task));
  }
  wake();
}

void Reactor::schedule(std::shared_ptr<Scheduled> work) {
  {
    std::lock_guard lock(mutex_);
    scheduled_.push_back(std::move(work));
  }
  wake();
}

void Reactor::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake();
}

bool Reactor::watch(int fd, std::uint32_t events, Watched& owner) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &owner;
  return ::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) == 0;
}

void Reactor::rewatch(int fd, std::uint32_t events, Watched& owner) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &owner;
  int result = ::epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, fd, &event);
  KYBERN_CHECK(result == 0, "a watched descriptor stays open until it is unwatched");
}

void Reactor::unwatch(int fd) { ::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr); }

void Reactor::want_flush(Flushed& item) {
  if (item.flush_wanted_) return;
  item.flush_wanted_ = true;
  flushes_.push_back(&item);
}

void Reactor::unwant_flush(Flushed& item) {
  if (!item.flush_wanted_) return;
  item.flush_wanted_ = false;
  std::replace(flushes_.begin(), flushes_.end(), &item, static_cast<Flushed*>(nullptr));
}

void Reactor::retire(std::shared_ptr<void> object) { retired_.push_back(std::move(object)); }

void Reactor::wait(int timeout_ms) {
  sleeping_.store(true);
  {
    // What was handed over before sleeping_ was set has not woken anybody.
    std::lock_guard lock(mutex_);
    if (!posted_.empty() || !scheduled_.empty() || stopping_) timeout_ms = 0;
  }
  int count = ::epoll_wait(epoll_fd_, events_->all.data(), events_per_turn, timeout_ms);
  sleeping_.store(false);
  now_ = steady_now();
  if (count > 0) deal_with(static_cast<std::size_t>(count));
}

void Reactor::deal_with(std::size_t count) {
  std::span<epoll_event> events(events_->all.data(), count);
  // epoll would tell of who was first then and is quick before them again.
  auto& left = events_->left;
  if (!left.empty()) {
    std::stable_partition(events.begin(), events.end(),
                          [&](const epoll_event& event) { return std::find(left.begin(), left.end(), event.data.ptr) != left.end(); });
    left.clear();
  }
  in_turns(events, [](const epoll_event& event) { return event.data.ptr ? static_cast<const Watched*>(event.data.ptr)->flow_ : 0; });
  std::size_t done = 0;
  for (const epoll_event& event : events) {
    if (auto* owner = static_cast<Watched*>(event.data.ptr)) {
      owner->on_events(event.events);
    } else {
      std::uint64_t value;
      [[maybe_unused]] ssize_t got = ::read(event_fd_, &value, sizeof value);
    }
    if (++done < surely_per_turn || done == count || steady_now() - now_ < turn_limit) continue;
    for (; done < count; ++done) left.push_back(events[done].data.ptr);
    return;
  }
}

bool Reactor::run_posted() {
  std::vector<std::move_only_function<void()>> posted;
  std::vector<std::shared_ptr<Scheduled>> scheduled;
  {
    std::lock_guard lock(mutex_);
    posted.swap(posted_);
    scheduled.swap(scheduled_);
  }
  for (auto& task : posted) task();
  for (auto& work : scheduled) work->on_schedule();
  return !posted.empty() || !scheduled.empty();
}

void Reactor::flush_all() {
  // Flushing may make others want it; each round takes what is there.
  for (int round = 0; round < 8 && !flushes_.empty(); ++round) {
    std::vector<Flushed*> items;
    items.swap(flushes_);
    std::erase(items, nullptr);
    if (!flush_in_turn(items)) return;
  }
}

bool Reactor::flush_in_turn(std::vector<Flushed*>& items) {
  in_turns(std::span<Flushed*>(items), [](const Flushed* item) { return item->flow_; });
  const Instant begun = steady_now();
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i >= surely_per_turn && steady_now() - begun >= turn_limit) {
      // Those that are left come first in the next turn, which does not sleep.
      std::vector<Flushed*> left;
      for (; i < items.size(); ++i)
        if (items[i]->flush_wanted_) left.push_back(items[i]);
      flushes_.insert(flushes_.begin(), left.begin(), left.end());
      return false;
    }
    if (!items[i]->flush_wanted_) continue;
    items[i]->flush_wanted_ = false;
    items[i]->on_flush();
  }
  return true;
}

void Reactor::run() {
  // A socket that the peer has closed must not end the process: OpenSSL writes without MSG_NOSIGNAL.
  sigset_t pipe;
  ::sigemptyset(&pipe);
  ::sigaddset(&pipe, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  use_slice(reactor_slice);  // all connections wait for this thread
  int limit_ms = -1;
  for (;;) {
    int timeout_ms = limit_ms;
    if (auto quiet = timers_.quiet(now_)) {
      int quiet_ms = static_cast<int>(quiet->count());
      timeout_ms = timeout_ms < 0 ? quiet_ms : std::min(timeout_ms, quiet_ms);
    }
    if (!flushes_.empty()) timeout_ms = 0;
    wait(timeout_ms);
    bool ran = run_posted();
    timers_.advance(now_);
    flush_all();
    limit_ms = turn_end_ ? turn_end_() : -1;
    std::vector<std::shared_ptr<void>>().swap(retired_);
    std::lock_guard lock(mutex_);
    if (stopping_ && !ran && posted_.empty() && scheduled_.empty()) return;
  }
}

}  // namespace kybern::net
