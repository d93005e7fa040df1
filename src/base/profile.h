// Where this process spends its processor time: stacks, taken by SIGPROF while threads run.
//
//   auto profile = CpuProfile::begin(100);
//   ... now and then: (*profile)->look_for_threads();
//   ProfileData data = (*profile)->end();
//   std::string bytes = to_pprof(data);      // profile.proto, for `pprof` and what reads its form
//   std::string text = to_folded(data);      // "main;run;handle 12" a line, for flame graphs
//
// Each thread has a timer of its own processor time (a timer of the whole process would mostly interrupt the main thread),
// so an idle thread costs nothing and a busy one is seen in proportion. Stacks go into a buffer of fixed size; what does
// not fit is counted. The handler neither allocates nor locks: the unwinder finds its tables by _dl_find_object, which
// glibc (2.35 on) promises to be safe in signal handlers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace kybern {

inline constexpr int profile_default_hz = 100, profile_max_hz = 1000;
inline constexpr std::size_t profile_max_frames = 96;         // of a stack; deeper callers are cut off
inline constexpr std::size_t profile_buffer_words = 1 << 20;  // 8 MB, of which only what is used is touched

struct ProfileData {
  struct Stack {
    std::vector<std::uintptr_t> frames;  // innermost first; addresses within the calling instruction
    std::uint64_t samples = 0;
  };
  std::vector<Stack> stacks;  // the most frequent first
  int hz = profile_default_hz;
  Time begun{};
  Duration length{};
  std::uint64_t dropped = 0;  // samples for which there was no room
};

class CpuProfile {
 public:
  // Code::conflict while another one runs in this process, Code::unavailable when the system gives no timers.
  static Result<std::unique_ptr<CpuProfile>> begin(int hz);
  ~CpuProfile();
  void look_for_threads();  // those begun since; a few times a second is enough
  ProfileData end();        // once

 private:
  struct State;
  CpuProfile();
  std::unique_ptr<State> state_;
};

// github.com/google/pprof/proto/profile.proto, not compressed: sample types "samples/count" and "cpu/nanoseconds".
std::string to_pprof(const ProfileData& data);
// A line for each stack: functions from the outermost to the innermost, separated by ';', a blank, the samples.
std::string to_folded(const ProfileData& data);

}  // namespace kybern
