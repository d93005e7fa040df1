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
  // After aliases are expanded, for a small text can stand for a huge value: how many values, and how many bytes of text
  // besides those of the text itself.
  std::size_t max_values = 4'000'000, max_bytes = 16 << 20;
  bool first_only = false;  // of a stream's documents, as upstream reads a request
  std::vector<std::string>* duplicates =
      nullptr;  // "line 3: key \"a\" already set in map" for duplicate keys, up to 100; the last value is kept
};

// Every document of a stream that is not empty. Messages begin with "yaml: line N: ", as upstream's do.
Result<std::vector<Document>> parse_yaml(std::string_view text, const YamlOptions& options = {});

// Appends block-style YAML with keys sorted, as kubectl prints it; no document marker.
void write_yaml(Value value, std::string& out);

}  // namespace kybern
