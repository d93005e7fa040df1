#include "controllers/tainteviction/run.h"

#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "client/mirror.h"
#include "controllers/objects.h"
#include "controllers/tainteviction/reconcile.h"

namespace kybern::controllers::tainteviction {
namespace {

constexpr std::size_t workers = 8;

bool has_no_execute(Value node) {
  for (Value taint : node["spec"]["taints"].items())
    if (taint["effect"].as_string() == "NoExecute") return true;
  return false;
}

class TaintEviction final : public Controller {
 public:
  explicit TaintEviction(const Environment& environment)
      : clock_(environment.world.clock),
        mirrors_(environment.mirrors),
        runner_("taint-eviction-controller", workers, environment.transport, environment.world, environment.mirrors,
                [this](const std::string& key, const Failure*) { return decide(key); }) {
    mirrors_.nodes.add_handler([this](const Document& before, const Document& now) {
      if (!now || now["spec"]["taints"] == before["spec"]["taints"]) return;
      if (!has_no_execute(now) && !(before && has_no_execute(before))) return;
      for (const Document& pod : mirrors_.pods.by_index("node", name_of(now))) runner_.add(client::key_of(pod));
    });
    mirrors_.pods.add_handler([this](const Document& before, const Document& now) {
      if (!now) return forget(client::key_of(before));
      const Value node = now["spec"]["nodeName"];
      if (node.as_string().empty()) return;
      if (before && before["spec"]["nodeName"] == node && before["spec"]["tolerations"] == now["spec"]["tolerations"]) return;
      if (const Document found = mirrors_.nodes.get(node.as_string()); found && has_no_execute(found)) runner_.add(client::key_of(now));
    });
  }
  void start() override { runner_.start(); }
  void stop() override { runner_.stop(); }

 private:
  std::optional<Plan> decide(const std::string& key) {
    const Document pod = mirrors_.pods.get(key);
    if (!pod) {
      forget(key);
      return {};
    }
    std::lock_guard lock(mutex_);
    const auto pending = pending_.find(key);
    const std::optional<Time> since = pending == pending_.end() ? std::nullopt : std::optional(pending->second);
    const Time now = clock_.now();
    Plan plan = reconcile(pod, mirrors_.nodes.get(pod["spec"]["nodeName"].as_string()), since, now);
    if (plan.wake_after) pending_.try_emplace(key, now);
    else pending_.erase(key);
    return plan;
  }
  void forget(const std::string& key) {
    std::lock_guard lock(mutex_);
    pending_.erase(key);
  }

  Clock& clock_;
  Mirrors& mirrors_;
  std::mutex mutex_;
  std::unordered_map<std::string, Time> pending_;  // pods whose eviction waits for its time, since when
  Runner runner_;
};

}  // namespace

std::unique_ptr<Controller> make_controller(const Environment& environment) { return std::make_unique<TaintEviction>(environment); }

}  // namespace kybern::controllers::tainteviction
