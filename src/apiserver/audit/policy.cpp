#include "apiserver/audit/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/strings.h"
#include "document/yaml.h"

namespace kybern::apiserver::audit {
namespace {

constexpr std::size_t max_policy_bytes = 1 << 20;

bool has(const std::vector<std::string>& list, std::string_view text) { return std::find(list.begin(), list.end(), text) != list.end(); }

std::vector<std::string> texts(Value list) {
  std::vector<std::string> out;
  for (Value item : list.items()) out.push_back(item.str());
  return out;
}

std::optional<Level> level_of(std::string_view text) {
  for (Level level : {Level::none, Level::metadata, Level::request, Level::request_response})
    if (text == text_of(level)) return level;
  return std::nullopt;
}

unsigned stages_of(Value list, const std::string& path, std::vector<std::string>& wrong) {
  unsigned out = 0;
  std::size_t i = 0;
  for (Value item : list.items()) {
    bool known = false;
    for (Stage stage : {Stage::request_received, Stage::response_started, Stage::response_complete, Stage::panic})
      if (item.as_string() == text_of(stage)) out |= static_cast<unsigned>(stage), known = true;
    if (!known)
      wrong.push_back(fmt::format("{}[{}]: Invalid value: {}: allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic",
                                  path, i, go_quote(item.as_string())));
    ++i;
  }
  return out;
}

void check_fields(Value object, std::string_view path, std::initializer_list<std::string_view> known, std::vector<std::string>& wrong) {
  for (Member m : object.members())
    if (std::find(known.begin(), known.end(), m.key) == known.end())
      wrong.push_back(fmt::format("unknown field {}", go_quote(path.empty() ? std::string(m.key) : fmt::format("{}.{}", path, m.key))));
}

bool path_matches(std::string_view path, std::string_view pattern) {
  if (pattern == "*" || pattern == path) return true;
  if (!pattern.ends_with('*')) return false;
  while (pattern.ends_with('*')) pattern.remove_suffix(1);
  return path.starts_with(pattern);
}

}  // namespace

std::string_view text_of(Level level) {
  static constexpr std::string_view names[] = {"None", "Metadata", "Request", "RequestResponse"};
  return names[static_cast<int>(level)];
}

std::string_view text_of(Stage stage) {
  switch (stage) {
    case Stage::request_received: return "RequestReceived";
    case Stage::response_started: return "ResponseStarted";
    case Stage::response_complete: return "ResponseComplete";
    case Stage::panic: break;
  }
  return "Panic";
}

Result<Policy> Policy::parse(std::string_view yaml) {
  if (yaml.size() > max_policy_bytes)
    return fail(Code::too_large, fmt::format("the audit policy is larger than {} bytes", max_policy_bytes));
  auto documents = parse_yaml(yaml);
  if (!documents) return fail(Code::invalid, documents.error().message);
  Value root = documents->empty() ? Value() : documents->front().root();
  if (root["kind"].as_string() != "Policy" || root["apiVersion"].as_string() != "audit.k8s.io/v1")
    return fail(Code::invalid, "expected apiVersion audit.k8s.io/v1, kind Policy");
  std::vector<std::string> wrong;
  check_fields(root, "", {"kind", "apiVersion", "metadata", "rules", "omitStages", "omitManagedFields"}, wrong);
  Policy out;
  out.omitted_stages_ = stages_of(root["omitStages"], "omitStages", wrong);
  const bool omit_managers = root["omitManagedFields"].as_bool();
  if (root["rules"].empty()) return fail(Code::invalid, "loaded illegal policy with 0 rules");
  std::size_t i = 0;
  for (Value r : root["rules"].items()) {
    const std::string at = fmt::format("rules[{}]", i++);
    check_fields(r, at,
                 {"level", "users", "userGroups", "verbs", "resources", "namespaces", "nonResourceURLs", "omitStages", "omitManagedFields"},
                 wrong);
    Rule rule;
    auto level = level_of(r["level"].as_string());
    if (!level)
      wrong.push_back(
          r["level"].as_string().empty()
              ? fmt::format("{}.level: Required value", at)
              : fmt::format("{}.level: Unsupported value: {}: supported values: \"None\", \"Metadata\", \"Request\", \"RequestResponse\"",
                            at, go_quote(r["level"].as_string())));
    rule.verdict = {level.value_or(Level::none), out.omitted_stages_ | stages_of(r["omitStages"], at + ".omitStages", wrong),
                    r["omitManagedFields"].as_bool(omit_managers)};
    rule.users = texts(r["users"]);
    rule.groups = texts(r["userGroups"]);
    rule.verbs = texts(r["verbs"]);
    rule.namespaces = texts(r["namespaces"]);
    rule.paths = texts(r["nonResourceURLs"]);
    for (Value g : r["resources"].items()) {
      check_fields(g, at + ".resources", {"group", "resources", "resourceNames"}, wrong);
      Resources resources{g["group"].str(), texts(g["resources"]), texts(g["resourceNames"])};
      if (resources.resources.empty() && !resources.names.empty())
        wrong.push_back(fmt::format("{}.resources.resourceNames: Invalid value: using resourceNames requires at least one resource", at));
      if (resources.group.find('/') != std::string::npos)
        wrong.push_back(fmt::format("{}.resources.group: Invalid value: {}: a group has no version", at, go_quote(resources.group)));
      rule.resources.push_back(std::move(resources));
    }
    if (!rule.paths.empty() && (!rule.resources.empty() || !rule.namespaces.empty()))
      wrong.push_back(
          fmt::format("{}.nonResourceURLs: Invalid value: rules cannot apply to both regular resources and non-resource URLs", at));
    for (const std::string& path : rule.paths) {
      if (path == "*") continue;
      if (!path.starts_with('/'))
        wrong.push_back(fmt::format("{}.nonResourceURLs: Invalid value: {}: non-resource URL rules must begin with a '/' character", at,
                                    go_quote(path)));
      else if (auto star = path.find('*'); star != std::string::npos && star + 1 != path.size())
        wrong.push_back(
            fmt::format("{}.nonResourceURLs: Invalid value: {}: non-resource URL wildcards '*' must be the final character of the rule", at,
                        go_quote(path)));
    }
    out.rules_.push_back(std::move(rule));
  }
  if (!wrong.empty()) return fail(Code::invalid, join(wrong, "; "));
  return out;
}

bool Policy::matches_resource(const Rule& rule, const RequestInfo& info) {
  if (!info.is_resource || (!rule.namespaces.empty() && !has(rule.namespaces, info.ns))) return false;
  if (rule.resources.empty()) return true;
  const std::string combined = info.subresource.empty() ? info.resource : info.resource + "/" + info.subresource;
  for (const Resources& r : rule.resources) {
    if (r.group != info.group) continue;
    if (r.resources.empty()) return true;
    if (!r.names.empty() && !has(r.names, info.name)) continue;
    for (std::string_view one : r.resources) {
      if (one == "*" || one == combined) return true;
      if (!info.subresource.empty() && one.starts_with("*/") && one.substr(2) == info.subresource) return true;
      if (one.ends_with("/*") && one.substr(0, one.size() - 2) == info.resource) return true;
    }
  }
  return false;
}

bool Policy::matches(const Rule& rule, const User& user, const RequestInfo& info) {
  if (!rule.users.empty() && !has(rule.users, user.name)) return false;
  if (!rule.groups.empty() &&
      std::none_of(user.groups.begin(), user.groups.end(), [&](const std::string& g) { return has(rule.groups, g); }))
    return false;
  if (!rule.verbs.empty() && !has(rule.verbs, info.verb)) return false;
  if (!rule.namespaces.empty() || !rule.resources.empty()) return matches_resource(rule, info);
  if (rule.paths.empty()) return true;
  return !info.is_resource &&
         std::any_of(rule.paths.begin(), rule.paths.end(), [&](const std::string& p) { return path_matches(info.path, p); });
}

Verdict Policy::judge(const User& user, const RequestInfo& info) const {
  for (const Rule& rule : rules_)
    if (matches(rule, user, info)) return rule.verdict;
  return {Level::none, omitted_stages_, false};
}

}  // namespace kybern::apiserver::audit
