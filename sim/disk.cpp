#include "sim/disk.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"

namespace kybern::sim {
namespace {

constexpr std::size_t sector_bytes = 512;
constexpr std::size_t name_bytes = 512;
constexpr std::size_t log_step = std::size_t{4} << 20;

}  // namespace

struct Disk::State {
  struct Unsynced {
    std::int64_t at;
    std::string before, now;  // `before` is shorter when the file ended
  };
  struct Journal {
    std::vector<Unsynced> writes;
    std::int64_t durable_size = 0;
  };
  struct File {
    sqlite3_file base;
    sqlite3_io_methods methods;
    State* self;
    std::string* log;  // of a disk that never fails: the write-ahead log's bytes, which are in no file
    char name[name_bytes];
    sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
  };
  static File& file(sqlite3_file* f) { return *reinterpret_cast<File*>(f); }

  explicit State(SplitMix& r) : random(r) {}

  SplitMix& random;
  sqlite3_vfs* real = nullptr;
  sqlite3_vfs vfs{};
  std::map<std::string, Journal> journals;
  std::map<std::string, std::string> logs;
  double failing_writes = 0, failing_syncs = 0;
  bool full = false, powerless = false, reliable = false;
  std::optional<std::uint64_t> power_left;  // writes
  std::function<void()> power_lost;
  std::uint64_t writes = 0, syncs = 0, failures = 0;

  static int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* f, int flags, int* out);
  static int write(sqlite3_file* f, const void* bytes, int n, sqlite3_int64 at);
  static int sync(sqlite3_file* f, int how);
  static int truncate(sqlite3_file* f, sqlite3_int64 size);
  int fail(int code) {
    ++failures;
    return code;
  }
  void settle_file(const std::string& name, Journal& journal);
};

int Disk::State::open(sqlite3_vfs* vfs, const char* name, sqlite3_file* f, int flags, int* out) {
  auto* self = static_cast<State*>(vfs->pAppData);
  File& me = file(f);
  std::memset(&me, 0, sizeof me);
  me.self = self;
  std::strncpy(me.name, name ? name : "", sizeof me.name - 1);
  const int code = self->real->xOpen(self->real, name, me.real(), flags, out);
  if (!me.real()->pMethods) return code;
  me.methods = *me.real()->pMethods;
  me.methods.iVersion = 1;  // no shared memory, no mapping: what the store uses
  me.methods.xClose = [](sqlite3_file* x) { return file(x).real()->pMethods->xClose(file(x).real()); };
  // Most of what is written is the log; a copy in memory is a tenth of a system call.
  if (self->reliable && name && (flags & SQLITE_OPEN_WAL)) {
    me.log = &self->logs[me.name];
    me.log->clear();  // whoever had it open before has copied it into the file
  }
  me.methods.xRead = [](sqlite3_file* x, void* p, int n, sqlite3_int64 at) {
    if (const std::string* log = file(x).log) {
      const std::size_t from = std::min(log->size(), static_cast<std::size_t>(at)), got = std::min(log->size() - from, std::size_t(n));
      std::memcpy(p, log->data() + from, got);
      std::memset(static_cast<char*>(p) + got, 0, std::size_t(n) - got);
      return got == std::size_t(n) ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
    }
    return file(x).real()->pMethods->xRead(file(x).real(), p, n, at);
  };
  me.methods.xWrite = write;
  me.methods.xTruncate = truncate;
  me.methods.xSync = sync;
  me.methods.xFileSize = [](sqlite3_file* x, sqlite3_int64* size) {
    if (file(x).log) return *size = static_cast<sqlite3_int64>(file(x).log->size()), SQLITE_OK;
    return file(x).real()->pMethods->xFileSize(file(x).real(), size);
  };
  me.methods.xLock = [](sqlite3_file* x, int how) { return file(x).real()->pMethods->xLock(file(x).real(), how); };
  me.methods.xUnlock = [](sqlite3_file* x, int how) { return file(x).real()->pMethods->xUnlock(file(x).real(), how); };
  me.methods.xCheckReservedLock = [](sqlite3_file* x, int* held) {
    return file(x).real()->pMethods->xCheckReservedLock(file(x).real(), held);
  };
  me.methods.xFileControl = [](sqlite3_file* x, int what, void* p) {
    return file(x).real()->pMethods->xFileControl(file(x).real(), what, p);
  };
  me.methods.xSectorSize = [](sqlite3_file* x) { return file(x).real()->pMethods->xSectorSize(file(x).real()); };
  me.methods.xDeviceCharacteristics = [](sqlite3_file* x) { return file(x).real()->pMethods->xDeviceCharacteristics(file(x).real()); };
  me.base.pMethods = &me.methods;
  sqlite3_int64 size = 0;
  me.real()->pMethods->xFileSize(me.real(), &size);
  auto [journal, is_new] = self->journals.try_emplace(me.name);
  if (is_new) journal->second.durable_size = size;
  return code;
}

int Disk::State::write(sqlite3_file* f, const void* bytes, int n, sqlite3_int64 at) {
  State& self = *file(f).self;
  sqlite3_file* real = file(f).real();
  if (self.powerless) return SQLITE_IOERR_WRITE;
  ++self.writes;
  if (std::string* log = file(f).log) {
    const std::size_t end = static_cast<std::size_t>(at) + std::size_t(n);
    if (log->capacity() < end) log->reserve(end + log_step);  // not twice as much
    if (log->size() < end) log->resize(end);
    std::memcpy(log->data() + at, bytes, std::size_t(n));
    return SQLITE_OK;
  }
  if (self.reliable) return real->pMethods->xWrite(real, bytes, n, at);
  if (self.power_left && (*self.power_left)-- == 0) {
    // A part of this write is on its way.
    self.power_left.reset();
    self.powerless = true;
    if (self.power_lost) self.power_lost();
  }
  sqlite3_int64 size = 0;
  real->pMethods->xFileSize(real, &size);
  if (self.full && at + n > size) return self.fail(SQLITE_FULL);
  if (self.failing_writes > 0 && self.random.chance(self.failing_writes)) return self.fail(SQLITE_IOERR_WRITE);
  Unsynced write{at, {}, std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(n))};
  if (at < size) {
    write.before.resize(static_cast<std::size_t>(std::min<sqlite3_int64>(n, size - at)));
    real->pMethods->xRead(real, write.before.data(), static_cast<int>(write.before.size()), at);
  }
  self.journals[file(f).name].writes.push_back(std::move(write));
  return real->pMethods->xWrite(real, bytes, n, at);
}

int Disk::State::sync(sqlite3_file* f, int) {
  State& self = *file(f).self;
  if (self.powerless) return SQLITE_IOERR_FSYNC;
  ++self.syncs;
  if (self.reliable) return SQLITE_OK;
  // A sync that failed may have written anything or nothing: it stays undecided.
  if (self.failing_syncs > 0 && self.random.chance(self.failing_syncs)) return self.fail(SQLITE_IOERR_FSYNC);
  Journal& journal = self.journals[file(f).name];
  journal.writes.clear();
  sqlite3_int64 size = 0;
  file(f).real()->pMethods->xFileSize(file(f).real(), &size);
  journal.durable_size = size;
  return SQLITE_OK;
}

int Disk::State::truncate(sqlite3_file* f, sqlite3_int64 size) {
  State& self = *file(f).self;
  if (self.powerless) return SQLITE_IOERR_TRUNCATE;
  if (std::string* log = file(f).log) return log->resize(static_cast<std::size_t>(size)), SQLITE_OK;
  // Shorter files are taken to be durable at once: no promise of the store rests on what it has cut off.
  Journal& journal = self.journals[file(f).name];
  std::erase_if(journal.writes, [&](const Unsynced& w) { return w.at + static_cast<std::int64_t>(w.now.size()) > size; });
  journal.durable_size = std::min<std::int64_t>(journal.durable_size, size);
  return file(f).real()->pMethods->xTruncate(file(f).real(), size);
}

// Back to what was durable, then forward again with those sectors that had reached the disk by chance.
void Disk::State::settle_file(const std::string& name, Journal& journal) {
  if (journal.writes.empty()) return;
  const int fd = ::open(name.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  // What somebody wrote since, around SQLite, is newer than the journal: it stays.
  std::map<std::int64_t, std::string> last;  // what each place holds if nobody did
  for (const Unsynced& w : journal.writes) last[w.at] = w.now;
  std::erase_if(journal.writes, [&](const Unsynced& w) {
    std::string there(w.now.size(), '\0');
    const ssize_t got = ::pread(fd, there.data(), there.size(), w.at);
    return got != static_cast<ssize_t>(there.size()) || there != last[w.at];
  });
  std::vector<Unsynced> redo = journal.writes;
  for (auto w = journal.writes.rbegin(); w != journal.writes.rend(); ++w)
    if (!w->before.empty()) KYBERN_CHECK(::pwrite(fd, w->before.data(), w->before.size(), w->at) >= 0, "a simulated disk can be written");
  struct stat info {};
  if (::fstat(fd, &info) == 0 && info.st_size > journal.durable_size)
    KYBERN_CHECK(::ftruncate(fd, journal.durable_size) == 0, "a simulated disk can be cut");
  const double kept = random_unit(random);  // of the sectors, this time
  for (const Unsynced& w : redo)
    for (std::size_t i = 0; i < w.now.size(); i += sector_bytes) {
      const std::size_t n = std::min(sector_bytes, w.now.size() - i);
      if (random.chance(kept))
        KYBERN_CHECK(::pwrite(fd, w.now.data() + i, n, w.at + static_cast<std::int64_t>(i)) >= 0, "a simulated disk can be written");
    }
  ::close(fd);
}

Disk::Disk(SplitMix& random) : state_(std::make_unique<State>(random)) {
  State& s = *state_;
  s.real = sqlite3_vfs_find(nullptr);
  s.vfs = *s.real;
  s.vfs.zName = "simulated";
  s.vfs.pAppData = &s;
  s.vfs.szOsFile = static_cast<int>(sizeof(State::File)) + s.real->szOsFile;
  s.vfs.xOpen = State::open;
  sqlite3_vfs_register(&s.vfs, 1);
}

Disk::~Disk() {
  sqlite3_vfs_unregister(&state_->vfs);
  sqlite3_vfs_register(state_->real, 1);
}

void Disk::set_fault_rate(double writes, double syncs) {
  state_->failing_writes = writes;
  state_->failing_syncs = syncs;
}
void Disk::set_full(bool full) { state_->full = full; }
void Disk::never_fails() { state_->reliable = true; }
void Disk::cut_power() { state_->powerless = true; }
void Disk::cut_power_after(std::uint64_t writes, std::function<void()> then) {
  state_->power_left = writes;
  state_->power_lost = std::move(then);
}

void Disk::settle() {
  for (auto& [name, journal] : state_->journals) state_->settle_file(name, journal);
  state_->journals.clear();
  state_->powerless = false;
  state_->power_left.reset();
}

std::uint64_t Disk::writes() const { return state_->writes; }
std::uint64_t Disk::syncs() const { return state_->syncs; }
std::uint64_t Disk::failures() const { return state_->failures; }

}  // namespace kybern::sim
