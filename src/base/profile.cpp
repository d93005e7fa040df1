#include "base/profile.h"

#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <thread>

#include "base/symbols.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace kybern {
namespace {

// Records: a word with the number of frames (low half) and of samples (high half), then the frames.
struct Buffer {
  std::uint64_t* words = nullptr;
  std::atomic<std::size_t> used{0};
  std::atomic<std::uint64_t> dropped{0};
  std::atomic<int> inside{0};  // handlers at work
  std::atomic<bool> taking{false};
};
Buffer buffer;
std::atomic<bool> running{false};  // a profile, of which there is one at a time

struct Walk {
  std::uintptr_t from;  // where the thread was interrupted: the handler's own frames come before it
  bool found = false;
  std::size_t count = 0;
  std::uintptr_t frames[profile_max_frames];
};

_Unwind_Reason_Code step(_Unwind_Context* context, void* argument) {
  Walk& walk = *static_cast<Walk*>(argument);
  int before = 0;
  std::uintptr_t at = _Unwind_GetIPInfo(context, &before);
  if (at == 0) return _URC_END_OF_STACK;
  if (at == walk.from) walk.found = true;
  // A return address belongs to the call before it.
  if (walk.found) walk.frames[walk.count++] = before ? at : at - 1;
  return walk.count == profile_max_frames ? _URC_END_OF_STACK : _URC_NO_REASON;
}

std::uintptr_t interrupted_at(void* context) {
  auto* machine = static_cast<ucontext_t*>(context);
#if defined(__x86_64__)
  return static_cast<std::uintptr_t>(machine->uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__)
  return machine->uc_mcontext.pc;
#else
  (void)machine;
  return 0;
#endif
}

void take(siginfo_t* info, void* context) {
  Walk walk;
  walk.from = interrupted_at(context);
  _Unwind_Backtrace(step, &walk);
  if (walk.count == 0) walk.frames[walk.count++] = walk.from;
  std::uint64_t samples = 1 + static_cast<std::uint64_t>(info->si_code == SI_TIMER ? std::max(0, info->si_overrun) : 0);
  std::size_t at = buffer.used.fetch_add(walk.count + 1, std::memory_order_relaxed);
  if (at + walk.count + 1 > profile_buffer_words) {  // and so will all others: the buffer is full
    buffer.dropped.fetch_add(samples, std::memory_order_relaxed);
    return;
  }
  buffer.words[at] = samples << 32 | walk.count;
  std::memcpy(buffer.words + at + 1, walk.frames, walk.count * sizeof walk.frames[0]);
}

void on_tick(int, siginfo_t* info, void* context) {
  int saved = errno;
  buffer.inside.fetch_add(1);
  if (buffer.taking.load()) take(info, context);
  buffer.inside.fetch_sub(1);
  errno = saved;
}

_Unwind_Reason_Code nothing(_Unwind_Context*, void*) { return _URC_END_OF_STACK; }

// clock_gettime(2): the clock of a thread's processor time, by its id.
clockid_t clock_of(pid_t thread) { return static_cast<clockid_t>(~static_cast<unsigned>(thread) << 3 | 6u); }

}  // namespace

struct CpuProfile::State {
  int hz = 0;
  Time begun{};
  std::chrono::steady_clock::time_point from;
  std::map<pid_t, timer_t> timers;
  bool ended = false;
};

CpuProfile::CpuProfile() : state_(std::make_unique<State>()) {}

Result<std::unique_ptr<CpuProfile>> CpuProfile::begin(int hz) {
  if (running.exchange(true)) return fail(Code::conflict, "a profile is being taken already");
  if (!buffer.words) {
    void* at = ::mmap(nullptr, profile_buffer_words * sizeof(std::uint64_t), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
      running = false;
      return fail(Code::unavailable, "there is no memory for a profile");
    }
    buffer.words = static_cast<std::uint64_t*>(at);
  }
  _Unwind_Backtrace(nothing, nullptr);  // what it makes on its first call is not made in a handler
  buffer.used = 0;
  buffer.dropped = 0;
  // The handler stays afterwards: a signal that is still on its way must find one.
  struct sigaction action {};
  action.sa_sigaction = on_tick;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGPROF, &action, nullptr);
  std::unique_ptr<CpuProfile> out(new CpuProfile());
  out->state_->hz = std::clamp(hz, 1, profile_max_hz);
  out->state_->begun = std::chrono::system_clock::now();
  out->state_->from = std::chrono::steady_clock::now();
  buffer.taking = true;
  out->look_for_threads();
  if (out->state_->timers.empty()) return fail(Code::unavailable, "the system gives no timer of processor time");
  return out;
}

void CpuProfile::look_for_threads() {
  DIR* tasks = ::opendir("/proc/self/task");
  if (!tasks) return;
  std::set<pid_t> seen;
  while (const dirent* entry = ::readdir(tasks)) {
    auto thread = static_cast<pid_t>(std::atoi(entry->d_name));
    if (thread > 0) seen.insert(thread);
  }
  ::closedir(tasks);
  for (auto i = state_->timers.begin(); i != state_->timers.end();) {
    if (seen.contains(i->first)) {
      ++i;
      continue;
    }
    ::timer_delete(i->second);  // its thread has ended; the number may come again
    i = state_->timers.erase(i);
  }
  for (pid_t thread : seen) {
    if (state_->timers.contains(thread)) continue;
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGPROF;
    event.sigev_notify_thread_id = thread;
    timer_t timer{};
    if (::timer_create(clock_of(thread), &event, &timer) != 0) continue;
    itimerspec every{};
    long period_ns = 1'000'000'000 / state_->hz;
    every.it_interval = every.it_value = {period_ns / 1'000'000'000, period_ns % 1'000'000'000};
    ::timer_settime(timer, 0, &every, nullptr);
    state_->timers.emplace(thread, timer);
  }
}

ProfileData CpuProfile::end() {
  State& s = *state_;
  ProfileData data;
  if (s.ended) return data;
  s.ended = true;
  for (auto& [thread, timer] : s.timers) ::timer_delete(timer);
  s.timers.clear();
  buffer.taking = false;
  while (buffer.inside.load() != 0) std::this_thread::yield();
  data.hz = s.hz;
  data.begun = s.begun;
  data.length = std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now() - s.from);
  data.dropped = buffer.dropped;
  std::map<std::vector<std::uintptr_t>, std::uint64_t> counted;
  std::size_t used = std::min(buffer.used.load(), profile_buffer_words);
  for (std::size_t at = 0; at < used;) {
    std::uint64_t head = buffer.words[at];
    std::size_t count = head & 0xffffffff;
    if (count == 0 || count > profile_max_frames || at + 1 + count > used) break;  // zeros: here it was full
    const std::uint64_t* first = buffer.words + at + 1;
    counted[std::vector<std::uintptr_t>(first, first + count)] += head >> 32;
    at += 1 + count;
  }
  ::madvise(buffer.words, profile_buffer_words * sizeof(std::uint64_t), MADV_DONTNEED);
  for (auto& [frames, samples] : counted) data.stacks.push_back({frames, samples});
  std::stable_sort(data.stacks.begin(), data.stacks.end(), [](const auto& a, const auto& b) { return a.samples > b.samples; });
  running = false;
  return data;
}

CpuProfile::~CpuProfile() { (void)end(); }

namespace {

// As much of protobuf's encoding as profile.proto needs.
class Message {
 public:
  void number(unsigned field, std::uint64_t value) {
    if (value == 0) return;
    varint(field << 3);
    varint(value);
  }
  void bytes(unsigned field, std::string_view value) {
    varint(field << 3 | 2);
    varint(value.size());
    out_ += value;
  }
  void packed(unsigned field, const std::vector<std::uint64_t>& values) {
    Message inner;
    for (std::uint64_t v : values) inner.varint(v);
    bytes(field, inner.out_);
  }
  const std::string& text() const { return out_; }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_ += static_cast<char>(value | 0x80);
    out_ += static_cast<char>(value);
  }
  std::string out_;
};

class Texts {
 public:
  Texts() { (void)index(""); }  // the first one is empty by the format's rule
  std::uint64_t index(const std::string& text) {
    auto [at, fresh] = indices_.emplace(text, list_.size());
    if (fresh) list_.push_back(text);
    return at->second;
  }
  const std::vector<std::string>& list() const { return list_; }

 private:
  std::map<std::string, std::uint64_t> indices_;
  std::vector<std::string> list_;
};

}  // namespace

std::string to_pprof(const ProfileData& data) {
  Symbols symbols;
  Texts texts;
  Message out;
  auto value_type = [&](const char* type, const char* unit) {
    Message m;
    m.number(1, texts.index(type));
    m.number(2, texts.index(unit));
    return m.text();
  };
  const auto period = static_cast<std::uint64_t>(1'000'000'000 / data.hz);
  out.bytes(1, value_type("samples", "count"));
  out.bytes(1, value_type("cpu", "nanoseconds"));
  std::map<std::uintptr_t, std::uint64_t> locations;
  std::map<std::string, std::uint64_t> functions;
  for (const ProfileData::Stack& stack : data.stacks) {
    std::vector<std::uint64_t> ids;
    for (std::uintptr_t at : stack.frames) ids.push_back(locations.emplace(at, locations.size() + 1).first->second);
    Message sample;
    sample.packed(1, ids);
    sample.packed(2, {stack.samples, stack.samples * period});
    out.bytes(2, sample.text());
  }
  std::uint64_t mapping_id = 0;
  for (const Symbols::Region& region : symbols.regions()) {
    Message mapping;
    mapping.number(1, ++mapping_id);
    mapping.number(2, region.begin);
    mapping.number(3, region.end);
    mapping.number(4, region.offset);
    mapping.number(5, texts.index(region.file));
    mapping.number(7, 1);  // functions are named
    out.bytes(3, mapping.text());
  }
  for (const auto& [at, id] : locations) {
    std::uint64_t function = functions.emplace(symbols.name_of(at), functions.size() + 1).first->second;
    Message line, location;
    line.number(1, function);
    location.number(1, id);
    location.number(2, static_cast<std::uint64_t>(symbols.region_of(at) + 1));
    location.number(3, at);
    location.bytes(4, line.text());
    out.bytes(4, location.text());
  }
  for (const auto& [name, id] : functions) {
    Message function;
    function.number(1, id);
    function.number(2, texts.index(name));
    function.number(3, texts.index(name));
    out.bytes(5, function.text());
  }
  std::string period_type = value_type("cpu", "nanoseconds");
  std::uint64_t comment = data.dropped ? texts.index(std::to_string(data.dropped) + " samples did not fit") : 0;
  for (const std::string& text : texts.list()) out.bytes(6, text);
  out.number(9, static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(data.begun.time_since_epoch()).count()));
  out.number(10, static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(data.length).count()));
  out.bytes(11, period_type);
  out.number(12, period);
  out.number(13, comment);
  return out.text();
}

std::string to_folded(const ProfileData& data) {
  Symbols symbols;
  std::map<std::uintptr_t, std::string> names;
  std::map<std::string, std::uint64_t> lines;  // several addresses of a function make one line
  for (const ProfileData::Stack& stack : data.stacks) {
    std::string line;
    for (auto at = stack.frames.rbegin(); at != stack.frames.rend(); ++at) {
      auto [name, fresh] = names.try_emplace(*at);
      if (fresh) {
        name->second = symbols.name_of(*at);
        std::replace(name->second.begin(), name->second.end(), ';', ':');
      }
      if (!line.empty()) line += ';';
      line += name->second;
    }
    lines[line] += stack.samples;
  }
  std::string out;
  for (const auto& [line, samples] : lines) out += line + " " + std::to_string(samples) + "\n";
  return out;
}

}  // namespace kybern
