#include "apiserver/http/list_writer.h"

#include <fmt/format.h>

#include <utility>

#include "apiserver/custom/custom.h"
#include "document/json.h"
#include "schema/protobuf_parts.h"

namespace kybern::apiserver {
namespace {

// Writes the members of an item of a list: kind and apiVersion are said once, by the list, but for custom resources.
void write_item(Value item, bool whole, std::string& out) {
  if (whole) return write_json(item, out);
  out += '{';
  bool first = true;
  for (Member m : item.members()) {
    if (m.key == "kind" || m.key == "apiVersion") continue;
    if (!first) out += ',';
    first = false;
    out += '"';
    out += m.key;  // top-level field names of objects need no escaping
    out += "\":";
    write_json(m.value, out);
  }
  out += '}';
}

Draft list_metadata(Listing& listing) {
  Draft metadata = Draft::object();
  metadata["resourceVersion"] = listing.resource_version;
  if (std::string token = listing.continue_token(); !token.empty()) metadata["continue"] = token;
  if (auto left = listing.remaining()) metadata["remainingItemCount"] = *left;
  return metadata;
}

std::string indented(Value value, std::size_t level) {
  std::string text, out;
  write_json_indented(value, text, 2);
  for (char c : text) {
    out += c;
    if (c == '\n') out.append(2 * level, ' ');  // a text's own line ends are escaped
  }
  return out;
}

std::string list_kind(const Listing& listing) {
  return listing.served->custom ? std::string(listing.served->custom->list_kind()) : std::string(listing.served->kind()) + "List";
}

}  // namespace

ListWriter::ListWriter(Listing listing, const Accepted& accepted, TableOptions table)
    : listing_(std::move(listing)), accepted_(accepted), table_(table) {}

bool ListWriter::produce(std::string& out, std::size_t limit) {
  if (!begun_) begin(out);
  while (out.size() < limit) {
    Document object = listing_.next();
    if (!object) {
      if (pretty())
        out += (items_ ? "\n  ],\n  \"metadata\": " : "],\n  \"metadata\": ") + indented(list_metadata(listing_).freeze(), 1) + "\n}";
      else out += "],\"metadata\":" + to_json(list_metadata(listing_)) + "}\n";
      return false;
    }
    if (items_++) out += ',';
    if (pretty()) {
      out += "\n    " + indented(item(object.root()), 2);
      continue;
    }
    if (accepted_.shape == Shape::object) write_item(object.root(), listing_.served->custom != nullptr, out);
    else write_json(item(object.root()), out);
  }
  return true;
}

void ListWriter::begin(std::string& out) {
  begun_ = true;
  if (pretty()) return begin_pretty(out);
  if (accepted_.shape == Shape::table) {
    out += fmt::format(R"({{"kind":"Table","apiVersion":"{}","columnDefinitions":{},"rows":[)", accepted_.meta_version(),
                       to_json(table_columns(*listing_.served)));
  } else if (accepted_.shape == Shape::object) {
    out += fmt::format("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",\"items\":[", list_kind(listing_), listing_.served->api_version);
  } else {
    out += fmt::format(R"({{"kind":"PartialObjectMetadataList","apiVersion":"{}","items":[)", accepted_.meta_version());
  }
}

// For a person: each member on a line of its own.
bool ListWriter::pretty() const { return accepted_.pretty && accepted_.format == Format::json; }

void ListWriter::begin_pretty(std::string& out) {
  bool table = accepted_.shape == Shape::table, whole = accepted_.shape == Shape::object;
  out += fmt::format("{{\n  \"kind\": \"{}\",\n  \"apiVersion\": \"{}\",\n",
                     table   ? "Table"
                     : whole ? list_kind(listing_)
                             : "PartialObjectMetadataList",
                     whole ? listing_.served->api_version : accepted_.meta_version());
  if (table) out += "  \"columnDefinitions\": " + indented(table_columns(*listing_.served).freeze(), 1) + ",\n";
  out += table ? "  \"rows\": [" : "  \"items\": [";
}

Document ListWriter::item(Value object) const {
  if (accepted_.shape == Shape::table) return table_row(*listing_.served, object, table_).freeze();
  if (accepted_.shape != Shape::object) return partial_metadata(object, accepted_.meta_version()).freeze();
  Draft out(object);
  if (!listing_.served->custom) out.erase("kind"), out.erase("apiVersion");
  return out.freeze();
}

ProtobufListWriter::ProtobufListWriter(Listing listing, const Accepted& accepted) : listing_(std::move(listing)), accepted_(accepted) {}

// XList {1: ListMeta, 2: repeated X}, and the whole in an envelope.
void ProtobufListWriter::encode() {
  const bool whole = accepted_.shape == Shape::object;
  const std::string api_version = whole ? listing_.served->api_version : std::string(accepted_.meta_version());
  const schema::Type& type = *schema::find_type(api_version, whole ? listing_.served->kind() : "PartialObjectMetadata");
  std::size_t bytes = 0;
  std::string piece;
  auto put_away = [&] {
    bytes += piece.size();
    piece.shrink_to_fit();
    pieces_.push_back(std::move(piece));
    piece.clear();
  };
  pieces_.emplace_back();  // what comes first is known last
  while (Document object = listing_.next()) {
    if (whole) schema::encode_field(type, 2, object.root(), piece);
    else schema::encode_field(type, 2, partial_metadata(object.root(), accepted_.meta_version()).freeze().root(), piece);
    if (piece.size() >= list_chunk_bytes) put_away();
  }
  put_away();
  std::string metadata;
  schema::encode_field(*schema::find_type_named("meta.v1.ListMeta"), 1, list_metadata(listing_).freeze().root(), metadata);
  pieces_.front() =
      schema::envelope_head(api_version, whole ? list_kind(listing_) : "PartialObjectMetadataList", metadata.size() + bytes) + metadata;
  pieces_.emplace_back(schema::envelope_tail());
}

bool ProtobufListWriter::produce(std::string& out, std::size_t limit) {
  if (pieces_.empty()) encode();
  while (sent_ < pieces_.size() && out.size() < limit) out += std::exchange(pieces_[sent_++], std::string());
  return sent_ < pieces_.size();
}

}  // namespace kybern::apiserver
