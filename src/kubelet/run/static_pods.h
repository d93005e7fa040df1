// Static pods: manifests in a folder of the node, run without the API's doing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "document/document.h"

namespace kybern::kubelet {

// One manifest as the pod it means: defaults filled in, the node's name behind its own, a uid that its content gives it.
Result<Document> read_static_pod(std::string_view manifest, std::string_view node_name, Time now);

// The pods of a folder (*.yaml, *.yml, *.json and files without a suffix; not those that begin with a dot). What cannot be
// read is logged and left out. `fingerprint` changes when a file was added, changed or removed.
std::vector<Document> read_static_pods(const std::string& folder, std::string_view node_name, Time now);
std::string static_pods_fingerprint(const std::string& folder);

}  // namespace kybern::kubelet
