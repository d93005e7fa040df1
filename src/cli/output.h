// How objects are printed: -o json, yaml, name, jsonpath=, custom-columns=; or a line that says what was done to them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/discovery.h"
#include "document/document.h"

namespace kybern::cli {

struct Output {
  enum class Type { human, wide, json, yaml, name, jsonpath, columns } type = Type::human;
  std::string argument;  // the template or the columns
  bool headers = true, managed_fields = false;
  bool values_as_json = false;  // of jsonpath: a JSON list of what it finds

  bool human() const { return type == Type::human || type == Type::wide; }
  // "" is human. The message for an unknown format is complete.
  static Result<Output> parse(std::string_view text);

  // The objects of one answer. `list`: they came as a list, so JSON and YAML wrap them even when there is one.
  // `resource` names the object's line of -o name.
  Result<std::string> print(const std::vector<Document>& objects, bool list, const Discovery* discovery) const;
};

Document sorted(Value value);          // keys in order, as kubectl prints them
std::string pretty_json(Value value);  // sorted, four spaces, with a final newline
Document without_managed_fields(Value object);
// "pod/web", "deployment.apps/web"
std::string object_name(Value object, const Discovery* discovery);

}  // namespace kybern::cli
