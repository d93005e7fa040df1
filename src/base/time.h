// Points in time and their RFC 3339 forms as the Kubernetes API writes them (meta/v1 Time and MicroTime).
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace kybern {

using Duration = std::chrono::nanoseconds;
using Time = std::chrono::sys_time<Duration>;                                  // wall clock, UTC
using Instant = std::chrono::time_point<std::chrono::steady_clock, Duration>;  // monotonic

std::string format_rfc3339(Time t);                        // 2026-01-02T03:04:05Z (whole seconds)
std::string format_rfc3339_micro(Time t);                  // 2026-01-02T03:04:05.000006Z
std::string format_rfc3339_nano(Time t);                   // fraction as long as needed, none for whole seconds
std::optional<Time> parse_rfc3339(std::string_view text);  // any fraction, Z or an offset

// Go's duration strings ("1h30m", "1.5s", "300ms"), the form of meta/v1 Duration.
std::string format_duration(Duration d);
std::optional<Duration> parse_duration(std::string_view text);

}  // namespace kybern
