#include "client/watch_lines.h"

#include "document/json.h"

namespace kybern::client {
namespace {

// `type` of the wire: ADDED MODIFIED DELETED BOOKMARK ERROR.
bool read_type(std::string_view text, WatchLine::Type& out) {
  if (text == "ADDED" || text == "MODIFIED") out = WatchLine::Type::put;
  else if (text == "DELETED") out = WatchLine::Type::erased;
  else if (text == "BOOKMARK") out = WatchLine::Type::bookmark;
  else if (text == "ERROR") out = WatchLine::Type::error;
  else return false;
  return true;
}

Document own_block(Value value) {
  BlockWriter writer;
  writer.copy(value);
  return writer.finish();
}

}  // namespace

Result<std::vector<WatchLine>> WatchLines::feed(std::string_view piece) {
  std::vector<WatchLine> out;
  while (!piece.empty()) {
    const std::size_t end = piece.find('\n');
    const std::string_view part = piece.substr(0, end);
    if (rest_.size() + part.size() > line_limit_bytes) return fail(Code::too_large, "a watch event is larger than 32 MiB");
    if (end == std::string_view::npos) {
      rest_ += part;
      break;
    }
    piece.remove_prefix(end + 1);
    std::string_view line = part;
    if (!rest_.empty()) {
      rest_ += part;
      line = rest_;
    }
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) {
      Result<Document> parsed = parse_json(line);
      if (!parsed) return std::unexpected(parsed.error());
      WatchLine event{};
      if (!read_type((*parsed)["type"].as_string(), event.type)) return fail(Code::invalid, "a watch event has no known type");
      if (!(*parsed)["object"].is_object()) return fail(Code::invalid, "a watch event has no object");
      event.object = own_block((*parsed)["object"]);
      out.push_back(std::move(event));
    }
    rest_.clear();
  }
  return out;
}

void append_list_items(const Document& list, std::vector<Document>& out) {
  std::string_view kind = list["kind"].as_string();
  if (kind.ends_with("List")) kind.remove_suffix(4);
  const Value items = list["items"];
  out.reserve(out.size() + items.size());
  for (Value item : items.items()) {
    if (item["kind"].exists() && item["apiVersion"].exists()) {
      out.push_back(own_block(item));
      continue;
    }
    BlockWriter writer;
    writer.begin_object();
    writer.key("kind");
    writer.string(kind);
    writer.key("apiVersion");
    writer.string(list["apiVersion"].as_string());
    for (Member m : item.members()) {
      if (m.key == "kind" || m.key == "apiVersion") continue;
      writer.key(m.key);
      writer.copy(m.value);
    }
    writer.end_object();
    out.push_back(writer.finish());
  }
}

}  // namespace kybern::client
