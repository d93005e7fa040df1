// The simulated disk under the store: an SQLite file system over real files that knows which writes are durable. A crash
// keeps some of those that are not, sector by sector, in any order, as a disk may; a fault makes calls fail.
//
// While one exists it is the process's default file system of SQLite. Nothing is ever synced for real: it is memory that
// the simulation trusts.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "sim/world.h"

namespace kybern::sim {

class Disk {
 public:
  explicit Disk(SplitMix& random);
  ~Disk();
  Disk(const Disk&) = delete;

  // Calls fail with this probability from now on ("disk I/O error"); 0: none.
  void set_fault_rate(double writes, double syncs);
  void set_full(bool full);  // writes that make a file longer fail
  void never_fails();        // from the beginning: what is not durable is not remembered, which is faster

  // Power is gone: from now on every call fails. Then, when the store is closed, `settle` leaves on the files what was
  // durable and a random part of what was not.
  void cut_power();
  // The same in the middle of a write, after so many more of them; `then` is called there and must only remember it.
  void cut_power_after(std::uint64_t writes, std::function<void()> then);
  void settle();

  std::uint64_t writes() const;
  std::uint64_t syncs() const;
  std::uint64_t failures() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kybern::sim
