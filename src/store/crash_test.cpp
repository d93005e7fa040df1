// A process with 64 writers and 64 watchers is killed at random moments, again and again. Afterwards: every acknowledged
// write is there, none is half there, revisions never go back, and every watcher that goes on from the last revision it
// has seen gets each change once and in order, or is told that it must list again.
//
// The process notes in a shared mapping what was acknowledged and what was seen; the mapping outlives it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "base/testing/eventually.h"
#include "store/local_store.h"
#include "store/store.h"
#include "store/test_support.h"

namespace kybern::store {
namespace {

using namespace testing;

constexpr int writers = 64, watchers = 64, resources = 8, keys_each = 4;
constexpr std::uint32_t max_notes = 40'000;

// One write: as tried, as acknowledged, or as a watcher saw it.
struct Note {
  Revision revision;
  std::int64_t number;  // grows by one with every try of the key's writer
  std::int32_t key;
  bool deleted;
};

struct Notes {
  std::atomic<std::uint32_t> count;
  Note notes[max_notes];
  void add(const Note& note) {
    std::uint32_t n = count.load(std::memory_order_relaxed);
    if (n == max_notes) return;
    notes[n] = note;
    count.store(n + 1, std::memory_order_release);
  }
};

struct Shared {
  std::atomic<bool> ready, bad;
  char why[256];
  struct {
    Notes tried, acknowledged;
  } writers[store::writers];
  struct {
    Notes seen;
    std::atomic<Revision> position;
    Notes lists;  // after Code::expired: revision of the new list
  } watchers[store::watchers];
};

std::string key_name(int key) {
  int writer = key / keys_each;
  return "/r" + std::to_string(writer % resources) + "/ns" + std::to_string(writer) + "/k" + std::to_string(key % keys_each);
}

// The first eight see a whole resource, the others one writer's keys.
std::string watched_prefix(int watcher) {
  if (watcher < resources) return "/r" + std::to_string(watcher) + "/";
  return "/r" + std::to_string(watcher % resources) + "/ns" + std::to_string(watcher) + "/";
}

Document value_of(int key, std::int64_t number) {
  return object(key_name(key), number, 150 + static_cast<std::size_t>(number * 37 % 1500));
}

LocalLimits limits_of(bool forgetful) {
  LocalLimits limits;
  if (forgetful) limits.retention.min_bytes = 64 << 10, limits.retention.live_divisor = 1'000'000;
  return limits;
}

// ---------------------------------------------------------------------------------------------------------------------
// In the process that is killed

void fail_child(Shared& shared, const std::string& why) {
  if (!shared.bad.exchange(true)) std::snprintf(shared.why, sizeof shared.why, "%s", why.c_str());
}

void run_writer(Shared& shared, Store& store, int writer) {
  Notes &tried = shared.writers[writer].tried, &acknowledged = shared.writers[writer].acknowledged;
  std::mt19937_64 random(static_cast<std::uint64_t>(writer) * 7919 + tried.count);
  while (tried.count < max_notes * resources / writers) {  // so that a watcher of a whole resource has room for all
    int key = writer * keys_each + static_cast<int>(random() % keys_each);
    std::int64_t number = tried.count + 1;
    EntryPtr before = store.snapshot().get(key_name(key));
    bool remove = before && random() % 5 == 0;
    tried.add({0, number, key, remove});
    Write write{key_name(key), std::nullopt, before ? before->revision : 0};
    if (!remove) write.value = value_of(key, number);
    Result<EntryPtr> done = store.commit(std::move(write));
    if (!done) return fail_child(shared, "a write was refused: " + done.error().message);
    acknowledged.add({(*done)->revision, number, key, remove});
  }
}

void run_watcher(Shared& shared, Store& store, int watcher, const std::atomic<bool>& stop) {
  auto& mine = shared.watchers[watcher];
  Signal signal;
  std::uint32_t count = mine.seen.count;
  Revision from = std::max<Revision>(mine.position, count ? mine.seen.notes[count - 1].revision : 0);
  Result<std::unique_ptr<Watch>> watch = store.watch(watched_prefix(watcher), from, [&] { signal.raise(); });
  if (!watch && watch.error().code == Code::expired) {
    from = store.revision();
    mine.lists.add({from, 0, 0, false});
    watch = store.watch(watched_prefix(watcher), from, [&] { signal.raise(); });
  }
  if (!watch) return fail_child(shared, "a watch was refused: " + watch.error().message);
  for (int waits = 0;; ++waits) {
    for (;;) {
      std::vector<ChangePtr> out;
      Result<void> taken = (*watch)->take(out, 16);
      if (!taken) return fail_child(shared, "take: " + taken.error().message);
      if (out.empty()) break;
      for (const ChangePtr& c : out) {
        const std::string& name = c->key();  // /rA/nsB/kC
        int owner = std::atoi(name.c_str() + name.find("/ns") + 3), k = std::atoi(name.c_str() + name.rfind('k') + 1);
        mine.seen.add({c->revision, c->now ? number_of(c->now) : 0, owner * keys_each + k, !c->now});
      }
    }
    // What a bookmark would say, and now and then only.
    Revision position = (*watch)->position();
    if (waits % 8 == 0 || stop) mine.position.store(position, std::memory_order_release);
    if (stop && position >= store.revision()) return;
    while (!signal.wait_for_count(waits + 1, std::chrono::seconds(1)) && !stop) {}
  }
}

void run_child(const std::string& folder, bool forgetful, bool writing) {
  ::alarm(60);  // never left behind
  int fd = ::open((folder + "/shared").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  auto* shared = static_cast<Shared*>(::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  ASSERT_NE(shared, MAP_FAILED);
  StoreOptions options;
  options.path = folder + "/state.db";
  Result<std::unique_ptr<Store>> opened = open_local_store(options, limits_of(forgetful));
  if (!opened) {
    fail_child(*shared, opened.error().message);
    shared->ready = true;
    return;
  }
  Store& store = **opened;
  std::atomic<bool> stop = !writing;
  std::vector<std::thread> threads;
  for (int w = 0; w < watchers; ++w) threads.emplace_back([&, w] { run_watcher(*shared, store, w, stop); });
  for (int w = 0; writing && w < writers; ++w) threads.emplace_back([&, w] { run_writer(*shared, store, w); });
  shared->ready = true;
  for (auto& t : threads) t.join();
}

TEST(CrashChild, DISABLED_Run) {
  const char* folder = ::getenv("KYBERN_CRASH_FOLDER");
  ASSERT_NE(folder, nullptr) << "only run by Crash.*";
  run_child(folder, ::getenv("KYBERN_CRASH_FORGETFUL") != nullptr, ::getenv("KYBERN_CRASH_READ_ONLY") == nullptr);
}

// ---------------------------------------------------------------------------------------------------------------------
// In the test

class Crash : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    int fd = ::open((folder_ / "shared").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(::ftruncate(fd, sizeof(Shared)), 0);
    shared_ = static_cast<Shared*>(::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    ASSERT_NE(shared_, MAP_FAILED);
    ::close(fd);
    for (auto& w : shared_->watchers) w.position = 1;
  }
  void TearDown() override {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    ::munmap(shared_, sizeof(Shared));
  }

  void start_child(bool writing) {
    shared_->ready = false;
    child_ = ::fork();
    if (child_ != 0) return;
    ::setenv("KYBERN_CRASH_FOLDER", folder_.path().c_str(), 1);
    if (GetParam()) ::setenv("KYBERN_CRASH_FORGETFUL", "1", 1);
    if (!writing) ::setenv("KYBERN_CRASH_READ_ONLY", "1", 1);
    int null = ::open("/dev/null", O_WRONLY);
    ::dup2(null, 1);
    ::execl("/proc/self/exe", "store_test", "--gtest_also_run_disabled_tests", "--gtest_filter=CrashChild.*", nullptr);
    ::_exit(127);
  }
  void wait_until_ready() {
    ASSERT_TRUE(eventually([&] { return shared_->ready.load(); }, std::chrono::seconds(30)));
  }

  void check_state();
  void check_watchers(bool at_end);

  Folder folder_;
  Shared* shared_ = nullptr;
  pid_t child_ = -1;
  Revision newest_ = 1;                          // that anyone has ever been told
  std::set<std::pair<int, std::int64_t>> lost_;  // tries of which nobody knows whether they happened: key and number
};

// The files as the killed process left them, opened somewhere else: the next process recovers from them itself.
void Crash::check_state() {
  ASSERT_FALSE(shared_->bad) << shared_->why;
  Folder copy;
  std::filesystem::copy_file(folder_ / "state.db", copy / "state.db");
  if (std::filesystem::exists(folder_ / "state.db-wal")) std::filesystem::copy_file(folder_ / "state.db-wal", copy / "state.db-wal");
  auto store = open_or_die(copy / "state.db");
  ASSERT_NE(store, nullptr);
  for (auto& w : shared_->watchers) {
    newest_ = std::max<Revision>(newest_, w.position);
    if (std::uint32_t n = w.seen.count) newest_ = std::max(newest_, w.seen.notes[n - 1].revision);
  }
  for (auto& w : shared_->writers)
    if (std::uint32_t n = w.acknowledged.count) newest_ = std::max(newest_, w.acknowledged.notes[n - 1].revision);
  EXPECT_GE(store->revision(), newest_) << "revisions went back";
  newest_ = store->revision();
  Snapshot now = store->snapshot();
  std::size_t present = 0;
  for (auto& w : shared_->writers) {
    std::map<int, Note> last;
    for (std::uint32_t i = 0; i < w.acknowledged.count; ++i) last[w.acknowledged.notes[i].key] = w.acknowledged.notes[i];
    const std::uint32_t tried = w.tried.count;
    std::optional<Note> open;  // tried and not acknowledged
    if (tried && (!w.acknowledged.count || w.acknowledged.notes[w.acknowledged.count - 1].number != w.tried.notes[tried - 1].number))
      open = w.tried.notes[tried - 1];
    if (open) lost_.insert({open->key, open->number});
    for (auto& [key, note] : last) {
      EntryPtr entry = now.get(key_name(key));
      if (entry) {
        ++present;
        const std::int64_t number = number_of(entry);
        EXPECT_TRUE(entry->value.root() ==
                    [&] {
                      // The same value, stamped.
                      Draft expected(value_of(key, number));
                      expected["metadata"]["resourceVersion"] = std::to_string(entry->revision);
                      return expected.freeze();
                    }()
                        .root())
            << key_name(key) << " is half there";
      }
      const bool as_acknowledged = note.deleted ? !entry : entry && entry->revision == note.revision && number_of(entry) == note.number;
      const bool as_tried = open && open->key == key && (open->deleted ? !entry : entry && number_of(entry) == open->number);
      // An earlier process's last try may have happened too, when nothing was acknowledged for the key since.
      const bool as_lost = entry && entry->revision > note.revision && lost_.contains({key, number_of(entry)});
      const bool as_lost_delete =
          !entry && std::any_of(lost_.begin(), lost_.end(), [&](const auto& l) { return l.first == key && l.second > note.number; });
      EXPECT_TRUE(as_acknowledged || as_tried || as_lost || as_lost_delete)
          << key_name(key) << ": acknowledged " << note.number << (note.deleted ? " (delete)" : "") << " at " << note.revision
          << ", there is " << (entry ? std::to_string(number_of(entry)) + " at " + std::to_string(entry->revision) : "nothing");
    }
  }
  EXPECT_GT(present, 0u);
}

void Crash::check_watchers(bool at_end) {
  std::size_t total = 0;
  std::map<Revision, Note> acknowledged;
  for (auto& w : shared_->writers)
    for (std::uint32_t i = 0; i < w.acknowledged.count; ++i) {
      bool fresh = acknowledged.emplace(w.acknowledged.notes[i].revision, w.acknowledged.notes[i]).second;
      EXPECT_TRUE(fresh) << "revision " << w.acknowledged.notes[i].revision << " was given twice";
    }
  for (int w = 0; w < watchers; ++w) {
    SCOPED_TRACE("watcher of " + watched_prefix(w));
    auto& mine = shared_->watchers[w];
    std::map<Revision, Note> seen;
    Revision last = 0;
    for (std::uint32_t i = 0; i < mine.seen.count; ++i) {
      const Note& note = mine.seen.notes[i];
      ASSERT_GT(note.revision, last) << "a change came twice, or out of order";
      last = note.revision;
      seen[note.revision] = note;
      auto at = acknowledged.find(note.revision);
      if (at == acknowledged.end()) continue;
      ASSERT_EQ(at->second.key, note.key);
      ASSERT_EQ(at->second.deleted, note.deleted);
      if (!note.deleted) { ASSERT_EQ(at->second.number, note.number); }
    }
    total += seen.size();
    // Up to here it must have seen everything, but for what passed before a list.
    const Revision end = at_end ? newest_ : last;
    for (auto& [revision, note] : acknowledged) {
      if (revision > end || !key_name(note.key).starts_with(watched_prefix(w)) || seen.contains(revision)) continue;
      bool listed = false;
      for (std::uint32_t i = 0; i < mine.lists.count; ++i) {
        const Revision list = mine.lists.notes[i].revision;
        auto before = seen.upper_bound(list);
        listed = listed || (revision <= list && (before == seen.begin() || std::prev(before)->first < revision));
      }
      ASSERT_TRUE(listed) << "revision " << revision << " of " << key_name(note.key) << " was not seen";
    }
    if (!GetParam()) { EXPECT_EQ(mine.lists.count, 0u) << "the log keeps enough to go on"; }
  }
  EXPECT_GT(total, 0u);
}

TEST_P(Crash, KilledAgainAndAgain) {
  std::random_device seed;
  std::mt19937_64 random(seed());
  for (int round = 0; round < 6; ++round) {
    start_child(true);
    ASSERT_GT(child_, 0);
    wait_until_ready();
    ASSERT_TRUE(eventually([&] {  // there must be something to lose
      std::size_t acknowledged = 0, seen = 0;
      for (auto& w : shared_->writers) acknowledged += w.acknowledged.count;
      for (auto& w : shared_->watchers) seen += w.seen.count;
      return acknowledged >= 20 && seen > 0;
    }));
    std::this_thread::sleep_for(std::chrono::milliseconds(50 + random() % 600));  // the random moment
    ASSERT_EQ(::kill(child_, SIGKILL), 0);
    ASSERT_EQ(::waitpid(child_, nullptr, 0), child_);
    child_ = -1;
    check_state();
    check_watchers(false);
    if (HasFailure()) FAIL() << "in round " << round;
  }
  start_child(false);  // only watchers, until they have seen everything
  int status = 0;
  ASSERT_EQ(::waitpid(child_, &status, 0), child_);
  child_ = -1;
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  check_state();
  check_watchers(true);
  std::uint64_t acknowledged = 0, lists = 0;
  for (auto& w : shared_->writers) acknowledged += w.acknowledged.count;
  for (auto& w : shared_->watchers) lists += w.lists.count;
  RecordProperty("acknowledged", std::to_string(acknowledged));
  RecordProperty("lists_after_expired", std::to_string(lists));
  std::printf("%lu writes acknowledged, newest revision %ld, %lu lists after expired watches\n", acknowledged, newest_, lists);
}

INSTANTIATE_TEST_SUITE_P(Logs, Crash, ::testing::Bool(), [](const auto& info) { return info.param ? "Forgetful" : "Default"; });

}  // namespace
}  // namespace kybern::store
