#include "kubelet/run/observer.h"

#include <fmt/format.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "base/log.h"
#include "kubelet/runtime/cri.h"

namespace kybern::kubelet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds poll_period{1000};      // without a stream
constexpr milliseconds safety_period{60'000};  // with one: an event may have been lost
constexpr milliseconds first_reconnect{200}, longest_reconnect{5'000};

}  // namespace

struct Observer::State {
  Cri& cri;
  World world;
  Callbacks callbacks;
  std::mutex mutex;
  std::condition_variable wake;
  bool stopping = false, list_now = false;
  std::uint64_t events = 0, events_listed = 0;  // those that came, and those after which the lists were looked at
  std::atomic<bool> streaming = false, unsupported = false;
  std::thread streamer, lister;
  std::map<std::string, std::string> last;  // pod uid -> what its lists said

  State(Cri& c, World w, Callbacks cb) : cri(c), world(w), callbacks(std::move(cb)) {}

  bool wait(milliseconds limit) {  // true: stop
    std::unique_lock lock(mutex);
    wake.wait_for(lock, limit, [&] { return stopping; });
    return stopping;
  }

  void stream() {
    milliseconds delay = first_reconnect;
    while (true) {
      auto ended = cri.watch_events(
          [&] {
            streaming = true;
            delay = first_reconnect;
            std::lock_guard lock(mutex);
            list_now = true;  // what happened while no stream stood
            wake.notify_all();
          },
          [&](const std::string& id) {
            callbacks.event(id);
            std::lock_guard lock(mutex);
            ++events;
            wake.notify_all();
          });
      streaming = false;
      if (!ended && ended.error().code == Code::unsupported) {
        log_info("kubelet", "the runtime has no event stream; its lists are looked at every second");
        unsupported = true;
        return;
      }
      if (wait(delay)) return;
      delay = std::min(delay * 2, longest_reconnect);
    }
  }

  // The runtime tells of an end before its lists know of it. So the lists are looked at once more, a moment after an event.
  void list_loop() {
    while (true) {
      {
        std::unique_lock lock(mutex);
        bool quiet = streaming && events == events_listed;
        wake.wait_for(lock, quiet ? safety_period : poll_period,
                      [&] { return stopping || list_now || (quiet && events != events_listed); });
        if (stopping) return;
        if (quiet && !list_now && events != events_listed) continue;
        list_now = false;
        events_listed = events;
      }
      if (callbacks.has_pods()) list();
    }
  }

  void list() {
    auto sandboxes = cri.list_sandboxes();
    auto containers = sandboxes ? cri.list_containers() : Result<std::vector<ListedContainer>>(std::unexpected(sandboxes.error()));
    if (!containers) return;
    std::map<std::string, std::string> now;
    for (const ListedSandbox& s : *sandboxes) now[s.uid] += fmt::format("{} {}\n", s.id, s.ready);
    for (const ListedContainer& c : *containers) now[c.uid] += fmt::format("{} {}\n", c.id, static_cast<int>(c.state));
    std::set<std::string> changed;
    for (const auto& [uid, text] : now) {
      auto before = last.find(uid);
      if (before == last.end() || before->second != text) changed.insert(uid);
    }
    for (const auto& [uid, text] : last) {
      if (!now.contains(uid)) changed.insert(uid);
    }
    last = std::move(now);
    for (const std::string& uid : changed) callbacks.changed(uid);
  }
};

Observer::Observer(Cri& cri, World world, Callbacks callbacks) : state_(std::make_unique<State>(cri, world, std::move(callbacks))) {}
Observer::~Observer() { stop(); }

void Observer::start() {
  state_->streamer = std::thread([this] { state_->stream(); });
  state_->lister = std::thread([this] { state_->list_loop(); });
}

void Observer::stop() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    state_->wake.notify_all();
  }
  state_->cri.stop_events();
  if (state_->streamer.joinable()) state_->streamer.join();
  if (state_->lister.joinable()) state_->lister.join();
}

bool Observer::has_stream() const { return state_->streaming; }

}  // namespace kybern::kubelet
