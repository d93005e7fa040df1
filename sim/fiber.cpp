#include "sim/fiber.h"

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace kybern::sim {
namespace {

// Address space, not memory: pages come when they are touched. Below lies a page that nobody may touch.
constexpr std::size_t stack_bytes = std::size_t{1} << 20;

}  // namespace

struct Fiber::State {
  ucontext_t context{};
  std::function<void()> main;
  char* mapping = nullptr;
  std::size_t mapped = 0;
#if defined(__SANITIZE_ADDRESS__)
  void* fake_stack = nullptr;
  const void* bottom = nullptr;
  std::size_t size = 0;
  static inline State* left = nullptr;  // who has just switched
#endif
#if defined(__SANITIZE_THREAD__)
  void* tsan = nullptr;
#endif

  void arrived() {
#if defined(__SANITIZE_ADDRESS__)
    const void** bottom_of = left && !left->bottom ? &left->bottom : nullptr;
    std::size_t* size_of = bottom_of ? &left->size : nullptr;
    __sanitizer_finish_switch_fiber(fake_stack, bottom_of, size_of);
#endif
  }

  static void enter(unsigned high, unsigned low) {
    auto* self = reinterpret_cast<State*>(static_cast<std::uintptr_t>(high) << 32 | low);
    self->arrived();
    self->main();
    KYBERN_CHECK(false, "what runs on a stack of its own never returns");
  }
};

Fiber::Fiber() : state_(std::make_unique<State>()) {
#if defined(__SANITIZE_THREAD__)
  state_->tsan = __tsan_get_current_fiber();
#endif
}

Fiber::Fiber(std::function<void()> main) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.main = std::move(main);
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  s.mapped = stack_bytes + page;
  void* mapping = ::mmap(nullptr, s.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  KYBERN_CHECK(mapping != MAP_FAILED && ::mprotect(mapping, page, PROT_NONE) == 0, "there is address space for a stack");
  s.mapping = static_cast<char*>(mapping);
  ::getcontext(&s.context);
  s.context.uc_stack.ss_sp = s.mapping + page;
  s.context.uc_stack.ss_size = stack_bytes;
#if defined(__SANITIZE_ADDRESS__)
  s.bottom = s.mapping + page;
  s.size = stack_bytes;
#endif
#if defined(__SANITIZE_THREAD__)
  s.tsan = __tsan_create_fiber(0);
#endif
  const auto address = reinterpret_cast<std::uintptr_t>(&s);
  ::makecontext(&s.context, reinterpret_cast<void (*)()>(&State::enter), 2, static_cast<unsigned>(address >> 32),
                static_cast<unsigned>(address));
}

Fiber::~Fiber() {
  if (!state_->mapping) return;
#if defined(__SANITIZE_THREAD__)
  __tsan_destroy_fiber(state_->tsan);
#endif
  ::munmap(state_->mapping, state_->mapped);
}

void Fiber::switch_to(Fiber& other) {
  State& from = *state_;
  State& to = *other.state_;
#if defined(__SANITIZE_ADDRESS__)
  State::left = &from;
  __sanitizer_start_switch_fiber(&from.fake_stack, to.bottom, to.size);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(to.tsan, 0);
#endif
  ::swapcontext(&from.context, &to.context);
  from.arrived();
}

}  // namespace kybern::sim
