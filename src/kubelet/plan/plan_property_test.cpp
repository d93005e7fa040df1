// Random pods in random worlds: a runtime that crashes containers, loses sandboxes, fails to pull and takes its time. What
// must hold always, and that a deleted pod always ends.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "document/json.h"
#include "kubelet/plan/plan.h"

namespace kybern::kubelet {
namespace {

using std::chrono::seconds;
using Role = ContainerView::Role;

struct SmallWorld {
  explicit SmallWorld(unsigned seed) : random(seed) {}
  std::mt19937 random;
  Time now = *parse_rfc3339("2026-01-01T00:00:00Z");
  PodView pod;
  RuntimeState runtime;
  PodMemory memory;
  ProbeResults probes;
  int next_id = 0;
  std::string start_sandbox;
  bool deleted = false, object_gone = false;
  std::vector<std::string> violations;

  bool chance(int percent) { return static_cast<int>(random() % 100) < percent; }
  void check(bool holds, std::string what) {
    if (!holds) violations.push_back(std::move(what));
  }

  void make_pod() {
    Draft spec = Draft::object();
    const char* policies[] = {"Always", "OnFailure", "Never"};
    spec["restartPolicy"] = policies[random() % 3];
    spec["terminationGracePeriodSeconds"] = static_cast<int>(random() % 30);
    for (unsigned i = 0, n = random() % 4; i < n; ++i) {
      Draft c = Draft::object({{"name", fmt::format("i{}", i)}, {"image", "x"}});
      if (chance(40)) c["restartPolicy"] = "Always";
      spec["initContainers"].push_back(std::move(c));
    }
    for (unsigned i = 0, n = 1 + random() % 3; i < n; ++i)
      spec["containers"].push_back(Draft::object({{"name", fmt::format("c{}", i)}, {"image", "x"}}));
    read(spec);
  }
  void read(const Draft& spec) {
    Draft meta = Draft::object({{"name", "p"}, {"namespace", "n"}, {"uid", "u"}});
    if (deleted) {
      meta["deletionTimestamp"] = format_rfc3339(now);
      meta["deletionGracePeriodSeconds"] = static_cast<int>(random() % 5);
    }
    pod = PodView::read(
        Draft::object({{"kind", "Pod"}, {"apiVersion", "v1"}, {"metadata", meta}, {"spec", spec}, {"status", status}}).freeze());
  }
  Draft status = Draft::object();

  ObservedContainer* find(const std::string& id) {
    for (ObservedContainer& c : runtime.containers) {
      if (c.id == id) return &c;
    }
    return nullptr;
  }
  void end(ObservedContainer& c, int code) {
    if (c.state == ContainerState::exited) return;
    c.state = ContainerState::exited;
    c.exit_code = code;
    c.finished_at = now;
  }

  void act(const Action& action) {
    if (std::holds_alternative<Prepare>(action)) {
      if (chance(80)) memory.prepared = true;
      else memory.prepare_problem = Problem{"", "no", now, now + seconds(1)};
    } else if (auto* a = std::get_if<CreateSandbox>(&action)) {
      check(memory.prepared, "a sandbox before the pod is prepared");
      check(!anything_runs(runtime), "a new sandbox while something of the old one runs");
      check(!deleted, "a sandbox for a deleted pod");
      if (chance(20)) {
        memory.sandbox_problem = Problem{"", "no", now, now + seconds(1)};
      } else {
        runtime.sandboxes.insert(runtime.sandboxes.begin(),
                                 ObservedSandbox{fmt::format("s{}", next_id++), a->attempt, true, false, now, {"10.0.0.1"}});
      }
    } else if (auto* a = std::get_if<StopSandbox>(&action)) {
      for (ObservedSandbox& s : runtime.sandboxes) {
        if (s.id == a->id) s.ready = false;
      }
      for (ObservedContainer& c : runtime.containers) {
        if (c.sandbox_id == a->id) {
          check(c.state == ContainerState::exited, "a sandbox is stopped under its containers");
          end(c, 137);
        }
      }
    } else if (auto* a = std::get_if<RemoveSandbox>(&action)) {
      check(deleted || std::none_of(runtime.containers.begin(), runtime.containers.end(), [&](auto& c) { return c.sandbox_id == a->id; }),
            "a sandbox with history goes");
      std::erase_if(runtime.sandboxes, [&](auto& s) { return s.id == a->id; });
      std::erase_if(runtime.containers, [&](auto& c) { return c.sandbox_id == a->id; });
    } else if (auto* a = std::get_if<StartContainer>(&action)) {
      check(memory.starting.empty(), "two starts at once");
      check(!deleted, "a start for a deleted pod");
      memory.starting = a->name;
      start_sandbox = runtime.sandboxes.empty() ? "" : runtime.sandboxes.front().id;
      if (a->crashed_at) {
        Backoff& b = memory.crashes[a->name];
        check(b.remaining(*a->crashed_at, now) == Duration(), "a restart before its back-off is over");
        b.next(*a->crashed_at, now);
      }
    } else if (auto* a = std::get_if<KillContainer>(&action)) {
      memory.killing[a->id] = a->grace_s;
    } else if (auto* a = std::get_if<RemoveContainer>(&action)) {
      ObservedContainer* c = find(a->id);
      check(c != nullptr && c->state == ContainerState::exited, "a container that has not ended is removed");
      std::erase_if(runtime.containers, [&](auto& o) { return o.id == a->id; });
    } else if (std::holds_alternative<Finish>(action)) {
      check(!anything_runs(runtime), "volumes go while something runs");
      memory.finished = true;
      memory.prepared = false;
    } else if (std::holds_alternative<DeletePod>(action)) {
      check(memory.finished && deleted, "the object goes too early");
      memory.delete_asked = true;
    } else if (auto* a = std::get_if<Tell>(&action)) {
      if (!a->about.empty()) memory.told_backoff.insert(a->about);
    }
  }

  // A start comes to its end: well, or not.
  void finish_start() {
    const ContainerView& c = *pod.find(memory.starting);
    for (const ObservedContainer& o : runtime.containers) {
      check(o.name != c.name || o.state == ContainerState::exited, "a second instance of a container beside one that runs");
    }
    std::string sandbox = runtime.sandboxes.empty() || !runtime.sandboxes.front().ready ? "" : runtime.sandboxes.front().id;
    if (sandbox != start_sandbox) sandbox.clear();  // the one it was meant for is gone
    if (c.role == Role::regular && !sandbox.empty()) {
      for (const ContainerView& i : pod.containers) {
        if (i.role != Role::init) continue;
        const ObservedContainer* done = runtime.newest(i.name, sandbox);
        bool others = std::any_of(runtime.containers.begin(), runtime.containers.end(),
                                  [&](auto& o) { return o.sandbox_id == sandbox && pod.find(o.name)->role == Role::regular; });
        check(others || (done != nullptr && done->state == ContainerState::exited && done->exit_code == 0),
              "a container before its init containers are done");
      }
    }
    if (chance(20) || sandbox.empty()) {
      memory.problems[c.name] = Problem{"ErrImagePull", "no", now, now + seconds(3)};
    } else {
      memory.problems.erase(c.name);
      ObservedContainer o;
      o.id = fmt::format("{}-{}", c.name, next_id++);
      o.name = c.name;
      o.sandbox_id = sandbox;
      o.attempt = next_attempt(pod, c, runtime);
      o.state = ContainerState::running;
      o.created_at = o.started_at = now;
      o.hash = c.hash;
      runtime.containers.insert(runtime.containers.begin(), std::move(o));
    }
    memory.starting.clear();
  }

  void disturb() {
    if (!memory.starting.empty() && chance(60)) finish_start();
    for (auto at = memory.killing.begin(); at != memory.killing.end();) {
      if (!chance(50)) {
        ++at;
        continue;
      }
      if (ObservedContainer* c = find(at->first)) end(*c, 137);
      at = memory.killing.erase(at);
    }
    for (ObservedContainer& c : runtime.containers) {
      const ContainerView* v = pod.find(c.name);
      if (c.state == ContainerState::running && chance(v->role == Role::init ? 40 : 4)) end(c, chance(70) ? 0 : 1);
    }
    if (chance(1) && !runtime.sandboxes.empty()) {
      runtime.sandboxes.front().ready = false;
      for (ObservedContainer& c : runtime.containers) {
        if (c.sandbox_id == runtime.sandboxes.front().id) end(c, 255);
      }
    }
    if (chance(2)) {  // the kubelet restarts: it forgets, but nothing is under way any more either
      memory = PodMemory{};
    }
    now += seconds(random() % 4);
  }

  void step() {
    bool was_starting = !memory.starting.empty();
    Plan plan = plan_pod(pod, runtime, probes, memory, {}, now);
    std::string before = status.find("phase") == nullptr ? "" : std::string(status.find("phase")->as_string());
    std::string after = plan.status["phase"].str();
    check(!is_terminal_phase(before) || after == before, "a terminal phase changes");
    check(!is_terminal_phase(after) || !anything_runs(runtime), "a terminal phase while something runs");
    if (plan.stopping && !memory.stopping_since) {
      memory.stopping_since = now;
      memory.starting.clear();
    }
    status = Draft(plan.status);
    read(Draft(pod.spec()));
    std::size_t starts = 0;
    for (const Action& a : plan.actions) {
      starts += std::holds_alternative<StartContainer>(a) ? 1 : 0;
      act(a);
    }
    check(starts <= 1 && !(starts == 1 && was_starting), "more than one start in a plan");
  }
};

TEST(PlanProperty, RandomLivesKeepTheRulesAndEnd) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    SmallWorld world(seed);
    world.make_pod();
    unsigned delete_at = world.random() % 200;
    bool over = false;
    for (unsigned i = 0; i < 600 && !over; ++i) {
      if (i == delete_at) {
        world.deleted = true;
        world.read(Draft(world.pod.spec()));
      }
      world.step();
      if (world.memory.delete_asked) world.memory.removed = true;
      if (i < 400) world.disturb();
      else world.now += seconds(5);
      if (i >= 400 && !world.memory.starting.empty()) world.memory.starting.clear();
      if (i >= 400) {
        for (auto& [id, grace] : world.memory.killing) {
          if (ObservedContainer* c = world.find(id)) world.end(*c, 137);
        }
        world.memory.killing.clear();
      }
      over = world.memory.removed && world.runtime.sandboxes.empty();
    }
    ASSERT_TRUE(world.violations.empty()) << "seed " << seed << ": " << world.violations.front();
    ASSERT_TRUE(over) << "seed " << seed << " does not end";
  }
}

}  // namespace
}  // namespace kybern::kubelet
