#include "store/sqlite/open.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <system_error>

#include "store/sqlite/wal_check.h"

namespace kybern::store {

namespace {

constexpr std::int64_t application_id = 0x4b59424e;  // "KYBN"
constexpr std::int64_t format = 1;

std::string folder_of(const std::string& path) {
  std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

std::string system_text(int code) { return std::error_code(code, std::generic_category()).message(); }

// True: there is a file with something in it. Never opens an existing file: closing it would drop SQLite's locks if
// this process has it open already.
Result<bool> look_at_file(const std::string& path) {
  const std::string folder = folder_of(path);
  struct stat info;
  if (stat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode))
    return fail(Code::unavailable, path + " cannot be opened: there is no folder " + folder + "; make it, or choose another place");
  if (access(folder.c_str(), W_OK) != 0)
    return fail(Code::unavailable,
                folder + " is read-only (" + system_text(errno) + "): the server needs to write " + path + " and its log beside it");
  if (stat(path.c_str(), &info) != 0) {
    if (errno != ENOENT) return fail(Code::unavailable, path + " cannot be opened (" + system_text(errno) + ")");
    // For the owner only: the cluster's secrets are in it.
    int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno != EEXIST) return fail(Code::unavailable, path + " cannot be made (" + system_text(errno) + ")");
    if (fd >= 0) ::close(fd);
    return false;
  }
  if (!S_ISREG(info.st_mode)) return fail(Code::unavailable, path + " is not a file");
  if (access(path.c_str(), W_OK) != 0)
    return fail(Code::unavailable, path + " is read-only (" + system_text(errno) + "): the server needs to write it");
  // SQLite would take a file without a whole header for a new one.
  constexpr off_t smallest_bytes = 512;
  if (info.st_size > 0 && info.st_size < smallest_bytes) return std::unexpected(sqlite_error(path, SQLITE_NOTADB, "it is cut off"));
  if (info.st_size > 0) return true;
  // SQLite would take an empty file for a new one and throw the log beside it away.
  if (stat((path + "-wal").c_str(), &info) == 0 && info.st_size > 0)
    return fail(Code::internal,
                path +
                    " is empty but there is a write-ahead log beside it: the file has been cut off; nothing was overwritten; "
                    "restore a backup, or move both away to begin with an empty cluster");
  return false;
}

Result<void> make_tables(Connection& c) {
  // The first three only work while the file is empty.
  for (const char* sql :
       {"PRAGMA page_size=4096", "PRAGMA auto_vacuum=INCREMENTAL", "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "BEGIN IMMEDIATE",
        "CREATE TABLE log(revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB, checksum INTEGER NOT NULL)",
        "CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID", "INSERT INTO meta VALUES('compacted', 0)",
        "PRAGMA application_id=0x4b59424e", "PRAGMA user_version=1", "COMMIT"}) {
    if (Result<void> done = c.execute(sql); !done) return done;
  }
  return sync_folder_of(c.path());
}

Result<void> check_identity(Connection& c) {
  Result<std::int64_t> id = c.number("PRAGMA application_id");
  if (!id) return std::unexpected(id.error());
  if (*id != application_id)
    return fail(Code::internal, c.path() + " is a database of another program: nothing was overwritten; choose another file");
  Result<std::int64_t> version = c.number("PRAGMA user_version");
  if (!version) return std::unexpected(version.error());
  if (*version != format)
    return fail(Code::internal, c.path() + " has format " + std::to_string(*version) + ", this program knows format " +
                                    std::to_string(format) + ": nothing was overwritten; use the version that wrote it");
  return {};
}

}  // namespace

Result<void> sync_folder_of(const std::string& path) {
  int fd = ::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool done = fd >= 0 && ::fsync(fd) == 0;
  int code = errno;
  if (fd >= 0) ::close(fd);
  if (!done) return fail(Code::unavailable, folder_of(path) + ": the disk failed (" + system_text(code) + ")");
  return {};
}

Result<Connection> open_log_file(const std::string& path) {
  Result<bool> something = look_at_file(path);
  if (!something) return std::unexpected(something.error());
  Result<Connection> c = Connection::open(path, false);
  if (!c) return c;
  // Until the file is known to be sound nothing is moved from its write-ahead log into it, not even by closing it.
  sqlite3_db_config(c->handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  // No shared memory file, and the lock is kept: a second server is told so at once.
  if (Result<void> done = c->execute("PRAGMA locking_mode=EXCLUSIVE"); !done) return std::unexpected(done.error());
  // The first read takes the lock and finds the end of the write-ahead log.
  Result<std::int64_t> tables = c->number("SELECT count(*) FROM sqlite_master");
  if (!tables) return std::unexpected(tables.error());
  if (Result<int> sound = check_wal(path + "-wal"); !sound) return std::unexpected(sound.error());
  // The file can be written: it is its header that forbids it.
  if (sqlite3_db_readonly(c->handle(), "main") == 1)
    return std::unexpected(sqlite_error(path, SQLITE_NOTADB, "its version may only be read"));
  Result<std::int64_t> id = c->number("PRAGMA application_id");
  if (!id) return std::unexpected(id.error());
  if (*tables == 0 && *id == 0) {
    if (Result<void> made = make_tables(*c); !made) return std::unexpected(made.error());
  }
  if (Result<void> ours = check_identity(*c); !ours) return std::unexpected(ours.error());
  for (const char* sql :
       {"PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA wal_autocheckpoint=0", "PRAGMA journal_size_limit=16777216",
        "PRAGMA secure_delete=FAST", "PRAGMA cache_size=-8192", "PRAGMA temp_store=MEMORY"}) {
    if (Result<void> done = c->execute(sql); !done) return std::unexpected(done.error());
  }
  return c;
}

}  // namespace kybern::store
