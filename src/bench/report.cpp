#include "bench/report.h"

#include <fmt/format.h>

#include "document/json.h"

namespace kybern::bench {
namespace {

double ms(std::chrono::nanoseconds value) { return std::chrono::duration<double, std::milli>(value).count(); }
double per(double amount, double of) { return of > 0 ? amount / of : 0; }

}  // namespace

std::string table_of(const std::vector<Measured>& results) {
  bool server = false;
  for (const Measured& m : results) server = server || m.server_rss_kb > 0;
  std::string out = fmt::format("{:<10}{:>9}{:>8}{:>10}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}", "", "done", "failed", "per s", "p50 ms", "p90 ms",
                                "p99 ms", "p99.9", "max", "MB/s");
  out += fmt::format("{:>12}", "own us/op");
  if (server) out += fmt::format("{:>14}{:>10}{:>10}", "server us/op", "RSS MB", "rise MB");
  out += '\n';
  for (const Measured& m : results) {
    if (!m.skipped.empty()) {
      out += fmt::format("{:<10}not done: {}\n", m.name, m.skipped);
      continue;
    }
    auto n = static_cast<double>(m.operations);
    out += fmt::format("{:<10}{:>9}{:>8}{:>10.0f}{:>9.2f}{:>9.2f}{:>9.2f}{:>9.2f}{:>9.2f}{:>9.1f}{:>12.1f}", m.name, m.operations,
                       m.failed(), per(n, m.seconds), ms(m.latency.quantile(0.5)), ms(m.latency.quantile(0.9)),
                       ms(m.latency.quantile(0.99)), ms(m.latency.quantile(0.999)), ms(m.latency.max()),
                       per(static_cast<double>(m.bytes) / 1e6, m.seconds), per(m.own_cpu_seconds * 1e6, n));
    if (server)
      out += fmt::format("{:>14.1f}{:>10.1f}{:>10.1f}", per(m.server_cpu_seconds * 1e6, n), static_cast<double>(m.server_rss_kb) / 1024,
                         static_cast<double>(m.server_rss_peak_kb - m.server_rss_before_kb) / 1024);
    out += '\n';
    for (const auto& [error, count] : m.errors) out += fmt::format("{:<10}  {} x {}\n", "", count, error);
  }
  return out;
}

std::string json_of(const std::vector<Measured>& results) {
  Draft list = Draft::array();
  for (const Measured& m : results) {
    Draft one = Draft::object({{"name", m.name}});
    if (!m.skipped.empty()) {
      one["skipped"] = m.skipped;
      list.push_back(std::move(one));
      continue;
    }
    auto n = static_cast<double>(m.operations);
    one["connections"] = static_cast<std::int64_t>(m.connections);
    one["loop"] = m.rate > 0 ? "open" : "closed";
    if (m.rate > 0) one["offeredPerSecond"] = m.rate;
    one["operations"] = static_cast<std::int64_t>(m.operations);
    one["failed"] = static_cast<std::int64_t>(m.failed());
    one["seconds"] = m.seconds;
    one["perSecond"] = per(n, m.seconds);
    one["bytes"] = static_cast<std::int64_t>(m.bytes);
    Draft& latency = one["latencyMs"];
    latency["mean"] = m.latency.mean_ms();
    for (auto [name, share] : {std::pair("p50", 0.5), {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}})
      latency[name] = ms(m.latency.quantile(share));
    latency["max"] = ms(m.latency.max());
    one["ownCpuMicrosecondsPerOperation"] = per(m.own_cpu_seconds * 1e6, n);
    if (m.server_rss_kb > 0) {
      one["serverCpuMicrosecondsPerOperation"] = per(m.server_cpu_seconds * 1e6, n);
      one["serverResidentKb"] = m.server_rss_kb;
      one["serverResidentRiseKb"] = m.server_rss_peak_kb - m.server_rss_before_kb;
    }
    for (const auto& [error, count] : m.errors) one["errors"][error] = static_cast<std::int64_t>(count);
    list.push_back(std::move(one));
  }
  std::string out;
  write_json_indented(Draft::object({{"results", std::move(list)}}).freeze().root(), out, 2);
  return out + "\n";
}

}  // namespace kybern::bench
