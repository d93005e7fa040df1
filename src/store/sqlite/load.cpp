#include "store/sqlite/load.h"

#include <sqlite3.h>

#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>

#include "document/json.h"
#include "store/sealer.h"
#include "store/sqlite/checksum.h"
#include "store/sqlite/wal_check.h"
#include "store/stamp.h"

namespace kybern::store {

namespace {

struct Row {
  Revision revision;
  std::size_t key_end, end;  // in the chunk's bytes; the key begins where the row before ended
  std::int64_t checksum;
  bool tombstone;
};

constexpr std::string_view sealed_prefix = "k8s:enc:";

// About a megabyte of rows, and what they become.
struct Chunk {
  static constexpr std::size_t full_bytes = 1 << 20;
  std::string bytes;
  std::vector<Row> rows;
  std::vector<EntryPtr> entries;                        // one per row; a tombstone's has no value
  std::vector<std::uint32_t> marks;                     // one per row: by which key it was sealed
  std::unordered_map<std::size_t, std::string> closed;  // rows that could not be opened, and why
  std::optional<Error> error;
};

void parse_chunk(const std::string& path, Chunk& chunk, Sealer* sealer) {
  chunk.entries.reserve(chunk.rows.size());
  std::size_t start = 0;
  for (const Row& row : chunk.rows) {
    std::string_view bytes(chunk.bytes);
    std::string_view key = bytes.substr(start, row.key_end - start), json = bytes.substr(row.key_end, row.end - row.key_end);
    start = row.end;
    auto damaged = [&](const std::string& why) {
      chunk.error =
          Error{Code::internal, path + " is damaged: revision " + std::to_string(row.revision) + " of " + std::string(key) + " " + why +
                                    "; nothing was overwritten; restore a backup, or move the file away to begin with an empty cluster"};
    };
    if (row_checksum(content_checksum(key, json), row.revision) != row.checksum) return damaged("does not fit its checksum");
    Document value;
    chunk.marks.push_back(0);
    Sealer::Sealed plain;
    if (!row.tombstone && (!json.starts_with('{') || (sealer && sealer->concerns(key)))) {
      auto opened = sealer ? sealer->open(key, json)
                           : fail(Code::invalid, "unable to transform key \"/registry" + std::string(key) +
                                                     "\": identity transformer tried to read encrypted data");
      if (opened) plain = std::move(*opened);
      else if (json.starts_with(sealed_prefix) || (sealer && sealer->concerns(key)))
        chunk.closed[chunk.entries.size()] = opened.error().message;
      if (opened) json = plain.bytes, chunk.marks.back() = plain.mark;
      else if (chunk.closed.count(chunk.entries.size())) json = "{}";
    }
    if (!row.tombstone) {
      Result<Document> parsed = value_from_json(json, row.revision);
      if (!parsed) return damaged("is no JSON (" + parsed.error().message + ")");
      value = std::move(*parsed);
    }
    chunk.entries.push_back(std::make_shared<const Entry>(Entry{std::string(key), std::move(value), row.revision}));
  }
  std::string().swap(chunk.bytes);  // an assignment of an empty one would keep the memory
}

// Threads that parse chunks as they come; `alone`: none.
class Parsers {
 public:
  Parsers(const std::string& path, Sealer* sealer, bool alone) : path_(path), sealer_(sealer), alone_(alone) {}
  ~Parsers() { finish(); }

  void add(Chunk& chunk) {
    if (alone_) return parse_chunk(path_, chunk, sealer_);
    std::unique_lock lock(mutex_);
    if (threads_.empty()) {
      unsigned n = std::clamp(std::thread::hardware_concurrency(), 1u, 4u);
      for (unsigned i = 0; i < n; ++i) threads_.emplace_back([this] { run(); });
    }
    room_.wait(lock, [&] { return waiting_.size() < 8; });
    waiting_.push_back(&chunk);
    something_.notify_one();
  }
  void finish() {
    {
      std::lock_guard lock(mutex_);
      finished_ = true;
    }
    something_.notify_all();
    for (std::thread& t : threads_) t.join();
    threads_.clear();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      something_.wait(lock, [&] { return finished_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      Chunk* chunk = waiting_.front();
      waiting_.pop_front();
      room_.notify_one();
      lock.unlock();
      parse_chunk(path_, *chunk, sealer_);
      lock.lock();
    }
  }

  const std::string& path_;
  Sealer* const sealer_;
  const bool alone_;
  std::mutex mutex_;
  std::condition_variable something_, room_;
  std::deque<Chunk*> waiting_;
  std::vector<std::thread> threads_;
  bool finished_ = false;
};

// The checksums of rows tell when one has changed, this tells when one is gone: it looks at the structure of all pages.
// About a second for a gigabyte that is in memory; where it is not, the rows are read faster afterwards.
Result<void> check_structure(Connection& connection) {
  Result<Statement> check = connection.prepare("PRAGMA quick_check(1)");
  if (!check) return std::unexpected(check.error());
  int code = check->step();
  if (code != SQLITE_ROW) return std::unexpected(connection.error(code));
  if (check->bytes(0) == "ok") return {};
  return std::unexpected(sqlite_error(connection.path(), SQLITE_CORRUPT, check->bytes(0)));
}

// The same beside the reading of the rows, where there is no write-ahead log to be read with the file.
class StructureCheck {
 public:
  StructureCheck(Connection& connection, bool alone) {
    auto frames = check_wal(connection.path() + "-wal");
    if (!alone && frames && *frames == 0) {
      thread_ = std::thread([this, path = connection.path()] {
        auto beside = Connection::open_unchanging(path);
        found_ = beside ? check_structure(*beside) : std::unexpected(beside.error());
      });
    } else {
      found_ = check_structure(connection);
    }
  }
  ~StructureCheck() {
    if (thread_.joinable()) thread_.join();
  }
  Result<void> result() {
    if (thread_.joinable()) thread_.join();
    return found_;
  }

 private:
  std::thread thread_;
  Result<void> found_;
};

Result<std::deque<Chunk>> read_chunks(Connection& connection, Sealer* sealer, bool alone) {
  Result<Statement> select = connection.prepare("SELECT revision, key, value, checksum FROM log ORDER BY revision");
  if (!select) return std::unexpected(select.error());
  std::deque<Chunk> chunks;  // the addresses of its elements stay
  Parsers parsers(connection.path(), sealer, alone);
  Chunk* chunk = &chunks.emplace_back();
  int code;
  while ((code = select->step()) == SQLITE_ROW) {
    if (chunk->bytes.size() >= Chunk::full_bytes) {
      parsers.add(*chunk);
      chunk = &chunks.emplace_back();
    }
    if (chunk->bytes.empty()) chunk->bytes.reserve(Chunk::full_bytes + (16 << 10));
    bool tombstone = select->is_null(2);
    chunk->bytes += select->bytes(1);
    std::size_t key_end = chunk->bytes.size();
    chunk->bytes += select->bytes(2);
    chunk->rows.push_back({select->integer(0), key_end, chunk->bytes.size(), select->integer(3), tombstone});
  }
  if (code != SQLITE_DONE) return std::unexpected(connection.error(code));
  parse_chunk(connection.path(), *chunk, sealer);  // the last one here: a small log needs no threads
  parsers.finish();
  for (Chunk& c : chunks)
    if (c.error) return std::unexpected(std::move(*c.error));
  return chunks;
}

}  // namespace

Result<Document> value_from_json(std::string_view json, Revision revision) {
  Result<Document> value = parse_json(json);
  if (value) stamp_revision(*value, revision);
  return value;
}

Result<Loaded> load_log(Connection& connection, Revision compacted, Retention& retention, Sealer* sealer, bool alone) {
  StructureCheck structure(connection, alone);
  Result<std::deque<Chunk>> chunks = read_chunks(connection, sealer, alone);
  if (Result<void> sound = structure.result(); !sound) return std::unexpected(sound.error());
  if (!chunks) return std::unexpected(std::move(chunks.error()));
  Loaded loaded;
  loaded.revision = loaded.compacted = compacted;
  std::unordered_map<std::string_view, EntryPtr> newest;
  std::unordered_map<std::string, std::string> closed;  // keys whose newest value so far cannot be opened
  Revision floor = compacted;                           // up to here the past cannot be told
  std::size_t rows = 0;
  for (const Chunk& chunk : *chunks) rows += chunk.rows.size();
  newest.reserve(rows);
  for (Chunk& chunk : *chunks) {
    for (std::size_t i = 0; i < chunk.rows.size(); ++i) {
      const EntryPtr& entry = chunk.entries[i];
      const bool tombstone = chunk.rows[i].tombstone;
      // Behind `compacted` no revision is missing; the first that a store gives is 2.
      if (entry->revision > compacted && entry->revision != std::max<Revision>(loaded.revision, 1) + 1)
        return std::unexpected(
            sqlite_error(connection.path(), SQLITE_CORRUPT, "revision " + std::to_string(loaded.revision + 1) + " is missing"));
      loaded.revision = std::max(loaded.revision, entry->revision);
      auto at = newest.find(entry->key);
      EntryPtr before = at == newest.end() ? nullptr : at->second;
      if (!closed.empty() && closed.erase(entry->key)) floor = entry->revision;
      if (auto why = chunk.closed.find(i); why != chunk.closed.end()) closed[entry->key] = why->second;
      if (sealer && tombstone) sealer->forget(entry->key);
      else if (sealer) sealer->note(entry->key, chunk.marks[i]);
      if (before) retention.supersede(before->revision, entry->revision, before->value.memory(), tombstone, 0);
      else if (tombstone) retention.supersede(entry->revision, entry->revision, 0, false, 0);
      if (entry->revision > compacted && (before || !tombstone))
        loaded.changes.push_back(std::make_shared<const Change>(Change{entry->revision, tombstone ? nullptr : entry, before}));
      // The map's key is a view into the entry that it holds.
      if (before) newest.erase(at);
      if (!tombstone) {
        newest.emplace(entry->key, entry);
        retention.add_live(entry->value.memory());
      }
    }
    chunk = Chunk();
  }
  if (!closed.empty()) return fail(Code::invalid, closed.begin()->second);
  loaded.compacted = floor;
  std::erase_if(loaded.changes, [&](const ChangePtr& change) { return change->revision <= floor; });
  loaded.entries.reserve(newest.size());
  for (auto& [key, entry] : newest) {
    loaded.live_bytes += sizeof(Entry) + entry->key.size() + entry->value.memory();
    loaded.entries.push_back(std::move(entry));
  }
  std::sort(loaded.entries.begin(), loaded.entries.end(), [](const EntryPtr& a, const EntryPtr& b) { return a->key < b->key; });
  return loaded;
}

}  // namespace kybern::store
