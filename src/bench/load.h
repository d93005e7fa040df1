// Drives an operation from many connections and measures it.
//
// Closed loop (rate 0): each connection begins the next operation when the last one has ended and it has thought; the
// latency counts from the beginning of the call. Open loop: operation i is due at begin + i / rate, whoever is free does it,
// and its latency counts from when it was due: a server that stalls is charged for all who would have come meanwhile.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "base/time.h"
#include "bench/caller.h"
#include "bench/histogram.h"

namespace kybern::bench {

struct Outcome {
  std::string error;      // "" when it went well; few different ones, they are counted
  std::size_t bytes = 0;  // of the answer
};
Outcome outcome_of(const Result<net::Response>& answer);

struct Load {
  std::string name;
  std::size_t connections = 1;
  std::size_t count = 0;  // operations at most; 0: only time ends it
  Duration limit{};       // 0: only the count ends it
  double rate = 0;        // operations a second; 0: closed loop
  Duration think{};       // of a closed loop, on average (uniform from half to one and a half)
  int nice = 0;           // of its threads: a load that others are measured beside gives way
  // What an operation is: one call, which a few threads make over all the connections; or several calls after each other,
  // by a thread of each connection (thinking wants that, too). Called by several threads at once.
  std::function<Question(std::size_t number)> ask;
  std::function<Outcome(std::size_t number, const Result<net::Response>& answer)> judge;  // of `ask`; without it outcome_of()
  std::function<Outcome(Caller&, std::size_t number)> one;
};

struct Measured {
  std::string name, skipped;  // why it was not done
  std::size_t operations = 0, connections = 0;
  double rate = 0, seconds = 0;
  std::uint64_t bytes = 0;
  std::map<std::string, std::size_t> errors;
  Histogram latency;  // of those that went well
  double own_cpu_seconds = 0, server_cpu_seconds = 0;
  long server_rss_before_kb = 0, server_rss_kb = 0, server_rss_peak_kb = 0;
  std::size_t failed() const;
};

// What /proc says of a server on this machine; zeros for pid 0.
struct ProcessUse {
  double cpu_seconds = 0;
  long rss_kb = 0;
};
ProcessUse process_use(int pid);
double own_cpu_seconds();

struct Watcher {  // what runs beside a load: progress, the interruption by a signal, the server's memory
  int server_pid = 0;
  bool progress = true;
  std::atomic<bool> stop{false};  // set from outside: no new operation begins
};
Measured run_load(const Target& target, const Load& load, Watcher& watcher);

}  // namespace kybern::bench
