// LimitRanger: the LimitRanges of a namespace fill in what containers do not say, and bound what they say.
#include <fmt/format.h>

#include "apiserver/admission/amounts.h"
#include "apiserver/admission/plugins.h"
#include "base/strings.h"

namespace kybern::apiserver::admission {
namespace {

constexpr std::string_view annotation = "kubernetes.io/limit-ranger";

bool applies(const AdmissionAttributes& a) {
  if (a.work.is("", "pods"))
    return (a.operation == "CREATE" && a.work.subresource.empty()) || (a.operation == "UPDATE" && a.work.subresource == "resize");
  return a.work.is("", "persistentvolumeclaims") && a.work.subresource.empty() && (a.operation == "CREATE" || a.operation == "UPDATE");
}

std::vector<Document> ranges_in(const AdmissionAttributes& a) {
  std::vector<Document> out;
  a.work.registry.each("", "v1", "limitranges", a.work.ns, [&](Value range) {
    out.push_back(range.document());
    return true;
  });
  return out;
}

// Fills one list of a container's resources; gives the names that it filled.
std::vector<std::string> fill(Draft& container, std::string_view list, const Amounts& defaults) {
  std::vector<std::string> filled;
  for (const auto& [name, amount] : defaults) {
    const Draft* there = container.find_path({"resources", list, name});
    if (there && !there->is_null()) continue;
    container["resources"][list][name] = amount.str();
    filled.push_back(name);
  }
  return filled;
}

void fill_pod(Draft& pod, Value range) {
  Amounts limits, requests;
  for (Value limit : range["spec"]["limits"].items()) {
    if (limit["type"].as_string() != "Container") continue;
    for (const auto& [name, amount] : amounts_of(limit["defaultRequest"])) requests[name] = amount;
    for (const auto& [name, amount] : amounts_of(limit["default"])) limits[name] = amount;
  }
  std::vector<std::string> notes;
  for (auto [list, what] : {std::pair("containers", "container"), std::pair("initContainers", "init container")}) {
    Draft* containers = pod.find_path({"spec", list});
    if (!containers || !containers->is_array()) continue;
    for (Draft& c : containers->items()) {
      auto set_limits = fill(c, "limits", limits), set_requests = fill(c, "requests", requests);
      std::string_view name = c["name"].as_string();
      if (!set_requests.empty()) notes.push_back(fmt::format("{} request for {} {}", join(set_requests, ", "), what, name));
      if (!set_limits.empty()) notes.push_back(fmt::format("{} limit for {} {}", join(set_limits, ", "), what, name));
    }
  }
  if (!notes.empty()) pod["metadata"]["annotations"][annotation] = "LimitRanger plugin set: " + join(notes, "; ");
}

// The findings of one row of a LimitRange about one container, pod or claim.
struct Judge {
  std::string_view type;
  std::vector<std::string>& findings;

  void check(Value limit, const Amounts& requests, const Amounts& limits) {
    for (const auto& [name, least] : amounts_of(limit["min"])) minimum(name, least, requests, limits);
    for (const auto& [name, most] : amounts_of(limit["max"])) maximum(name, most, requests, limits);
    for (const auto& [name, most] : amounts_of(limit["maxLimitRequestRatio"])) ratio(name, most, requests, limits);
  }
  void minimum(const std::string& name, const Quantity& least, const Amounts& requests, const Amounts& limits) {
    auto request = requests.find(name), limit = limits.find(name);
    std::string rule = fmt::format("minimum {} usage per {} is {}", name, type, least.str());
    if (request == requests.end()) findings.push_back(rule + ".  No request is specified");
    else if (request->second < least) findings.push_back(fmt::format("{}, but request is {}", rule, request->second.str()));
    else if (limit != limits.end() && limit->second < least)
      findings.push_back(fmt::format("{}, but limit is {}", rule, limit->second.str()));
  }
  void maximum(const std::string& name, const Quantity& most, const Amounts& requests, const Amounts& limits) {
    auto request = requests.find(name), limit = limits.find(name);
    std::string rule = fmt::format("maximum {} usage per {} is {}", name, type, most.str());
    if (limit == limits.end()) findings.push_back(rule + ".  No limit is specified");
    else if (most < limit->second) findings.push_back(fmt::format("{}, but limit is {}", rule, limit->second.str()));
    else if (request != requests.end() && most < request->second)
      findings.push_back(fmt::format("{}, but request is {}", rule, request->second.str()));
  }
  void ratio(const std::string& name, const Quantity& most, const Amounts& requests, const Amounts& limits) {
    auto request = requests.find(name), limit = limits.find(name);
    std::string rule = fmt::format("{} max limit to request ratio per {} is {}", name, type, most.str());
    if (request == requests.end() || request->second.is_zero()) findings.push_back(rule + ", but no request is specified or request is 0");
    else if (limit == limits.end() || limit->second.is_zero()) findings.push_back(rule + ", but no limit is specified or limit is 0");
    else if (double given = limit->second.approximate() / request->second.approximate(); given > most.approximate())
      findings.push_back(fmt::format("{}, but provided ratio is {:f}", rule, given));
  }
  // A claim has one amount: its request stands for both.
  void check_claim(Value limit, const Amounts& requests) {
    for (const auto& [name, least] : amounts_of(limit["min"])) minimum(name, least, requests, {});
    for (const auto& [name, most] : amounts_of(limit["max"])) {
      auto request = requests.find(name);
      std::string rule = fmt::format("maximum {} usage per {} is {}", name, type, most.str());
      if (request == requests.end()) findings.push_back(rule + ".  No request is specified");
      else if (most < request->second) findings.push_back(fmt::format("{}, but request is {}", rule, request->second.str()));
    }
  }
};

std::vector<std::string> judge(bool is_pod, Value object, Value range) {
  std::vector<std::string> findings;
  Value spec = object["spec"];
  for (Value limit : range["spec"]["limits"].items()) {
    Judge one{limit["type"].as_string(), findings};
    if (!is_pod) {
      if (one.type == "PersistentVolumeClaim") one.check_claim(limit, amounts_of(spec["resources"]["requests"]));
    } else if (one.type == "Container") {
      for (std::string_view list : {"containers", "initContainers"})
        for (Value c : spec[list].items()) one.check(limit, amounts_of(c["resources"]["requests"]), amounts_of(c["resources"]["limits"]));
    } else if (one.type == "Pod") {
      one.check(limit, amounts_of_pod(spec, "requests", false), amounts_of_pod(spec, "limits", false));
    }
  }
  return findings;
}

}  // namespace

ApiResult<void> default_limits(const AdmissionAttributes& a, Draft& object) {
  if (!applies(a) || !a.work.is("", "pods") || a.operation != "CREATE") return {};
  for (const Document& range : ranges_in(a)) fill_pod(object, range);
  return {};
}

ApiResult<void> check_limits(const AdmissionAttributes& a, Value object) {
  if (!applies(a)) return {};
  for (const Document& range : ranges_in(a)) {
    auto findings = judge(a.work.is("", "pods"), object, range);
    if (findings.empty()) continue;
    std::string why = findings.size() == 1 ? findings[0] : "[" + join(findings, ", ") + "]";
    return fail(forbidden("", a.work.served->plural(), a.work.name, why));
  }
  return {};
}

}  // namespace kybern::apiserver::admission
