// The two fields of a persistent volume claim that say with what its volume begins.
#pragma once

#include "document/document.h"

namespace kybern {

// As upstream prepares a claim's spec: `dataSource` is a claim or a snapshot or nothing, `dataSourceRef` names nothing of another
// namespace, and of the two that says the same which is missing. What `before`, the spec that is replaced, already has may stay.
void settle_data_sources(Draft& spec, Value before);

// The last of that alone: what the spec of a stored claim means.
void copy_data_sources(Draft& spec);

}  // namespace kybern
