// Content negotiation: in which form a client sends a body and wants its answer.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "document/document.h"
#include "machinery/status.h"
#include "net/http.h"

namespace kybern::apiserver {

enum class Format { json, yaml, protobuf };
enum class Shape { object, table, partial, partial_list, discovery };  // `as=` of the Accept header

struct Accepted {
  Format format = Format::json;
  Shape shape = Shape::object;
  std::string shape_version;  // "v1"
  bool pretty = false;        // indented, without a line's end behind it
  std::string_view meta_version() const { return shape_version == "v1beta1" ? "meta.k8s.io/v1beta1" : "meta.k8s.io/v1"; }
  std::string content_type() const;         // of a whole body
  std::string stream_content_type() const;  // of a watch
};
inline constexpr std::string_view streamed_types = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";

// 406 when none of the forms is served. `tables`: whether the endpoint can answer as Table or PartialObjectMetadata.
// The client's range of the highest quality decides, of equal ones the more exact, then the first.
ApiResult<Accepted> negotiate(std::string_view accept, bool tables, bool discovery = false);

// Whether a person reads the answer: ?pretty=true says so, or a User-Agent such as curl's.
bool wants_pretty(std::string_view pretty_parameter, std::string_view user_agent);

// Warning headers, as many and as much of them as upstream sends: 4,096 characters, or 256 of each.
void add_warnings(net::Headers& headers, const std::vector<std::string>& warnings);

// A request body. An empty content type is JSON. 415 for an unknown one, 400 for text that does not parse.
// `duplicates`: the paths of duplicate fields.
ApiResult<Document> decode_body(std::string_view content_type, std::string_view body, std::vector<std::string>* duplicates = nullptr);

// Appends. Objects without a protobuf form are sent as JSON inside the envelope's rules: 406 is the caller's to give.
ApiResult<void> encode(const Accepted& accepted, Value object, std::string& out);

}  // namespace kybern::apiserver
