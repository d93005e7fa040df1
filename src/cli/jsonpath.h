// kubectl's jsonpath templates: text with {expressions}.
//
//   {.items[*].metadata.name}                        names, joined by a space
//   {range .items[*]}{.metadata.name}{"\n"}{end}     one a line
//   {.status.conditions[?(@.type=="Ready")].status}  of the elements that match
//   {..name}  {.a['x','y']}  {.list[-1]}  {.list[1:3]}  {.metadata.labels.app\.kubernetes\.io/name}
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "document/document.h"

namespace kybern::cli {

class JsonPath {
 public:
  struct Node;
  // Code::invalid: "unclosed action", "unterminated array", ...
  static Result<JsonPath> parse(std::string_view text);
  // A bare path may come without braces or dot: "metadata.name", ".metadata.name", "{.metadata.name}".
  static Result<JsonPath> parse_relaxed(std::string_view text);

  std::string print(Value root) const;        // what is missing prints as nothing
  std::vector<Value> find(Value root) const;  // of every expression; the root's document must live on

 private:
  std::shared_ptr<const std::vector<Node>> nodes_;
};

// As the templates print one value: texts as they are, everything else as JSON.
std::string plain_text(Value value);

}  // namespace kybern::cli
