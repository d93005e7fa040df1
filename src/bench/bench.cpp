#include "bench/bench.h"

#include <fmt/format.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "bench/report.h"
#include "bench/scenarios.h"

namespace kybern::bench {
namespace {

// Looks for the signals that main() has blocked, and tells the load to end.
class Interruption {
 public:
  explicit Interruption(Watcher& watcher) : watcher_(watcher), thread_([this] { look(); }) {}
  ~Interruption() {
    over_ = true;
    thread_.join();
  }

 private:
  void look() {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    timespec turn{0, 100'000'000};
    while (!over_)
      if (::sigtimedwait(&signals, nullptr, &turn) > 0) watcher_.stop = true;
  }

  Watcher& watcher_;
  std::atomic<bool> over_{false};
  std::thread thread_;
};

int complain(std::string_view what) {
  fmt::print(stderr, "kybern bench: {}\n", what);
  return 1;
}

}  // namespace

int run(const Options& options) {
  std::vector<std::string> names = options.scenarios.empty() ? scenario_names() : options.scenarios;
  auto known = scenario_names();
  // One needs a cluster with a scheduler, and nodes are everybody's; the other holds everybody up.
  if (options.scenarios.empty()) std::erase_if(names, [](const std::string& name) { return name == "schedule" || name == "flood"; });
  for (const std::string& name : names)
    if (std::find(known.begin(), known.end(), name) == known.end())
      return complain(fmt::format("there is no scenario {}: choose among {}", name, fmt::join(known, ", ")));
  if (options.connections < 1 || options.count < 1 || options.nodes < 1 || options.watchers < 0 || options.page < 1 || options.rate < 0 ||
      options.seconds < 0)
    return complain("connections, count, nodes and page are at least 1; watchers, rate and seconds at least 0");
  if (options.output != "table" && options.output != "json") return complain("the output is table or json");
  auto target = find_target(options.target);
  if (!target) return complain(target.error().message);
  Watcher watcher;
  watcher.server_pid = options.server_pid;
  watcher.progress = options.progress;
  Interruption interruption(watcher);
  Scenarios scenarios(options, std::move(*target), watcher);
  if (auto begun = scenarios.begin(); !begun) return complain(begun.error().message);
  std::vector<Measured> results;
  bool good = true;
  for (const std::string& name : names) {
    if (watcher.stop) break;
    for (Measured& one : scenarios.run(name)) {
      good = good && one.skipped.empty() && one.failed() == 0;
      results.push_back(std::move(one));
    }
  }
  for (const std::string& left : scenarios.clean_up()) {
    good = false;
    complain("could not be deleted: " + left);
  }
  fmt::print("{}", options.output == "json" ? json_of(results) : table_of(results));
  return good ? 0 : 1;
}

}  // namespace kybern::bench
