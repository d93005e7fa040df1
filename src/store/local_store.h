// The store whose log is a file on this machine, or nowhere (path "").
#pragma once

#include <memory>

#include "store/limits.h"
#include "store/store.h"

namespace kybern::store {

struct LocalLimits {
  WindowLimits windows;
  RetentionLimits retention;
};

// Store::open with other limits than the default ones.
Result<std::unique_ptr<Store>> open_local_store(const StoreOptions& options, const LocalLimits& limits);

}  // namespace kybern::store
