#include "controllers/podgc/run.h"

#include <atomic>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "client/mirror.h"
#include "controllers/objects.h"
#include "controllers/podgc/reconcile.h"

namespace kybern::controllers::podgc {
namespace {

constexpr std::size_t workers = 4;
const std::string finished_key = "!";

class PodCollector final : public Controller {
 public:
  PodCollector(const Environment& environment, std::size_t finished_limit)
      : world_(environment.world),
        mirrors_(environment.mirrors),
        transport_(environment.transport),
        finished_limit_(finished_limit),
        runner_("pod-garbage-collector", workers, environment.transport, environment.world, environment.mirrors,
                [this](const std::string& key, const Failure*) { return decide(key); }) {
    mirrors_.pods.add_handler([this](const Document& before, const Document& now) { on_pod(before, now); });
    mirrors_.nodes.add_handler([this](const Document& before, const Document& now) {
      if (now && !before) {
        std::lock_guard lock(mutex_);
        missing_.erase(std::string(name_of(now)));
      }
      const bool out = now && state_of(now) == NodeState::out_of_service && state_of(before) != NodeState::out_of_service;
      if (now && !out) return;
      for (const Document& pod : mirrors_.pods.by_index("node", name_of(now ? now : before))) runner_.add(client::key_of(pod));
    });
  }
  void start() override { runner_.start(); }
  void stop() override { runner_.stop(); }

 private:
  void on_pod(const Document& before, const Document& now) {
    const bool was_finished = before && is_terminal(before), is_finished = now && is_terminal(now);
    if (is_finished != was_finished) {
      const std::size_t count = is_finished ? ++finished_ : --finished_;
      if (is_finished && finished_limit_ != 0 && count > finished_limit_) runner_.add(finished_key);
    }
    if (!now) return forget_unused(before["spec"]["nodeName"].as_string());
    const std::string_view node = now["spec"]["nodeName"].as_string();
    const bool new_here = !before || !(before["spec"]["nodeName"] == now["spec"]["nodeName"]);
    const bool new_deletion = is_deleting(now) && !(before && is_deleting(before));
    if ((node.empty() && new_deletion) ||
        (!node.empty() && (new_here || new_deletion) && state_of(mirrors_.nodes.get(node)) != NodeState::exists))
      runner_.add(client::key_of(now));
  }

  // A missing node whose last pod went is of no concern: the next pod on it waits as long as the first one did.
  void forget_unused(std::string_view node) {
    std::lock_guard lock(mutex_);
    if (auto entry = missing_.find(std::string(node)); entry != missing_.end() && mirrors_.pods.by_index("node", node).empty())
      missing_.erase(entry);
  }

  // How long the node has been missing, as far as this process knows.
  Duration missing_for(const std::string& node) {
    std::lock_guard lock(mutex_);
    const Instant now = world_.clock.steady();
    std::erase_if(missing_, [&](const auto& entry) { return now - entry.second > 4 * quarantine; });
    return now - missing_.try_emplace(node, now).first->second;
  }

  std::optional<Plan> decide(const std::string& key) {
    if (key == finished_key) {
      std::vector<Document> finished = mirrors_.pods.list();
      std::erase_if(finished, [](const Document& pod) { return !is_terminal(pod); });
      return reconcile_finished(std::move(finished), finished_limit_);
    }
    const Document pod = mirrors_.pods.get(key);
    if (!pod) return {};
    const std::string node(pod["spec"]["nodeName"].as_string());
    if (node.empty()) return reconcile(pod, NodeState::missing);
    NodeState state = state_of(mirrors_.nodes.get(node));
    if (state != NodeState::missing) return reconcile(pod, state);
    Plan plan;
    if (const Duration passed = missing_for(node); passed < quarantine) {
      plan.wake_after = quarantine - passed;
      return plan;
    }
    const ApiResult<Document> asked =
        transport_.call({.method = "GET", .path = client::object_path("v1", "nodes", "", node), .query = {}, .body = {}});
    if (!asked && asked.error().code != 404) {
      plan.wake_after = quarantine;
      return plan;
    }
    return reconcile(pod, asked ? NodeState::exists : NodeState::missing);
  }

  const World world_;
  Mirrors& mirrors_;
  client::Transport& transport_;
  const std::size_t finished_limit_;
  std::atomic<std::size_t> finished_ = 0;
  std::mutex mutex_;
  std::unordered_map<std::string, Instant> missing_;  // nodes, since when
  Runner runner_;
};

}  // namespace

std::unique_ptr<Controller> make_controller(const Environment& environment, std::size_t finished_limit) {
  return std::make_unique<PodCollector>(environment, finished_limit);
}

}  // namespace kybern::controllers::podgc
