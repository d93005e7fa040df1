// Making the object that an apply asks for.
#pragma once

#include "machinery/apply/place.h"

namespace kybern::apply {

// `live` with everything that `config` says. Items of lists of type map and set keep the order of the configuration among
// themselves, and stand among the others where they stood. Code::invalid as check() would say.
Result<Draft> merge(const Place& root, Value live, Value config);

// `object` without the members of `fields`.
Draft remove(const Place& root, Value object, const FieldSet& fields, FieldTexts& texts);

}  // namespace kybern::apply
