#include "client/leader.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "base/log.h"

namespace kybern::client {
namespace {

constexpr double jitter = 1.2;  // a candidate waits retry * (1 .. 1 + jitter) between attempts
constexpr std::string_view lease_api = "coordination.k8s.io/v1";

}  // namespace

// One attempt after another on the executor: `attempt` reads or writes the lease, then sets the timer of the next one.
struct LeaderElection::State : std::enable_shared_from_this<State> {
  State(Transport& t, World w, LeaderOptions o, std::function<void()> on_leading, std::function<void()> on_lost)
      : transport(&t), world(w), options(std::move(o)), leading(std::move(on_leading)), lost(std::move(on_lost)) {}

  Transport* transport;
  const World world;
  const LeaderOptions options;
  std::function<void()> leading, lost;

  mutable std::mutex mutex;
  std::condition_variable idle;
  bool started = false, stopping = false;
  int at_work = 0;  // attempts and deadlines that run now
  TimerId timer = 0, deadline_timer = 0;
  bool leader = false;
  Instant renewed_at{};  // when our last successful attempt began: the lease may count from then

  // Touched by the attempt only.
  Document lease;          // as last read or written
  Document observed_spec;  // and when it changed last, by our own clock: another machine's clock is never compared
  Instant observed_at{};

  std::string path() const { return object_path(lease_api, "leases", options.ns, options.name); }

  void schedule_locked(Duration delay) {
    if (stopping) return;
    timer = world.executor.post_after(delay, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->attempt();
    });
  }

  bool begin() {
    std::lock_guard lock(mutex);
    if (stopping) return false;
    ++at_work;
    return true;
  }

  void attempt() {
    if (!begin()) return;
    const bool was_leader = is_leader();
    const Instant began = world.clock.steady();
    bool holds = try_acquire_or_renew();
    // An answer that took so long tells nothing any more.
    if (world.clock.steady() - began >= options.renew_deadline) holds = false;
    if (was_leader && !holds && held_by_other()) step_down();
    bool won = false;
    {
      std::lock_guard lock(mutex);
      if (holds && leader == was_leader) {
        won = !leader;
        leader = true;
        renewed_at = began;
        watch_deadline_locked();
      }
    }
    if (won) {
      log_info("leader", "the lease is ours", {{"lease", options.ns + "/" + options.name}, {"identity", options.identity}});
      if (leading) leading();
    }
    std::lock_guard lock(mutex);
    --at_work;
    idle.notify_all();
    const double spread = leader ? 1.0 : 1.0 + jitter * random_unit(world.random);
    schedule_locked(std::chrono::duration_cast<Duration>(options.retry * spread));
  }

  // By a timer of its own: an attempt may hang in its call for longer than the lease is valid.
  void watch_deadline_locked() {
    if (deadline_timer != 0) world.executor.cancel(deadline_timer);
    deadline_timer = 0;
    if (stopping) return;
    const Instant at = renewed_at + options.renew_deadline;
    deadline_timer = world.executor.post_after(at - world.clock.steady(), [weak = weak_from_this(), renewed = renewed_at] {
      if (auto self = weak.lock()) self->deadline(renewed);
    });
  }

  void deadline(Instant renewed) {
    if (!begin()) return;
    bool late = false;
    {
      std::lock_guard lock(mutex);
      late = leader && renewed_at == renewed;
    }
    if (late) step_down();
    std::lock_guard lock(mutex);
    --at_work;
    idle.notify_all();
  }

  void step_down() {
    {
      std::lock_guard lock(mutex);
      if (!std::exchange(leader, false)) return;
    }
    log_warn("leader", "the lease is lost", {{"lease", options.ns + "/" + options.name}, {"identity", options.identity}});
    if (lost) lost();
  }

  bool is_leader() const {
    std::lock_guard lock(mutex);
    return leader;
  }
  bool held_by_other() const {
    const std::string_view holder = lease["spec"]["holderIdentity"].as_string();
    return lease && !holder.empty() && holder != options.identity;
  }

  bool try_acquire_or_renew() {
    ApiResult<Document> read = transport->call({.method = "GET", .path = path(), .query = {}, .body = {}});
    if (!read) {
      if (read.error().code != 404) return false;
      return create();
    }
    lease = *read;
    if (!observed_spec || !(observed_spec.root() == lease["spec"])) {
      observed_spec = lease["spec"].exists() ? lease["spec"].document() : Document();
      observed_at = world.clock.steady();
    }
    const Value spec = lease["spec"];
    const Duration valid = std::chrono::seconds(spec["leaseDurationSeconds"].as_int());
    if (held_by_other() && observed_at + valid > world.clock.steady()) return false;
    return take(spec);
  }

  Draft fresh_spec(std::int64_t transitions, std::string_view acquired) const {
    const std::string now = format_rfc3339_micro(world.clock.now());
    return Draft::object({{"holderIdentity", options.identity},
                          {"leaseDurationSeconds", std::chrono::duration_cast<std::chrono::seconds>(options.lease).count()},
                          {"acquireTime", acquired.empty() ? std::string_view(now) : acquired},
                          {"renewTime", now},
                          {"leaseTransitions", transitions}});
  }

  bool create() {
    Draft body = Draft::object({{"apiVersion", lease_api}, {"kind", "Lease"}});
    body["metadata"] = Draft::object({{"name", options.name}, {"namespace", options.ns}});
    body["spec"] = fresh_spec(0, {});
    return accept(
        transport->call({.method = "POST", .path = object_path(lease_api, "leases", options.ns, ""), .query = {}, .body = body.freeze()}));
  }

  bool take(Value spec) {
    const bool ours = spec["holderIdentity"].as_string() == options.identity;
    const std::int64_t transitions = spec["leaseTransitions"].as_int() + (ours ? 0 : 1);
    Draft body(lease);
    body["spec"] = fresh_spec(transitions, ours ? spec["acquireTime"].as_string() : std::string_view());
    return accept(transport->call({.method = "PUT", .path = path(), .query = {}, .body = body.freeze()}));
  }

  bool accept(ApiResult<Document> answer) {
    if (!answer) return false;
    lease = std::move(*answer);
    observed_spec = lease["spec"].document();
    observed_at = world.clock.steady();
    return true;
  }

  void release() {
    Draft body(lease);
    Draft spec = fresh_spec(lease["spec"]["leaseTransitions"].as_int(), {});
    spec["holderIdentity"] = "";
    spec["leaseDurationSeconds"] = 1;
    body["spec"] = std::move(spec);
    ApiResult<Document> answer = transport->call({.method = "PUT", .path = path(), .query = {}, .body = body.freeze()});
    if (!answer) log_debug("leader", "the lease could not be given up", {{"error", answer.error().message}});
  }
};

LeaderElection::LeaderElection(Transport& transport, World world, LeaderOptions options, std::function<void()> leading,
                               std::function<void()> lost)
    : state_(std::make_shared<State>(transport, world, std::move(options), std::move(leading), std::move(lost))) {}

LeaderElection::~LeaderElection() {
  {
    std::unique_lock lock(state_->mutex);
    state_->stopping = true;
    for (const TimerId timer : {state_->timer, state_->deadline_timer})
      if (timer != 0) state_->world.executor.cancel(timer);
    state_->idle.wait(lock, [&] { return state_->at_work == 0; });
  }
  if (state_->is_leader()) state_->release();
}

void LeaderElection::start() {
  std::lock_guard lock(state_->mutex);
  if (std::exchange(state_->started, true)) return;
  state_->world.executor.post([weak = std::weak_ptr<State>(state_)] {
    if (auto self = weak.lock()) self->attempt();
  });
}

bool LeaderElection::is_leader() const { return state_->is_leader(); }

}  // namespace kybern::client
