// Priority levels (KEP-1040): how many requests of a kind may be worked on at once, and who waits while that is used up.
//
// A level has queues; a flow (a user, or a namespace) is dealt a few of them by its hash and waits in the one with the least
// before it: one that sends much fills its own hand and hardly ever all queues of another (shuffle sharding). A request takes
// one seat, or more when it is more work. Free seats go to the queue that has had the fewest so far, so queues get equal
// shares of the level whatever their requests are worth. A level may use more than its share while others leave idle what
// they may lend.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"

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
class Level;

// What a request occupies while it is worked on.
struct Seat {
  std::shared_ptr<Level> level;
  int width = 1;
  int queue = -1;         // of its flow's hand; none where nothing is queued
  Duration afterwards{};  // the seat stays taken for so long after the answer: others are still busy with what it did
  explicit operator bool() const { return level != nullptr; }
};

// One request that waits. `go(true)`: its turn has come; `go(false)`: it waited too long. Called once, without locks held.
struct Waiter {
  std::function<void(bool)> go;
  Seat seat;
  // For those who look at the queues:
  std::string schema, distinguisher;
  Time arrived{};
  std::vector<std::string> details;  // user, verb, path, namespace, name, version, resource, subresource
  bool settled = false;
};

class Level {
 public:
  const std::string& name() const { return settings_.name; }
  const std::string& uid() const { return settings_.uid; }
  bool exempt() const { return settings_.exempt; }
  int nominal_seats() const { return nominal_; }
  int max_width() const { return max_width_; }  // of one request; 0: the level says nothing about it

 private:
  friend class Levels;
  struct Queue {
    std::deque<std::shared_ptr<Waiter>> waiting;
    int waiting_seats = 0, executing = 0, executing_seats = 0;
    double served = 0;  // seats that it was given, counted on from where the level stood when it began to wait
  };
  LevelSettings settings_;
  int nominal_ = 0, lendable_ = 0, most_ = 0, max_width_ = 0;
  int executing_ = 0, executing_seats_ = 0, waiting_ = 0, waiting_seats_ = 0;
  double served_ = 0;           // by the queue that was served last
  std::size_t next_queue_ = 0;  // where the round goes on among queues that had the same
  std::vector<Queue> queues_;
};

class Levels {
 public:
  enum class Entry { go, queued, refused };

  explicit Levels(int seats) : seats_(seats) {}
  // Levels that are no longer among them finish what they have.
  void configure(const std::vector<LevelSettings>& settings);
  std::shared_ptr<Level> find(std::string_view name) const;

  // go: the caller has the seat, and gives it back with leave(). queued: `waiter` is made and will be told.
  Entry enter(Seat& seat, std::uint64_t flow, const std::function<std::shared_ptr<Waiter>()>& make_waiter);
  bool enter_now(const Seat& seat);  // takes it, if there is one without waiting
  void leave(const Seat& seat);
  void give_up(const std::shared_ptr<Waiter>& waiter);  // nothing when its turn has come

  struct Seen {
    struct Queue {
      std::size_t waiting = 0;
      int waiting_seats = 0, executing = 0, executing_seats = 0;
      double served = 0;
    };
    std::string name;
    bool exempt, queues_requests;
    int nominal, executing, executing_seats, waiting, waiting_seats;
    std::vector<Queue> queues;
  };
  std::vector<Seen> look() const;
  // Everybody who waits, by level, queue and place in it. Called with the lock held.
  void each_waiting(const std::function<void(const std::string& level, std::size_t queue, std::size_t place, const Waiter&)>& visit) const;
  static std::vector<std::size_t> hand(std::uint64_t flow, std::size_t queues, std::size_t size);  // distinct, in the order dealt

 private:
  using Ready = std::vector<std::shared_ptr<Waiter>>;
  bool has_room(const Level& level, int width) const;
  static void sit(Level& level, const Seat& seat);
  void dispatch(Level& level, Ready& ready);

  const int seats_;
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<Level>> levels_;
};

}  // namespace kybern::apiserver
