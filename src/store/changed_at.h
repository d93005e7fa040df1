// When a resource last changed: for who keeps what he has made of its objects.
#pragma once

#include <string_view>

#include "store/store.h"

namespace kybern::store {

// The revision of the last change of a resource (the first segment of `prefix`, as in Store::watch()), or a later one. What was
// read after a call stays true for as long as later calls give the same. Every write that has been answered counts.
Revision changed_at(const Store& store, std::string_view prefix);

}  // namespace kybern::store
