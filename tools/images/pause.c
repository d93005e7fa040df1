/* The process that holds a pod's namespaces open. It sleeps, reaps the orphans that end up with it, and leaves on SIGTERM
 * or SIGINT. Raw system calls only: built with -nostdlib it is a few KiB and needs no libc in the image. */
#include <linux/signal.h>
#include <sys/syscall.h>

static long call(long number, long a, long b, long c, long d) {
  long result;
#if defined(__x86_64__)
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  result = x0;
#else
#error "pause.c knows x86_64 and aarch64"
#endif
  return result;
}

enum { wait_for_any_child = -1, do_not_hang = 1, signal_set_bytes = 8 };

/* The signals are blocked and taken one at a time with rt_sigtimedwait: no handler, so no restorer is needed either. */
void _start(void) {
  unsigned long signals = 1ul << (SIGTERM - 1) | 1ul << (SIGINT - 1) | 1ul << (SIGCHLD - 1);
  call(SYS_rt_sigprocmask, SIG_BLOCK, (long)&signals, 0, signal_set_bytes);
  for (;;) {
    long signal = call(SYS_rt_sigtimedwait, (long)&signals, 0, 0, signal_set_bytes);
    if (signal == SIGTERM || signal == SIGINT) call(SYS_exit_group, 0, 0, 0, 0);
    while (call(SYS_wait4, wait_for_any_child, 0, do_not_hang, 0) > 0) {
    }
  }
}
