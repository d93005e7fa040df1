#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace kybern {

void check_failed(const char* condition, const char* why, const char* file, int line) {
  std::fprintf(stderr, "kybern: broken invariant at %s:%d: %s (%s)\n", file, line, why, condition);
  std::fflush(stderr);
  std::abort();
}

}  // namespace kybern
