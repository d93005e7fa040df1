// Images from archives (OCI layout in a tar file) into containerd, for nodes without a registry.
#pragma once

#include <string>

#include "base/result.h"

namespace kybern::kubelet {

// The image name that an archive's index carries ("kybern.io/pause:1").
Result<std::string> archive_image_name(const std::string& archive);
// By containerd's own tool, into the namespace that CRI uses. `endpoint`: unix:///...
Result<void> import_archive(const std::string& endpoint, const std::string& archive);

// An image's files, read-only, at an empty folder, for runtimes that cannot mount images themselves. `image`: as CRI's
// ImageStatus names it. Unmounting is the caller's; what containerd keeps for it is forgotten after a day.
Result<void> mount_image(const std::string& endpoint, const std::string& image, const std::string& folder);

}  // namespace kybern::kubelet
