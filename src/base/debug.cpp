#include "base/debug.h"

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/profile.h"
#include "base/strings.h"

namespace kybern::debug {
namespace {

constexpr Duration look_interval = std::chrono::milliseconds(100);  // for threads begun during a profile

struct All {
  std::mutex mutex;
  std::multimap<std::string, Page*, std::less<>> pages;
};
All& all() {
  static auto* instance = new All();  // outlives pages that are static objects
  return *instance;
}

// What malloc holds, in every process.
std::string heap_json() {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
  struct mallinfo2 m = ::mallinfo2();
  return fmt::format(
      R"({{"type":"malloc","heapBytes":{},"usedBytes":{},"freeBytes":{},"mappedBytes":{},"mappedBlocks":{},"releasableBytes":{}}})",
      m.arena, m.uordblks + m.hblkhd, m.fordblks, m.hblkhd, m.hblks, m.keepcost);
#else
  return R"({"type":"malloc"})";
#endif
}

std::optional<std::string> parameter(std::string_view query, std::string_view name) {
  for (std::string_view pair : split(query, '&')) {
    auto equals = pair.find('=');
    if (pair.substr(0, equals) == name) return equals == std::string_view::npos ? std::string() : url_decode(pair.substr(equals + 1), true);
  }
  return std::nullopt;
}

// One profile on its way: looks for threads until its time is over, then answers.
struct Profiling : std::enable_shared_from_this<Profiling> {
  Executor& executor;
  std::unique_ptr<CpuProfile> profile;
  std::chrono::steady_clock::time_point until;
  bool folded = false;
  std::function<void(Reply)> reply;

  explicit Profiling(Executor& e) : executor(e) {}

  void go_on() {
    auto left = std::chrono::duration_cast<Duration>(until - std::chrono::steady_clock::now());
    if (left <= Duration(0)) return finish();
    executor.post_after(std::min(left, look_interval), [self = shared_from_this()] {
      self->profile->look_for_threads();
      self->go_on();
    });
  }
  void finish() {
    ProfileData data = profile->end();
    if (folded) reply({200, "text/plain; charset=utf-8", to_folded(data)});
    else reply({200, "application/octet-stream", to_pprof(data)});
  }
};

void serve_profile(Executor& executor, std::string_view query, std::function<void(Reply)> reply) {
  auto wrong = [&](std::string_view what) { reply({400, "text/plain; charset=utf-8", std::string(what) + "\n"}); };
  auto number = [&](std::string_view name, int fallback) -> std::optional<long> {
    auto given = parameter(query, name);
    if (!given || given->empty()) return fallback;
    auto value = parse_int(*given);
    return value ? std::optional<long>(*value) : std::nullopt;
  };
  auto seconds = number("seconds", profile_default_seconds), hz = number("hz", profile_default_hz);
  if (!seconds || *seconds < 1 || *seconds > profile_max_seconds)
    return wrong(fmt::format("seconds is a number from 1 to {}", profile_max_seconds));
  if (!hz || *hz < 1 || *hz > profile_max_hz) return wrong(fmt::format("hz is a number from 1 to {}", profile_max_hz));
  std::string format = parameter(query, "format").value_or("pprof");
  if (format != "pprof" && format != "folded") return wrong("format is pprof or folded");
  auto profile = CpuProfile::begin(static_cast<int>(*hz));
  if (!profile)
    return reply({profile.error().code == Code::conflict ? 409 : 500, "text/plain; charset=utf-8",
                  "Could not enable CPU profiling: " + profile.error().message + "\n"});
  auto running = std::make_shared<Profiling>(executor);
  running->profile = std::move(*profile);
  running->until = std::chrono::steady_clock::now() + std::chrono::seconds(*seconds);
  running->folded = format == "folded";
  running->reply = std::move(reply);
  running->go_on();
}

}  // namespace

Page::Page(std::string name, std::function<std::string()> json) : name_(std::move(name)), json_(std::move(json)) {
  std::lock_guard lock(all().mutex);
  all().pages.emplace(name_, this);
}

Page::~Page() {
  std::lock_guard lock(all().mutex);
  auto [from, to] = all().pages.equal_range(name_);
  for (auto i = from; i != to; ++i) {
    if (i->second != this) continue;
    all().pages.erase(i);
    return;
  }
}

std::string page_text(std::string_view name) {
  std::lock_guard lock(all().mutex);
  auto [from, to] = all().pages.equal_range(name);
  bool memory = name == "memory";
  if (from == to && !memory) return {};
  std::string out = fmt::format(R"({{"page":"{}","items":[)", name);
  if (memory) out += "\n" + heap_json();
  for (auto i = from; i != to; ++i) {
    if (out.back() != '[') out += ',';
    out += '\n' + i->second->json_();
  }
  return out + "\n]}\n";
}

std::string index_text() {
  std::lock_guard lock(all().mutex);
  std::string out = "/debug/memory\n";
  std::string_view last = "memory";
  for (const auto& [name, page] : all().pages)
    if (name != last) out += fmt::format("/debug/{}\n", last = name);
  return out + "/debug/pprof/profile\n";
}

bool serve(Executor& executor, std::string_view path, std::string_view query, std::function<void(Reply)> reply) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  if (path == "/debug" || path == "/debug/pprof") return reply({200, "text/plain; charset=utf-8", index_text()}), true;
  if (path == "/debug/pprof/profile") return serve_profile(executor, query, std::move(reply)), true;
  constexpr std::string_view root = "/debug/";
  if (!path.starts_with(root)) return false;
  std::string text = page_text(path.substr(root.size()));
  if (text.empty()) return false;
  reply({200, "application/json", std::move(text)});
  return true;
}

}  // namespace kybern::debug
