#include "apiserver/http/media.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/strings.h"
#include "document/json.h"
#include "document/yaml.h"
#include "schema/protobuf.h"

namespace kybern::apiserver {
namespace {

constexpr std::string_view served_types = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
constexpr std::string_view protobuf_type = "application/vnd.kubernetes.protobuf";

constexpr std::size_t ranges_max = 64, parameters_max = 16;  // of an Accept header; what comes after is not looked at

struct Range {
  std::string type;
  std::vector<std::pair<std::string, std::string>> parameters;
  double quality = 1;
  // A type of its own before all of a kind, and that before everything.
  int exactness() const { return type == "*/*" ? 0 : type.ends_with("/*") ? 1 : 2; }
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
    if (key == "q") {
      auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), range.quality);
      if (error != std::errc() || !(range.quality >= 0)) range.quality = 1;
    } else if (range.parameters.size() < parameters_max) range.parameters.emplace_back(std::move(key), std::move(value));
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
  if (trim(accept).empty()) return Accepted{};
  std::vector<Range> ranges;
  for (std::string_view piece : split(accept, ',')) {
    if (ranges.size() == ranges_max) break;
    ranges.push_back(read_range(piece));
  }
  std::stable_sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) {
    return a.quality != b.quality ? a.quality > b.quality : a.exactness() > b.exactness();
  });
  for (const Range& range : ranges) {
    Accepted candidate;
    if (!matches(range, candidate.format)) continue;
    if (std::string_view stream = range.parameter("stream"); !stream.empty() && (stream != "watch" || candidate.format == Format::yaml))
      continue;
    candidate.pretty = range.parameter("pretty") == "1";
    std::string_view as = range.parameter("as"), group = range.parameter("g"), version = range.parameter("v");
    if (as.empty() && group.empty() && version.empty()) return candidate;
    candidate.shape_version = version;
    bool of_discovery = discovery && as == "APIGroupDiscoveryList" && group == "apidiscovery.k8s.io" && version == "v2";
    bool of_meta = tables && group == "meta.k8s.io" && (version == "v1" || version == "v1beta1");
    if (of_discovery) candidate.shape = Shape::discovery;
    else if (of_meta && as == "Table" && candidate.format != Format::protobuf) candidate.shape = Shape::table;
    else if (of_meta && as == "PartialObjectMetadata") candidate.shape = Shape::partial;
    else if (of_meta && as == "PartialObjectMetadataList") candidate.shape = Shape::partial_list;
    else continue;
    return candidate;
  }
  return fail(not_acceptable("only the following media types are accepted: " + std::string(served_types)));
}

bool wants_pretty(std::string_view parameter, std::string_view user_agent) {
  if (!parameter.empty())
    return parameter == "1" || parameter == "t" || parameter == "T" || parameter == "true" || parameter == "TRUE" || parameter == "True";
  return user_agent.starts_with("curl") || user_agent.starts_with("Wget") || user_agent.starts_with("Mozilla/5.0");
}

void add_warnings(net::Headers& headers, const std::vector<std::string>& warnings) {
  constexpr std::size_t total_max = 4096, each_max = 256;  // characters
  auto characters = [](std::string_view text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
  };
  auto cut = [](std::string_view text) {
    std::size_t at = 0;
    for (std::size_t count = 0; at < text.size(); ++at)
      if ((text[at] & 0xc0) != 0x80 && count++ == each_max) break;
    return text.substr(0, at);
  };
  std::size_t total = 0;
  for (const std::string& warning : warnings) total += characters(warning);
  const bool all = total <= total_max;
  std::size_t written = 0;
  for (auto one = warnings.begin(); one != warnings.end(); ++one) {
    if (written >= total_max) return;
    if (one->empty() || (one - warnings.begin() < 64 && std::find(warnings.begin(), one, *one) != one)) continue;
    std::string_view text = all ? std::string_view(*one) : cut(*one);
    written += characters(text);
    headers.add("warning", fmt::format("299 - {}", go_quote(text)));
  }
}

ApiResult<Document> decode_body(std::string_view content_type, std::string_view body, std::vector<std::string>* duplicates) {
  std::string type = to_lower(trim(split(content_type, ';')[0]));
  if (type.empty() || type == "application/json") {
    auto document = parse_json(body, {.duplicates = duplicates});
    if (!document) return fail(bad_request(document.error().message));
    return *document;
  }
  if (type == "application/yaml") {
    auto documents = parse_yaml(body, {.first_only = true, .duplicates = duplicates});
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
      if (accepted.pretty) return write_json_indented(object, out, 2), ApiResult<void>();
      write_json(object, out);
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
