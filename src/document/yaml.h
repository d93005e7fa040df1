// YAML (1.1 as Kubernetes' clients read it: sigs.k8s.io/yaml) to Document and back, by libyaml.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "document/document.h"

namespace kybern {

// Every document of a stream that is not empty. Anchors are expanded within a limit of total size. Duplicate keys are
// an error. Messages begin with "yaml: line N: ", as upstream's do.
Result<std::vector<Document>> parse_yaml(std::string_view text);

// Appends block-style YAML with keys sorted, as kubectl prints it; no document marker.
void write_yaml(Value value, std::string& out);

}  // namespace kybern
