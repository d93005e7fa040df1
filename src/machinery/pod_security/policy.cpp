#include "machinery/pod_security/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/strings.h"
#include "machinery/pod_security/checks.h"

namespace kybern::pod_security {
namespace {

constexpr std::string_view names[] = {"privileged", "baseline", "restricted"};

std::optional<Level> parse_level(std::string_view text) {
  for (int i = 0; i < 3; ++i)
    if (names[i] == text) return static_cast<Level>(i);
  return std::nullopt;
}

std::optional<int> parse_version(std::string_view text) {
  constexpr std::int64_t minor_max = 9999;
  if (text == "latest") return latest;
  if (!text.starts_with("v1.")) return std::nullopt;
  text.remove_prefix(3);
  bool digits = !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  return static_cast<int>(std::min(parse_int(text).value_or(minor_max), minor_max));
}

}  // namespace

std::string LevelVersion::str() const {
  return fmt::format("{}:{}", names[static_cast<int>(level)], minor == latest ? "latest" : fmt::format("v1.{}", minor));
}

Asked read_labels(Value labels) {
  Asked out;
  struct Mode {
    std::string_view label;
    LevelVersion& into;
    Level unreadable;
  };
  for (Mode mode : {Mode{"enforce", out.policy.enforce, Level::restricted},
                    {"audit", out.policy.audit, Level::privileged},
                    {"warn", out.policy.warn, Level::privileged}}) {
    auto wrong = [&](const std::string& label, Value value, std::string_view why) {
      out.errors.push_back(
          {FieldError::Type::invalid, fmt::format("metadata.labels[{}]", label), go_quote(value.as_string()), std::string(why)});
    };
    std::string label = fmt::format("pod-security.kubernetes.io/{}", mode.label), version_label = label + "-version";
    if (Value level = labels[label]; level.exists()) {
      auto parsed = parse_level(level.as_string());
      mode.into.level = parsed.value_or(mode.unreadable);
      if (!parsed) wrong(label, level, "must be one of privileged, baseline, restricted");
    }
    if (Value version = labels[version_label]; version.exists()) {
      auto parsed = parse_version(version.as_string());
      mode.into.minor = parsed.value_or(latest);
      if (!parsed) wrong(version_label, version, "must be \"latest\" or \"v1.x\"");
    }
  }
  return out;
}

std::string Verdict::reasons() const {
  std::vector<std::string> out;
  for (const Finding& finding : findings) out.push_back(finding.reason);
  return join(out, ", ");
}

std::string Verdict::details() const {
  std::vector<std::string> out;
  for (const Finding& finding : findings)
    out.push_back(finding.detail.empty() ? finding.reason : fmt::format("{} ({})", finding.reason, finding.detail));
  return join(out, ", ");
}

Verdict evaluate(LevelVersion policy, Value metadata, Value spec) {
  Verdict out;
  if (policy.level == Level::privileged) return out;
  auto holds = [&](const Check& check) { return check.since <= policy.minor && policy.minor < check.until; };
  std::set<std::string_view> overridden;
  if (policy.level == Level::restricted)
    for (const Check& check : checks())
      if (check.level == Level::restricted && !check.overrides.empty() && holds(check)) overridden.insert(check.overrides);
  Subject subject{metadata, spec, {}};
  for (const char* list : {"initContainers", "containers", "ephemeralContainers"})
    for (Value container : spec[list].items()) subject.containers.push_back(container);
  for (const Check& check : checks()) {
    if (check.level > policy.level || !holds(check) || overridden.contains(check.id)) continue;
    Finding finding;
    if (check.violated(subject, finding)) out.findings.push_back(std::move(finding));
  }
  return out;
}

bool significant_update(Value pod, Value old) {
  auto changed = [&](Value now, Value before) {
    std::string key = "container.seccomp.security.alpha.kubernetes.io/" + now["name"].str();
    return now["image"].as_string() != before["image"].as_string() ||
           pod["metadata"]["annotations"][key].as_string() != old["metadata"]["annotations"][key].as_string();
  };
  for (const char* list : {"containers", "initContainers"}) {
    Value now = pod["spec"][list], before = old["spec"][list];
    if (now.size() != before.size()) return true;
    for (std::size_t i = 0; i < now.size(); ++i)
      if (changed(now[i], before[i])) return true;
  }
  for (Value now : pod["spec"]["ephemeralContainers"].items()) {
    Value before;
    for (Value one : old["spec"]["ephemeralContainers"].items())
      if (one["name"] == now["name"]) before = one;
    if (!before.exists() || changed(now, before)) return true;
  }
  return false;
}

std::vector<std::string> warnings_about(std::string_view ns, LevelVersion enforce, const std::vector<Document>& pods) {
  // Of pods that one controller made the first comes before all others' seconds.
  std::vector<Value> order, repeated;
  std::set<std::string, std::less<>> controllers;
  for (const Document& pod : pods) {
    std::string_view controller;
    for (Value owner : pod["metadata"]["ownerReferences"].items())
      if (owner["controller"].as_bool()) controller = owner["uid"].as_string();
    if (controller.empty() || controllers.emplace(controller).second) order.push_back(pod);
    else repeated.push_back(pod);
  }
  order.insert(order.end(), repeated.begin(), repeated.end());
  std::size_t checked = std::min(order.size(), namespace_pods_max);
  struct Seen {
    std::string first;
    std::size_t count = 0;
  };
  std::map<std::string, Seen> seen;
  for (std::size_t i = 0; i < checked; ++i) {
    Verdict verdict = evaluate(enforce, order[i]["metadata"], order[i]["spec"]);
    if (verdict.allowed()) continue;
    Seen& one = seen[verdict.reasons()];
    std::string name = order[i]["metadata"]["name"].str();
    if (one.count++ == 0 || name < one.first) one.first = name;
  }
  std::vector<std::string> out, about;
  if (checked < order.size())
    out.push_back(
        fmt::format("new PodSecurity enforce level only checked against the first {} of {} existing pods", checked, order.size()));
  if (!seen.empty())
    out.push_back(
        fmt::format("existing pods in namespace {} violate the new PodSecurity enforce level \"{}\"", go_quote(ns), enforce.str()));
  for (const auto& [reasons, one] : seen) {
    std::string others = one.count == 1 ? "" : one.count == 2 ? " (and 1 other pod)" : fmt::format(" (and {} other pods)", one.count - 1);
    about.push_back(fmt::format("{}{}: {}", one.first, others, reasons));
  }
  std::ranges::sort(about);
  out.insert(out.end(), about.begin(), about.end());
  return out;
}

bool has_template(std::string_view group, std::string_view plural) {
  if (group.empty()) return plural == "replicationcontrollers" || plural == "podtemplates";
  if (group == "apps") return plural == "replicasets" || plural == "deployments" || plural == "statefulsets" || plural == "daemonsets";
  return group == "batch" && (plural == "jobs" || plural == "cronjobs");
}

Value template_of(std::string_view group, std::string_view plural, Value object) {
  if (!has_template(group, plural)) return {};
  if (plural == "podtemplates") return object["template"];
  if (plural == "cronjobs") return object["spec"]["jobTemplate"]["spec"]["template"];
  return object["spec"]["template"];
}

}  // namespace kybern::pod_security
