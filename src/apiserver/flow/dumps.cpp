// What upstream's operators look at when requests wait: rows of text, columns in line, a comma after each cell.
#include <fmt/format.h>

#include <algorithm>

#include "apiserver/flow/flow_control.h"

namespace kybern::apiserver {
namespace {

constexpr std::string_view dumps_path = "/debug/api_priority_and_fairness/";
using Rows = std::vector<std::vector<std::string>>;

std::string laid_out(const Rows& rows) {
  constexpr std::size_t narrowest = 8;
  std::vector<std::size_t> widths;
  for (const auto& row : rows)
    for (std::size_t i = 0; i + 1 < row.size(); ++i) {
      if (widths.size() <= i) widths.push_back(narrowest);
      widths[i] = std::max(widths[i], row[i].size() + 2);  // the comma and a space
    }
  std::string out;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i + 1 < row.size(); ++i) out += fmt::format("{:<{}}", row[i] + ",", widths[i]);
    if (!row.empty()) out += row.back();
    out += '\n';
  }
  return out;
}

std::string seat_seconds(double amount) { return fmt::format("{:.8f}ss", amount); }

std::string levels_dump(const Levels& levels) {
  Rows rows{{"PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests"}};
  for (const Levels::Seen& level : levels.look()) {
    auto active = std::count_if(level.queues.begin(), level.queues.end(), [](const auto& queue) { return queue.waiting > 0; });
    const bool idle = level.executing == 0 && level.waiting == 0;
    rows.push_back({level.name, std::to_string(active), idle ? "true" : "false", "false", std::to_string(level.waiting),
                    std::to_string(level.executing)});
  }
  return laid_out(rows);
}

std::string queues_dump(const Levels& levels) {
  Rows rows{{"PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "SeatsInUse", "NextDispatchR", "InitialSeatsSum",
             "MaxSeatsSum", "TotalWorkSum"}};
  for (const Levels::Seen& level : levels.look())
    for (std::size_t i = 0; level.queues_requests && i < level.queues.size(); ++i) {
      const auto& queue = level.queues[i];
      rows.push_back({level.name, std::to_string(i), std::to_string(queue.waiting), std::to_string(queue.executing),
                      std::to_string(queue.executing_seats), seat_seconds(queue.served), std::to_string(queue.waiting_seats),
                      std::to_string(queue.waiting_seats), seat_seconds(queue.waiting_seats)});
    }
  return laid_out(rows);
}

std::string requests_dump(const Levels& levels, bool details) {
  Rows rows{{"PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue", "FlowDistingsher", "ArriveTime", "InitialSeats",
             "FinalSeats", "AdditionalLatency"}};
  if (details)
    for (const char* column : {"UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource"})
      rows[0].emplace_back(column);
  levels.each_waiting([&](const std::string& level, std::size_t queue, std::size_t place, const Waiter& waiter) {
    rows.push_back({level, waiter.schema, std::to_string(queue), std::to_string(place), waiter.distinguisher,
                    format_rfc3339_nano(waiter.arrived), std::to_string(waiter.seat.width), "0", format_duration(waiter.seat.afterwards)});
    if (details) rows.back().insert(rows.back().end(), waiter.details.begin(), waiter.details.end());
  });
  return laid_out(rows);
}

}  // namespace

std::optional<std::string> flow_dump(const Levels& levels, std::string_view path, const Query& query) {
  if (!path.starts_with(dumps_path)) return std::nullopt;
  path.remove_prefix(dumps_path.size());
  if (path == "dump_priority_levels") return levels_dump(levels);
  if (path == "dump_queues") return queues_dump(levels);
  if (path == "dump_requests") return requests_dump(levels, !query.get("includeRequestDetails").empty());
  return std::nullopt;
}

}  // namespace kybern::apiserver
