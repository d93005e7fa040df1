// The registry's door to the machinery's rules: defaulting and validation by kind.
#pragma once

#include "apiserver/registry/served.h"

namespace kybern::apiserver {

void apply_defaults(const Served& served, Draft& object);
FieldErrors validate_create(const Served& served, Value object);
FieldErrors validate_update(const Served& served, Value object, Value before, std::string_view subresource,
                            std::vector<std::string>* warnings = nullptr);
// What is accepted and yet worth a word, of the main resource.
std::vector<std::string> warnings_of(const Served& served, Value object, Value before);

}  // namespace kybern::apiserver
