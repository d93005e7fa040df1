// Asking for memory before it is needed. Objects lie scattered; whoever walks thousands of them waits for memory half of
// the time, unless the next one is on its way while this one is worked on.
#pragma once

#include "document/document.h"

namespace kybern {

void prefetch_head(Value value);  // of its block: before prefetch(), some time ahead
void prefetch(Value value);       // the block that it lies in, up to some kilobytes

}  // namespace kybern
