// YAML (1.1 as Kubernetes' clients read it: sigs.k8s.io/yaml) to Document and back, by libyaml.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "document/document.h"

namespace kybern {

struct YamlOptions {
  std::size_t max_depth = 1000;
  std::size_t max_values = 4'000'000;              // after aliases are expanded: a small text can stand for a huge value
  std::vector<std::string>* duplicates = nullptr;  // "line 3: key \"a\" already set in map" for each duplicate key; the last value is kept
};

// Every document of a stream that is not empty. Messages begin with "yaml: line N: ", as upstream's do.
Result<std::vector<Document>> parse_yaml(std::string_view text, const YamlOptions& options = {});

// Appends block-style YAML with keys sorted, as kubectl prints it; no document marker.
void write_yaml(Value value, std::string& out);

}  // namespace kybern
