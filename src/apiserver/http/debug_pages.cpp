#include "apiserver/http/debug_pages.h"

#include <fmt/format.h>

#include "apiserver/http/open_streams.h"
#include "apiserver/registry/served.h"

namespace kybern::apiserver {
namespace {

// Objects and the bytes of their blocks; what holds them (tree, keys) comes on top, about 300 bytes each.
std::string memory_json(Registry& registry) {
  store::Store::Stats stats = registry.store().stats();
  std::string out = fmt::format(R"({{"type":"store","entries":{},"bytes":{},"windowChanges":{},"watches":{},"fileBytes":{}}})",
                                stats.entries, stats.bytes, stats.window_changes, stats.watches, stats.file_bytes);
  store::Snapshot snapshot = registry.store().snapshot();
  for (const auto& served : registry.catalog().all()) {
    if (served->stored != &*served) continue;
    std::size_t objects = 0, bytes = 0;
    snapshot.scan(served->prefix, "", [&](const store::EntryPtr& entry) {
      ++objects;
      bytes += entry->value.memory();
      return true;
    });
    if (objects)
      out += fmt::format(
          ",\n"
          R"({{"type":"objects","group":"{}","resource":"{}","objects":{},"bytes":{}}})",
          served->group(), served->plural(), objects, bytes);
  }
  return out;
}

std::string flow_json(const FlowControl& flow) {
  std::string out;
  for (const Levels::Seen& level : flow.levels()->look()) {
    if (!out.empty()) out += ",\n";
    out += fmt::format(R"({{"type":"level","name":"{}","exempt":{},"nominalSeats":{},"executing":{},"waiting":{},"queues":[)", level.name,
                       level.exempt, level.nominal, level.executing_seats, level.waiting);
    bool first = true;
    for (std::size_t i = 0; i < level.queues.size(); ++i) {
      if (level.queues[i].waiting == 0) continue;
      out += fmt::format(R"({}{{"queue":{},"waiting":{}}})", first ? "" : ",", i, level.queues[i].waiting);
      first = false;
    }
    out += "]}";
  }
  return out;
}

std::string watches_json(Registry& registry) {
  std::string open = open_streams_json(registry.world().clock.steady());
  return fmt::format(R"({{"type":"store","watches":{}}}{}{})", registry.store().stats().watches, open.empty() ? "" : ",\n", open);
}

}  // namespace

DebugPages::DebugPages(Registry& registry, const FlowControl& flow)
    : memory_("memory", [&registry] { return memory_json(registry); }),
      watches_("watches", [&registry] { return watches_json(registry); }),
      flow_("flow", [&flow] { return flow_json(flow); }) {}

}  // namespace kybern::apiserver
