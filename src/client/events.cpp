#include "client/events.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/log.h"

namespace kybern::client {
namespace {

// The figures of upstream's correlator.
constexpr std::size_t cache_entries = 1024;   // per cache (upstream: 4096); the least recently used entry goes
constexpr std::size_t similar_messages = 10;  // from this many different messages of one kind on they are folded
constexpr auto similar_window = std::chrono::minutes(10);
constexpr double spam_burst = 25;              // events about one object at once
constexpr double spam_per_second = 1.0 / 300;  // and afterwards
constexpr std::size_t waiting_limit = 1000;    // events not written yet; more are dropped
constexpr int tries = 12;
constexpr Duration retry_wait = std::chrono::seconds(10);

// A map of bounded size.
template <class V>
class Recent {
 public:
  V& get(const std::string& key) {
    auto found = places_.find(key);
    if (found != places_.end()) {
      order_.splice(order_.begin(), order_, found->second);
    } else {
      order_.emplace_front(key, V{});
      places_[key] = order_.begin();
      if (order_.size() > cache_entries) {
        places_.erase(order_.back().first);
        order_.pop_back();
      }
    }
    return order_.front().second;
  }

 private:
  std::list<std::pair<std::string, V>> order_;
  std::unordered_map<std::string, typename std::list<std::pair<std::string, V>>::iterator> places_;
};

struct Written {  // an event that is in the API, or will be
  std::string name;
  std::int64_t count = 0;
  std::string first_time;
};
struct Similar {
  std::set<std::string> messages;
  Time last{};
};
struct Bucket {
  double tokens = spam_burst;
  Time filled{};
};

struct Pending {
  Document about;  // an ObjectReference
  std::string ns, name_base, type, reason, message;
  Time time;
};

}  // namespace

struct EventRecorder::State : std::enable_shared_from_this<State> {
  State(Transport& t, World w, std::string c, std::string h) : transport(&t), world(w), component(std::move(c)), host(std::move(h)) {}

  Transport* transport;
  const World world;
  const std::string component, host;

  std::mutex mutex;
  std::condition_variable idle;
  std::deque<Pending> waiting;
  bool writing = false;  // a task is posted or runs; it alone touches what is below
  bool in_call = false;  // and it is inside the transport now
  bool stopping = false;
  TimerId retry_timer = 0;
  int failed_tries = 0;
  std::uint64_t dropped = 0;

  Recent<Bucket> spam;      // under `mutex`
  Recent<Similar> similar;  // by the writer only
  Recent<Written> written;  // by the writer only

  std::string source_key(Value about) const {
    return fmt::format("{}|{}|{}|{}|{}|{}|{}", component, host, about["kind"].as_string(), about["namespace"].as_string(),
                       about["name"].as_string(), about["uid"].as_string(), about["apiVersion"].as_string());
  }

  bool allow(Value about, Time now) {
    Bucket& bucket = spam.get(source_key(about));
    if (bucket.filled != Time{}) {
      const double seconds = std::chrono::duration<double>(now - bucket.filled).count();
      bucket.tokens = std::min(spam_burst, bucket.tokens + std::max(0.0, seconds) * spam_per_second);
    }
    bucket.filled = now;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  void post_locked() {
    writing = true;
    world.executor.post([self = shared_from_this()] { self->drain(); });
  }

  void drain() {
    std::unique_lock lock(mutex);
    retry_timer = 0;
    while (!waiting.empty() && !stopping) {
      Pending next = waiting.front();
      in_call = true;
      lock.unlock();
      const bool settled = write(next);
      lock.lock();
      in_call = false;
      if (stopping) break;
      if (!settled && ++failed_tries < tries) {  // the API cannot be reached now; order is kept
        retry_timer = world.executor.post_after(retry_wait, [weak = weak_from_this()] {
          if (auto self = weak.lock()) self->drain();
        });
        return;
      }
      failed_tries = 0;
      waiting.pop_front();
    }
    writing = false;
    idle.notify_all();
  }

  // True when the event is written or will never be.
  bool write(const Pending& event) {
    const Value about = event.about;
    const std::string kind_key = source_key(about) + "|" + event.type + "|" + event.reason;
    Similar& group = similar.get(kind_key);
    if (event.time - group.last > similar_window) group.messages.clear();
    group.last = event.time;
    group.messages.insert(event.message);
    std::string message = event.message, key = kind_key + "|" + about["fieldPath"].str() + "|" + event.message;
    if (group.messages.size() >= similar_messages) {
      group.messages.erase(group.messages.begin());
      message = "(combined from similar events): " + event.message;
      key = kind_key + "|combined";
    }
    Written& before = written.get(key);
    if (before.count > 0) {
      switch (update(event, before, message)) {
        case Answer::done: return true;
        case Answer::later: return false;
        case Answer::missing: break;  // it expired: begin anew
      }
    }
    return create(event, before, message) != Answer::later;
  }

  enum class Answer { done, later, missing };

  Answer create(const Pending& event, Written& record, const std::string& message) {
    const std::string time = format_rfc3339(event.time);
    const std::string name = fmt::format("{}.{:x}", event.name_base, event.time.time_since_epoch().count());
    Draft body = Draft::object({{"kind", "Event"}, {"apiVersion", "v1"}});
    body["metadata"] = Draft::object({{"name", name}, {"namespace", event.ns}});
    body["involvedObject"] = Draft(event.about);
    body["reason"] = event.reason;
    body["message"] = message;
    body["source"] = Draft::object({{"component", component}});
    if (!host.empty()) body["source"]["host"] = host;
    body["firstTimestamp"] = time;
    body["lastTimestamp"] = time;
    body["count"] = record.count + 1;
    body["type"] = event.type;
    body["eventTime"] = nullptr;
    body["reportingComponent"] = component;
    body["reportingInstance"] = host;
    if (record.count > 0) body["firstTimestamp"] = record.first_time;
    ApiResult<Document> answer =
        transport->call({.method = "POST", .path = object_path("v1", "events", event.ns, ""), .query = {}, .body = body.freeze()});
    if (!answer) return judge(answer.error(), event);
    if (record.count == 0) record.first_time = time;
    record.name = name;
    ++record.count;
    return Answer::done;
  }

  Answer update(const Pending& event, Written& record, const std::string& message) {
    Draft patch = Draft::object({{"count", record.count + 1}, {"lastTimestamp", format_rfc3339(event.time)}, {"message", message}});
    ApiResult<Document> answer = transport->call({.method = "PATCH",
                                                  .path = object_path("v1", "events", event.ns, record.name),
                                                  .query = {},
                                                  .body = patch.freeze(),
                                                  .patch = PatchType::strategic});
    if (!answer) {
      if (answer.error().code == 404) return Answer::missing;
      return judge(answer.error(), event);
    }
    ++record.count;
    return Answer::done;
  }

  Answer judge(const Status& status, const Pending& event) const {
    const bool unreachable = status.code >= 500 || status.code == 429 || status.is("Timeout");
    if (unreachable) return Answer::later;
    log_debug("events", "event was rejected", {{"event", event.reason}, {"namespace", event.ns}, {"error", status.message}});
    return Answer::done;
  }
};

EventRecorder::EventRecorder(Transport& transport, World world, std::string component, std::string host)
    : state_(std::make_shared<State>(transport, world, std::move(component), std::move(host))) {}

EventRecorder::~EventRecorder() {
  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  if (state_->retry_timer != 0) state_->world.executor.cancel(state_->retry_timer);
  state_->waiting.clear();
  state_->idle.notify_all();
  while (state_->in_call) {  // the transport may go after us
    state_->idle.wait_for(lock, std::chrono::milliseconds(5));
  }
}

void EventRecorder::record(Value about, std::string_view type, std::string_view reason, std::string message, std::string_view field_path) {
  const Value meta = about["metadata"];
  const bool is_reference = !meta.exists();  // an ObjectReference itself
  const Value identity = is_reference ? about : meta;
  Draft reference = Draft::object();
  const auto take = [&](const char* name, Value from) {
    if (from.exists() && !from.as_string().empty()) reference[name] = from;
  };
  take("kind", about["kind"]);
  take("namespace", identity["namespace"]);
  take("name", identity["name"]);
  take("uid", identity["uid"]);
  take("apiVersion", about["apiVersion"]);
  take("resourceVersion", identity["resourceVersion"]);
  if (!field_path.empty()) reference["fieldPath"] = field_path;

  State& state = *state_;
  const Time now = state.world.clock.now();
  Pending event{reference.freeze(),
                identity["namespace"].str(),
                identity["name"].str(),
                std::string(type),
                std::string(reason),
                std::move(message),
                now};
  if (event.ns.empty()) event.ns = "default";
  std::lock_guard lock(state.mutex);
  if (state.stopping || !state.allow(event.about, now)) return;
  if (state.waiting.size() >= waiting_limit) {
    if (++state.dropped % waiting_limit == 1) log_warn("events", "events are dropped: too many wait", {{"component", state.component}});
    return;
  }
  state.waiting.push_back(std::move(event));
  if (!state.writing) state.post_locked();
}

void EventRecorder::flush() {
  std::unique_lock lock(state_->mutex);
  state_->idle.wait(lock, [&] { return state_->stopping || !state_->writing || state_->retry_timer != 0; });
}

}  // namespace kybern::client
