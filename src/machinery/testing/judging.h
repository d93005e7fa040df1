// What tests of rules begin with: objects written as YAML or JSON, and what is found wrong with them, as one text.
#pragma once

#include <string>
#include <string_view>

#include "base/check.h"
#include "document/yaml.h"
#include "machinery/testing/typed.h"
#include "machinery/validate/validate.h"

namespace kybern::testing {

inline std::string json(std::string_view yaml) {
  auto parsed = parse_yaml(yaml);
  KYBERN_CHECK(parsed && !parsed->empty(), "a test writes YAML");
  return to_json((*parsed)[0].root());
}

// An item so many times, with commas between.
inline std::string many(std::size_t count, std::string_view item) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += std::string(i ? "," : "") + std::string(item);
  return out;
}

// The fields of a pod's spec, with a container where they name none.
inline std::string with_containers(std::string_view pod) {
  if (pod.contains("containers:")) return std::string(pod);
  return "containers: [{name: c, image: i}]" + std::string(pod.empty() ? "" : ", ") + std::string(pod);
}

// What is found in a new object, in a change of one, in a change of its status or of another subresource.
inline std::string refused(std::string_view group, std::string_view version, std::string_view kind, std::string_view yaml) {
  Typed one = typed(group, version, kind, json(yaml));
  return findings(validate(*one.resource, one.object));
}
inline std::string refused_change(std::string_view group, std::string_view version, std::string_view kind, std::string_view before,
                                  std::string_view after, std::string_view subresource = "") {
  Typed old = stored(group, version, kind, json(before)), now = stored(group, version, kind, json(after));
  if (subresource.empty()) return findings(validate_update(*now.resource, now.object, old.object));
  return findings(validate_subresource_update(*now.resource, subresource, now.object, old.object));
}

}  // namespace kybern::testing
