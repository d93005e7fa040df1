// What is measured: each scenario is a Load, or a measurement of its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "bench/load.h"

namespace kybern::bench {

inline constexpr std::chrono::milliseconds read_turn{200};  // who reads a watch looks up this often
inline std::int64_t now_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

class Scenarios {
 public:
  Scenarios(const Options& options, Target target, Watcher& watcher);

  Result<void> begin();  // the namespace and its service account
  std::vector<Measured> run(const std::string& name);
  std::vector<std::string> clean_up();  // what could not be deleted

 private:
  Load load(std::string name) const;
  std::string pods(std::string_view name = {}) const;
  std::string maps(std::string_view name = {}) const;
  std::string leases(std::string_view name = {}) const;
  Measured measure(Load load) { return run_load(target_, load, watcher_); }
  Measured skipped(std::string name, std::string why) const;

  Measured create();
  Measured get();
  Measured list();
  Measured pages();
  Measured update();
  Measured patch();
  Measured apply();
  Measured renew();
  Measured custom();
  Measured mixed();
  Measured watch();
  Measured erase();
  Measured clear();
  Measured schedule();
  std::vector<Measured> flood();
  std::string make_nodes(std::size_t count);  // "", or why not
  Question new_pod(std::size_t number) const;
  std::string need_pods(std::size_t count);  // "" when that many are there; else why not
  std::string need_maps(std::size_t count);

  const Options& options_;
  Target target_;
  Watcher& watcher_;
  std::unique_ptr<Caller> caller_;
  std::string ns_, group_ = "bench.kybern.dev";
  bool own_namespace_ = false, definition_ = false, nodes_ = false, bound_ = false;
  std::size_t pods_made_ = 0, maps_made_ = 0, watched_ = 0;
};

}  // namespace kybern::bench
