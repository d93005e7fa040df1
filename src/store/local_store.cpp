#include "store/local_store.h"

#include <errno.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <system_error>
#include <utility>

#include "base/strings.h"
#include "document/json.h"
#include "store/cache.h"
#include "store/changed_at.h"
#include "store/sealer.h"
#include "store/sqlite/checksum.h"
#include "store/sqlite/log.h"
#include "store/writer.h"

namespace kybern::store {

namespace {

// The revision of a store in which nothing was ever written: 0 means "any" in the API.
constexpr Revision first_revision = 1;

// A block that only the writer will know, so that it may stamp it; and exactly as large as the value, which may have
// been a part of something larger.
Document own_copy(const Document& value) {
  thread_local BlockWriter writer(8192);
  writer.copy(value.root());
  return writer.finish();
}

// Kept per thread, so that a write costs no buffer of its own.
std::string& json_buffer() {
  constexpr std::size_t kept_bytes = 256 << 10;
  thread_local std::string buffer;
  if (buffer.capacity() > kept_bytes) std::string().swap(buffer);
  buffer.clear();
  return buffer;
}

// The text with the blank in metadata.resourceVersion filled in. One that has such a place twice is left alone.
void stamp_text(std::string_view json, Revision revision, std::string& out) {
  static constexpr std::string_view key = "\"resourceVersion\":\"";
  static const std::string blank = std::string(Document::stamp_blank()) + "\"";
  std::size_t from = std::string_view::npos;
  // So many spaces in a row hold one whose place is a multiple of their number: only those are looked at.
  for (std::size_t seen = Document::stamp_width; seen < json.size(); seen += Document::stamp_width) {
    if (json[seen] != ' ') continue;
    std::size_t at = json.find_last_not_of(' ', seen) + 1;
    if (!json.substr(at).starts_with(blank) || !json.substr(0, at).ends_with(key)) continue;
    if (from != std::string_view::npos) return;
    from = at;
  }
  if (from == std::string_view::npos) return;
  std::size_t to = from + Document::stamp_width;
  out.clear();
  out.reserve(json.size() + 1);  // a line's end may follow
  out.append(json.substr(0, from)).append(std::to_string(revision)).append(json.substr(to));
}

class LocalStore final : public Store {
 public:
  LocalStore(const StoreOptions& options, const LocalLimits& limits, std::unique_ptr<SqliteLog> log, Tree tree, Revision revision,
             Revision floor, const std::vector<ChangePtr>& changes, std::size_t live_bytes)
      : path_(options.path),
        max_value_bytes_(options.max_value_bytes),
        sealer_(options.sealer),
        cache_(limits.windows, tree, revision, floor, changes, options.world),
        writer_(cache_, std::move(log), std::move(tree), revision, live_bytes, options.world) {}

  Result<EntryPtr> commit(Write write) override;
  Snapshot snapshot() const override { return cache_.snapshot(); }
  Result<Snapshot> snapshot_at(Revision revision, std::string_view prefix) const override { return cache_.snapshot_at(revision, prefix); }
  Revision revision() const override { return cache_.revision(); }
  Revision newest(std::string_view prefix) const { return cache_.windows().newest(prefix); }
  Revision oldest_watchable(std::string_view prefix) const override { return cache_.windows().oldest(prefix); }
  Result<std::unique_ptr<Watch>> watch(std::string_view prefix, Revision after, std::function<void()> notify) override {
    return cache_.windows().watch(prefix, after, std::move(notify));
  }
  Result<void> backup(const std::string& path) override;
  Result<void> check_writable() const override;
  Stats stats() const override;
  bool stale(std::string_view key) const override { return sealer_ && sealer_->stale(key); }

 private:
  const std::string path_;
  const std::size_t max_value_bytes_;
  Sealer* const sealer_;
  Cache cache_;
  mutable Writer writer_;  // ends before the cache it publishes to
};

Result<EntryPtr> LocalStore::commit(Write write) {
  if (write.key.size() < 2 || write.key[0] != '/' || write.key.size() > max_key_bytes)
    return fail(Code::invalid, "a key begins with / and has at most " + std::to_string(max_key_bytes) + " bytes");
  PendingWrite pending;
  pending.key = write.key;
  pending.put = write.value.has_value();
  pending.expected = write.expected;
  std::string& json = json_buffer();
  Document value;
  if (write.value) {
    write_json(write.value->root(), json);
    if (json.size() > max_value_bytes_)
      return fail(Code::too_large,
                  write.key + " has " + std::to_string(json.size()) + " bytes, the limit is " + std::to_string(max_value_bytes_));
    if (!valid_utf8(json)) return fail(Code::invalid, write.key + " holds text that is not UTF-8: nobody could read it again");
    // Whoever gave up the value's only owner has given us the block.
    value = write.value->unique() ? std::move(*write.value) : own_copy(*write.value);
  }
  Sealer::Sealed sealed;
  if (write.value && sealer_ && sealer_->concerns(write.key)) {
    Result<Sealer::Sealed> done = sealer_->seal(write.key, json);
    if (!done) return std::unexpected(done.error());
    sealed = std::move(*done);
    pending.json = sealed.bytes;
  } else {
    pending.json = json;
  }
  pending.checksum = content_checksum(pending.key, pending.json);
  pending.entry = std::make_shared<Entry>(Entry{write.key, std::move(value), 0});
  pending.change = std::make_shared<Change>();
  writer_.commit(pending);
  if (sealer_ && pending.result) {
    if (pending.put) sealer_->note(pending.key, sealed.mark);
    else sealer_->forget(pending.key);
  }
  if (write.json && write.value && pending.result) stamp_text(json, (*pending.result)->revision, *write.json);
  return std::move(pending.result);
}

Result<void> LocalStore::backup(const std::string& path) {
  if (path_.empty()) return fail(Code::unsupported, "a store in memory has no file to copy");
  Result<std::unique_ptr<SqliteLog::Backup>> backup;
  writer_.run([&](SqliteLog* log) { backup = log->backup(path); });
  if (!backup) return std::unexpected(backup.error());
  Result<bool> all = false;
  while (all && !*all) {
    // Writes go on between the steps; what they change in pages that are copied already is copied again.
    writer_.run([&](SqliteLog*) {
      all = (*backup)->step();
      if (!all) backup->reset();
    });
  }
  if (!all) return std::unexpected(all.error());
  return (*backup)->finish();
}

Result<void> LocalStore::check_writable() const {
  if (path_.empty()) return {};
  if (writer_.failing()) {
    if (Result<void> done = writer_.probe(); !done) return done;
  }
  if (access(path_.c_str(), W_OK) != 0)
    return fail(Code::unavailable, path_ + " is not writable (" + std::error_code(errno, std::generic_category()).message() + ")");
  struct statvfs disk;
  if (statvfs(path_.c_str(), &disk) != 0) return fail(Code::unavailable, path_ + ": its disk does not answer");
  if ((disk.f_flag & ST_RDONLY) != 0) return fail(Code::unavailable, path_ + " lies on a read-only file system");
  const std::size_t free_bytes = static_cast<std::size_t>(disk.f_bavail) * disk.f_frsize;
  if (free_bytes < min_free_disk_bytes)
    return fail(Code::unavailable, path_ + ": the disk has " + std::to_string(free_bytes >> 20) + " MiB left: free some space");
  return {};
}

Store::Stats LocalStore::stats() const {
  const Windows& windows = cache_.windows();
  return {cache_.snapshot().count(""), writer_.live_bytes(), windows.watch_count(), windows.change_count(), writer_.file_bytes()};
}

}  // namespace

Result<std::unique_ptr<Store>> open_local_store(const StoreOptions& options, const LocalLimits& given) {
  LocalLimits limits = given;
  if (options.window_changes > 0) {
    limits.windows.max_changes = options.window_changes;
    limits.windows.min_changes = std::min(limits.windows.min_changes, options.window_changes);
  }
  if (options.path.empty())
    return std::make_unique<LocalStore>(options, limits, nullptr, Tree(), first_revision, first_revision, std::vector<ChangePtr>(), 0);
  Result<std::unique_ptr<SqliteLog>> log = SqliteLog::open(options.path, limits.retention);
  if (!log) return std::unexpected(log.error());
  Result<Loaded> loaded = (*log)->load(options.sealer, options.world != nullptr);
  if (!loaded) return std::unexpected(loaded.error());
  return std::make_unique<LocalStore>(options, limits, std::move(*log), Tree::build(loaded->entries),
                                      std::max(loaded->revision, first_revision), std::max(loaded->compacted, first_revision),
                                      loaded->changes, loaded->live_bytes);
}

Revision changed_at(const Store& store, std::string_view prefix) {
  const auto* local = dynamic_cast<const LocalStore*>(&store);
  return local ? local->newest(prefix) : store.revision();
}

Result<std::unique_ptr<Store>> Store::open(StoreOptions options) { return open_local_store(options, {}); }

}  // namespace kybern::store
