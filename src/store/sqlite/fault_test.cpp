// A disk that is full, fails, is read-only, or has turned bytes: clear errors, nothing overwritten, nothing half done.
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <random>
#include <sstream>

#include "document/json.h"
#include "store/fault_vfs_test.h"
#include "store/local_store.h"
#include "store/sqlite/wal_check.h"
#include "store/store.h"
#include "store/test_support.h"

namespace kybern::store {
namespace {

using namespace testing;

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream bytes;
  bytes << in.rdbuf();
  return bytes.str();
}
// Not EXPECT_EQ: it would print the whole file.
bool holds(const std::string& path, const std::string& bytes) { return read_file(path) == bytes; }
void write_file(const std::string& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

// The error of opening what must not open.
Error refused(const std::string& path) {
  StoreOptions options;
  options.path = path;
  Result<std::unique_ptr<Store>> store = Store::open(options);
  EXPECT_FALSE(store) << path << " was opened";
  if (store) return {};
  EXPECT_NE(store.error().message.find(path), std::string::npos) << store.error().message;
  EXPECT_EQ(store.error().message.find('\n'), std::string::npos) << "one line";
  return store.error();
}

// A file system of its own, where the test may mount.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& options) { mounted_ = ::mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, options.c_str()) == 0; }
  ~SmallDisk() {
    if (mounted_) ::umount2(folder_.path().c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  bool make_read_only() { return ::mount(nullptr, folder_.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0; }
  const std::string& path() const { return folder_.path(); }

 private:
  Folder folder_;
  bool mounted_;
};

// Writes until the disk refuses; then nothing more than what was acknowledged may ever be seen.
void fill_and_recover(const std::string& folder, const std::function<void()>& make_room, bool same_process) {
  const std::string path = folder + "/state.db";
  Contents acknowledged;
  Revision last = 0;
  auto check = [&](Store& store) {
    EXPECT_EQ(contents(store.snapshot()), acknowledged);
    EXPECT_EQ(store.revision(), last);
  };
  {
    auto store = open_or_die(path);
    ASSERT_NE(store, nullptr);
    int refusals = 0;
    for (int i = 0; refusals < 5; ++i) {
      ASSERT_LT(i, 5000) << "the disk does not fill";
      Result<EntryPtr> done = store->commit(put("/k/" + std::to_string(i), i, std::nullopt, 50'000));
      if (done) {
        acknowledged["/k/" + std::to_string(i)] = std::to_string((*done)->revision) + " " + to_json((*done)->value.root());
        last = (*done)->revision;
        continue;
      }
      ++refusals;
      EXPECT_EQ(done.error().code, Code::unavailable);
      EXPECT_NE(done.error().message.find(path), std::string::npos) << done.error().message;
      EXPECT_EQ(store->snapshot().get("/k/" + std::to_string(i)), nullptr);
    }
    check(*store);
    EXPECT_FALSE(store->check_writable());
    if (same_process) {
      make_room();
      EXPECT_TRUE(store->check_writable()) << why(store->check_writable());
      Result<EntryPtr> done = store->commit(put("/k/room", 1));
      ASSERT_TRUE(done) << why(done);
      EXPECT_EQ((*done)->revision, last + 1);
      acknowledged["/k/room"] = std::to_string((*done)->revision) + " " + to_json((*done)->value.root());
      last = (*done)->revision;
      check(*store);
    }
  }
  if (!same_process) make_room();
  auto store = open_or_die(path);
  ASSERT_NE(store, nullptr);
  check(*store);
  EXPECT_TRUE(store->commit(put("/k/after", 1)));
}

TEST(Faults, FullDisk) {
  SmallDisk disk("size=24m");
  if (!disk.mounted()) GTEST_SKIP() << "needs the right to mount a file system";
  write_file(disk.path() + "/ballast", std::string(12 << 20, 'x'));
  fill_and_recover(
      disk.path(), [&] { std::filesystem::remove(disk.path() + "/ballast"); }, true);
}

TEST(Faults, FullDiskAtTheEndOfTheProcess) {
  SmallDisk disk("size=24m");
  if (!disk.mounted()) GTEST_SKIP() << "needs the right to mount a file system";
  write_file(disk.path() + "/ballast", std::string(12 << 20, 'x'));
  fill_and_recover(
      disk.path(), [&] { std::filesystem::remove(disk.path() + "/ballast"); }, false);
}

TEST(Faults, FileSizeLimit) {
  Folder folder;
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  auto old = signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 6 << 20;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  fill_and_recover(
      folder.path(), [&] { setrlimit(RLIMIT_FSIZE, &before); }, false);
  setrlimit(RLIMIT_FSIZE, &before);
  signal(SIGXFSZ, old);
}

// Each kind of failing call at each of the first times it happens: the write is refused or done, and what a crash right
// then leaves on the disk agrees.
TEST(Faults, FailingDisk) {
  struct Row {
    FaultVfs::Call call;
    const char* file;  // the end of its name
    int code;
    int times;  // how many calls fail
  };
  const Row rows[] = {
      {FaultVfs::Call::write, "-wal", SQLITE_IOERR_WRITE, 1}, {FaultVfs::Call::write, "-wal", SQLITE_FULL, 1},
      {FaultVfs::Call::write, "-wal", SQLITE_FULL, 6},        {FaultVfs::Call::sync, "-wal", SQLITE_IOERR_FSYNC, 1},
      {FaultVfs::Call::sync, "-wal", SQLITE_IOERR_FSYNC, 4},  {FaultVfs::Call::sync, ".db", SQLITE_IOERR_FSYNC, 1},
  };
  for (const Row& row : rows) {
    for (int first = 1; first <= 9; first += 2) {
      SCOPED_TRACE(std::string(row.file) + " call " + std::to_string(static_cast<int>(row.call)) + " from " + std::to_string(first) + ", " +
                   std::to_string(row.times) + " times");
      Folder folder;
      std::atomic<bool> armed = false, whole_disk = false;
      std::atomic<int> calls = 0;
      FaultVfs vfs([&](FaultVfs::Call call, const std::string& file) {
        if (armed && whole_disk) return SQLITE_IOERR_WRITE;
        if (!armed || call != row.call || !file.ends_with(row.file)) return SQLITE_OK;
        int n = ++calls;
        return n >= first && n < first + row.times ? row.code : SQLITE_OK;
      });
      Contents acknowledged;
      Revision last = 1;
      {
        auto store = open_or_die(folder / "state.db");
        ASSERT_NE(store, nullptr);
        armed = true;
        for (int i = 0; i < 12; ++i) {
          std::string key = "/k/" + std::to_string(i % 5);
          Result<EntryPtr> done = store->commit(put(key, i, std::nullopt, 3000));
          if (done) {
            EXPECT_EQ((*done)->revision, last + 1);
            last = (*done)->revision;
            acknowledged[key] = std::to_string(last) + " " + to_json((*done)->value.root());
          } else {
            EXPECT_EQ(done.error().code, Code::unavailable) << why(done);
          }
          EXPECT_EQ(contents(store->snapshot()), acknowledged);
          if (done && i % 4) continue;
          // The power goes here, and everything that was written has reached the disk.
          Folder copy;
          std::filesystem::copy_file(folder / "state.db", copy / "state.db");
          std::filesystem::copy_file(folder / "state.db-wal", copy / "state.db-wal");
          armed = false;
          auto other = open_or_die(copy / "state.db");
          ASSERT_NE(other, nullptr);
          EXPECT_EQ(contents(other->snapshot()), acknowledged) << "after write " << i;
          EXPECT_EQ(other->revision(), last);
          armed = true;
        }
        EXPECT_TRUE(store->check_writable()) << why(store->check_writable());
        // Now nothing can be written, not even to set the log aright: all writes are refused until that is over.
        whole_disk = true;
        for (int i = 0; i < 3; ++i) EXPECT_FALSE(store->commit(put("/k/never", i)));
        EXPECT_FALSE(store->check_writable());
        whole_disk = armed = false;
        EXPECT_TRUE(store->check_writable()) << why(store->check_writable());
        EXPECT_EQ(store->snapshot().get("/k/never"), nullptr);
        Result<EntryPtr> done = store->commit(put("/k/end", 1));
        ASSERT_TRUE(done) << why(done);
        EXPECT_EQ((*done)->revision, ++last);
        acknowledged["/k/end"] = std::to_string(last) + " " + to_json((*done)->value.root());
      }
      auto store = open_or_die(folder / "state.db");
      ASSERT_NE(store, nullptr);
      EXPECT_EQ(contents(store->snapshot()), acknowledged);
    }
  }
}

// A server that was killed begins again on a disk that fails: what its log holds cannot be copied into the file, and the
// next write cannot be made, nor taken back. What was acknowledged before stays.
TEST(Faults, DiskFailsFromTheStart) {
  Folder folder, killed;
  Contents acknowledged;
  {
    auto store = open_or_die(folder / "state.db");
    ASSERT_NE(store, nullptr);
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(store->commit(put("/k/" + std::to_string(i), i, std::nullopt, 2000)));
    acknowledged = contents(store->snapshot());
    for (const char* name : {"state.db", "state.db-wal"}) std::filesystem::copy_file(folder / name, killed / name);
  }
  {
    std::atomic<bool> log_fails = false;
    FaultVfs vfs([&](FaultVfs::Call call, const std::string& file) {
      const bool fails = call == FaultVfs::Call::sync && (log_fails || !file.ends_with("-wal"));
      return fails ? SQLITE_IOERR_FSYNC : SQLITE_OK;
    });
    auto store = open_or_die(killed / "state.db");
    ASSERT_NE(store, nullptr);
    EXPECT_EQ(contents(store->snapshot()), acknowledged);
    log_fails = true;
    EXPECT_FALSE(store->commit(put("/k/never", 1)));
  }
  auto store = open_or_die(killed / "state.db");
  ASSERT_NE(store, nullptr);
  EXPECT_EQ(contents(store->snapshot()), acknowledged);
}

TEST(Faults, ReadOnlyFileSystem) {
  SmallDisk disk("size=8m");
  if (!disk.mounted()) GTEST_SKIP() << "needs the right to mount a file system";
  open_or_die(disk.path() + "/state.db")->commit(put("/k/a", 1));
  ASSERT_TRUE(disk.make_read_only());
  Error error = refused(disk.path() + "/state.db");
  EXPECT_EQ(error.code, Code::unavailable);
  EXPECT_NE(error.message.find("read-only"), std::string::npos) << error.message;
  error = refused(disk.path() + "/new.db");
  EXPECT_EQ(error.code, Code::unavailable);
  EXPECT_NE(error.message.find("read-only"), std::string::npos) << error.message;
}

TEST(Faults, ReadOnlyFile) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write any file";
  Folder folder;
  open_or_die(folder / "state.db")->commit(put("/k/a", 1));
  ASSERT_EQ(chmod((folder / "state.db").c_str(), 0400), 0);
  Error error = refused(folder / "state.db");
  EXPECT_EQ(error.code, Code::unavailable);
  EXPECT_NE(error.message.find("read-only"), std::string::npos) << error.message;
}

TEST(Faults, APlaceThatIsNoFile) {
  Folder folder;
  std::filesystem::create_directory(folder / "folder");
  EXPECT_EQ(refused(folder / "nowhere/state.db").code, Code::unavailable);
  EXPECT_EQ(refused(folder / "folder").code, Code::unavailable);
}

TEST(Faults, LockedByAnotherProcess) {
  Folder folder;
  int ready[2], done[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(done), 0);
  pid_t child = fork();
  if (child == 0) {
    StoreOptions options;
    options.path = folder / "state.db";
    auto store = Store::open(options);
    char c = store && (*store)->commit(put("/k/a", 1)) ? 'y' : 'n';
    if (write(ready[1], &c, 1) != 1) _exit(1);
    while (read(done[0], &c, 1) < 0) {}
    _exit(0);
  }
  ASSERT_GT(child, 0);
  char c = 0;
  EXPECT_EQ(read(ready[0], &c, 1), 1);
  EXPECT_EQ(c, 'y');
  Error error = refused(folder / "state.db");
  EXPECT_EQ(error.code, Code::unavailable);
  EXPECT_NE(error.message.find("another process"), std::string::npos) << error.message;
  EXPECT_EQ(write(done[1], &c, 1), 1);
  int status;
  waitpid(child, &status, 0);
  for (int fd : {ready[0], ready[1], done[0], done[1]}) close(fd);
  EXPECT_NE(open_or_die(folder / "state.db")->snapshot().get("/k/a"), nullptr);
}

TEST(Faults, OpenedTwiceInOneProcess) {
  Folder folder;
  auto store = open_or_die(folder / "state.db");
  EXPECT_EQ(refused(folder / "state.db").code, Code::unavailable);
  EXPECT_TRUE(store->commit(put("/k/a", 1)));
}

TEST(Faults, FilesOfOthers) {
  Folder folder;
  write_file(folder / "text", std::string(10'000, 'x'));
  EXPECT_EQ(refused(folder / "text").code, Code::internal);
  EXPECT_TRUE(holds(folder / "text", std::string(10'000, 'x')));
  sqlite3* db;
  ASSERT_EQ(sqlite3_open((folder / "other.db").c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, "CREATE TABLE t(a); INSERT INTO t VALUES(1)", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(db);
  std::string before = read_file(folder / "other.db");
  Error error = refused(folder / "other.db");
  EXPECT_EQ(error.code, Code::internal);
  EXPECT_NE(error.message.find("another program"), std::string::npos) << error.message;
  EXPECT_TRUE(holds(folder / "other.db", before));
  open_or_die(folder / "newer.db")->commit(put("/k/a", 1));
  ASSERT_EQ(sqlite3_open((folder / "newer.db").c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, "PRAGMA user_version=2", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(db);
  error = refused(folder / "newer.db");
  EXPECT_EQ(error.code, Code::internal);
  EXPECT_NE(error.message.find("format 2"), std::string::npos) << error.message;
}

// A store with a file of some pages and, when it was not closed, a write-ahead log of some transactions.
struct Image {
  std::string file, wal;
  Contents contents;
  std::vector<Contents> history;  // the contents after each write
};

Image make_image(bool closed) {
  Folder folder;
  Image image;
  auto store = open_or_die(folder / "state.db");
  auto write = [&](int i) {
    std::string key = "/k/" + std::to_string(i * 7 % 60);
    Result<EntryPtr> done = i % 9 == 8 ? store->commit(erase("/k/" + std::to_string((i - 1) * 7 % 60)))
                                       : store->commit(put(key, i, std::nullopt, 200 + static_cast<std::size_t>(i) * 37 % 6000));
    EXPECT_TRUE(done) << why(done);
    image.history.push_back(contents(store->snapshot()));
  };
  for (int i = 0; i < 80; ++i) write(i);
  store.reset();
  if (!closed) {
    store = open_or_die(folder / "state.db");
    for (int i = 80; i < 100; ++i) write(i);
    image.wal = read_file(folder / "state.db-wal");
  }
  image.file = read_file(folder / "state.db");
  image.contents = image.history.back();
  return image;
}

// Bytes turned anywhere: the store either says that the file is damaged and leaves it alone, or has everything.
TEST(Faults, TurnedBytesInTheFile) {
  const Image image = make_image(true);
  ASSERT_GT(image.file.size(), 50'000u);
  std::mt19937_64 random(11);
  int found = 0, harmless = 0;
  std::vector<std::size_t> places = {0,   17,   18,       28,       52,           100,          103,          105,
                                     108, 4096, 4096 + 3, 2 * 4096, 2 * 4096 + 3, 2 * 4096 + 8, 3 * 4096 + 4, image.file.size() - 1};
  while (places.size() < 400) places.push_back(random() % image.file.size());
  for (std::size_t place : places) {
    SCOPED_TRACE("byte " + std::to_string(place));
    Folder folder;
    std::string bytes = image.file;
    bytes[place] = static_cast<char>(bytes[place] ^ (1 << random() % 8));
    write_file(folder / "state.db", bytes);
    StoreOptions options;
    options.path = folder / "state.db";
    Result<std::unique_ptr<Store>> store = Store::open(options);
    if (store) {
      ++harmless;
      EXPECT_EQ(contents((*store)->snapshot()), image.contents);
      continue;
    }
    ++found;
    EXPECT_EQ(store.error().code, Code::internal) << why(store);
    EXPECT_NE(store.error().message.find(options.path), std::string::npos) << why(store);
    EXPECT_TRUE(holds(options.path, bytes)) << "a damaged file was changed";
  }
  EXPECT_GT(found, 200) << harmless << " were harmless: most of the file is values";
}

TEST(Faults, TurnedBytesInTheWriteAheadLog) {
  const Image image = make_image(false);
  ASSERT_GT(image.wal.size(), 60'000u);
  // The last transaction may be torn by a crash, so damage in it looks like that: at worst it is gone.
  const Contents& without_last = image.history[image.history.size() - 2];
  std::mt19937_64 random(12);
  int found = 0;
  std::vector<std::size_t> places = {0, 8, 16, 24, 31, 32, 36, 40, 48, 56, image.wal.size() - 1};
  while (places.size() < 200) places.push_back(random() % image.wal.size());
  for (std::size_t place : places) {
    SCOPED_TRACE("byte " + std::to_string(place));
    Folder folder;
    std::string bytes = image.wal;
    bytes[place] = static_cast<char>(bytes[place] ^ (1 << random() % 8));
    write_file(folder / "state.db", image.file);
    write_file(folder / "state.db-wal", bytes);
    StoreOptions options;
    options.path = folder / "state.db";
    Result<std::unique_ptr<Store>> store = Store::open(options);
    if (store) {
      Contents now = contents((*store)->snapshot());
      EXPECT_TRUE(now == image.contents || now == without_last);
      continue;
    }
    ++found;
    EXPECT_EQ(store.error().code, Code::internal) << why(store);
    EXPECT_TRUE(holds(options.path, image.file));
    EXPECT_TRUE(holds(options.path + "-wal", bytes));
  }
  EXPECT_GT(found, 100);
}

// What a crash can leave of a log: any beginning of it. The store opens with a state that it once had.
TEST(Faults, TruncatedWriteAheadLog) {
  const Image image = make_image(false);
  std::mt19937_64 random(13);
  std::size_t last_at = 0;
  for (std::size_t cut = image.wal.size(); cut > 0; cut -= std::min<std::size_t>(cut, 1 + random() % 8000)) {
    SCOPED_TRACE("cut to " + std::to_string(cut));
    Folder folder;
    write_file(folder / "state.db", image.file);
    write_file(folder / "state.db-wal", image.wal.substr(0, cut));
    auto store = open_or_die(folder / "state.db");
    ASSERT_NE(store, nullptr);
    Contents now = contents(store->snapshot());
    auto at = std::find(image.history.begin(), image.history.end(), now);
    ASSERT_NE(at, image.history.end()) << "half a write is there";
    auto index = static_cast<std::size_t>(at - image.history.begin());
    EXPECT_LE(index, last_at ? last_at : index);
    last_at = index;
    EXPECT_TRUE(store->commit(put("/k/after", 1)));
  }
  EXPECT_EQ(last_at, 79u) << "without the log there is what the file held";
}

TEST(Faults, TruncatedFile) {
  const Image closed = make_image(true), open = make_image(false);
  for (std::size_t cut :
       {std::size_t{1}, std::size_t{99}, std::size_t{4096}, closed.file.size() / 2, closed.file.size() - 4096, closed.file.size() - 1}) {
    SCOPED_TRACE("cut to " + std::to_string(cut));
    Folder folder;
    write_file(folder / "state.db", closed.file.substr(0, cut));
    EXPECT_EQ(refused(folder / "state.db").code, Code::internal);
    EXPECT_TRUE(holds(folder / "state.db", closed.file.substr(0, cut)));
  }
  Folder folder;
  write_file(folder / "state.db", "");
  write_file(folder / "state.db-wal", open.wal);
  EXPECT_EQ(refused(folder / "state.db").code, Code::internal);
  EXPECT_TRUE(holds(folder / "state.db-wal", open.wal)) << "SQLite would have thrown it away";
}

}  // namespace
}  // namespace kybern::store
