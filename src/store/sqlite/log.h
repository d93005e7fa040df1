// The log on disk: an SQLite file with one table, a row per write, keyed by revision.
//
//   log(revision INTEGER PRIMARY KEY, key TEXT, value BLOB, checksum INTEGER)   value: JSON text; NULL for a delete
//   meta(name TEXT PRIMARY KEY, value)                                          'compacted': see Retention
//
// Rows are only appended; superseded ones are removed in slices, together with later appends. The key's index is in
// memory. WAL with synchronous=FULL: append() returns when the rows are on disk. The file is locked for this process.
//
// Not for several threads at once: after open() and load() all calls come from the writer's thread, but file_bytes().
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "store/limits.h"
#include "store/sqlite/load.h"

namespace kybern::store {

struct LogRow {
  Revision revision;
  std::string_view key;
  std::string_view json;   // "" of a delete
  std::uint64_t checksum;  // content_checksum(key, json)
  bool tombstone;
  std::size_t bytes;    // about what the value weighs, for the retention's budget
  Revision superseded;  // the row of the key before, 0: none
  std::size_t superseded_bytes;
};

class SqliteLog {
 public:
  static Result<std::unique_ptr<SqliteLog>> open(const std::string& path, RetentionLimits limits);
  ~SqliteLog();
  Result<Loaded> load(Sealer* sealer = nullptr, bool alone = false);  // once; see load_log()

  // All of the rows or, on an error, none: a crash after the error does not bring them back either.
  Result<void> append(std::span<const LogRow> rows, Instant now);
  bool slice_due(Instant now) const;     // idle_slice() has something to do
  bool work_later() const;               // it will have, without another append
  Result<void> idle_slice(Instant now);  // a few milliseconds of compaction
  Result<void> probe();                  // a write of nothing that matters
  std::int64_t file_bytes() const;       // of the file and its write-ahead log
  Revision compacted() const;

  // A copy to a file that does not exist yet: begin, then steps of a megabyte until one returns true.
  class Backup;
  Result<std::unique_ptr<Backup>> backup(const std::string& path);

 private:
  struct State;
  explicit SqliteLog(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

class SqliteLog::Backup {
 public:
  ~Backup();              // without finish(): removes what was copied
  Result<bool> step();    // true: everything is copied
  Result<void> finish();  // makes it durable under its name; may be called from another thread

 private:
  friend class SqliteLog;
  struct State;
  explicit Backup(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace kybern::store
