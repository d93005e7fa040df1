// A container's log as `kubectl logs` wants it: from the end or since a time, with times, a limit, and on and on.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "document/document.h"

namespace kybern::kubelet {

struct LogOptions {
  bool follow = false, previous = false, timestamps = false;
  std::optional<std::int64_t> tail_lines, limit_bytes;
  std::optional<Time> since;
  std::string stream;  // "stdout", "stderr"; "" for both
};
// Of a query like "follow=true&tailLines=10". Code::invalid with a message for a bad value.
Result<LogOptions> parse_log_options(std::string_view query, Time now);

// Which container's log is meant, by the pod's status as reported; Code::invalid with upstream's message when there is none:
// `container "a" in pod "b" is waiting to start: ContainerCreating`.
Result<std::string> log_container_id(Value status, std::string_view pod, std::string_view container, bool previous);

// Copies the log to `write` until its end or, following, until `running` is false and everything is written. `write`
// returns false to stop.
Result<void> copy_log(const std::string& path, const LogOptions& options, const std::function<bool(std::string bytes)>& write,
                      const std::function<bool()>& running);

}  // namespace kybern::kubelet
