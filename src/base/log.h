// Structured log lines on standard error: time, level, component, message, then key=value pairs.
//   log_info("kubelet", "pod started", {{"pod", name}, {"after", "1.2s"}});
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace kybern {

enum class LogLevel : unsigned char { debug, info, warn, error };
using LogFields = std::initializer_list<std::pair<std::string_view, std::string>>;

void set_log_level(LogLevel level);
bool log_enabled(LogLevel level);
void log(LogLevel level, std::string_view component, std::string_view message, LogFields fields = {});

inline void log_debug(std::string_view component, std::string_view message, LogFields fields = {}) {
  log(LogLevel::debug, component, message, fields);
}
inline void log_info(std::string_view component, std::string_view message, LogFields fields = {}) {
  log(LogLevel::info, component, message, fields);
}
inline void log_warn(std::string_view component, std::string_view message, LogFields fields = {}) {
  log(LogLevel::warn, component, message, fields);
}
inline void log_error(std::string_view component, std::string_view message, LogFields fields = {}) {
  log(LogLevel::error, component, message, fields);
}

}  // namespace kybern
