// Content negotiation: in which form a client sends a body and wants its answer.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "document/document.h"
#include "machinery/status.h"

namespace kybern::apiserver {

enum class Format { json, yaml, protobuf };
enum class Shape { object, table, partial, partial_list, discovery };  // `as=` of the Accept header

struct Accepted {
  Format format = Format::json;
  Shape shape = Shape::object;
  std::string shape_version;  // "v1"
  bool pretty = false;
  std::string content_type() const;         // of a whole body
  std::string stream_content_type() const;  // of a watch
};

// 406 when none of the forms is served. `tables`: whether the endpoint can answer as Table or PartialObjectMetadata.
ApiResult<Accepted> negotiate(std::string_view accept, bool tables, bool discovery = false);

// A request body. An empty content type is JSON. 415 for an unknown one, 400 for text that does not parse.
// `duplicates`: the paths of duplicate fields.
ApiResult<Document> decode_body(std::string_view content_type, std::string_view body, std::vector<std::string>* duplicates = nullptr);

// Appends. Objects without a protobuf form are sent as JSON inside the envelope's rules: 406 is the caller's to give.
ApiResult<void> encode(const Accepted& accepted, Value object, std::string& out);

}  // namespace kybern::apiserver
