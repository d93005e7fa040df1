// The log files that the runtime writes for a container. A line is "TIME STREAM TAG TEXT": an RFC 3339 time with
// nanoseconds, stdout or stderr, F for a whole line and P for a part of one.
//
//   2026-01-02T03:04:05.000000006Z stdout F hello
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"

namespace kybern::kubelet {

struct LogLine {
  std::string_view time, stream, text;  // of one line of the file, views into it
  bool partial = false;
};
std::optional<LogLine> parse_log_line(std::string_view line);  // without its line feed

// The end of a file, at most so many bytes; "" when it cannot be read.
std::string file_end(const std::string& path, std::size_t max_bytes);

// The last lines of a container's output, as text; at most `max_bytes`, of which the end is kept.
std::string last_log_lines(const std::string& path, std::size_t max_lines, std::size_t max_bytes);

}  // namespace kybern::kubelet
