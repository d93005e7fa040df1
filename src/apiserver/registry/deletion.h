// What a DELETE does to an object: at once, gracefully, or held by finalizers.
#pragma once

#include "apiserver/registry/registry.h"

namespace kybern::apiserver {

// A namespace goes only when its own spec.finalizers are gone too; anything else is done.
bool namespace_is_done(const Served& served, Value object);

}  // namespace kybern::apiserver
