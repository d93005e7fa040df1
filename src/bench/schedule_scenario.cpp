// How fast pods get their nodes: nodes that no machine stands behind are made, pods that only they suit, and the time counts
// from the answer to a pod's creation to a watcher's seeing it bound. What is done a second counts to the last one bound.
#include <fmt/format.h>

#include <atomic>
#include <charconv>
#include <thread>

#include "bench/objects.h"
#include "bench/scenarios.h"

namespace kybern::bench {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds first_wait{15000}, more_wait{10000};  // for the first pod to be bound, for one more

struct Bound {
  explicit Bound(std::size_t count) : answered(count), at(count) {}
  std::vector<std::atomic<std::int64_t>> answered, at;  // when, by the steady clock; 0: not yet
  std::atomic<std::size_t> count{0};
  std::atomic<std::int64_t> last{0};
};

// Takes whole lines of events off `text`.
void take_events(std::string& text, Bound& bound) {
  std::size_t used = 0;
  for (std::size_t end; (end = text.find('\n', used)) != std::string::npos; used = end + 1) {
    std::string_view line(text.data() + used, end - used);
    auto at = line.find("\"name\":\"fit-");
    if (at == std::string_view::npos || find_member(line, "nodeName").empty()) continue;
    std::size_t number = 0;
    std::from_chars(line.data() + at + 12, line.data() + line.size(), number);
    if (number >= bound.at.size() || bound.at[number] != 0) continue;
    bound.at[number] = now_ns();
    bound.last = bound.at[number].load();
    ++bound.count;
  }
  text.erase(0, used);
}

}  // namespace

std::string Scenarios::make_nodes(std::size_t count) {
  Load making = load("prepare");
  making.rate = 0;
  making.count = count;
  making.limit = {};
  making.ask = [&](std::size_t i) { return Question{"POST", "/api/v1/nodes", node_text(ns_, i), {}}; };
  nodes_ = true;
  Measured made = measure(making);
  return made.failed() ? "its nodes cannot be made: " + made.errors.begin()->first : std::string();
}

Measured Scenarios::schedule() {
  auto count = static_cast<std::size_t>(options_.count);
  if (!nodes_)
    if (std::string why = make_nodes(static_cast<std::size_t>(options_.nodes)); !why.empty()) return skipped("schedule", why);
  auto now = caller_->call("GET", pods() + "?fieldSelector=metadata.name%3Dnobody");
  if (Outcome o = outcome_of(now); !o.error.empty()) return skipped("schedule", o.error);
  std::string version(find_member(now->body, "resourceVersion"));
  Bound bound(count);
  std::atomic<bool> done{false}, broken{false};
  std::thread watcher([&] {
    auto caller = Caller::make(target_);
    Result<std::unique_ptr<net::ClientStream>> stream = fail(Code::unavailable, "");
    if (caller) stream = (*caller)->stream(pods() + "?watch=1&resourceVersion=" + version);
    broken = !stream || (*stream)->status() != 200;
    std::string text;
    while (!done && !broken) {
      auto bytes = (*stream)->read_for(read_turn);
      if (!bytes && bytes.error().code == Code::timeout) continue;
      broken = !bytes || bytes->empty();
      if (broken) return;
      text += *bytes;
      take_events(text, bound);
    }
  });
  Load l = load("schedule");
  l.connections = std::min<std::size_t>(l.connections, 8);
  l.ask = [&](std::size_t i) { return Question{"POST", pods(), waiting_pod_text(ns_, i), {}}; };
  l.judge = [&](std::size_t i, const Result<net::Response>& answer) {
    Outcome outcome = outcome_of(answer);
    if (outcome.error.empty()) bound.answered[i] = now_ns();
    return outcome;
  };
  std::int64_t begin = now_ns();
  Measured out = measure(l);
  out.latency = Histogram();
  std::size_t made = out.operations - out.failed();
  auto end = Steady::now() + first_wait;
  for (std::size_t seen = bound.count; bound.count < made && Steady::now() < end && !broken && !watcher_.stop;) {
    std::this_thread::sleep_for(milliseconds(10));
    if (std::size_t is = bound.count; is != seen) seen = is, end = Steady::now() + more_wait;
  }
  done = true;
  watcher.join();
  if (broken) out.errors["the watch broke"] += 1;
  if (made > 0 && bound.count == 0 && !watcher_.stop) return skipped("schedule", "no scheduler bound a pod");
  if (bound.count < made) out.errors["a pod was not bound"] += made - bound.count;
  out.operations = bound.count;
  out.seconds = std::chrono::duration<double>(std::chrono::nanoseconds(std::max<std::int64_t>(1, bound.last - begin))).count();
  for (std::size_t i = 0; i < count; ++i)
    if (bound.answered[i] && bound.at[i])
      out.latency.record(std::chrono::nanoseconds(std::max<std::int64_t>(0, bound.at[i] - bound.answered[i])));
  // For the next time, other names.
  (void)caller_->call("DELETE", pods() + "?labelSelector=app%3Dfit",
                      R"({"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0})");
  return out;
}

}  // namespace kybern::bench
