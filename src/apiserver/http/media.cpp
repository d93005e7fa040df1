#include "apiserver/http/media.h"

#include <fmt/format.h>

#include "base/strings.h"
#include "document/json.h"
#include "document/yaml.h"
#include "schema/protobuf.h"

namespace kybern::apiserver {
namespace {

constexpr std::string_view served_types = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
constexpr std::string_view protobuf_type = "application/vnd.kubernetes.protobuf";

struct Range {
  std::string type;
  std::vector<std::pair<std::string, std::string>> parameters;
  double quality = 1;
  std::string_view parameter(std::string_view name) const {
    for (const auto& [key, value] : parameters)
      if (key == name) return value;
    return {};
  }
};

Range read_range(std::string_view text) {
  Range range;
  bool first = true;
  for (std::string_view piece : split(text, ';')) {
    piece = trim(piece);
    if (first) {
      range.type = to_lower(piece);
      first = false;
      continue;
    }
    auto equals = piece.find('=');
    if (equals == std::string_view::npos) continue;
    std::string key = to_lower(trim(piece.substr(0, equals)));
    std::string value(trim(piece.substr(equals + 1)));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    if (key == "q") range.quality = std::atof(value.c_str());
    else range.parameters.emplace_back(std::move(key), std::move(value));
  }
  return range;
}

bool matches(const Range& range, Format& format) {
  if (range.type == "*/*" || range.type == "application/*" || range.type == "application/json") format = Format::json;
  else if (range.type == "application/yaml") format = Format::yaml;
  else if (range.type == protobuf_type) format = Format::protobuf;
  else return false;
  return true;
}

}  // namespace

std::string Accepted::content_type() const {
  std::string type = format == Format::json ? "application/json" : format == Format::yaml ? "application/yaml" : std::string(protobuf_type);
  if (shape == Shape::discovery) return type + ";g=apidiscovery.k8s.io;v=" + shape_version + ";as=APIGroupDiscoveryList";
  return type;
}

std::string Accepted::stream_content_type() const {
  if (format == Format::protobuf) return fmt::format("{};stream=watch", protobuf_type);
  return content_type();
}

ApiResult<Accepted> negotiate(std::string_view accept, bool tables, bool discovery) {
  Accepted best;
  if (trim(accept).empty()) return best;
  double best_quality = 0;
  for (std::string_view piece : split(accept, ',')) {
    Range range = read_range(piece);
    Accepted candidate;
    if (range.quality <= best_quality || !matches(range, candidate.format)) continue;
    candidate.pretty = range.parameter("pretty") == "1" || range.parameter("pretty") == "true";
    std::string_view as = range.parameter("as"), group = range.parameter("g"), version = range.parameter("v");
    if (!as.empty()) {
      candidate.shape_version = version;
      if (discovery && as == "APIGroupDiscoveryList" && group == "apidiscovery.k8s.io" && version == "v2")
        candidate.shape = Shape::discovery;
      else if (!tables || group != "meta.k8s.io" || version != "v1") continue;
      else if (as == "Table") candidate.shape = Shape::table;
      else if (as == "PartialObjectMetadata") candidate.shape = Shape::partial;
      else if (as == "PartialObjectMetadataList") candidate.shape = Shape::partial_list;
      else continue;
    }
    best = candidate;
    best_quality = range.quality;
  }
  if (best_quality == 0) return fail(not_acceptable("only the following media types are accepted: " + std::string(served_types)));
  return best;
}

// Upstream takes ten times as much; no object is nested so deep, and all that walks one has a stack of 2 MiB.
constexpr std::size_t body_max_depth = 1000;

ApiResult<Document> decode_body(std::string_view content_type, std::string_view body, std::vector<std::string>* duplicates) {
  std::string type = to_lower(trim(split(content_type, ';')[0]));
  if (type.empty() || type == "application/json") {
    auto document = parse_json(body, {.max_depth = body_max_depth, .duplicates = duplicates});
    if (!document) return fail(bad_request(document.error().message));
    return *document;
  }
  if (type == "application/yaml") {
    auto documents = parse_yaml(body, {.duplicates = duplicates});
    if (!documents) return fail(bad_request(documents.error().message));
    if (documents->empty()) return Draft(nullptr).freeze();
    return documents->front();
  }
  if (type == protobuf_type) {
    auto document = schema::decode_protobuf(body);
    if (!document) return fail(bad_request(document.error().message));
    return *document;
  }
  return fail(unsupported_media_type("the body of the request was in an unknown format - accepted media types include: " +
                                     std::string(served_types)));
}

ApiResult<void> encode(const Accepted& accepted, Value object, std::string& out) {
  switch (accepted.format) {
    case Format::json:
      if (accepted.pretty) write_json_indented(object, out, 2);
      else write_json(object, out);
      out += '\n';
      return {};
    case Format::yaml: write_yaml(object, out); return {};
    case Format::protobuf: {
      auto bytes = schema::encode_protobuf(object);
      if (!bytes) return fail(not_acceptable("object does not implement the protobuf marshalling interface: " + bytes.error().message));
      out += *bytes;
      return {};
    }
  }
  return {};
}

}  // namespace kybern::apiserver
