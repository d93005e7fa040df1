// Names and amounts of resources: cpu, memory, hugepages-2Mi, example.com/gpu.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

template <std::size_t N>
bool listed(const std::string_view (&list)[N], std::string_view name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

constexpr std::string_view integer_resources[] = {
    "pods",       "resourcequotas",         "services",           "replicationcontrollers", "secrets",
    "configmaps", "persistentvolumeclaims", "services.nodeports", "services.loadbalancers"};
constexpr std::string_view quota_resources[] = {"cpu",
                                                "memory",
                                                "ephemeral-storage",
                                                "requests.cpu",
                                                "requests.memory",
                                                "requests.storage",
                                                "requests.ephemeral-storage",
                                                "limits.cpu",
                                                "limits.memory",
                                                "limits.ephemeral-storage",
                                                "pods",
                                                "resourcequotas",
                                                "services",
                                                "replicationcontrollers",
                                                "secrets",
                                                "persistentvolumeclaims",
                                                "configmaps",
                                                "services.nodeports",
                                                "services.loadbalancers"};

bool is_standard_resource(std::string_view name) {
  return listed(quota_resources, name) || name == "storage" || is_hugepage(name) || name.starts_with("requests.hugepages-");
}

bool is_standard_container_resource(std::string_view name) {
  return name == "cpu" || name == "memory" || name == "ephemeral-storage" || is_hugepage(name);
}

bool has_slash(std::string_view name) { return name.find('/') != std::string_view::npos; }

// Amounts of huge pages are whole pages.
bool divisible(std::string_view name, const Quantity& amount) {
  auto page = Quantity::parse(name.substr(std::string_view("hugepages-").size()));
  if (!page || page->sign() <= 0 || page->milli_value() % 1000 != 0) return false;
  return amount.value() % page->value() == 0;
}

void hugepage_amount(Findings& f, std::string_view name, const Quantity& amount, const Path& path) {
  if (!divisible(name, amount)) f.invalid(path, amount.str(), fmt::format("{} is not positive integer multiple of {}", amount.str(), name));
}

void claim_names(Findings& f, Value claims, const std::set<std::string, std::less<>>& known, const Path& path) {
  std::set<std::string, std::less<>> claimed;                                    // whole
  std::map<std::string, std::set<std::string, std::less<>>, std::less<>> parts;  // requests of theirs
  std::size_t i = 0;
  for (Value claim : claims.items()) {
    Path at = path.index(i++);
    std::string_view name = text(claim, "name");
    if (name.empty()) {
      f.required(at);
      continue;
    }
    if (claimed.contains(name)) {  // all of its requests already
      f.duplicate(at, name);
    } else {
      std::string_view request = text(claim, "request");
      std::string key = request.empty() ? std::string(name) : fmt::format("{}/{}", name, request);
      if (!request.empty()) dns_label(f, request, at.child("request"));
      auto& requests = parts[std::string(name)];
      if (request.empty()) {
        for (std::size_t n = requests.size(); n > 0; --n) f.duplicate(at, name);
        claimed.emplace(name);
      } else if (!requests.emplace(request).second) {
        f.duplicate(at, key);
      }
    }
    if (known.contains(name)) continue;
    FieldError error = field::not_found(at, name);
    error.detail = "must be one of the names in pod.spec.resourceClaims";
    std::string list;
    for (const std::string& one : known) list += (list.empty() ? "" : ", ") + one;
    error.detail += known.empty() ? " which is empty" : ": " + list;
    f.add(std::move(error));
  }
}

}  // namespace

bool is_native_resource(std::string_view name) { return !has_slash(name) || name.find("kubernetes.io/") != std::string_view::npos; }
bool is_hugepage(std::string_view name) { return name.starts_with("hugepages-"); }
bool is_overcommit_allowed(std::string_view name) { return is_native_resource(name) && !is_hugepage(name); }
bool is_standard_quota_resource(std::string_view name) {
  return listed(quota_resources, name) || is_hugepage(name) || name.starts_with("requests.hugepages-");
}
bool is_extended_resource(std::string_view name) {
  return !is_native_resource(name) && !name.starts_with("requests.") && names::qualified_name(fmt::format("requests.{}", name)).empty();
}

void resource_name(Findings& f, std::string_view name, const Path& path) {
  auto messages = names::qualified_name(name);
  f.say(path, name, messages);
  if (messages.empty() && !has_slash(name) && !is_standard_resource(name))
    f.invalid(path, name, "must be a standard resource type or fully qualified");
}

void container_resource_name(Findings& f, std::string_view name, const Path& path) {
  resource_name(f, name, path);
  if (!has_slash(name)) {
    if (!is_standard_container_resource(name)) f.invalid(path, name, "must be a standard resource for containers");
  } else if (!is_native_resource(name) && !is_extended_resource(name)) {
    f.invalid(path, name, "doesn't follow extended resource name standard");
  }
}

void quota_resource_name(Findings& f, std::string_view name, const Path& path) {
  resource_name(f, name, path);
  if (!has_slash(name) && !is_standard_quota_resource(name)) f.invalid(path, name, "must be a standard resource for quota");
}

void resource_amount(Findings& f, std::string_view name, Value amount, const Path& path) {
  Quantity quantity = Quantity::of(amount);
  if (quantity.sign() < 0) f.invalid(path, quantity.str(), "must be greater than or equal to 0");
  bool whole = listed(integer_resources, name) || is_extended_resource(name);
  if (whole && quantity.milli_value() % 1000 != 0) f.invalid(path, quantity.str(), "must be an integer");
}

void positive_amount(Findings& f, Value amount, const Path& path) {
  Quantity quantity = Quantity::of(amount);
  if (quantity.sign() <= 0) f.invalid(path, quantity.str(), "must be greater than zero");
}

void resource_requirements(Findings& f, Value resources, const std::set<std::string, std::less<>>& claims, const Path& path,
                           ResourceNameRule name_rule) {
  Path limits = path.child("limits"), requests = path.child("requests");
  bool pages = false, compute = false;
  for (Member limit : resources["limits"].members()) {
    Path at = limits.key(limit.key);
    name_rule(f, limit.key, at);
    resource_amount(f, limit.key, limit.value, at);
    if (is_hugepage(limit.key)) hugepage_amount(f, limit.key, Quantity::of(limit.value), at);
    pages |= is_hugepage(limit.key);
    compute |= limit.key == "cpu" || limit.key == "memory";
  }
  for (Member request : resources["requests"].members()) {
    Path at = requests.key(request.key);
    name_rule(f, request.key, at);
    resource_amount(f, request.key, request.value, at);
    Value limit = resources["limits"][request.key];
    Quantity amount = Quantity::of(request.value), most = Quantity::of(limit);
    bool overcommit = is_overcommit_allowed(request.key);
    if (limit.exists() && !overcommit && amount != most) {
      f.invalid(requests, amount.str(), fmt::format("must be equal to {} limit of {}", request.key, most.str()));
    } else if (limit.exists() && amount > most) {
      f.invalid(requests, amount.str(), fmt::format("must be less than or equal to {} limit of {}", request.key, most.str()));
    } else if (!limit.exists() && !overcommit) {
      f.required(limits, "Limit must be set for non overcommitable resources");
    }
    if (is_hugepage(request.key)) hugepage_amount(f, request.key, amount, at);
    pages |= is_hugepage(request.key);
    compute |= request.key == "cpu" || request.key == "memory";
  }
  if (pages && !compute) f.forbidden(path, "HugePages require cpu or memory");
  claim_names(f, resources["claims"], claims, path.child("claims"));
}

}  // namespace kybern::rules
