// Files of a volume that change together: a reader sees the old set or the new one, never a mixture.
//
//   volume/..2026_01_02_03_04_05.123456789/key   the files
//   volume/..data -> ..2026_01_02_03_04_05.123456789   replaced by rename
//   volume/key -> ..data/key
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "kubelet/volumes/payload.h"

namespace kybern::kubelet {

// True when something changed. `group`: fsGroup, that may read every file. `stamp` names the new folder.
Result<bool> write_payload(const std::string& volume, const Payload& payload, std::optional<unsigned> group, Time now, std::uint64_t stamp);
// What is there now.
Result<Payload> read_payload(const std::string& volume);

}  // namespace kybern::kubelet
