// Objects for the tests of reconcile functions, in few words.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

#include "base/time.h"
#include "document/document.h"
#include "document/json.h"

namespace kybern::controllers::testing_objects {

inline const Time epoch = Time(std::chrono::seconds(1'700'000'000));
inline Time at(std::int64_t seconds) { return epoch + std::chrono::seconds(seconds); }

inline Document json(std::string_view text) {
  Result<Document> out = parse_json(text);
  if (!out) throw std::runtime_error(out.error().message + ": " + std::string(text));
  return *std::move(out);
}

// A Draft that tests change with ["a"]["b"] before freeze().
inline Draft object(std::string_view api_version, std::string_view kind, std::string_view ns, std::string_view name) {
  Draft out = Draft::object({{"apiVersion", api_version}, {"kind", kind}});
  Draft meta = Draft::object({{"name", name},
                              {"uid", "uid-" + std::string(name)},
                              {"resourceVersion", "1"},
                              {"generation", 1},
                              {"creationTimestamp", format_rfc3339(epoch)}});
  if (!ns.empty()) meta["namespace"] = ns;
  out["metadata"] = std::move(meta);
  return out;
}

struct PodOptions {
  std::string owner = "web";  // name of the ReplicaSet; uid is "uid-" + it; "" for none
  std::string owner_kind = "ReplicaSet";
  std::string phase = "Running", node = "n1", app = "web";
  int ready_for = -1;  // seconds; -1: not ready
  int age = 100;
  bool deleting = false;
};

inline Document pod(std::string_view name, PodOptions o = {}) {
  Draft out = object("v1", "Pod", "d", name);
  Draft& meta = out["metadata"];
  meta["creationTimestamp"] = format_rfc3339(at(-o.age));
  meta["labels"] = Draft::object({{"app", o.app}});
  if (o.deleting) meta["deletionTimestamp"] = format_rfc3339(at(0));
  if (!o.owner.empty()) {
    meta["ownerReferences"] = Draft::array({Draft::object(
        {{"apiVersion", "apps/v1"}, {"kind", o.owner_kind}, {"name", o.owner}, {"uid", "uid-" + o.owner}, {"controller", true}})});
  }
  out["spec"] = Draft::object({{"nodeName", o.node}});
  out["status"] = Draft::object({{"phase", o.phase}});
  if (o.ready_for >= 0) {
    out["status"]["conditions"] =
        Draft::array({Draft::object({{"type", "Ready"}, {"status", "True"}, {"lastTransitionTime", format_rfc3339(at(-o.ready_for))}})});
  }
  return out.freeze();
}

}  // namespace kybern::controllers::testing_objects
