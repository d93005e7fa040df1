// Keeps container logs within bounds: a file that has grown too large is set aside under a name with the time, the runtime
// begins a new one, and the oldest are removed.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/time.h"

namespace kybern::kubelet {

class Cri;

struct LogLimits {
  std::int64_t max_bytes = 10 << 20;
  int max_files = 5;  // the current one included
};
// True when it was rotated.
Result<bool> rotate_log(Cri& cri, const std::string& container_id, const std::string& path, const LogLimits& limits, Time now);

}  // namespace kybern::kubelet
