#include "base/profile.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <thread>

#include "base/debug.h"
#include "base/testing/eventually.h"
#include "base/world.h"

namespace kybern {

// Not in an anonymous namespace and not inlined: they are looked for by name.
__attribute__((noinline)) std::uint64_t profiled_inner(std::uint64_t seed) {
  for (int i = 0; i < 20000; ++i) seed = seed * 6364136223846793005u + 1442695040888963407u;
  return seed;
}
__attribute__((noinline)) std::uint64_t profiled_outer(const std::atomic<bool>& over) {
  std::uint64_t seed = 1;
  while (!over) seed = profiled_inner(seed) + 1;
  return seed;
}

namespace {

// A thread that is busy while it lives.
class Busy {
 public:
  Busy() : thread_([this] { sum_ = profiled_outer(over_); }) {}
  ~Busy() {
    over_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> over_{false};
  std::atomic<std::uint64_t> sum_{0};
  std::thread thread_;
};

std::uint64_t samples_of(const ProfileData& data) {
  std::uint64_t sum = 0;
  for (const auto& stack : data.stacks) sum += stack.samples;
  return sum;
}

// Takes a profile until `wanted_ms` of processor time are used; bounded, for a busy machine.
ProfileData profile_until(std::uint64_t wanted_ms) {
  auto profile = CpuProfile::begin(500);
  EXPECT_TRUE(profile) << profile.error().message;
  if (!profile) return {};
  Busy busy;  // begun after the profile: it has to be found
  timespec used{};
  auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  auto used_ms = [&] {
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return static_cast<std::uint64_t>(used.tv_sec) * 1000 + static_cast<std::uint64_t>(used.tv_nsec) / 1'000'000;
  };
  for (std::uint64_t from = used_ms(); used_ms() - from < wanted_ms && std::chrono::steady_clock::now() < end;) {
    (*profile)->look_for_threads();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return (*profile)->end();
}

TEST(Profile, SeesWhereAThreadSpendsItsTime) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "the thread sanitizer hands a signal on later, from a frame of its own";
#endif
  ProfileData data = profile_until(400);
  std::uint64_t all = samples_of(data), inner = 0;
  EXPECT_GE(all, 50u);  // 400 ms at 500 Hz are 200; a kernel's tick may be coarser
  std::string folded = to_folded(data);
  for (std::size_t at = 0; at < folded.size();) {
    std::size_t end = folded.find('\n', at);
    std::string line = folded.substr(at, end - at);
    auto outer = line.find("kybern::profiled_outer"), deep = line.find(";kybern::profiled_inner");
    if (outer != std::string::npos && deep != std::string::npos && outer < deep) inner += std::stoull(line.substr(line.rfind(' ')));
    at = end + 1;
  }
  EXPECT_GE(inner * 10, all * 8) << folded;
  EXPECT_EQ(data.dropped, 0u);
}

TEST(Profile, OnlyOneAtATime) {
  auto first = CpuProfile::begin(100);
  ASSERT_TRUE(first);
  auto second = CpuProfile::begin(100);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::conflict);
  first->reset();
  EXPECT_TRUE(CpuProfile::begin(100));
}

TEST(Profile, OfNothingIsStillAProfile) {
  ProfileData none;
  EXPECT_EQ(to_folded(none), "");
  EXPECT_FALSE(to_pprof(none).empty());
}

// A reader of protobuf's wire format: fields of a message, in order.
struct Field {
  unsigned number;
  std::uint64_t value;
  std::string_view bytes;
};
std::vector<Field> fields_of(std::string_view text) {
  std::vector<Field> out;
  std::size_t at = 0;
  auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0; at < text.size(); shift += 7) {
      auto byte = static_cast<unsigned char>(text[at++]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < text.size()) {
    std::uint64_t key = varint(), value = varint();
    std::string_view bytes;
    if ((key & 7) == 2) {
      bytes = text.substr(at, value);
      at += value;
    } else {
      EXPECT_EQ(key & 7, 0u);
    }
    out.push_back({static_cast<unsigned>(key >> 3), value, bytes});
  }
  EXPECT_EQ(at, text.size());
  return out;
}

TEST(Profile, PprofsFormIsWhole) {
  ProfileData data = profile_until(200);
  std::string bytes = to_pprof(data);
  std::vector<std::string> texts;
  std::map<std::uint64_t, std::uint64_t> function_of;  // by location
  std::map<std::uint64_t, std::uint64_t> name_of;      // by function
  std::uint64_t samples = 0, mappings = 0, duration = 0, period = 0;
  std::vector<std::vector<std::uint64_t>> stacks;
  auto packed = [](std::string_view text) {
    std::vector<std::uint64_t> out;
    for (std::size_t at = 0; at < text.size();) {
      std::uint64_t value = 0;
      for (int shift = 0; at < text.size(); shift += 7) {
        auto byte = static_cast<unsigned char>(text[at++]);
        value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
        if (byte < 0x80) break;
      }
      out.push_back(value);
    }
    return out;
  };
  for (const Field& f : fields_of(bytes)) {
    if (f.number == 6) texts.emplace_back(f.bytes);
    if (f.number == 3) ++mappings;
    if (f.number == 10) duration = f.value;
    if (f.number == 12) period = f.value;
    if (f.number == 2) {
      auto inner = fields_of(f.bytes);
      ASSERT_EQ(inner.size(), 2u);
      stacks.push_back(packed(inner[0].bytes));
      auto values = packed(inner[1].bytes);
      ASSERT_EQ(values.size(), 2u);
      EXPECT_EQ(values[1], values[0] * 2'000'000);
      samples += values[0];
    }
    if (f.number == 4) {
      std::uint64_t id = 0;
      for (const Field& g : fields_of(f.bytes)) {
        if (g.number == 1) id = g.value;
        if (g.number == 4) function_of[id] = fields_of(g.bytes).at(0).value;
      }
    }
    if (f.number == 5) name_of[fields_of(f.bytes).at(0).value] = fields_of(f.bytes).at(1).value;
  }
  EXPECT_EQ(samples, samples_of(data));
  EXPECT_GT(mappings, 0u);
  EXPECT_GT(duration, 0u);
  EXPECT_EQ(period, 2'000'000u);
  ASSERT_FALSE(texts.empty());
  EXPECT_EQ(texts[0], "");
  bool found = false;
  for (const auto& stack : stacks)
    for (std::uint64_t location : stack) {
      ASSERT_TRUE(function_of.contains(location));
      ASSERT_LT(name_of.at(function_of.at(location)), texts.size());
      found = found || texts[name_of.at(function_of.at(location))].find("profiled_inner") != std::string::npos;
    }
  EXPECT_TRUE(found);
}

struct Asked {
  std::atomic<bool> there{false};
  debug::Reply reply;
  bool known = false;
};
void ask(Asked& asked, std::string_view path, std::string_view query = {}) {
  asked.known = debug::serve(real_world().executor, path, query, [&asked](debug::Reply r) {
    asked.reply = std::move(r);
    asked.there = true;
  });
  eventually([&] { return !asked.known || asked.there; }, std::chrono::seconds(30));
}

TEST(Debug, PagesAreCollectedUnderTheirName) {
  debug::Page one("test-things", [] { return std::string(R"({"n":1})"); });
  {
    debug::Page two("test-things", [] { return std::string(R"({"n":2})"); });
    Asked asked;
    ask(asked, "/debug/test-things");
    ASSERT_TRUE(asked.known);
    EXPECT_EQ(asked.reply.status, 200);
    EXPECT_EQ(asked.reply.body, "{\"page\":\"test-things\",\"items\":[\n{\"n\":1},\n{\"n\":2}\n]}\n");
  }
  Asked asked;
  ask(asked, "/debug/test-things");
  EXPECT_EQ(asked.reply.body, "{\"page\":\"test-things\",\"items\":[\n{\"n\":1}\n]}\n");
  Asked index;
  ask(index, "/debug/");
  EXPECT_NE(index.reply.body.find("/debug/test-things\n"), std::string::npos);
  Asked memory;
  ask(memory, "/debug/memory");
  EXPECT_NE(memory.reply.body.find("\"usedBytes\":"), std::string::npos);
}

TEST(Debug, RequestsForAProfile) {
  struct Case {
    const char *path, *query;
    bool known;
    int status;
    const char* type;
  };
  for (const Case& c : {Case{"/debug/pprof/profile", "seconds=1&format=folded", true, 200, "text/plain; charset=utf-8"},
                        Case{"/debug/pprof/profile", "seconds=1&hz=50", true, 200, "application/octet-stream"},
                        Case{"/debug/pprof/profile", "seconds=0", true, 400, "text/plain; charset=utf-8"},
                        Case{"/debug/pprof/profile", "seconds=301", true, 400, "text/plain; charset=utf-8"},
                        Case{"/debug/pprof/profile", "seconds=x", true, 400, "text/plain; charset=utf-8"},
                        Case{"/debug/pprof/profile", "seconds=1&hz=1001", true, 400, "text/plain; charset=utf-8"},
                        Case{"/debug/pprof/profile", "seconds=1&format=svg", true, 400, "text/plain; charset=utf-8"},
                        Case{"/debug/nothing", "", false, 200, ""}, Case{"/metrics", "", false, 200, ""}}) {
    Asked asked;
    ask(asked, c.path, c.query);
    EXPECT_EQ(asked.known, c.known) << c.path << '?' << c.query;
    EXPECT_EQ(asked.reply.status, c.status) << c.path << '?' << c.query;
    EXPECT_EQ(asked.reply.content_type, c.type) << c.path << '?' << c.query;
  }
}

}  // namespace
}  // namespace kybern
