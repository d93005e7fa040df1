// Histories of concurrent clients of a store, and whether they can be explained by one client at a time.
//
// A history is linearizable when each operation can be given a moment between its call and its answer so that, in the order
// of those moments, every answer is what a plain map would have said. Keys do not depend on each other, so each key's
// history is checked by itself (Herlihy and Wing, 1990: linearizability is local), by the search of Wing and Gong (1993)
// with Lowe's (2017) memory of the places that were searched before. Revisions tie the keys together: a write that was
// answered before another was called has the smaller one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace kybern::sim {

struct Operation {
  enum class Kind { put, erase, get } kind = Kind::get;
  enum class Answer {
    unknown,  // none came: it may have happened, may still happen, or not at all
    done,     // of a get: `revision` and `value` are what was seen, 0 when there was nothing
    refused,  // what was expected did not hold, or there was nothing to erase
    failed,   // the store says that it did not happen
  } answer = Answer::unknown;
  int client = 0;
  std::string key;
  std::uint64_t value = 0;               // of a put: no two puts of a history have the same
  std::optional<std::int64_t> expected;  // revision; 0: the key must not exist
  std::int64_t revision = 0;             // of the answer
  std::int64_t called_ns = 0, answered_ns = 0;
};
using History = std::vector<Operation>;

// Nothing when the history is linearizable; otherwise what is wrong, and where.
std::optional<std::string> check_linearizable(const History& history);

std::string describe(const Operation& operation);

}  // namespace kybern::sim
