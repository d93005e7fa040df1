#include "store/sqlite/log.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "store/sqlite/checksum.h"
#include "store/sqlite/connection.h"
#include "store/sqlite/open.h"
#include "store/sqlite/retention.h"
#include "store/sqlite/wal_check.h"

namespace kybern::store {

struct SqliteLog::State {
  State(Connection c, RetentionLimits limits) : connection(std::move(c)), retention(limits) {}

  Connection connection;
  Retention retention;
  Statement begin, commit, insert, remove, set_compacted;
  Revision compacted = 0;
  Instant start = std::chrono::steady_clock::now();
  int wal_pages = 0;                       // in the write-ahead log and not yet in the file
  int wal_frames = 0;                      // of the log, up to the end of the last transaction
  std::uint64_t copied_log = 0;            // the identity of a log that is in the file as a whole
  std::int64_t free_pages = 0, pages = 0;  // as of the last slice
  bool doubtful = false;                   // the write-ahead log may end with a transaction that was reported as failed
  bool checkpoint_failed = false;

  std::uint32_t second(Instant now) const {
    return static_cast<std::uint32_t>(std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(now - start).count()));
  }
  Result<void> prepare();
  int transaction(std::span<const LogRow> rows, std::size_t slice);
  Result<void> write(std::span<const LogRow> rows, std::size_t slice);
  int remove_first(std::size_t n);
  Result<void> forget_doubtful();
  void spoil_doubtful();
  std::string wal_path() const { return connection.path() + "-wal"; }
  void checkpoint();
  void look_at_free_pages();
  bool vacuum_due() const { return free_pages > vacuum_above_pages && free_pages > pages / 2; }
};

Result<void> SqliteLog::State::prepare() {
  const std::pair<Statement*, const char*> all[] = {
      {&begin, "BEGIN IMMEDIATE"},
      {&commit, "COMMIT"},
      {&insert, "INSERT INTO log(revision, key, value, checksum) VALUES(?1, ?2, ?3, ?4)"},
      {&remove, "DELETE FROM log WHERE revision = ?1"},
      {&set_compacted, "UPDATE meta SET value = ?1 WHERE name = 'compacted'"},
  };
  for (const auto& [statement, sql] : all) {
    Result<Statement> made = connection.prepare(sql);
    if (!made) return std::unexpected(made.error());
    *statement = std::move(*made);
  }
  sqlite3_wal_hook(
      connection.handle(),
      [](void* self, sqlite3*, const char*, int pages_now) {
        static_cast<State*>(self)->wal_pages = static_cast<State*>(self)->wal_frames = pages_now;
        return SQLITE_OK;
      },
      this);
  return {};
}

int SqliteLog::State::remove_first(std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    const Retention::Item& item = retention[i];
    if (int code = remove.bind(1, item.row).run(); code != SQLITE_OK) return code;
    if (item.tombstone) {
      if (int code = remove.bind(1, item.by).run(); code != SQLITE_OK) return code;
    }
  }
  return set_compacted.bind(1, retention[n - 1].by).run();
}

int SqliteLog::State::transaction(std::span<const LogRow> rows, std::size_t slice) {
  const bool alone = rows.size() == 1 && slice == 0;  // one statement is a transaction of its own
  if (int code = alone ? SQLITE_OK : begin.run(); code != SQLITE_OK) return code;
  for (const LogRow& row : rows) {
    insert.bind(1, row.revision).bind_text(2, row.key).bind(4, row_checksum(row.checksum, row.revision));
    if (row.tombstone) insert.bind_null(3);
    else insert.bind_blob(3, row.json);
    if (int code = insert.run(); code != SQLITE_OK) return code;
  }
  if (slice > 0) {
    if (int code = remove_first(slice); code != SQLITE_OK) return code;
  }
  return alone ? SQLITE_OK : commit.run();
}

Result<void> SqliteLog::State::write(std::span<const LogRow> rows, std::size_t slice) {
  if (doubtful) {
    if (Result<void> done = forget_doubtful(); !done) return done;
  }
  if (wal_pages >= wal_refuse_pages) {
    checkpoint();
    if (checkpoint_failed)
      return fail(
          Code::unavailable,
          connection.path() + ": the write-ahead log is full and cannot be copied into the file: check the disk; nothing was written");
  }
  int code = transaction(rows, slice);
  if (code == SQLITE_OK) {
    if (slice > 0) {
      compacted = retention[slice - 1].by;
      retention.forget(slice);
      look_at_free_pages();
    }
    if (wal_pages >= wal_checkpoint_pages) checkpoint();
    return {};
  }
  Error error = connection.error(code);
  if (sqlite3_get_autocommit(connection.handle()) == 0) connection.run("ROLLBACK");
  // When the last step, bringing the log to disk, fails, the transaction lies there complete: a crash now would bring it
  // back. A log begun anew has nothing behind its beginning; until that succeeds nothing is written.
  if ((code & 0xff) == SQLITE_IOERR) {
    doubtful = true;
    if (Result<void> done = forget_doubtful(); !done) {
      log_error("store", "the write-ahead log could not be begun anew", {{"error", done.error().message}});
      spoil_doubtful();
    }
  }
  return std::unexpected(std::move(error));
}

// Wipes the header of the first frame behind the last good transaction, so that a recovery ends there. SQLite itself
// would write that frame next, and reads no headers.
void SqliteLog::State::spoil_doubtful() {
  int fd = ::open(wal_path().c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  if (std::optional<WalHeader> header = read_wal_header(fd)) {
    // A log that is in the file as a whole was begun anew by the transaction that failed.
    const bool anew = wal_pages == 0 && header->identity != copied_log;
    const off_t place = wal_frame_place(*header, anew ? 0 : wal_frames);
    const char zeros[wal_frame_header_bytes] = {};
    struct stat info;
    if (fstat(fd, &info) == 0 && info.st_size > place && ::pwrite(fd, zeros, sizeof zeros, place) == sizeof zeros) ::fdatasync(fd);
  }
  ::close(fd);
}

Result<void> SqliteLog::State::forget_doubtful() {
  int code = sqlite3_wal_checkpoint_v2(connection.handle(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  if (code != SQLITE_OK) return std::unexpected(connection.error(code));
  doubtful = checkpoint_failed = false;
  wal_pages = wal_frames = 0;
  copied_log = 0;
  return {};
}

void SqliteLog::State::checkpoint() {
  int frames = -1, copied = -1;
  int code = sqlite3_wal_checkpoint_v2(connection.handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE, &frames, &copied);
  if (frames >= 0) wal_frames = frames;
  if (code == SQLITE_OK && copied < frames) {  // a reader is in the way: the rest another time
    wal_pages = wal_frames;
  } else if (code == SQLITE_OK) {
    // All of it is in the file: the next transaction begins the log at its front.
    wal_pages = 0;
    checkpoint_failed = false;
    int fd = ::open(wal_path().c_str(), O_RDONLY | O_CLOEXEC);
    std::optional<WalHeader> header = fd < 0 ? std::nullopt : read_wal_header(fd);
    copied_log = header ? header->identity : 0;
    if (fd >= 0) ::close(fd);
  } else {
    wal_pages = wal_frames;
    if (std::exchange(checkpoint_failed, true)) return;
    log_error("store", "the write-ahead log could not be copied into the file", {{"error", connection.error(code).message}});
  }
}

void SqliteLog::State::look_at_free_pages() {
  Result<std::int64_t> f = connection.number("PRAGMA freelist_count"), all = connection.number("PRAGMA page_count");
  if (f && all) free_pages = *f, pages = *all;
}

SqliteLog::SqliteLog(std::unique_ptr<State> state) : state_(std::move(state)) {}
SqliteLog::~SqliteLog() = default;

Result<std::unique_ptr<SqliteLog>> SqliteLog::open(const std::string& path, RetentionLimits limits) {
  Result<Connection> connection = open_log_file(path);
  if (!connection) return std::unexpected(connection.error());
  auto state = std::make_unique<State>(std::move(*connection), limits);
  Result<std::int64_t> compacted = state->connection.number("SELECT value FROM meta WHERE name = 'compacted'");
  if (!compacted) return std::unexpected(compacted.error());
  state->compacted = *compacted;
  return std::unique_ptr<SqliteLog>(new SqliteLog(std::move(state)));
}

Result<Loaded> SqliteLog::load(Sealer* sealer, bool alone) {
  Result<Loaded> loaded = load_log(state_->connection, state_->compacted, state_->retention, sealer, alone);
  if (!loaded) return loaded;
  state_->look_at_free_pages();
  if (Result<void> ready = state_->prepare(); !ready) return std::unexpected(ready.error());
  // Sound: from here on closing it may tidy up.
  sqlite3_db_config(state_->connection.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
  state_->checkpoint();             // what a crash has left; also tells how long the log is
  if (state_->checkpoint_failed) {  // it does not; but a transaction that fails must never be looked for among good ones
    Result<int> frames = check_wal(state_->wal_path());
    if (!frames) return std::unexpected(frames.error());
    state_->wal_pages = state_->wal_frames = *frames;
  }
  sqlite3_db_release_memory(state_->connection.handle());
  return loaded;
}

Result<void> SqliteLog::append(std::span<const LogRow> rows, Instant now) {
  State& s = *state_;
  const std::uint32_t second = s.second(now);
  Result<void> done = s.write(rows, s.retention.slice(2 * rows.size(), second));
  if (!done) return done;
  for (const LogRow& row : rows) {
    if (!row.tombstone) s.retention.add_live(row.bytes);
    if (row.superseded) s.retention.supersede(row.superseded, row.revision, row.superseded_bytes, row.tombstone, second);
  }
  return {};
}

bool SqliteLog::slice_due(Instant now) const { return state_->retention.slice_due(state_->second(now)) || state_->vacuum_due(); }

bool SqliteLog::work_later() const { return state_->retention.waiting(); }

Result<void> SqliteLog::idle_slice(Instant now) {
  State& s = *state_;
  if (std::size_t n = s.retention.slice(0, s.second(now))) return s.write({}, n);
  if (!s.vacuum_due()) return {};
  static const std::string sql = "PRAGMA incremental_vacuum(" + std::to_string(vacuum_slice_pages) + ")";
  Result<void> done = s.connection.execute(sql.c_str());
  if (done) s.look_at_free_pages();
  else s.free_pages = 0;  // not again before the next slice
  // The file itself becomes shorter when the log is copied into it.
  if (s.wal_pages >= wal_checkpoint_pages || !s.vacuum_due()) s.checkpoint();
  return done;
}

Result<void> SqliteLog::probe() {
  State& s = *state_;
  if (s.doubtful) {
    if (Result<void> done = s.forget_doubtful(); !done) return done;
  }
  // The same value again still writes its page.
  int code = s.begin.run();
  if (code == SQLITE_OK) code = s.set_compacted.bind(1, s.compacted).run();
  if (code == SQLITE_OK) code = s.commit.run();
  if (code == SQLITE_OK) return {};
  Error error = s.connection.error(code);
  if (sqlite3_get_autocommit(s.connection.handle()) == 0) s.connection.run("ROLLBACK");
  return std::unexpected(std::move(error));
}

std::int64_t SqliteLog::file_bytes() const {
  std::int64_t total = 0;
  for (const char* end : {"", "-wal"}) {
    struct stat info;
    if (stat((state_->connection.path() + end).c_str(), &info) == 0) total += info.st_size;
  }
  return total;
}

Revision SqliteLog::compacted() const { return state_->compacted; }

// ---------------------------------------------------------------------------------------------------------------------

struct SqliteLog::Backup::State {
  std::string path, partial;
  std::optional<Connection> target;
  sqlite3_backup* backup = nullptr;
  bool finished = false;
};

SqliteLog::Backup::Backup(std::unique_ptr<State> state) : state_(std::move(state)) {}

SqliteLog::Backup::~Backup() {
  if (state_->backup) sqlite3_backup_finish(state_->backup);
  state_->target.reset();
  if (!state_->finished) ::unlink(state_->partial.c_str());
}

Result<std::unique_ptr<SqliteLog::Backup>> SqliteLog::backup(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) == 0) return fail(Code::already_exists, path + " exists: a backup does not overwrite anything");
  auto state = std::make_unique<Backup::State>();
  state->path = path;
  state->partial = path + ".partial";
  ::unlink(state->partial.c_str());  // of a backup that was interrupted
  int fd = ::open(state->partial.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0)
    return fail(Code::unavailable, state->partial + " cannot be made (" + std::error_code(errno, std::generic_category()).message() + ")");
  ::close(fd);
  std::unique_ptr<Backup> made(new Backup(std::move(state)));
  Result<Connection> target = Connection::open(made->state_->partial, false);
  if (!target) return std::unexpected(target.error());
  made->state_->target.emplace(std::move(*target));
  Connection& to = *made->state_->target;
  // The file gets its name only when it is whole, so it needs no journal of its own.
  if (Result<void> done = to.execute("PRAGMA journal_mode=OFF"); !done) return std::unexpected(done.error());
  made->state_->backup = sqlite3_backup_init(to.handle(), "main", state_->connection.handle(), "main");
  if (!made->state_->backup) return std::unexpected(to.error(sqlite3_extended_errcode(to.handle())));
  return made;
}

Result<bool> SqliteLog::Backup::step() {
  constexpr int pages = 256;
  int code = sqlite3_backup_step(state_->backup, pages);
  if (code == SQLITE_OK) return false;
  if (code != SQLITE_DONE) return std::unexpected(state_->target->error(code));
  code = sqlite3_backup_finish(std::exchange(state_->backup, nullptr));
  if (code != SQLITE_OK) return std::unexpected(state_->target->error(code));
  return true;
}

Result<void> SqliteLog::Backup::finish() {
  state_->target.reset();
  auto failed = [&] {
    return fail(Code::unavailable, state_->path + ": the disk failed (" + std::error_code(errno, std::generic_category()).message() + ")");
  };
  int fd = ::open(state_->partial.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed();
  bool synced = ::fsync(fd) == 0;
  ::close(fd);
  if (!synced || ::link(state_->partial.c_str(), state_->path.c_str()) != 0) return failed();
  ::unlink(state_->partial.c_str());
  state_->finished = true;
  return sync_folder_of(state_->path);
}

}  // namespace kybern::store
