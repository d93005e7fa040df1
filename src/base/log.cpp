#include "base/log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>

#include "base/strings.h"
#include "base/time.h"

namespace kybern {
namespace {
std::atomic<LogLevel> lowest{LogLevel::info};
constexpr std::string_view level_names[] = {"debug", "info ", "warn ", "error"};

bool needs_quotes(std::string_view text) {
  if (text.empty()) return true;
  for (char c : text)
    if (c <= ' ' || c == '"' || c == '=' || c == 0x7f) return true;
  return false;
}
}  // namespace

void set_log_level(LogLevel level) { lowest = level; }
bool log_enabled(LogLevel level) { return level >= lowest.load(std::memory_order_relaxed); }

void log(LogLevel level, std::string_view component, std::string_view message, LogFields fields) {
  if (!log_enabled(level)) return;
  Time now = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
  std::string line = fmt::format("{} {} {}: {}", format_rfc3339_micro(now), level_names[static_cast<int>(level)], component, message);
  for (const auto& [key, value] : fields) line += fmt::format(" {}={}", key, needs_quotes(value) ? go_quote(value) : value);
  line += '\n';
  // One write: lines of several threads do not mix.
  [[maybe_unused]] auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace kybern
