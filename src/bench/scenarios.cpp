#include "bench/scenarios.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <thread>

#include "base/strings.h"
#include "base/world.h"
#include "bench/objects.h"

namespace kybern::bench {
namespace {

using std::chrono::milliseconds;
using Steady = std::chrono::steady_clock;

constexpr milliseconds account_wait{5000};      // for the controller that makes a namespace's service account
constexpr milliseconds definition_wait{10000};  // for a new resource to be served
constexpr milliseconds look_pause{50};

// Asks until `good`, or the time is over.
template <class Ask>
bool wait_for(milliseconds limit, Ask&& good) {
  for (auto end = Steady::now() + limit;;) {
    if (good()) return true;
    if (Steady::now() >= end) return false;
    std::this_thread::sleep_for(look_pause);
  }
}

std::string worst(const Measured& m) {
  std::string out;
  std::size_t most = 0;
  for (const auto& [error, count] : m.errors)
    if (count > most) most = count, out = error;
  return out;
}

}  // namespace

std::vector<std::string> scenario_names() {
  return {"create", "get",   "list",  "pages",  "update", "patch",    "apply", "leases",
          "custom", "mixed", "watch", "delete", "clear",  "schedule", "flood"};
}

Scenarios::Scenarios(const Options& options, Target target, Watcher& watcher)
    : options_(options), target_(std::move(target)), watcher_(watcher) {}

std::string Scenarios::pods(std::string_view name) const {
  return fmt::format("/api/v1/namespaces/{}/pods{}{}", ns_, name.empty() ? "" : "/", name);
}
std::string Scenarios::maps(std::string_view name) const {
  return fmt::format("/api/v1/namespaces/{}/configmaps{}{}", ns_, name.empty() ? "" : "/", name);
}
std::string Scenarios::leases(std::string_view name) const {
  return fmt::format("/apis/coordination.k8s.io/v1/namespaces/{}/leases{}{}", ns_, name.empty() ? "" : "/", name);
}

Load Scenarios::load(std::string name) const {
  Load out;
  out.name = std::move(name);
  out.connections = static_cast<std::size_t>(options_.connections);
  out.count = static_cast<std::size_t>(options_.count);
  out.limit = std::chrono::seconds(options_.seconds);
  out.rate = options_.rate;
  return out;
}

Measured Scenarios::skipped(std::string name, std::string why) const {
  Measured out;
  out.name = std::move(name);
  out.skipped = std::move(why);
  return out;
}

Result<void> Scenarios::begin() {
  auto made = Caller::make(target_);
  if (!made) return std::unexpected(made.error());
  caller_ = std::move(*made);
  own_namespace_ = options_.ns.empty();
  ns_ = own_namespace_ ? "kybern-bench-" + random_suffix(real_world().random, 6) : options_.ns;
  if (!own_namespace_) return {};
  auto answer = caller_->call("POST", "/api/v1/namespaces",
                              fmt::format(R"({{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{}"}}}})", ns_));
  if (Outcome outcome = outcome_of(answer); !outcome.error.empty())
    return fail(Code::unavailable, fmt::format("the namespace {} cannot be made: {}", ns_, outcome.error));
  std::string accounts = fmt::format("/api/v1/namespaces/{}/serviceaccounts", ns_);
  bool there = wait_for(account_wait, [&] {
    auto found = caller_->call("GET", accounts + "/default");
    return found && found->status == 200;
  });
  // An API server without controllers: nobody else makes it.
  if (!there) (void)caller_->call("POST", accounts, R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}})");
  return {};
}

std::vector<Measured> Scenarios::run(const std::string& name) {
  if (name == "create") return {create()};
  if (name == "get") return {get()};
  if (name == "list") return {list()};
  if (name == "pages") return {pages()};
  if (name == "update") return {update()};
  if (name == "patch") return {patch()};
  if (name == "apply") return {apply()};
  if (name == "leases") return {renew()};
  if (name == "custom") return {custom()};
  if (name == "mixed") return {mixed()};
  if (name == "watch") return {watch()};
  if (name == "delete") return {erase()};
  if (name == "clear") return {clear()};
  if (name == "schedule") return {schedule()};
  if (name == "flood") return flood();
  return {skipped(name, "there is no such scenario")};
}

Question Scenarios::new_pod(std::size_t number) const {
  return {"POST", pods(), pod_text(ns_, number, static_cast<std::size_t>(options_.pod_bytes)), {}};
}

std::string Scenarios::need_pods(std::size_t count) {
  if (pods_made_ >= count) return {};
  std::size_t from = pods_made_;
  Load making = load("prepare");
  making.rate = 0;
  making.count = count - from;
  making.limit = {};
  making.ask = [&](std::size_t i) { return new_pod(from + i); };
  Measured made = measure(making);
  pods_made_ = count;
  return made.failed() ? "its pods cannot be made: " + worst(made) : std::string();
}

std::string Scenarios::need_maps(std::size_t count) {
  if (maps_made_ >= count) return {};
  std::size_t from = maps_made_;
  Load making = load("prepare");
  making.rate = 0;
  making.count = count - from;
  making.limit = {};
  making.ask = [&](std::size_t i) { return Question{"POST", maps(), config_map_text(ns_, object_name("load", from + i), 0), {}}; };
  Measured made = measure(making);
  maps_made_ = count;
  return made.failed() ? "its config maps cannot be made: " + worst(made) : std::string();
}

Measured Scenarios::create() {
  Load l = load("create");
  std::size_t from = pods_made_;
  l.ask = [&](std::size_t i) { return new_pod(from + i); };
  Measured out = measure(l);
  pods_made_ = from + out.operations;
  return out;
}

Measured Scenarios::get() {
  auto objects = static_cast<std::size_t>(options_.count);
  if (std::string why = need_pods(std::min<std::size_t>(objects, std::max<std::size_t>(pods_made_, 1000))); !why.empty())
    return skipped("get", why);
  Load l = load("get");
  if (l.limit > Duration(0)) l.count = 0;  // reads make nothing that would pile up
  l.ask = [&, n = pods_made_](std::size_t i) { return Question{"GET", pods(object_name("load", i * 7919 % n)), {}, {}}; };
  return measure(l);
}

Measured Scenarios::list() {
  if (std::string why = need_pods(static_cast<std::size_t>(options_.count)); !why.empty()) return skipped("list", why);
  Load l = load("list");
  l.connections = std::min<std::size_t>(l.connections, 4);
  l.count = 40;
  // Read and let go of, piece by piece: what is measured is the server.
  l.one = [&](Caller& c, std::size_t) {
    auto stream = c.stream(pods());
    if (!stream) return Outcome{stream.error().message, 0};
    Outcome all;
    for (;;) {
      auto piece = (*stream)->read();
      if (!piece) return Outcome{piece.error().message, all.bytes};
      if (piece->empty()) break;
      all.bytes += piece->size();
    }
    if ((*stream)->status() >= 300) all.error = std::to_string((*stream)->status());
    return all;
  };
  return measure(l);
}

Measured Scenarios::pages() {
  if (std::string why = need_pods(static_cast<std::size_t>(options_.count)); !why.empty()) return skipped("pages", why);
  Load l = load("pages");
  l.connections = std::min<std::size_t>(l.connections, 4);
  l.count = 40;
  l.one = [&](Caller& c, std::size_t) {
    Outcome all;
    std::string token;
    do {
      auto answer =
          c.call("GET", fmt::format("{}?limit={}{}{}", pods(), options_.page, token.empty() ? "" : "&continue=", url_encode(token)));
      Outcome one = outcome_of(answer);
      all.bytes += one.bytes;
      if (!one.error.empty()) return Outcome{one.error, all.bytes};
      token = find_member(answer->body, "continue");
    } while (!token.empty());
    return all;
  };
  return measure(l);
}

Measured Scenarios::update() {
  constexpr std::size_t objects = 1000;
  if (std::string why = need_maps(objects); !why.empty()) return skipped("update", why);
  Load l = load("update");
  l.ask = [&](std::size_t i) {
    std::string name = object_name("load", i % objects);
    return Question{"PUT", maps(name), config_map_text(ns_, name, i + 1), {}};
  };
  return measure(l);
}

Measured Scenarios::patch() {
  if (std::string why = need_pods(std::min(options_.count, 1000)); !why.empty()) return skipped("patch", why);
  Load l = load("patch");
  l.ask = [&, n = pods_made_](std::size_t i) {
    return Question{"PATCH", pods(object_name("load", i % n)), fmt::format(R"({{"metadata":{{"labels":{{"round":"{}"}}}}}})", i),
                    "application/strategic-merge-patch+json"};
  };
  return measure(l);
}

Measured Scenarios::apply() {
  constexpr std::size_t objects = 1000;
  Load l = load("apply");
  l.ask = [&](std::size_t i) {
    std::string name = object_name("applied", i % objects);
    return Question{"PATCH", maps(name) + "?fieldManager=bench&force=true", config_map_text(ns_, name, i), "application/apply-patch+yaml"};
  };
  return measure(l);
}

// As kubelets do: each lease is read back from the answer before, and renewed with its version. Open loop, each every ten
// seconds, unless a rate is given.
Measured Scenarios::renew() {
  auto n = static_cast<std::size_t>(options_.count);
  std::vector<std::string> versions(n);
  auto ask = [&](std::size_t i) {
    const std::string& version = versions[i % n];
    std::string body = lease_text(ns_, i % n, version, format_rfc3339_micro(real_world().clock.now()));
    return version.empty() ? Question{"POST", leases(), std::move(body), {}}
                           : Question{"PUT", leases(object_name("load", i % n)), std::move(body), {}};
  };
  auto judge = [&](std::size_t i, const Result<net::Response>& answer) {
    Outcome outcome = outcome_of(answer);
    if (outcome.error.empty()) versions[i % n] = find_member(answer->body, "resourceVersion");
    return outcome;
  };
  Load making = load("prepare");
  making.rate = 0;
  making.limit = {};
  making.ask = ask;
  making.judge = judge;
  if (Measured made = measure(making); made.failed()) return skipped("leases", "leases cannot be made: " + worst(made));
  Load l = load("leases");
  l.count = 0;
  if (l.limit <= Duration(0)) l.limit = std::chrono::seconds(30);
  if (l.rate <= 0) l.rate = std::max(1.0, static_cast<double>(n) / 10);
  l.ask = ask;
  l.judge = judge;
  return measure(l);
}

Measured Scenarios::custom() {
  auto answer = caller_->call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition_text("loads", group_));
  if (Outcome o = outcome_of(answer); !o.error.empty()) return skipped("custom", "the definition cannot be made: " + o.error);
  definition_ = true;
  std::string path = fmt::format("/apis/{}/v1/namespaces/{}/loads", group_, ns_);
  bool served = wait_for(definition_wait, [&] {
    auto found = caller_->call("GET", path);
    return found && found->status == 200;
  });
  if (!served) return skipped("custom", "the new resource is not served");
  Load l = load("custom");
  l.ask = [&](std::size_t i) { return Question{"POST", path, custom_text(group_, ns_, i), {}}; };
  return measure(l);
}

// Seven reads of ten, and some of everything else, by users who think.
Measured Scenarios::mixed() {
  constexpr std::size_t objects = 1000;
  if (std::string why = need_pods(std::min(options_.count, 1000)); !why.empty()) return skipped("mixed", why);
  if (std::string why = need_maps(objects); !why.empty()) return skipped("mixed", why);
  Load l = load("mixed");
  l.connections *= 4;
  l.count = 0;
  if (l.limit <= Duration(0)) l.limit = std::chrono::seconds(30);
  if (l.rate <= 0) l.think = milliseconds(options_.think_ms);
  l.one = [&, n = pods_made_](Caller& c, std::size_t i) {
    std::string map = object_name("load", i % objects);
    switch (i % 20) {
      case 0: {
        std::string name = object_name("short", i);
        Outcome made = outcome_of(c.call("POST", maps(), config_map_text(ns_, name, i)));
        return made.error.empty() ? outcome_of(c.call("DELETE", maps(name))) : made;
      }
      case 1:
      case 2: return outcome_of(c.call("PUT", maps(map), config_map_text(ns_, map, i)));
      case 3:
        return outcome_of(c.call("PATCH", pods(object_name("load", i % n)),
                                 fmt::format(R"({{"metadata":{{"labels":{{"round":"{}"}}}}}})", i), "application/merge-patch+json"));
      case 4:
      case 5: return outcome_of(c.call("GET", pods() + "?limit=50&labelSelector=part%3D" + std::to_string(i % 100)));
      default: return outcome_of(c.call("GET", pods(object_name("load", i * 7919 % n))));
    }
  };
  return measure(l);
}

Measured Scenarios::erase() {
  if (std::string why = need_pods(static_cast<std::size_t>(options_.count)); !why.empty()) return skipped("delete", why);
  Load l = load("delete");
  l.count = std::min(l.count, pods_made_);
  l.ask = [&](std::size_t i) {
    return Question{"DELETE", pods(object_name("load", i)), R"({"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0})", {}};
  };
  Measured out = measure(l);
  pods_made_ = 0;  // names with holes: a later scenario begins with others
  return out;
}

// All pods by one request.
Measured Scenarios::clear() {
  if (std::string why = need_pods(static_cast<std::size_t>(options_.count)); !why.empty()) return skipped("clear", why);
  Load l = load("clear");
  l.connections = l.count = 1;
  l.rate = 0;
  l.one = [&](Caller& c, std::size_t) {
    return outcome_of(c.call("DELETE", pods(), R"({"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0})"));
  };
  pods_made_ = 0;
  return measure(l);
}

std::vector<std::string> Scenarios::clean_up() {
  std::vector<std::string> left;
  if (options_.keep || !caller_) return left;
  auto drop = [&](const std::string& path) {
    auto answer = caller_->call("DELETE", path);
    if (!answer) left.push_back(path + ": " + answer.error().message);
    else if (answer->status >= 300 && answer->status != 404) left.push_back(path + ": " + outcome_of(answer).error);
  };
  if (definition_) drop(fmt::format("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/loads.{}", group_));
  for (const std::string& path : {pods(), maps(), leases()}) drop(path + "?labelSelector=");
  if (bound_)
    for (std::string_view plural : {"rolebindings", "roles"})
      drop(fmt::format("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/{}/load", ns_, plural));
  if (nodes_) drop("/api/v1/nodes?labelSelector=kybern.dev%2Fbench%3D" + ns_);
  if (own_namespace_) drop("/api/v1/namespaces/" + ns_);
  return left;
}

}  // namespace kybern::bench
