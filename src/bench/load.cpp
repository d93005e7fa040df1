#include "bench/load.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <numeric>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "net/call_loop.h"

namespace kybern::bench {
namespace {

using Steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds look_interval{50};  // at the server's memory
constexpr milliseconds progress_interval{1000};
constexpr milliseconds stop_interval{100};  // an interruption is heard of so soon
constexpr std::size_t max_drivers = 4;      // threads that share the connections of a load of single calls

double seconds_of(Duration d) { return std::chrono::duration<double>(d).count(); }

struct Tally {
  Histogram latency;
  std::size_t operations = 0;
  std::uint64_t bytes = 0;
  std::map<std::string, std::size_t> errors;
};

class Run {
 public:
  Run(const Target& target, const Load& load, Watcher& watcher)
      : target_(target), load_(load), watcher_(watcher), tallies_(load.ask ? drivers() : load.connections) {}

  Measured go() {
    Measured out;
    out.name = load_.name;
    out.connections = load_.connections;
    out.rate = load_.rate;
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < tallies_.size(); ++i)
      threads.emplace_back([this, i] { load_.ask ? drive(tallies_[i], i) : work(tallies_[i], i); });
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return ready_ == tallies_.size(); });
      ProcessUse before = process_use(watcher_.server_pid);
      out.server_cpu_seconds = -before.cpu_seconds;
      out.server_rss_before_kb = out.server_rss_peak_kb = before.rss_kb;
      out.own_cpu_seconds = -own_cpu_seconds();
      begin_ = Steady::now();
      begun_ = true;
    }
    changed_.notify_all();
    look_on(out);
    for (std::thread& t : threads) t.join();
    out.seconds = seconds_of(last_end_ - begin_);
    ProcessUse after = process_use(watcher_.server_pid);
    out.server_cpu_seconds += after.cpu_seconds;
    out.server_rss_kb = after.rss_kb;
    out.server_rss_peak_kb = std::max(out.server_rss_peak_kb, after.rss_kb);
    out.own_cpu_seconds += own_cpu_seconds();
    for (Tally& t : tallies_) {
      out.latency.add(t.latency);
      out.operations += t.operations;
      out.bytes += t.bytes;
      for (auto& [error, count] : t.errors) out.errors[error] += count;
    }
    return out;
  }

 private:
  // Half of the processors are left to the server.
  std::size_t drivers() const {
    return std::clamp<std::size_t>(std::thread::hardware_concurrency() / 2, 1, std::clamp<std::size_t>(load_.connections, 1, max_drivers));
  }

  // The connections and the server's first steps are not what is measured: all threads begin together.
  void begin_together(Tally& tally, const std::string& broken, const std::function<void()>& loop) {
    if (load_.nice > 0) ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), load_.nice);
    {
      std::unique_lock lock(mutex_);
      ++ready_;
      changed_.notify_all();
      changed_.wait(lock, [&] { return begun_; });
    }
    if (broken.empty()) loop();
    else ++tally.errors[broken];
    std::lock_guard lock(mutex_);
    ++ended_;
    last_end_ = std::max(last_end_, Steady::now());
    changed_.notify_all();
  }

  void work(Tally& tally, std::size_t worker) {
    auto caller = Caller::make(target_);
    std::string broken = caller ? "" : caller.error().message;
    if (broken.empty())
      if (auto version = (*caller)->call("GET", "/version"); !version) broken = version.error().message;
    begin_together(tally, broken, [&] { loop(tally, **caller, worker); });
  }

  struct Turn {
    std::size_t number = 0;
    Steady::time_point from;  // its latency counts from here
  };
  // Absent when the count or the time has ended the load.
  std::optional<Turn> next_turn() {
    if (watcher_.stop.load(std::memory_order_relaxed)) return std::nullopt;
    Turn turn{next_.fetch_add(1, std::memory_order_relaxed), Steady::now()};
    if (load_.count && turn.number >= load_.count) return std::nullopt;
    if (load_.rate > 0)
      turn.from = begin_ + std::chrono::duration_cast<Steady::duration>(
                               std::chrono::duration<double>(static_cast<double>(turn.number) / load_.rate));
    if (load_.limit > Duration(0) && turn.from - begin_ >= load_.limit) return std::nullopt;
    return turn;
  }

  void note(Tally& tally, const Turn& turn, const Outcome& outcome) {
    ++tally.operations;
    tally.bytes += outcome.bytes;
    done_.fetch_add(1, std::memory_order_relaxed);
    if (outcome.error.empty()) {
      tally.latency.record(Steady::now() - turn.from);
    } else {
      ++tally.errors[outcome.error];
      failed_.fetch_add(1, std::memory_order_relaxed);
    }
  }

  void loop(Tally& tally, Caller& caller, std::size_t worker) {
    std::minstd_rand random(static_cast<unsigned>(worker) + 1);
    while (auto turn = next_turn()) {
      if (load_.rate > 0) std::this_thread::sleep_until(turn->from);
      note(tally, *turn, load_.one(caller, turn->number));
      if (load_.think > Duration(0)) std::this_thread::sleep_for(load_.think * std::uniform_real_distribution<>(0.5, 1.5)(random));
    }
  }

  void drive(Tally& tally, std::size_t driver) {
    const std::size_t mine = load_.connections / tallies_.size() + (driver < load_.connections % tallies_.size() ? 1 : 0);
    auto calls = net::CallLoop::make(target_.options, mine);
    std::string broken = calls ? "" : calls.error().message;
    for (std::size_t i = 0; i < mine && broken.empty(); ++i) (*calls)->begin(i, request_of(target_, {"GET", "/version", {}, {}}));
    for (std::size_t answered = 0; answered < mine && broken.empty();)
      (*calls)->wait(Instant::max(), [&](std::size_t, const Result<net::Response>& version) {
        ++answered;
        if (!version && broken.empty()) broken = version.error().message;
      });
    begin_together(tally, broken, [&] { call_all(tally, **calls, mine); });
  }

  void call_all(Tally& tally, net::CallLoop& calls, std::size_t connections) {
    std::vector<Turn> turns(connections);
    std::vector<std::size_t> free(connections);
    std::iota(free.begin(), free.end(), std::size_t(0));
    std::optional<Turn> next = next_turn();
    while (next || free.size() < connections) {
      while (next && !free.empty() && next->from <= Steady::now()) {
        const std::size_t place = free.back();
        free.pop_back();
        turns[place] = *next;
        calls.begin(place, request_of(target_, load_.ask(next->number)));
        next = next_turn();
      }
      if (watcher_.stop.load(std::memory_order_relaxed)) next.reset();
      if (!next && free.size() == connections) return;
      Instant until = Steady::now() + stop_interval;
      if (next && !free.empty()) until = std::min(until, next->from);
      calls.wait(until, [&](std::size_t place, const Result<net::Response>& answer) {
        const Turn& turn = turns[place];
        note(tally, turn, load_.judge ? load_.judge(turn.number, answer) : outcome_of(answer));
        free.push_back(place);
      });
    }
  }

  // Until all threads have ended.
  void look_on(Measured& out) {
    bool shown = watcher_.progress && ::isatty(STDERR_FILENO);
    Steady::time_point told = begin_;
    std::unique_lock lock(mutex_);
    while (ended_ < tallies_.size()) {
      if (watcher_.server_pid) changed_.wait_for(lock, look_interval);
      else changed_.wait_for(lock, progress_interval);
      if (watcher_.server_pid) out.server_rss_peak_kb = std::max(out.server_rss_peak_kb, process_use(watcher_.server_pid).rss_kb);
      if (!watcher_.progress || Steady::now() - told < progress_interval) continue;
      told = Steady::now();
      double seconds = seconds_of(told - begin_);
      std::size_t done = done_.load(std::memory_order_relaxed);
      fmt::print(stderr, "{}{}: {} done in {:.0f} s, {:.0f}/s, {} failed{}", shown ? "\r\x1b[K" : "", load_.name, done, seconds,
                 static_cast<double>(done) / seconds, failed_.load(std::memory_order_relaxed), shown ? "" : "\n");
      std::fflush(stderr);
    }
    if (shown) fmt::print(stderr, "\r\x1b[K");
  }

  const Target& target_;
  const Load& load_;
  Watcher& watcher_;
  std::vector<Tally> tallies_;
  std::atomic<std::size_t> next_{0}, done_{0}, failed_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t ready_ = 0, ended_ = 0;
  bool begun_ = false;
  Steady::time_point begin_{}, last_end_{};
};

}  // namespace

Outcome outcome_of(const Result<net::Response>& answer) {
  if (!answer) return {answer.error().message, 0};
  if (answer->status < 300) return {{}, answer->body.size()};
  return {fmt::format("{} {}", answer->status, find_member(answer->body, "reason")), answer->body.size()};
}

std::size_t Measured::failed() const {
  std::size_t sum = 0;
  for (const auto& [error, count] : errors) sum += count;
  return sum;
}

ProcessUse process_use(int pid) {
  ProcessUse use;
  if (pid <= 0) return use;
  std::ifstream in(fmt::format("/proc/{}/stat", pid));
  std::string text((std::istreambuf_iterator<char>(in)), {});
  auto at = text.rfind(')');  // the name may hold anything
  if (at == std::string::npos) return use;
  long fields[22] = {};  // from the third field on: utime is the 14th, stime the 15th, rss the 24th
  const char* p = text.c_str() + at + 4;
  for (long& field : fields) field = std::strtol(p, const_cast<char**>(&p), 10);
  static const double ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  static const long page_kb = ::sysconf(_SC_PAGESIZE) / 1024;
  use.cpu_seconds = static_cast<double>(fields[10] + fields[11]) / ticks;
  use.rss_kb = fields[20] * page_kb;
  return use;
}

double own_cpu_seconds() {
  rusage use{};
  ::getrusage(RUSAGE_SELF, &use);
  auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; };
  return seconds(use.ru_utime) + seconds(use.ru_stime);
}

Measured run_load(const Target& target, const Load& load, Watcher& watcher) { return Run(target, load, watcher).go(); }

}  // namespace kybern::bench
