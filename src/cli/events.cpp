// events: what happened, oldest first; of one object with --for.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/strings.h"
#include "base/time.h"
#include "base/world.h"
#include "cli/command.h"
#include "cli/events.h"
#include "cli/output.h"
#include "cli/subjects.h"
#include "cli/table.h"
#include "document/json.h"
#include "machinery/duration_text.h"

namespace kybern::cli {

Time event_time(Value event) {
  for (Value time :
       {event["series"]["lastObservedTime"], event["lastTimestamp"], event["eventTime"], event["metadata"]["creationTimestamp"]})
    if (auto parsed = parse_rfc3339(time.as_string())) return *parsed;
  return {};
}

std::string event_age(Value event, Time now) {
  const std::string age = human_age(event_time(event), now);
  const std::int64_t count = std::max(event["count"].as_int(), event["series"]["count"].as_int());
  if (count <= 1) return age;
  auto first = parse_rfc3339(event["firstTimestamp"].as_string());
  if (!first) first = parse_rfc3339(event["eventTime"].as_string());
  return age + fmt::format(" (x{} over {})", count, human_age(first.value_or(Time()), now));
}

namespace {

struct Filter {
  std::string kind, name, api_version;  // of --for
  std::vector<std::string> types;

  bool fits(Value event) const {
    if (types.empty()) return true;
    return std::any_of(types.begin(), types.end(),
                       [&](const std::string& type) { return equals_ignore_case(type, event["type"].as_string()); });
  }
  std::string query() const {
    if (name.empty()) return "";
    return query_of({{"fieldSelector",
                      fmt::format("involvedObject.kind={},involvedObject.name={},involvedObject.apiVersion={}", kind, name, api_version)}});
  }
};

Result<Filter> read_filter(Session& session, const Arguments& arguments) {
  Filter out;
  for (const std::string& type : arguments.list("types")) {
    if (!equals_ignore_case(type, "normal") && !equals_ignore_case(type, "warning")) return refuse("valid --types are Normal or Warning");
    out.types.push_back(type);
  }
  const std::string about = arguments.text("for");
  if (about.empty()) return out;
  const std::size_t slash = about.rfind('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == about.size()) return refuse("--for must be in resource/name form");
  auto discovery = session.discovery();
  if (!discovery) return std::unexpected(discovery.error());
  auto type = (*discovery)->find(about.substr(0, slash));
  if (!type) return std::unexpected(type.error());
  out.kind = (*type)->kind;
  out.api_version = (*type)->api_version();
  out.name = about.substr(slash + 1);
  return out;
}

struct Printer {
  const Arguments& arguments;
  Output output;
  TableWriter table{};
  bool headed = false;

  void row(Value event) {
    const Time now = real_world().clock.now();
    const Value object = event["involvedObject"];
    if (!headed && !arguments.on("no-headers")) {
      std::vector<std::string> head{"LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"};
      if (arguments.on("all-namespaces")) head.insert(head.begin(), "NAMESPACE");
      table.head(head);
    }
    headed = true;
    std::vector<std::string> cells{event_age(event, now), event["type"].str(), event["reason"].str(),
                                   object["kind"].str() + "/" + object["name"].str(), std::string(trim(event["message"].as_string()))};
    if (arguments.on("all-namespaces")) cells.insert(cells.begin(), event["metadata"]["namespace"].str());
    table.row(std::move(cells));
  }
};

Result<int> events(Session& session, const Arguments& arguments) {
  auto output = Output::parse(arguments.text("output"));
  if (!output) return std::unexpected(output.error());
  auto filter = read_filter(session, arguments);
  if (!filter) return std::unexpected(filter.error());
  const bool everywhere = arguments.on("all-namespaces");
  const std::string path = everywhere ? "/api/v1/events" : "/api/v1/namespaces/" + url_encode(session.ns()) + "/events";
  const std::string query = filter->query();
  auto list = session.call("GET", path, query);
  if (!list) return std::unexpected(shown(list.error()));
  std::vector<Document> found;
  for (Value item : (*list)["items"].items())
    if (filter->fits(item)) {
      Draft whole(item);
      whole["apiVersion"] = "v1";
      whole["kind"] = "Event";
      found.push_back(whole.freeze());
    }
  std::stable_sort(found.begin(), found.end(), [](const Document& a, const Document& b) { return event_time(a) < event_time(b); });
  Printer printer{arguments, *output};
  if (!arguments.on("watch") && found.empty() && output->human()) {
    fmt::print(stderr, "{}\n", everywhere ? "No events found." : fmt::format("No events found in {} namespace.", session.ns()));
    return 0;
  }
  if (!output->human()) {
    auto text = output->print(found, true, nullptr);
    if (!text) return std::unexpected(text.error());
    fmt::print("{}", *text);
  } else {
    for (const Document& event : found) printer.row(event);
    fmt::print("{}", printer.table.flush());
  }
  std::fflush(stdout);
  if (!arguments.on("watch")) return 0;
  std::string version = (*list)["metadata"]["resourceVersion"].str();
  while (true) {
    auto stream = session.stream(path, query + (query.empty() ? "" : "&") + "watch=true&resourceVersion=" + version);
    if (!stream) return std::unexpected(shown(stream.error()));
    auto end = read_lines(**stream, {}, [&](std::string_view line) {
      auto event = parse_json(line);
      if (!event || (*event)["type"].as_string() == "ERROR") return false;
      const Value object = (*event)["object"];
      version = object["metadata"]["resourceVersion"].str();
      if ((*event)["type"].as_string() == "DELETED" || !filter->fits(object)) return true;
      printer.row(object);
      fmt::print("{}", printer.table.flush());
      return std::fflush(stdout) == 0;
    });
    if (!end) return std::unexpected(end.error());
  }
}

}  // namespace

Command events_command() {
  using namespace flags;
  return {"events",
          "what happened",
          "[--for=TYPE/NAME] [--types=Normal,Warning] [flags]",
          {output(), boolean("all-namespaces", "of all namespaces", false, 'A'), text("for", "of this object: pod/web"),
           list("types", "Normal, Warning"), boolean("watch", "go on and show more as it happens", false, 'w'),
           boolean("no-headers", "without the line of column names"), number("chunk-size", "accepted for compatibility", "500")},
          events};
}

}  // namespace kybern::cli
