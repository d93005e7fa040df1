// The fan-out of a watch: pods are made at a steady rate while many watchers look on. What counts is the time from the
// answer to a pod's creation to the last watcher's having its event.
#include <fmt/format.h>

#include <atomic>
#include <charconv>
#include <memory>
#include <thread>

#include "bench/objects.h"
#include "bench/scenarios.h"

namespace kybern::bench {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr double pods_per_second = 200;   // when no rate is given
constexpr milliseconds last_wait{10000};  // for the events of the last pods

struct Pods {
  Pods(std::size_t first, std::size_t count) : first(first), answered(count), last_seen(count), seen(count) {}
  std::size_t first;                                // the number in the first one's name
  std::vector<std::atomic<std::int64_t>> answered;  // when, by the steady clock
  std::vector<std::atomic<std::int64_t>> last_seen;
  std::vector<std::atomic<std::uint32_t>> seen;  // by so many watchers
};

// Takes whole lines of events off `text`.
void take_events(std::string& text, Pods& pods) {
  std::size_t used = 0;
  for (std::size_t end; (end = text.find('\n', used)) != std::string::npos; used = end + 1) {
    std::string_view line(text.data() + used, end - used);
    if (!line.starts_with("{\"type\":\"ADDED\"")) continue;
    auto at = line.find("\"name\":\"load-");
    if (at == std::string_view::npos) continue;
    std::size_t number = 0;
    const char* digits = line.data() + at + 13;
    std::from_chars(digits, line.data() + line.size(), number);
    if (number < pods.first || number - pods.first >= pods.seen.size()) continue;
    number -= pods.first;
    std::int64_t now = now_ns(), before = pods.last_seen[number].load(std::memory_order_relaxed);
    while (before < now && !pods.last_seen[number].compare_exchange_weak(before, now)) {}
    pods.seen[number].fetch_add(1, std::memory_order_relaxed);
  }
  text.erase(0, used);
}

}  // namespace

Measured Scenarios::watch() {
  std::size_t first = pods_made_ + 500000,
              count = std::min<std::size_t>(static_cast<std::size_t>(options_.count), 100000);  // names that no other scenario gives
  first += watched_;
  watched_ += count;
  Pods pods_seen(first, count);
  // Of an empty list, so that the only version in it is the list's.
  auto now = caller_->call("GET", pods() + "?fieldSelector=metadata.name%3Dnobody");
  if (Outcome o = outcome_of(now); !o.error.empty()) return skipped("watch", o.error);
  std::string version(find_member(now->body, "resourceVersion"));
  std::atomic<bool> done{false};
  std::atomic<std::size_t> open{0}, broken{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < options_.watchers; ++i)
    threads.emplace_back([&] {
      auto caller = Caller::make(target_);
      Result<std::unique_ptr<net::ClientStream>> stream = fail(Code::unavailable, "");
      if (caller) stream = (*caller)->stream(pods() + "?watch=1&resourceVersion=" + version);
      ++open;
      if (!stream || (*stream)->status() != 200) {
        ++broken;
        return;
      }
      std::string text;
      while (!done) {
        auto bytes = (*stream)->read_for(read_turn);
        if (!bytes && bytes.error().code == Code::timeout) continue;
        if (!bytes || bytes->empty()) {
          ++broken;
          return;
        }
        text += *bytes;
        take_events(text, pods_seen);
      }
    });
  while (open < static_cast<std::size_t>(options_.watchers)) std::this_thread::sleep_for(milliseconds(10));
  Load l = load("watch");
  l.connections = std::min<std::size_t>(l.connections, 8);
  l.count = count;
  if (l.rate <= 0) l.rate = pods_per_second;
  l.ask = [&](std::size_t i) { return new_pod(first + i); };
  l.judge = [&](std::size_t i, const Result<net::Response>& answer) {
    Outcome outcome = outcome_of(answer);
    if (outcome.error.empty()) pods_seen.answered[i] = now_ns();
    return outcome;
  };
  Measured out = measure(l);
  out.latency = Histogram();
  auto all_seen = [&] {
    for (std::size_t i = 0; i < count; ++i)
      if (pods_seen.answered[i] && pods_seen.seen[i] + broken < static_cast<std::size_t>(options_.watchers)) return false;
    return true;
  };
  for (auto end = Steady::now() + last_wait; !all_seen() && Steady::now() < end && !watcher_.stop;)
    std::this_thread::sleep_for(milliseconds(20));
  done = true;
  for (std::thread& t : threads) t.join();
  for (std::size_t i = 0; i < count; ++i) {
    std::int64_t answered = pods_seen.answered[i], last = pods_seen.last_seen[i];
    if (!answered) continue;
    if (pods_seen.seen[i] + broken < static_cast<std::size_t>(options_.watchers)) ++out.errors["an event did not come to every watcher"];
    else out.latency.record(std::chrono::nanoseconds(std::max<std::int64_t>(0, last - answered)));
  }
  if (broken) out.errors["a watch broke"] += broken;
  return out;
}

}  // namespace kybern::bench
