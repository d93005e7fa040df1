#include "sim/linear.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <unordered_map>
#include <unordered_set>

namespace kybern::sim {
namespace {

using OperationKind = Operation::Kind;
using Answer = Operation::Answer;

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

// What a key holds: the put whose value is there; 0: nothing.
using State = std::uint64_t;

class KeyChecker {
 public:
  KeyChecker(std::vector<const Operation*> operations, const std::unordered_map<std::uint64_t, std::int64_t>& revisions)
      : operations_(std::move(operations)), revisions_(revisions) {}

  // The longest prefix that could be explained, when it is not all of them.
  bool check() {
    build();
    const std::size_t n = operations_.size();
    done_.assign((n + 63) / 64, 0);
    std::size_t needed = 0;
    for (const Operation* o : operations_) needed += o->answer != Answer::unknown;
    struct Step {
      std::size_t operation;
      State before;
    };
    std::vector<Step> steps;
    State state = 0;
    std::size_t explained = 0, entry = next_[head];
    while (explained < needed) {
      if (entry == head) return give_up(explained);
      const std::size_t operation = entries_[entry].operation;
      if (entries_[entry].is_call) {
        State after = state;
        if (apply(*operations_[operation], after) && remember(operation, after)) {
          steps.push_back({operation, state});
          state = after;
          done_[operation / 64] |= std::uint64_t{1} << operation % 64;
          explained += operations_[operation]->answer != Answer::unknown;
          lift(operation);
          entry = next_[head];
          continue;
        }
        entry = next_[entry];
        continue;
      }
      // An answer whose call is still in the list: the operation had to happen before. Another way is tried.
      if (steps.empty()) return give_up(explained);
      best_ = std::max(best_, explained);
      const Step last = steps.back();
      steps.pop_back();
      state = last.before;
      done_[last.operation / 64] &= ~(std::uint64_t{1} << last.operation % 64);
      explained -= operations_[last.operation]->answer != Answer::unknown;
      unlift(last.operation);
      entry = next_[call_of_[last.operation]];
    }
    return true;
  }
  std::size_t best() const { return best_; }

 private:
  static constexpr std::size_t head = 0;
  struct Entry {
    std::size_t operation;
    bool is_call;
    std::int64_t at;
  };

  bool give_up(std::size_t explained) {
    best_ = std::max(best_, explained);
    return false;
  }

  void build() {
    entries_.assign(1, Entry{0, false, 0});
    for (std::size_t i = 0; i < operations_.size(); ++i) {
      entries_.push_back({i, true, operations_[i]->called_ns});
      entries_.push_back({i, false, operations_[i]->answer == Answer::unknown ? never : operations_[i]->answered_ns});
    }
    // Calls first of what is at the same time: more may then overlap, nothing true is refuted.
    std::sort(entries_.begin() + 1, entries_.end(),
              [](const Entry& a, const Entry& b) { return a.at != b.at ? a.at < b.at : a.is_call > b.is_call; });
    call_of_.resize(operations_.size());
    answer_of_.resize(operations_.size());
    next_.resize(entries_.size());
    previous_.resize(entries_.size());
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      next_[i] = (i + 1) % entries_.size();
      previous_[i] = (i + entries_.size() - 1) % entries_.size();
      if (i > 0) (entries_[i].is_call ? call_of_ : answer_of_)[entries_[i].operation] = i;
    }
  }

  void unlink(std::size_t e) {
    next_[previous_[e]] = next_[e];
    previous_[next_[e]] = previous_[e];
  }
  void relink(std::size_t e) {
    next_[previous_[e]] = e;
    previous_[next_[e]] = e;
  }
  void lift(std::size_t operation) {
    unlink(call_of_[operation]);
    unlink(answer_of_[operation]);
  }
  void unlift(std::size_t operation) {
    relink(answer_of_[operation]);
    relink(call_of_[operation]);
  }

  std::int64_t revision_of(State state) const {
    if (state == 0) return 0;
    auto found = revisions_.find(state);
    return found == revisions_.end() ? -1 : found->second;  // -1: nobody has ever seen it
  }

  // Whether the operation can have its answer in this state, and what it leaves.
  bool apply(const Operation& o, State& state) const {
    const std::int64_t now = revision_of(state);
    if (o.kind == OperationKind::get) {
      if (o.answer == Answer::failed || o.answer == Answer::unknown) return true;
      return o.value == state && (state == 0 || o.revision == now);
    }
    const bool holds = (!o.expected || *o.expected == now) && (o.kind == OperationKind::put || state != 0);
    switch (o.answer) {
      case Answer::failed: return true;
      case Answer::refused: return !holds;
      case Answer::unknown:
        if (holds) state = o.kind == OperationKind::put ? o.value : 0;
        return true;
      case Answer::done:
        if (!holds || o.revision <= now) return false;
        state = o.kind == OperationKind::put ? o.value : 0;
        return true;
    }
    return false;
  }

  // False when the same operations have led to the same state before: what follows was searched.
  bool remember(std::size_t operation, State after) {
    std::uint64_t hash = after * 0x9e3779b97f4a7c15ULL;
    std::vector<std::uint64_t> key = done_;
    key[operation / 64] |= std::uint64_t{1} << operation % 64;
    for (std::uint64_t word : key) hash = (hash ^ word) * 0xff51afd7ed558ccdULL, hash ^= hash >> 32;
    key.push_back(after);
    for (const std::vector<std::uint64_t>& known : seen_[hash])
      if (known == key) return false;
    seen_[hash].push_back(std::move(key));
    return true;
  }

  std::vector<const Operation*> operations_;
  const std::unordered_map<std::uint64_t, std::int64_t>& revisions_;
  std::vector<Entry> entries_;
  std::vector<std::size_t> next_, previous_, call_of_, answer_of_;
  std::vector<std::uint64_t> done_;
  std::unordered_map<std::uint64_t, std::vector<std::vector<std::uint64_t>>> seen_;
  std::size_t best_ = 0;
};

// Writes in the order of their answers' revisions must not contradict real time.
std::optional<std::string> check_revisions(const History& history) {
  std::vector<const Operation*> writes;
  for (const Operation& o : history)
    if (o.kind != OperationKind::get && o.answer == Answer::done) writes.push_back(&o);
  std::sort(writes.begin(), writes.end(), [](auto* a, auto* b) { return a->revision < b->revision; });
  const Operation *latest_call = nullptr, *previous = nullptr;
  for (const Operation* o : writes) {
    if (previous && previous->revision == o->revision)
      return fmt::format("two writes have one revision:\n  {}\n  {}", describe(*previous), describe(*o));
    previous = o;
    if (latest_call && o->answered_ns < latest_call->called_ns)
      return fmt::format("a write that was answered first has the larger revision:\n  {}\n  {}", describe(*latest_call), describe(*o));
    if (!latest_call || o->called_ns > latest_call->called_ns) latest_call = o;
  }
  return std::nullopt;
}

}  // namespace

std::string describe(const Operation& o) {
  static constexpr const char* kinds[] = {"put", "erase", "get"};
  static constexpr const char* answers[] = {"no answer", "done", "refused", "failed"};
  return fmt::format("[{} .. {}] client {}: {} {}{}{}: {}{}", o.called_ns,
                     o.answer == Answer::unknown ? "?" : std::to_string(o.answered_ns), o.client, kinds[static_cast<int>(o.kind)], o.key,
                     o.kind == OperationKind::put ? fmt::format(" = {}", o.value) : "",
                     o.expected ? fmt::format(" if at {}", *o.expected) : "", answers[static_cast<int>(o.answer)],
                     o.answer != Answer::done       ? ""
                     : o.kind == OperationKind::get ? fmt::format(", {} at {}", o.value, o.revision)
                                                    : fmt::format(" at {}", o.revision));
}

std::optional<std::string> check_linearizable(const History& history) {
  std::unordered_map<std::uint64_t, std::int64_t> revisions;
  std::map<std::string, std::vector<const Operation*>> keys;
  for (const Operation& o : history) {
    keys[o.key].push_back(&o);
    if (o.answer != Answer::done || o.kind == OperationKind::erase || o.value == 0) continue;
    auto [place, is_new] = revisions.try_emplace(o.value, o.revision);
    if (!is_new && place->second != o.revision)
      return fmt::format("a value has two revisions, {} and {}: {}", place->second, o.revision, describe(o));
  }
  if (auto wrong = check_revisions(history)) return wrong;
  for (auto& [key, operations] : keys) {
    std::sort(operations.begin(), operations.end(), [](auto* a, auto* b) { return a->called_ns < b->called_ns; });
    KeyChecker checker(operations, revisions);
    if (checker.check()) continue;
    std::string text =
        fmt::format("the history of {} cannot be explained (at most {} of {} operations can):", key, checker.best(), operations.size());
    const std::size_t from = checker.best() > 6 ? checker.best() - 6 : 0;
    for (std::size_t i = from; i < operations.size() && i < checker.best() + 6; ++i) text += "\n  " + describe(*operations[i]);
    return text;
  }
  return std::nullopt;
}

}  // namespace kybern::sim
