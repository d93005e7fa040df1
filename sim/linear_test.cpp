// The real store under concurrent clients, and under kill -9; and stores that lie, which must be found out.
#include "sim/linear.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <filesystem>
#include <functional>
#include <mutex>
#include <thread>

#include "document/document.h"
#include "sim/world.h"
#include "store/store.h"

namespace kybern::sim {
namespace {

using Kind = Operation::Kind;
using Answer = Operation::Answer;

std::int64_t now_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }  // one clock for all processes of a machine

Document document(std::uint64_t value) {
  Draft out = Draft::object();
  out["metadata"]["resourceVersion"] = Document::stamp_blank();
  out["value"] = static_cast<std::int64_t>(value);
  return out.freeze();
}

// --- the checker itself ------------------------------------------------------------------------------------------------

Operation op(int client, Kind kind, std::int64_t called, std::int64_t answered, std::uint64_t value, std::int64_t revision,
             Answer answer = Answer::done, std::optional<std::int64_t> expected = std::nullopt) {
  return {kind, answer, client, "/k/a", value, expected, revision, called, answered};
}

struct Row {
  const char* name;
  History history;
  bool linearizable;
};

TEST(Checker, KnowsWhatCanBeExplained) {
  const std::vector<Row> rows{
      {"empty", {}, true},
      {"one after another", {op(1, Kind::put, 0, 1, 7, 2), op(2, Kind::get, 2, 3, 7, 2)}, true},
      {"a stale read", {op(1, Kind::put, 0, 1, 7, 2), op(1, Kind::put, 2, 3, 8, 3), op(2, Kind::get, 4, 5, 7, 2)}, false},
      {"a read meanwhile may see either", {op(1, Kind::put, 0, 1, 7, 2), op(1, Kind::put, 2, 9, 8, 3), op(2, Kind::get, 4, 5, 7, 2)}, true},
      {"what was seen cannot be unseen",
       {op(1, Kind::put, 0, 1, 7, 2), op(1, Kind::put, 2, 9, 8, 3), op(2, Kind::get, 3, 4, 8, 3), op(3, Kind::get, 5, 6, 7, 2)},
       false},
      {"a lost write", {op(1, Kind::put, 0, 1, 7, 2), op(2, Kind::get, 2, 3, 0, 0)}, false},
      {"no answer, and it happened", {op(1, Kind::put, 0, 0, 7, 0, Answer::unknown), op(2, Kind::get, 2, 3, 7, 2)}, true},
      {"no answer, and it did not", {op(1, Kind::put, 0, 0, 7, 0, Answer::unknown), op(2, Kind::get, 2, 3, 0, 0)}, true},
      {"it cannot happen and then not",
       {op(1, Kind::put, 0, 0, 7, 0, Answer::unknown), op(2, Kind::get, 2, 3, 7, 2), op(2, Kind::get, 4, 5, 0, 0)},
       false},
      {"two creates", {op(1, Kind::put, 0, 5, 7, 2, Answer::done, 0), op(2, Kind::put, 0, 5, 8, 3, Answer::done, 0)}, false},
      {"one of two creates", {op(1, Kind::put, 0, 5, 7, 2, Answer::done, 0), op(2, Kind::put, 0, 5, 8, 0, Answer::refused, 0)}, true},
      {"refused without a reason", {op(1, Kind::put, 0, 1, 7, 0, Answer::refused, 0)}, false},
      {"a failed write is not seen", {op(1, Kind::put, 0, 1, 7, 0, Answer::failed), op(2, Kind::get, 2, 3, 7, 2)}, false},
      {"revisions against time", {op(1, Kind::put, 0, 1, 7, 5), op(1, Kind::put, 2, 3, 8, 4)}, false},
      {"erased, then nothing", {op(1, Kind::put, 0, 1, 7, 2), op(1, Kind::erase, 2, 3, 0, 3), op(2, Kind::get, 4, 5, 0, 0)}, true},
      {"erased, then there", {op(1, Kind::put, 0, 1, 7, 2), op(1, Kind::erase, 2, 3, 0, 3), op(2, Kind::get, 4, 5, 7, 2)}, false},
  };
  for (const Row& row : rows) EXPECT_EQ(!check_linearizable(row.history), row.linearizable) << row.name;
}

// --- clients -------------------------------------------------------------------------------------------------------------

struct Load {
  int clients = 6, keys = 6, operations = 150;  // of each client
  std::uint64_t seed = 1;
};

// Before the call and after the answer the operation is written where it survives the process.
using Record = std::function<void(int client, const Operation& operation, bool answered)>;

void one_client(store::Store& store, const Load& load, int client, std::uint64_t first_value, const std::function<bool()>& go_on,
                const Record& record) {
  SplitMix random(load.seed * 1000 + static_cast<std::uint64_t>(client));
  std::int64_t last_seen = 0;
  for (int i = 0; i < load.operations && go_on(); ++i) {
    Operation o;
    o.client = client;
    o.key = "/k/key-" + std::to_string(random.below(static_cast<std::uint64_t>(load.keys)));
    const std::uint64_t dice = random.below(10);
    o.kind = dice < 4 ? Kind::get : dice < 9 ? Kind::put : Kind::erase;
    if (o.kind == Kind::put) o.value = first_value + static_cast<std::uint64_t>(i) + 1;
    if (o.kind != Kind::get && random.chance(0.5)) o.expected = random.chance(0.3) ? 0 : last_seen;
    if (o.kind == Kind::erase && o.expected == 0) o.expected.reset();
    o.called_ns = now_ns();
    record(client, o, false);
    if (o.kind == Kind::get) {
      store::EntryPtr entry = store.snapshot().get(o.key);
      o.answer = Answer::done;
      if (entry) {
        o.revision = last_seen = entry->revision;
        o.value = static_cast<std::uint64_t>(entry->value["value"].as_int());
      }
    } else {
      store::Write write{o.key, {}, o.expected};
      if (o.kind == Kind::put) write.value = document(o.value);
      auto done = store.commit(std::move(write));
      if (done) {
        o.answer = Answer::done;
        o.revision = last_seen = (*done)->revision;
      } else {
        const Code code = done.error().code;
        o.answer = code == Code::unavailable || code == Code::internal ? Answer::failed : Answer::refused;
      }
    }
    o.answered_ns = now_ns();
    record(client, o, true);
  }
}

// All clients at once; what they saw.
History run(store::Store& store, const Load& load) {
  std::mutex mutex;
  History history;
  std::vector<std::thread> threads;
  for (int client = 0; client < load.clients; ++client)
    threads.emplace_back([&, client] {
      one_client(
          store, load, client, static_cast<std::uint64_t>(client + 1) * 1'000'000, [] { return true; },
          [&](int, const Operation& o, bool answered) {
            if (!answered) return;
            std::lock_guard lock(mutex);
            history.push_back(o);
          });
    });
  for (auto& thread : threads) thread.join();
  return history;
}

class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "kybern_linear_XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string file() const { return path_ + "/state.db"; }

 private:
  std::string path_;
};

class RealStore : public testing::TestWithParam<bool> {};

TEST_P(RealStore, IsLinearizable) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    Folder folder;
    store::StoreOptions options;
    if (GetParam()) options.path = folder.file();
    auto store = store::Store::open(options);
    ASSERT_TRUE(store);
    Load load;
    load.seed = seed;
    const History history = run(**store, load);
    ASSERT_EQ(history.size(), 900u);
    const auto wrong = check_linearizable(history);
    EXPECT_FALSE(wrong) << *wrong;
  }
}
INSTANTIATE_TEST_SUITE_P(Engines, RealStore, testing::Bool(), [](const auto& p) { return p.param ? "file" : "memory"; });

// --- stores that lie -----------------------------------------------------------------------------------------------------

enum class Lie { drops_an_acknowledged_write, serves_a_stale_read, reorders, ignores_what_is_expected, writes_twice, refuses_and_writes };

class LyingStore : public store::Store {
 public:
  LyingStore(std::unique_ptr<store::Store> honest, Lie lie) : honest_(std::move(honest)), lie_(lie) {}

  Result<store::EntryPtr> commit(store::Write write) override {
    const bool now = ++writes_ % 20 == 0;
    switch (lie_) {
      case Lie::drops_an_acknowledged_write:
        if (now && write.value && !write.expected)
          return store::EntryPtr(std::make_shared<store::Entry>(store::Entry{write.key, *write.value, honest_->revision() + 1'000'000}));
        break;
      case Lie::ignores_what_is_expected:
        if (write.value) write.expected.reset();
        break;
      case Lie::writes_twice:
        if (now && write.value && !write.expected) {
          auto first = honest_->commit(write);
          std::lock_guard lock(mutex_);
          later_.push_back(std::move(write));
          return first;
        }
        break;
      case Lie::reorders: {
        // The answer is there before the write is: another one comes first.
        std::unique_lock lock(mutex_);
        if (now && write.value && !write.expected) {
          later_.push_back(write);
          return store::EntryPtr(std::make_shared<store::Entry>(store::Entry{write.key, *write.value, honest_->revision() + 1}));
        }
        break;
      }
      case Lie::refuses_and_writes:
        if (now && write.value) {
          auto done = honest_->commit(std::move(write));
          if (done) return fail(Code::unavailable, "the disk failed");
          return done;
        }
        break;
      case Lie::serves_a_stale_read: break;
    }
    auto answer = honest_->commit(std::move(write));
    std::unique_lock lock(mutex_);
    if (writes_ % 7 == 0 && !later_.empty()) {
      store::Write old = std::move(later_.front());
      later_.pop_front();
      lock.unlock();
      (void)honest_->commit(std::move(old));
    }
    return answer;
  }

  store::Snapshot snapshot() const override {
    store::Snapshot fresh = honest_->snapshot();
    if (lie_ != Lie::serves_a_stale_read) return fresh;
    std::lock_guard lock(mutex_);
    kept_.push_back(fresh);
    if (kept_.size() > 8) kept_.pop_front();
    return ++reads_ % 10 == 0 ? kept_.front() : fresh;
  }

  Result<store::Snapshot> snapshot_at(store::Revision revision, std::string_view prefix) const override {
    return honest_->snapshot_at(revision, prefix);
  }
  store::Revision revision() const override { return honest_->revision(); }
  store::Revision oldest_watchable(std::string_view prefix) const override { return honest_->oldest_watchable(prefix); }
  Result<std::unique_ptr<store::Watch>> watch(std::string_view prefix, store::Revision after, std::function<void()> notify) override {
    return honest_->watch(prefix, after, std::move(notify));
  }
  Result<void> backup(const std::string& path) override { return honest_->backup(path); }
  Result<void> check_writable() const override { return honest_->check_writable(); }
  Stats stats() const override { return honest_->stats(); }

 private:
  std::unique_ptr<store::Store> honest_;
  const Lie lie_;
  std::atomic<int> writes_ = 0;
  mutable int reads_ = 0;
  mutable std::mutex mutex_;
  mutable std::deque<store::Snapshot> kept_;
  std::deque<store::Write> later_;
};

class Lies : public testing::TestWithParam<Lie> {};

TEST_P(Lies, AreFoundOut) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    auto honest = store::Store::open({});
    ASSERT_TRUE(honest);
    LyingStore store(std::move(*honest), GetParam());
    Load load;
    load.seed = seed;
    if (check_linearizable(run(store, load))) return;
  }
  FAIL() << "ten histories of a lying store were believed";
}
INSTANTIATE_TEST_SUITE_P(Of, Lies,
                         testing::Values(Lie::drops_an_acknowledged_write, Lie::serves_a_stale_read, Lie::reorders,
                                         Lie::ignores_what_is_expected, Lie::writes_twice, Lie::refuses_and_writes));

// --- kill -9 ---------------------------------------------------------------------------------------------------------------

// Memory that the clients' process leaves behind.
struct Shared {
  static constexpr std::size_t limit = 4000;
  struct Slot {
    std::atomic<int> state;  // 0: empty, 1: called, 2: answered
    int kind, answer, client, key;
    bool has_expected;
    std::uint64_t value;
    std::int64_t expected, revision, called_ns, answered_ns;
  };
  std::atomic<std::size_t> used;
  std::atomic<bool> ready;
  Slot slots[limit];
};

void child(const std::string& file, const Load& load, int round, Shared& shared) {
  store::StoreOptions options;
  options.path = file;
  auto store = store::Store::open(options);
  if (!store) ::_exit(3);
  std::vector<std::thread> threads;
  for (int client = 0; client < load.clients; ++client)
    threads.emplace_back([&, client] {
      Shared::Slot* slot = nullptr;
      const std::uint64_t first_value =
          static_cast<std::uint64_t>(round + 1) * 100'000'000 + static_cast<std::uint64_t>(client + 1) * 1'000'000;
      one_client(
          **store, load, client, first_value, [&] { return shared.used < Shared::limit - 64; },
          [&](int, const Operation& o, bool answered) {
            if (!answered) slot = &shared.slots[shared.used++];
            slot->kind = static_cast<int>(o.kind);
            slot->answer = static_cast<int>(o.answer);
            slot->client = o.client;
            slot->key = std::atoi(o.key.c_str() + std::strlen("/k/key-"));
            slot->value = o.value;
            slot->has_expected = o.expected.has_value();
            slot->expected = o.expected.value_or(0);
            slot->revision = o.revision;
            slot->called_ns = o.called_ns;
            slot->answered_ns = o.answered_ns;
            slot->state.store(answered ? 2 : 1, std::memory_order_release);
            shared.ready = true;
          });
    });
  for (auto& thread : threads) thread.join();
  ::_exit(0);
}

TEST(RealStoreKilled, IsLinearizableAcrossItsDeaths) {
  constexpr int rounds = 6;
  Folder folder;
  History history;
  SplitMix random(static_cast<std::uint64_t>(now_ns()));
  for (int round = 0; round < rounds; ++round) {
    void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    auto& shared = *static_cast<Shared*>(memory);  // zeros: empty
    Load load;
    load.operations = round + 1 == rounds ? 40 : 100'000;
    load.seed = random.next() % 100'000;
    const pid_t pid = ::fork();
    if (pid == 0) child(folder.file(), load, round, shared);
    ASSERT_GT(pid, 0);
    int status = 0;
    if (round + 1 < rounds) {
      const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      const std::size_t enough = 50 + random.below(400);
      while (shared.used < enough && std::chrono::steady_clock::now() < end && ::waitpid(pid, &status, WNOHANG) == 0)
        std::this_thread::yield();
      ::kill(pid, SIGKILL);
    }
    ::waitpid(pid, &status, 0);
    for (std::size_t i = 0; i < std::min<std::size_t>(shared.used, Shared::limit); ++i) {
      const Shared::Slot& slot = shared.slots[i];
      const int state = slot.state.load(std::memory_order_acquire);
      if (state == 0) continue;
      Operation o{static_cast<Kind>(slot.kind),
                  state == 2 ? static_cast<Answer>(slot.answer) : Answer::unknown,
                  slot.client,
                  "/k/key-" + std::to_string(slot.key),
                  slot.value,
                  slot.has_expected ? std::optional(slot.expected) : std::nullopt,
                  slot.revision,
                  slot.called_ns,
                  slot.answered_ns};
      history.push_back(std::move(o));
    }
    ::munmap(memory, sizeof(Shared));
  }
  EXPECT_GT(history.size(), 300u);
  const auto wrong = check_linearizable(history);
  EXPECT_FALSE(wrong) << *wrong;
}

}  // namespace
}  // namespace kybern::sim
