// The registry's door to the machinery's rules: defaulting and validation by kind.
#pragma once

#include "apiserver/registry/served.h"

namespace kybern::apiserver {

void apply_defaults(const Served& served, Draft& object);
FieldErrors validate_create(const Served& served, Value object);
FieldErrors validate_update(const Served& served, Value object, Value before, std::string_view subresource,
                            std::vector<std::string>* warnings = nullptr);

}  // namespace kybern::apiserver
