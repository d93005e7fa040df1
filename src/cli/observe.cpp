// Lists, then watches, and lists again when a watch ends: how wait, delete and rollout see what happens.
#include <algorithm>

#include "base/time.h"
#include "cli/session.h"
#include "document/json.h"

namespace kybern::cli {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds longest_read(1000 * 3600);
constexpr std::size_t longest_line_bytes = std::size_t(256) << 20;

std::chrono::milliseconds left(Deadline deadline) {
  if (!deadline) return longest_read;
  const auto rest = std::chrono::ceil<std::chrono::milliseconds>(*deadline - Clock::now());
  return std::max(rest, std::chrono::milliseconds(0));
}

}  // namespace

Deadline deadline_after(std::chrono::nanoseconds time) {
  return Clock::now() + std::min(time, std::chrono::nanoseconds(std::chrono::hours(24 * 365)));
}

std::string name_query(std::string_view name) { return query_of({{"fieldSelector", "metadata.name=" + std::string(name)}}); }

Result<StreamEnd> read_lines(net::ClientStream& stream, Deadline deadline, const std::function<bool(std::string_view)>& line) {
  std::string buffer;
  while (true) {
    const auto wait = left(deadline);
    if (deadline && wait.count() == 0) return StreamEnd::deadline;
    auto piece = stream.read_for(wait);
    if (!piece) {
      if (piece.error().code == Code::timeout) continue;
      return StreamEnd::closed;  // a watch that breaks is begun again like one that ended
    }
    if (piece->empty()) return StreamEnd::closed;
    buffer += *piece;
    if (buffer.size() > longest_line_bytes) return fail(Code::too_large, "error: a line of the watch is longer than 256 MiB");
    std::size_t from = 0;
    for (std::size_t end; (end = buffer.find('\n', from)) != std::string::npos; from = end + 1)
      if (end > from && !line(std::string_view(buffer).substr(from, end - from))) return StreamEnd::told;
    buffer.erase(0, from);
  }
}

Result<bool> observe(Session& session, const std::string& path, const std::string& query, Deadline deadline, const Observer& observer) {
  const std::string joint = query.empty() ? "" : query + "&";
  while (true) {
    auto list = session.call("GET", path, query);
    if (!list) return std::unexpected(shown(list.error()));
    for (Value item : (*list)["items"].items())
      if (observer.seen("ADDED", item)) return true;
    if (observer.listed && observer.listed((*list)["items"].size())) return true;
    auto stream =
        session.stream(path, joint + "watch=true&allowWatchBookmarks=true&resourceVersion=" + (*list)["metadata"]["resourceVersion"].str());
    if (!stream) return std::unexpected(shown(stream.error()));
    bool done = false;
    auto end = read_lines(**stream, deadline, [&](std::string_view line) {
      auto event = parse_json(line);
      if (!event) return false;
      const std::string_view type = (*event)["type"].as_string();
      if (type == "BOOKMARK") return true;
      if (type == "ERROR") return false;
      done = observer.seen(type, (*event)["object"]);
      return !done;
    });
    if (!end) return std::unexpected(end.error());
    if (done) return true;
    if (*end == StreamEnd::deadline || (deadline && Clock::now() >= *deadline)) return false;
  }
}

}  // namespace kybern::cli
