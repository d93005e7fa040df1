#include "net/server/slice.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace kybern::net {
namespace {

struct Attributes {  // struct sched_attr of sched_setattr(2)
  std::uint32_t size, policy;
  std::uint64_t flags;
  std::int32_t nice;
  std::uint32_t priority;
  std::uint64_t runtime, deadline, period;
};

}  // namespace

void use_slice(std::chrono::nanoseconds slice) {
  Attributes now{};
  if (::syscall(SYS_sched_getattr, 0, &now, sizeof now, 0) != 0 || now.policy != SCHED_OTHER) return;
  now.size = sizeof now;
  now.runtime = static_cast<std::uint64_t>(slice.count());
  now.deadline = now.period = 0;
  (void)::syscall(SYS_sched_setattr, 0, &now, 0);
}

}  // namespace kybern::net
