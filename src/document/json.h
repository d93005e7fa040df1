// JSON text (RFC 8259) to Document and back.
//
// Parsing is strict: the number grammar, depth at most `max_depth`. In texts, each byte that is no UTF-8 and each half of a
// surrogate pair becomes U+FFFD, as in upstream's decoders. A duplicate key keeps the last value and is reported.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "document/document.h"

namespace kybern {

struct JsonOptions {
  // Upstream takes ten times as much; no object is nested so deep, and all that walks one has a stack of 2 MiB.
  std::size_t max_depth = 1000;
  std::vector<std::string>* duplicates =
      nullptr;               // paths of duplicate fields, up to 100, as upstream names them: spec.replicas, spec.containers[0].name
  bool* replaced = nullptr;  // becomes true when something was no Unicode
};

// Code::invalid; the message is in the wording of Go's encoding/json ("invalid character 'x' looking for beginning of
// value", "unexpected end of JSON input"), which clients see.
Result<Document> parse_json(std::string_view text, const JsonOptions& options = {});

// The same into a block that is being written, as one value. After an error the writer is of no use.
Result<void> parse_json(std::string_view text, BlockWriter& out, const JsonOptions& options = {});

// Appends. Compact, members in stored order; strings are escaped as Go's encoder does without its HTML escaping.
void write_json(Value value, std::string& out);
void write_json_indented(Value value, std::string& out, int indent = 4);  // `kubectl -o json`
std::string to_json(Value value);
std::string to_json(const Draft& value);

}  // namespace kybern
