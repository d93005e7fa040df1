// ResourceQuota: what a new object would take is counted against every quota of its namespace that it falls under, and
// written into the quota's status before the object is stored. What is given back is counted again by the controller.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <set>

#include "apiserver/admission/plugins.h"
#include "base/strings.h"
#include "machinery/quota/usage.h"

namespace kybern::apiserver::admission {
namespace {

using quota::Amounts;
using quota::amounts_of;
using quota::compute_usage;

quota::Kind kind_of(const Work& work) { return {work.served->group(), work.served->plural()}; }

std::string pretty(const Amounts& amounts, const std::vector<std::string>& names) {
  std::vector<std::string> out;
  for (const std::string& name : names) {
    auto found = amounts.find(name);
    out.push_back(fmt::format("{}={}", name, found == amounts.end() ? "0" : found->second.str()));
  }
  return join(out, ",");
}

// A quota of cpu or memory obliges each container to say how much it takes.
std::string missing_amounts(Value pod, const std::vector<std::string>& tracked) {
  std::map<std::string, std::set<std::string>> missing;
  for (const std::string& name : tracked) {
    std::string_view bare = name;
    for (std::string_view prefix : {"requests.", "limits."})
      if (bare.starts_with(prefix)) bare.remove_prefix(prefix.size());
    if (bare != "cpu" && bare != "memory") continue;
    for (std::string_view list : {"containers", "initContainers"})
      for (Value c : pod["spec"][list].items())
        if (!compute_usage(amounts_of(c["resources"]["requests"]), amounts_of(c["resources"]["limits"])).contains(name))
          missing[name].insert(c["name"].str());
  }
  std::vector<std::string> out;
  for (const auto& [name, containers] : missing)
    out.push_back(fmt::format("{} for: {}", name, join(std::vector<std::string>(containers.begin(), containers.end()), ",")));
  return join(out, "; ");
}

// The quota's new usage with the object; empty when it is not concerned.
ApiResult<std::optional<Amounts>> charge(const AdmissionAttributes& a, Value of, Value object) {
  const Work& work = a.work;
  auto refuse = [&](std::string why) { return fail(forbidden(work.served->group(), work.served->plural(), work.name, why)); };
  Amounts hard = amounts_of(of["status"]["hard"]), used = amounts_of(of["status"]["used"]);
  std::vector<std::string> tracked;
  for (const auto& [name, amount] : hard)
    if (quota::tracks(kind_of(work), name)) tracked.push_back(name);
  if (tracked.empty() || !quota::in_scopes(kind_of(work), of, object)) return std::nullopt;
  std::string_view quota_name = of["metadata"]["name"].as_string();
  if (work.is("", "pods"))
    if (std::string missing = missing_amounts(object, tracked); !missing.empty())
      return refuse(fmt::format("failed quota: {}: must specify {}", quota_name, missing));
  for (const std::string& name : tracked)
    if (!used.contains(name)) return refuse(fmt::format("status unknown for quota: {}, resources: {}", quota_name, join(tracked, ",")));
  Amounts wanted = quota::usage_of(kind_of(work), object);
  Amounts before =
      a.before.exists() && quota::in_scopes(kind_of(work), of, a.before) ? quota::usage_of(kind_of(work), a.before) : Amounts();
  Amounts delta;
  std::vector<std::string> exceeded;
  for (const std::string& name : tracked) {
    auto found = wanted.find(name);
    if (found == wanted.end()) continue;
    if (found->second.sign() < 0) return refuse("quota usage is negative for resource(s): " + name);
    Quantity more = found->second;
    if (auto old = before.find(name); old != before.end()) more -= old->second;
    if (more.sign() <= 0) continue;
    delta[name] = more;
    Quantity sum = used[name];
    sum += more;
    if (hard[name] < sum) exceeded.push_back(name);
    else used[name] = sum;
  }
  if (delta.empty()) return std::nullopt;
  if (!exceeded.empty())
    return refuse(fmt::format("exceeded quota: {}, requested: {}, used: {}, limited: {}", quota_name, pretty(delta, exceeded),
                              pretty(used, exceeded), pretty(hard, exceeded)));
  return std::optional(std::move(used));
}

bool counts(const AdmissionAttributes& a) {
  const Work& work = a.work;
  if (!work.served->namespaced() || work.served->traits->short_lived) return false;
  if (work.is("", "pods"))
    return (a.operation == "CREATE" && work.subresource.empty()) || (a.operation == "UPDATE" && work.subresource == "resize");
  if (!work.subresource.empty()) return false;
  if (work.is("", "services") || work.is("", "persistentvolumeclaims")) return a.operation == "CREATE" || a.operation == "UPDATE";
  return a.operation == "CREATE";
}

}  // namespace

ApiResult<void> charge_quotas(const AdmissionAttributes& a, Value object) {
  if (!counts(a)) return {};
  Registry& registry = a.work.registry;
  std::vector<Document> quotas;
  auto read_quotas = [&] {
    quotas.clear();
    registry.each("", "v1", "resourcequotas", a.work.ns, [&](Value quota) {
      quotas.push_back(quota.document());
      return true;
    });
  };
  read_quotas();
  if (quotas.empty()) return {};
  // One at a time in a namespace: many creates at once would otherwise fail each other's writes of the usage.
  static std::array<std::mutex, 64> locks;
  std::lock_guard lock(locks[std::hash<std::string>()(a.work.ns) % locks.size()]);
  read_quotas();
  // All are asked before any is charged.
  for (const Document& quota : quotas)
    if (auto charged = charge(a, quota, object); !charged) return fail(std::move(charged.error()));
  if (a.work.dry_run) return {};
  for (const Document& quota : quotas) {
    Work work{.registry = registry,
              .world = a.work.world,
              .user = {"system:apiserver", "", {"system:masters"}, {}},
              .served = registry.catalog().find("", "v1", "resourcequotas"),
              .ns = a.work.ns,
              .name = quota["metadata"]["name"].str(),
              .subresource = "status"};
    work.verb = "update";
    auto charged = registry.modify(
        work,
        [&](Value now) -> ApiResult<Draft> {
          auto used = charge(a, now, object);
          if (!used) return fail(std::move(used.error()));
          Draft next(now);
          if (*used)
            for (const auto& [name, amount] : **used) next["status"]["used"][name] = amount.str();
          return next;
        },
        true);
    if (!charged && charged.error().code != 404) return fail(std::move(charged.error()));
  }
  return {};
}

}  // namespace kybern::apiserver::admission
