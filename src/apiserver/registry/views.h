// Versions of one resource that are views of the same stored objects: autoscaling/v1 of autoscaling/v2, and
// events.k8s.io/v1 of core/v1 Events.
#pragma once

#include <span>
#include <string_view>

#include "document/document.h"

namespace kybern::apiserver {

struct View {
  std::string_view group, version, plural, stored_group, stored_version;
  Document (*from_stored)(Value);
  Document (*to_stored)(Value);
};
std::span<const View> views();

}  // namespace kybern::apiserver
