// cordon, uncordon, drain: taking a node out of work.
#include <fmt/format.h>

#include <chrono>
#include <map>
#include <thread>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/subjects.h"

namespace kybern::cli {
namespace {

constexpr std::chrono::seconds refused_eviction_pause(5);  // while a disruption budget says no

Result<void> set_schedulable(Session& session, const Subject& node, bool schedulable, std::string_view dry_run) {
  const std::string word = schedulable ? "uncordoned" : "cordoned";
  if (node.object["spec"]["unschedulable"].as_bool() == !schedulable) {
    fmt::print("node/{} already {}{}\n", node.name, word, dry_run_suffix(dry_run));
    return {};
  }
  if (dry_run == "client") return fmt::print("node/{} {}{}\n", node.name, word, dry_run_suffix(dry_run)), Result<void>();
  const Document patch = Draft::object({{"spec", Draft::object({{"unschedulable", schedulable ? Draft() : Draft(true)}})}}).freeze();
  auto done = session.call("PATCH", node.path(), query_of({{"dryRun", dry_run_query(dry_run)}}), patch, strategic_type);
  if (!done) return std::unexpected(shown(done.error()));
  fmt::print("node/{} {}{}\n", node.name, word, dry_run_suffix(dry_run));
  std::fflush(stdout);
  return {};
}

Result<std::vector<Subject>> nodes(Session& session, const Arguments& arguments) {
  std::vector<std::string> words{"nodes"};
  words.insert(words.end(), arguments.words.begin(), arguments.words.end());
  for (std::size_t i = 1; i < words.size(); ++i)
    if (words[i].starts_with("node/")) words[i].erase(0, 5);
  if (words.size() == 1 && arguments.text("selector").empty())
    return refuse_usage(arguments, fmt::format("USAGE: {} NODE [flags]", arguments.path.substr(std::string_view("kubectl ").size())));
  return select(session, arguments, words, {});
}

Result<int> cordon_all(Session& session, const Arguments& arguments, bool schedulable) {
  auto found = nodes(session, arguments);
  if (!found) return std::unexpected(found.error());
  auto dry_run = dry_run_of(arguments);
  if (!dry_run) return std::unexpected(dry_run.error());
  for (const Subject& node : *found)
    if (auto done = set_schedulable(session, node, schedulable, *dry_run); !done) return std::unexpected(done.error());
  return 0;
}
Result<int> cordon(Session& s, const Arguments& a) { return cordon_all(s, a, false); }
Result<int> uncordon(Session& s, const Arguments& a) { return cordon_all(s, a, true); }

struct Choice {
  std::vector<Document> pods;
  std::map<std::string, std::vector<std::string>> warnings, problems;  // what is the matter: with which pods

  static std::vector<std::string> lines(const std::map<std::string, std::vector<std::string>>& of, std::string_view before) {
    std::vector<std::string> out;
    for (const auto& [what, names] : of) out.push_back(std::string(before) + what + ": " + join(names, ", "));
    return out;
  }
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
      if (!arguments.on("ignore-daemonsets"))
        out.problems["cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)"].push_back(name);
      else out.warnings["ignoring DaemonSet-managed Pods"].push_back(name);
      continue;
    }
    bool local = false;
    for (Value volume : pod["spec"]["volumes"].items()) local = local || volume["emptyDir"].exists();
    if (local && !ended && !arguments.on("delete-emptydir-data")) {
      out.problems["cannot delete Pods with local storage (use --delete-emptydir-data to override)"].push_back(name);
      continue;
    }
    if (controller.empty() && !ended) {
      if (!arguments.on("force")) {
        out.problems["cannot delete cannot delete Pods that declare no controller (use --force to override)"].push_back(
            name);  // upstream's words
        continue;
      }
      out.warnings["deleting Pods that declare no controller"].push_back(name);
    }
    out.pods.push_back(pod.document());
  }
  return out;
}

struct Drain {
  Session& session;
  const Arguments& arguments;
  std::string dry_run;
  Deadline deadline;

  Result<void> ask(Value pod) const;
  Result<void> gone(Value pod) const;
  Result<int> one(const Subject& node) const;
};

// Has the pod evicted, or deleted; again and again while a disruption budget says no.
Result<void> Drain::ask(Value pod) const {
  const std::string ns = pod["metadata"]["namespace"].str(), name = pod["metadata"]["name"].str(),
                    path = "/api/v1/namespaces/" + url_encode(ns) + "/pods/" + url_encode(name);
  Draft options = Draft::object();
  if (const std::int64_t grace = *arguments.number("grace-period"); grace >= 0) options["gracePeriodSeconds"] = grace;
  if (dry_run == "server") options["dryRun"] = Draft::array({"All"});
  while (true) {
    ApiResult<Document> done;
    if (arguments.on("disable-eviction")) {
      done = session.call("DELETE", path, "", options.freeze());
    } else {
      const Document eviction = Draft::object({{"apiVersion", "policy/v1"},
                                               {"kind", "Eviction"},
                                               {"metadata", Draft::object({{"name", name}, {"namespace", ns}})},
                                               {"deleteOptions", options}})
                                    .freeze();
      done = session.call("POST", path + "/eviction", "", eviction);
    }
    if (done || done.error().code == 404) return {};
    if (done.error().code != 429)
      return fail(Code::internal,
                  fmt::format("error: error when evicting pods/{} -n {}: {}", go_quote(name), go_quote(ns), done.error().message));
    fmt::print(stderr, "error when evicting pods/{} -n {} (will retry after 5s): {}\n", go_quote(name), go_quote(ns), done.error().message);
    if (deadline && std::chrono::steady_clock::now() + refused_eviction_pause > *deadline) return refuse("global timeout reached");
    std::this_thread::sleep_for(refused_eviction_pause);
    fmt::print("evicting pod {}/{}\n", ns, name);
    std::fflush(stdout);
  }
}

Result<void> Drain::gone(Value pod) const {
  const std::string ns = pod["metadata"]["namespace"].str(), name = pod["metadata"]["name"].str();
  auto away = observe(session, "/api/v1/namespaces/" + url_encode(ns) + "/pods", name_query(name), deadline,
                      {[&](std::string_view type, Value o) { return type == "DELETED" || o["metadata"]["uid"] != pod["metadata"]["uid"]; },
                       [](std::size_t count) { return count == 0; }});
  if (!away) return std::unexpected(away.error());
  if (!*away) return refuse("global timeout reached");
  fmt::print("pod/{} {}\n", name, arguments.on("disable-eviction") ? "deleted" : "evicted");
  std::fflush(stdout);
  return {};
}

Result<int> Drain::one(const Subject& node) const {
  auto list = session.call("GET", "/api/v1/pods",
                           query_of({{"fieldSelector", "spec.nodeName=" + node.name}, {"labelSelector", arguments.text("pod-selector")}}));
  if (!list) return std::unexpected(shown(list.error()));
  const Choice choice = choose(*list, arguments);
  if (!choice.problems.empty()) {
    const auto problems = Choice::lines(choice.problems, "");
    return fail(
        Code::conflict,
        fmt::format(
            "error: unable to drain node {} due to error: [{}], continuing command...\nThere are pending nodes to be drained:\n {}\n{}",
            go_quote(node.name), join(problems, ", "), node.name, join(problems, "\n")));
  }
  if (!choice.warnings.empty()) fmt::print(stderr, "Warning: {}\n", join(Choice::lines(choice.warnings, ""), "; "));
  for (const Document& pod : choice.pods) {
    if (!arguments.on("disable-eviction") || dry_run == "client")
      fmt::print("{} pod {}/{}{}\n", arguments.on("disable-eviction") ? "deleting" : "evicting", pod["metadata"]["namespace"].as_string(),
                 pod["metadata"]["name"].as_string(), dry_run_suffix(dry_run));
    std::fflush(stdout);
    if (dry_run != "client")
      if (auto asked = ask(pod); !asked) return std::unexpected(asked.error());
  }
  if (dry_run == "none")
    for (const Document& pod : choice.pods)
      if (auto away = gone(pod); !away) return std::unexpected(away.error());
  fmt::print("node/{} drained{}\n", node.name, dry_run_suffix(dry_run));
  return 0;
}

Result<int> drain(Session& session, const Arguments& arguments) {
  auto timeout = arguments.duration("timeout");
  if (!timeout) return std::unexpected(timeout.error());
  auto dry_run = dry_run_of(arguments);
  if (!dry_run) return std::unexpected(dry_run.error());
  auto found = nodes(session, arguments);
  if (!found) return std::unexpected(found.error());
  const Drain work{session, arguments, *dry_run, timeout->count() > 0 ? deadline_after(*timeout) : Deadline()};
  for (const Subject& node : *found)
    if (auto done = set_schedulable(session, node, false, *dry_run); !done) return std::unexpected(done.error());
  for (const Subject& node : *found)
    if (auto done = work.one(node); !done) return done;
  return 0;
}

}  // namespace

Command cordon_command() { return {"cordon", "let no more pods come to a node", "NODE", {flags::selector(), flags::dry_run()}, cordon}; }
Command uncordon_command() {
  return {"uncordon", "let pods come to a node again", "NODE", {flags::selector(), flags::dry_run()}, uncordon};
}
Command drain_command() {
  using namespace flags;
  return {"drain",
          "move all pods away from a node",
          "NODE [flags]",
          {selector(), dry_run(), number("skip-wait-for-delete-timeout", "accepted for compatibility"),
           number("chunk-size", "accepted for compatibility", "500"), text("pod-selector", "only pods with these labels"),
           boolean("force", "also pods that nothing would make again"), boolean("ignore-daemonsets", "leave the pods of daemon sets"),
           boolean("delete-emptydir-data", "also pods whose local data is lost"), boolean("disable-eviction", "delete instead of evicting"),
           number("grace-period", "seconds that a pod has to end; negative: its own setting", "-1"),
           duration("timeout", "how long; 0: as long as it takes", "0s")},
          drain};
}

}  // namespace kybern::cli
