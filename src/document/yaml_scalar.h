// What an untagged plain YAML scalar means (YAML 1.1 core schema, as sigs.k8s.io/yaml resolves it).
#pragma once

#include <cstdint>
#include <string_view>

#include "document/document.h"

namespace kybern {

struct YamlScalar {
  Kind kind = Kind::string;  // never array or object
  bool boolean = false;
  std::int64_t integer = 0;
  double number = 0;
};
YamlScalar resolve_yaml_scalar(std::string_view text);

}  // namespace kybern
