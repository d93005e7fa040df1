// Priority levels (KEP-1040): how many requests of a kind may be worked on at once, and who waits while that is used up.
//
// A level has queues; a flow (a user, or a namespace) is dealt a few of them by its hash and waits in the shortest: one
// that sends much fills its own hand and hardly ever all queues of another (shuffle sharding). Free seats go round the
// queues. A level may use more than its share while others leave idle what they may lend.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace kybern::apiserver {

struct LevelSettings {
  std::string name, uid;
  bool exempt = false;
  bool queues_requests = false;  // otherwise what is too much is refused at once
  int shares = 0, lendable_percent = 0;
  int borrowing_limit_percent = -1;  // of its own seats, on top of them; below zero: no limit
  int queues = 1, hand_size = 1, queue_length_limit = 50;
  bool operator==(const LevelSettings&) const = default;
};

class Levels;

// One request that waits. `go(true)`: its turn has come; `go(false)`: it waited too long. Called once, without locks held.
struct Waiter {
  std::function<void(bool)> go;
  std::string schema;
  std::size_t queue = 0;
  bool settled = false;
};

class Level {
 public:
  const std::string& name() const { return settings_.name; }
  const std::string& uid() const { return settings_.uid; }
  int nominal_seats() const { return nominal_; }

 private:
  friend class Levels;
  LevelSettings settings_;
  int nominal_ = 0, lendable_ = 0, most_ = 0, executing_ = 0, waiting_ = 0;
  std::size_t next_queue_ = 0;  // where the round goes on
  std::vector<std::deque<std::shared_ptr<Waiter>>> queues_;
};

class Levels {
 public:
  enum class Entry { go, queued, refused };

  explicit Levels(int seats) : seats_(seats) {}
  // Levels that are no longer among them finish what they have.
  void configure(const std::vector<LevelSettings>& settings);
  std::shared_ptr<Level> find(std::string_view name) const;

  // go: the caller has a seat, and gives it back with leave(). queued: `waiter` is made and will be told.
  Entry enter(const std::shared_ptr<Level>& level, std::uint64_t flow, const std::function<std::shared_ptr<Waiter>()>& make_waiter);
  bool enter_now(Level& level);  // takes a seat, if there is one without waiting
  void leave(const std::shared_ptr<Level>& level);
  void give_up(const std::shared_ptr<Level>& level, const std::shared_ptr<Waiter>& waiter);  // nothing when its turn has come

  struct Seen {
    std::string name;
    bool exempt;
    int nominal, executing, waiting;
    std::vector<std::size_t> queue_lengths;
  };
  std::vector<Seen> look() const;
  static std::vector<std::size_t> hand(std::uint64_t flow, std::size_t queues, std::size_t size);  // distinct, in the order dealt

 private:
  using Ready = std::vector<std::shared_ptr<Waiter>>;
  bool has_room(const Level& level) const;
  void dispatch(Level& level, Ready& ready);

  const int seats_;
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<Level>> levels_;
};

}  // namespace kybern::apiserver
