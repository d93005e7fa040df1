// How long a thread runs before another's turn comes, as far as the kernel may be asked (Linux 6.12 and later).
#pragma once

#include <chrono>

namespace kybern::net {

// Of the calling thread; its share of the processors stays what it was. A short one lets it run as soon as it has something to
// do, where others are in the middle of a longer one. 0: the usual. Elsewhere it changes nothing.
void use_slice(std::chrono::nanoseconds slice);

}  // namespace kybern::net
