// The runner: what every controller is besides its reconcile function. It takes keys from a queue, asks for a plan,
// carries the plan out, and asks again until nothing is left to do; then it writes the status.
//
// Every action has preconditions (uid, resourceVersion), so that a plan made from an old state does no harm. What an
// action changed is shown to the mirrors at once (client/mirror.h, `wrote`), so that the next reconcile sees it: in-flight
// work is part of what is observed, and nothing has to be remembered.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/world.h"
#include "client/events.h"
#include "client/queue.h"
#include "client/transport.h"
#include "controllers/mirrors.h"
#include "controllers/plan.h"

namespace kybern::controllers {

// Calls `work(0) .. work(count - 1)`, several at once, on the executor and the calling thread. Returns when all are done.
void in_parallel(World world, std::size_t count, const std::function<void(std::size_t)>& work);

// Carries actions out.
class Performer {
 public:
  static constexpr std::size_t parallel_limit = 16;  // calls at once

  Performer(client::Transport& transport, World world, Mirrors& mirrors, std::string component);

  struct Result {
    enum class Kind {
      done,    // every action succeeded
      stale,   // an object changed meanwhile (409 Conflict): plan again
      doomed,  // the namespace is going away: whatever is made there fails, nothing to do
      failed,
    } kind = Kind::done;
    Failure failure;  // of failed and stale
  };
  Result perform(const Plan& plan);
  Result perform(const Action& action, const Document& about);
  client::EventRecorder& events() { return events_; }
  client::Transport& transport() { return transport_; }

 private:
  Result one(const Action& action, const Document& about);
  Result slow_start(const Plan& plan, std::size_t begin, std::size_t end);
  Result parallel(const Plan& plan, std::size_t begin, std::size_t end);
  Result check_guard(const Action& action);
  Result failure(const Action& action, const Status& status, const Document& about);
  void show(const Action& action, const Document& answer);
  void notify(const std::optional<Notice>& notice, const Document& about, std::string_view name, std::string_view error = {});

  client::Transport& transport_;
  const World world_;
  Mirrors& mirrors_;
  client::EventRecorder events_;
};

// What a controller is to those who start it.
class Controller {
 public:
  virtual ~Controller() = default;
  virtual void start() = 0;  // the mirrors are filled
  virtual void stop() = 0;   // waits for what is in work; no handler of a mirror runs any more
};

class Runner : public Controller {
 public:
  // Nothing: the key's object does not exist, there is nothing to do. `failure`: only the plan's status will be used.
  using Decide = std::function<std::optional<Plan>(const std::string& key, const Failure* failure)>;

  Runner(std::string component, std::size_t workers, client::Transport& transport, World world, Mirrors& mirrors, Decide decide);
  void add(std::string key) { queue_->add(std::move(key)); }
  void add_after(std::string key, Duration delay) { queue_->add_after(std::move(key), delay); }
  void start() override { queue_->start(); }
  void stop() override { queue_->stop(); }  // not reset(): what is in work may add
  Performer& performer() { return performer_; }

 private:
  client::Outcome work(const std::string& key);
  client::Outcome settle(const std::string& key, const Plan& plan);

  const std::string component_;
  Performer performer_;
  Decide decide_;
  std::unique_ptr<client::WorkQueue> queue_;  // last: its work uses the others
};

}  // namespace kybern::controllers
