// An SQLite file system for tests that fails when it is told to. While one exists it is the process's default.
#pragma once

#include <sqlite3.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <string>

namespace kybern::store::testing {

class FaultVfs {
 public:
  enum class Call { write, sync, truncate };
  // Asked before each call on a file; an SQLite code other than SQLITE_OK makes it fail without doing anything, except
  // that a sync that fails has nothing to take back: what was written stays written.
  using Judge = std::function<int(Call, const std::string& file)>;

  explicit FaultVfs(Judge judge) : judge_(std::move(judge)) {
    real_ = sqlite3_vfs_find(nullptr);
    vfs_ = *real_;
    vfs_.zName = "fault";
    vfs_.pAppData = this;
    vfs_.szOsFile = static_cast<int>(sizeof(File)) + real_->szOsFile;
    vfs_.xOpen = open;
    sqlite3_vfs_register(&vfs_, 1);
  }
  ~FaultVfs() {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(real_, 1);
  }
  FaultVfs(const FaultVfs&) = delete;

 private:
  struct File {
    sqlite3_file base;
    sqlite3_io_methods methods;
    FaultVfs* self;
    char name[512];
    sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
  };
  static File& file(sqlite3_file* f) { return *reinterpret_cast<File*>(f); }
  static int judge(sqlite3_file* f, Call call) { return file(f).self->judge_(call, file(f).name); }

  static int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* f, int flags, int* out) {
    auto* self = static_cast<FaultVfs*>(vfs->pAppData);
    File& me = file(f);
    std::memset(&me, 0, sizeof me);
    me.self = self;
    std::strncpy(me.name, name ? name : "", sizeof me.name - 1);
    int code = self->real_->xOpen(self->real_, name, me.real(), flags, out);
    if (!me.real()->pMethods) return code;
    me.methods = *me.real()->pMethods;
    me.methods.iVersion = 1;  // no shared memory, no mapping: what the engine uses
    me.methods.xClose = [](sqlite3_file* x) { return file(x).real()->pMethods->xClose(file(x).real()); };
    me.methods.xRead = [](sqlite3_file* x, void* p, int n, sqlite3_int64 at) {
      return file(x).real()->pMethods->xRead(file(x).real(), p, n, at);
    };
    me.methods.xWrite = [](sqlite3_file* x, const void* p, int n, sqlite3_int64 at) {
      int code = judge(x, Call::write);
      return code != SQLITE_OK ? code : file(x).real()->pMethods->xWrite(file(x).real(), p, n, at);
    };
    me.methods.xTruncate = [](sqlite3_file* x, sqlite3_int64 size) {
      int code = judge(x, Call::truncate);
      return code != SQLITE_OK ? code : file(x).real()->pMethods->xTruncate(file(x).real(), size);
    };
    me.methods.xSync = [](sqlite3_file* x, int how) {
      int code = judge(x, Call::sync);
      return code != SQLITE_OK ? code : file(x).real()->pMethods->xSync(file(x).real(), how);
    };
    me.methods.xFileSize = [](sqlite3_file* x, sqlite3_int64* size) { return file(x).real()->pMethods->xFileSize(file(x).real(), size); };
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
    return code;
  }

  Judge judge_;
  sqlite3_vfs* real_;
  sqlite3_vfs vfs_;
};

}  // namespace kybern::store::testing
