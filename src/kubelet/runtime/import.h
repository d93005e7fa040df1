// Images from archives (OCI layout in a tar file) into containerd, for nodes without a registry.
#pragma once

#include <string>

#include "base/result.h"

namespace kybern::kubelet {

// The image name that an archive's index carries ("kybern.io/pause:1").
Result<std::string> archive_image_name(const std::string& archive);
// By containerd's own tool, into the namespace that CRI uses. `endpoint`: unix:///...
Result<void> import_archive(const std::string& endpoint, const std::string& archive);

}  // namespace kybern::kubelet
