// What a value looks like apart from its plain values: objects made from one template have the same shape.
#pragma once

#include <cstdint>

#include "document/document.h"

namespace kybern {

struct Shape128 {
  std::uint64_t first = 0, second = 0;
  friend bool operator==(const Shape128&, const Shape128&) = default;
};

// A hash of: which members there are, in their order; how many items; of plain values whether they are null, zero ("", 0,
// false) or neither; within lists the plain values themselves, since items are told apart by some of them. Keyed anew in
// each process, so that nobody outside can look for two objects with the same one.
Shape128 shape_of(Value value);

}  // namespace kybern
