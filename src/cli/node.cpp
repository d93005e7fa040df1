// cordon, uncordon, drain: taking a node out of work.
#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/subjects.h"

namespace kybern::cli {
namespace {

constexpr std::chrono::seconds refused_eviction_pause(5);  // while a disruption budget says no

Result<void> set_schedulable(Session& session, const Subject& node, bool schedulable) {
  const std::string word = schedulable ? "uncordoned" : "cordoned";
  if (node.object["spec"]["unschedulable"].as_bool() == !schedulable) {
    fmt::print("node/{} already {}\n", node.name, word);
    return {};
  }
  const Document patch = Draft::object({{"spec", Draft::object({{"unschedulable", schedulable ? Draft() : Draft(true)}})}}).freeze();
  auto done = session.call("PATCH", node.path(), "", patch, strategic_type);
  if (!done) return std::unexpected(shown(done.error()));
  fmt::print("node/{} {}\n", node.name, word);
  std::fflush(stdout);
  return {};
}

Result<std::vector<Subject>> nodes(Session& session, const Arguments& arguments) {
  std::vector<std::string> words{"nodes"};
  words.insert(words.end(), arguments.words.begin(), arguments.words.end());
  for (std::size_t i = 1; i < words.size(); ++i)
    if (words[i].starts_with("node/")) words[i].erase(0, 5);
  if (words.size() == 1 && arguments.text("selector").empty()) return refuse_usage(arguments, fmt::format("USAGE: {} NODE [flags]", arguments.path.substr(std::string_view("kubectl ").size())));
  return select(session, arguments, words, {});
}

Result<int> cordon_all(Session& session, const Arguments& arguments, bool schedulable) {
  auto found = nodes(session, arguments);
  if (!found) return std::unexpected(found.error());
  for (const Subject& node : *found)
    if (auto done = set_schedulable(session, node, schedulable); !done) return std::unexpected(done.error());
  return 0;
}
Result<int> cordon(Session& s, const Arguments& a) { return cordon_all(s, a, false); }
Result<int> uncordon(Session& s, const Arguments& a) { return cordon_all(s, a, true); }

struct Choice {
  std::vector<Document> pods;
  std::vector<std::string> daemon_sets, problems;
};

Choice choose(Value list, const Arguments& arguments) {
  Choice out;
  for (Value pod : list["items"].items()) {
    const Value meta = pod["metadata"];
    const std::string name = meta["namespace"].str() + "/" + meta["name"].str();
    if (meta["annotations"]["kubernetes.io/config.mirror"].exists()) continue;
    const std::string_view phase = pod["status"]["phase"].as_string();
    const bool ended = phase == "Succeeded" || phase == "Failed";
    std::string controller;
    for (Value owner : meta["ownerReferences"].items())
      if (owner["controller"].as_bool()) controller = owner["kind"].str();
    if (controller == "DaemonSet" && !ended) {
      if (!arguments.on("ignore-daemonsets")) out.problems.push_back("cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): " + name);
      else out.daemon_sets.push_back(name);
      continue;
    }
    if (controller.empty() && !ended && !arguments.on("force")) {
      out.problems.push_back("cannot delete Pods that declare no controller (use --force to override): " + name);
      continue;
    }
    bool local = false;
    for (Value volume : pod["spec"]["volumes"].items()) local = local || volume["emptyDir"].exists();
    if (local && !ended && !arguments.on("delete-emptydir-data")) {
      out.problems.push_back("cannot delete Pods with local storage (use --delete-emptydir-data to override): " + name);
      continue;
    }
    out.pods.push_back(pod.document());
  }
  return out;
}

Result<void> evict(Session& session, Value pod, const Arguments& arguments, Deadline deadline) {
  const std::string ns = pod["metadata"]["namespace"].str(), name = pod["metadata"]["name"].str();
  const std::string pods = "/api/v1/namespaces/" + url_encode(ns) + "/pods", path = pods + "/" + url_encode(name);
  auto grace = arguments.number("grace-period");
  if (!grace) return std::unexpected(grace.error());
  Draft options = Draft::object();
  if (*grace >= 0) options["gracePeriodSeconds"] = *grace;
  fmt::print("{} pod {}/{}\n", arguments.on("disable-eviction") ? "deleting" : "evicting", ns, name);
  std::fflush(stdout);
  while (true) {
    ApiResult<Document> done;
    if (arguments.on("disable-eviction")) {
      done = session.call("DELETE", path, "", options.freeze());
    } else {
      const Document eviction = Draft::object({{"apiVersion", "policy/v1"}, {"kind", "Eviction"}, {"metadata", Draft::object({{"name", name}, {"namespace", ns}})}, {"deleteOptions", options}}).freeze();
      done = session.call("POST", path + "/eviction", "", eviction);
    }
    if (done || done.error().code == 404) break;
    if (done.error().code != 429) return fail(Code::internal, fmt::format("error: error when evicting pods/{} -n {}: {}", go_quote(name), go_quote(ns), done.error().message));
    fmt::print(stderr, "error when evicting pods/{} -n {} (will retry after 5s): {}\n", go_quote(name), go_quote(ns), done.error().message);
    if (deadline && std::chrono::steady_clock::now() + refused_eviction_pause > *deadline) return refuse("global timeout reached");
    std::this_thread::sleep_for(refused_eviction_pause);
  }
  auto gone = observe(session, pods, name_query(name), deadline,
                      {[&](std::string_view type, Value o) { return type == "DELETED" || o["metadata"]["uid"] != pod["metadata"]["uid"]; }, [](std::size_t count) { return count == 0; }});
  if (!gone) return std::unexpected(gone.error());
  if (!*gone) return refuse("global timeout reached");
  fmt::print("pod/{} {}\n", name, arguments.on("disable-eviction") ? "deleted" : "evicted");
  std::fflush(stdout);
  return {};
}

Result<int> drain(Session& session, const Arguments& arguments) {
  auto timeout = arguments.duration("timeout");
  if (!timeout) return std::unexpected(timeout.error());
  const Deadline deadline = timeout->count() > 0 ? deadline_after(*timeout) : Deadline();
  auto found = nodes(session, arguments);
  if (!found) return std::unexpected(found.error());
  for (const Subject& node : *found) {
    if (auto done = set_schedulable(session, node, false); !done) return std::unexpected(done.error());
    auto pods = session.call("GET", "/api/v1/pods", query_of({{"fieldSelector", "spec.nodeName=" + node.name}, {"labelSelector", arguments.text("pod-selector")}}));
    if (!pods) return std::unexpected(shown(pods.error()));
    const Choice choice = choose(*pods, arguments);
    if (!choice.problems.empty())
      return fail(Code::conflict, fmt::format("error: unable to drain node {} due to error: [{}], continuing command...\nThere are pending nodes to be drained:\n {}", go_quote(node.name), join(choice.problems, ", "), node.name));
    if (!choice.daemon_sets.empty()) fmt::print(stderr, "Warning: ignoring DaemonSet-managed Pods: {}\n", join(choice.daemon_sets, ", "));
    for (const Document& pod : choice.pods)
      if (auto done = evict(session, pod, arguments, deadline); !done) return std::unexpected(done.error());
    fmt::print("node/{} drained\n", node.name);
  }
  return 0;
}

}  // namespace

Command cordon_command() { return {"cordon", "let no more pods come to a node", "NODE", {flags::selector()}, cordon}; }
Command uncordon_command() { return {"uncordon", "let pods come to a node again", "NODE", {flags::selector()}, uncordon}; }
Command drain_command() {
  using namespace flags;
  return {"drain", "move all pods away from a node", "NODE [flags]",
          {selector(), text("pod-selector", "only pods with these labels"), boolean("force", "also pods that nothing would make again"), boolean("ignore-daemonsets", "leave the pods of daemon sets"),
           boolean("delete-emptydir-data", "also pods whose local data is lost"), boolean("disable-eviction", "delete instead of evicting"), number("grace-period", "seconds that a pod has to end; negative: its own setting", "-1"),
           duration("timeout", "how long; 0: as long as it takes", "0s")},
          drain};
}

}  // namespace kybern::cli
