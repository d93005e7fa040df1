// Recorded conversations with a real API server, for tests: found beside the source tree, or not at all.
#pragma once

#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/strings.h"
#include "document/document.h"
#include "document/json.h"
#include "schema/schema.h"

namespace kybern::testing {

inline std::optional<Document> recorded(const std::string& source_dir, const std::string& file) {
  std::ifstream in(source_dir + "/../shared/recorded/" + file);
  if (!in) return std::nullopt;
  std::stringstream text;
  text << in.rdbuf();
  std::string all = text.str();
  for (std::string_view name : {"${ns}", "${ns2}"}) {
    for (std::size_t at = 0; (at = all.find(name, at)) != std::string::npos;) all.replace(at, name.size(), name.substr(2, name.size() - 3));
  }
  auto parsed = parse_json(all);
  if (!parsed) return std::nullopt;
  return *parsed;
}

struct Target {
  const schema::Resource* resource = nullptr;
  std::string name, subresource, space;
};

// /api/v1/namespaces/ns/pods/a/status, /apis/apps/v1/namespaces/ns/deployments
inline Target target(std::string_view path) {
  path = path.substr(0, path.find('?'));
  std::vector<std::string_view> parts = split(path, '/');
  if (parts.size() < 3) return {};
  std::size_t at = parts[1] == "api" ? 3 : 4;
  std::string_view group = parts[1] == "api" ? "" : parts[2], version = parts[at - 1];
  Target out;
  if (parts.size() > at + 2 && parts[at] == "namespaces" && schema::find_resource(group, version, parts[at + 2]) != nullptr) {
    out.space = parts[at + 1];
    at += 2;
  }
  if (parts.size() <= at) return {};
  out.resource = schema::find_resource(group, version, parts[at]);
  if (parts.size() > at + 1) out.name = parts[at + 1];
  if (parts.size() > at + 2) out.subresource = parts[at + 2];
  return out;
}

// What is recorded and not so in ours. Fields that depend on chance or time only have to be anything.
inline void differ(Value recorded, Value ours, const std::string& path, const std::set<std::string>& ignore,
                   std::vector<std::string>& out) {
  std::string key = path.substr(path.rfind('.') + 1);
  if (ignore.contains(key)) return;
  if (recorded.is_object()) {
    if (!ours.is_object()) {
      out.push_back(path + ": no object");
      return;
    }
    for (Member member : recorded.members()) {
      Value other = ours[member.key];
      if (!other.exists() && (member.value.is_null() || ignore.contains(std::string(member.key)))) continue;
      differ(member.value, other, path + "." + std::string(member.key), ignore, out);
    }
  } else if (recorded.is_array()) {
    if (!ours.is_array() || ours.size() != recorded.size()) {
      out.push_back(path + ": recorded " + to_json(recorded) + ", ours " + to_json(ours));
      return;
    }
    for (std::size_t i = 0; i < recorded.size(); ++i) differ(recorded[i], ours[i], path + "." + std::to_string(i), ignore, out);
  } else if (!(recorded == ours)) {
    out.push_back(path + ": recorded " + to_json(recorded) + ", ours " + (ours.exists() ? to_json(ours) : "nothing"));
  }
}

inline const std::set<std::string>& chance() {
  static const std::set<std::string> keys = {
      "uid",        "resourceVersion", "creationTimestamp",   "deletionTimestamp", "time",           "selfLink",      "clusterIP",
      "clusterIPs", "nodePort",        "healthCheckNodePort", "ipFamilies",        "ipFamilyPolicy", "managedFields", "generation",
      "status",     "finalizers"};
  return keys;
}

}  // namespace kybern::testing
