// The change from one PodStatus to another as a strategic merge patch that leaves alone what is not the kubelet's: the
// conditions of others, and fields that only the API server sets.
#pragma once

#include <optional>
#include <string_view>

#include "document/document.h"

namespace kybern::kubelet {

// Absent when nothing of the kubelet's differs. `uid` guards against a pod of the same name that came in between.
std::optional<Document> status_patch(Value old_status, Value new_status, std::string_view uid);

}  // namespace kybern::kubelet
