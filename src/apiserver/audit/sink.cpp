#include "apiserver/audit/sink.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <mutex>

#include "apiserver/http/gzip.h"
#include "apiserver/outside/caller.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/strings.h"
#include "base/time.h"

namespace kybern::apiserver::audit {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t default_log_bytes = std::size_t(100) << 20;
constexpr std::size_t copy_bytes = 64 << 10;
constexpr int webhook_attempts = 5;
constexpr std::chrono::milliseconds webhook_limit{30000}, last_limit{2000};

metrics::CounterFamily dropped(
    "apiserver_audit_error_total",
    "Counter of audit events that failed to be audited properly. Plugin identifies the plugin affected by the error.", {"plugin"});

// What takes events in the end.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual Result<void> send(const std::vector<std::string>& events, std::chrono::milliseconds limit) = 0;
};

class FileBackend final : public Backend {
 public:
  explicit FileBackend(std::unique_ptr<RotatingFile> file) : file_(std::move(file)) {}
  Result<void> send(const std::vector<std::string>& events, std::chrono::milliseconds) override {
    std::string text;
    for (const std::string& event : events) text += event + "\n";
    std::lock_guard lock(mutex_);
    return file_->write(text);
  }

 private:
  std::mutex mutex_;
  std::unique_ptr<RotatingFile> file_;
};

class WebhookBackend final : public Backend {
 public:
  explicit WebhookBackend(std::unique_ptr<OutsideCaller> caller) : caller_(std::move(caller)) {}
  Result<void> send(const std::vector<std::string>& events, std::chrono::milliseconds limit) override {
    std::string body = R"({"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[)" + join(events, ",") + "]}";
    auto answer = caller_->post(body, limit);
    if (!answer) return std::unexpected(answer.error());
    return {};
  }

 private:
  std::unique_ptr<OutsideCaller> caller_;
};

void lost(std::string_view plugin, std::size_t count, std::string_view why) {
  dropped.with({plugin}).add(static_cast<double>(count));
  log_error("audit", "events are lost", {{"plugin", std::string(plugin)}, {"events", std::to_string(count)}, {"why", std::string(why)}});
}

// One event within its limit, or nothing.
std::optional<std::string> fitted(const Line& line, const TruncateOptions& truncate) {
  if (!truncate.enabled || line.whole.size() <= static_cast<std::size_t>(truncate.max_event_bytes)) return line.whole;
  if (line.small.size() <= static_cast<std::size_t>(truncate.max_event_bytes)) return line.small;
  return std::nullopt;
}

class Blocking final : public Sink {
 public:
  Blocking(std::string plugin, std::unique_ptr<Backend> backend, TruncateOptions truncate, bool strict)
      : plugin_(std::move(plugin)), backend_(std::move(backend)), truncate_(truncate), strict_(strict) {}
  bool put(const Line& line) override {
    auto event = fitted(line, truncate_);
    if (!event) return lost(plugin_, 1, "an event is too large"), true;
    auto ok = backend_->send({*event}, webhook_limit);
    if (ok) return true;
    lost(plugin_, 1, ok.error().message);
    return !strict_;
  }

 private:
  const std::string plugin_;
  std::unique_ptr<Backend> backend_;
  const TruncateOptions truncate_;
  const bool strict_;
};

// Events wait for others, at most a while; one batch is on its way at a time, and tried again when it fails.
class Batcher final : public Sink {
 public:
  Batcher(std::string plugin, std::unique_ptr<Backend> backend, const BatchOptions& options, Duration max_wait, TruncateOptions truncate,
          Duration backoff, int attempts, World world)
      : state_(std::make_shared<State>(std::move(plugin), std::move(backend), options, max_wait, truncate, backoff, attempts, world)) {}
  ~Batcher() override { state_->close(); }
  bool put(const Line& line) override { return state_->put(line), true; }

 private:
  struct State : std::enable_shared_from_this<State> {
    State(std::string p, std::unique_ptr<Backend> b, const BatchOptions& o, Duration wait, TruncateOptions t, Duration pause, int most,
          World w)
        : plugin(std::move(p)),
          backend(std::move(b)),
          buffer(static_cast<std::size_t>(o.buffer_size)),
          batch_size(static_cast<std::size_t>(o.max_size)),
          max_wait(wait),
          truncate(t),
          backoff(pause),
          attempts(most),
          world(w) {}

    void put(const Line& line) {
      auto event = fitted(line, truncate);
      if (!event) return lost(plugin, 1, "an event is too large");
      std::unique_lock lock(mutex);
      if (closed || waiting.size() >= buffer) {
        lock.unlock();
        return lost(plugin, 1, "the buffer is full");
      }
      waiting.push_back(std::move(*event));
      if (waiting.size() >= batch_size || max_wait <= Duration(0)) return wake(Duration(0));
      if (waiting.size() == 1) wake(max_wait);
    }

    // With the lock held.
    void wake(Duration delay) {
      if (running || resting) return;
      if (delay <= Duration(0)) {
        running = true;
        world.executor.post([self = shared_from_this()] { self->run(); });
      } else {
        world.executor.post_after(delay, [self = shared_from_this()] {
          std::lock_guard lock(self->mutex);
          if (!self->closed && !self->waiting.empty()) self->wake(Duration(0));
        });
      }
    }

    void run() {
      std::unique_lock lock(mutex);
      while (!closed && (!flight.empty() || !waiting.empty())) {
        if (flight.empty()) take();
        std::vector<std::string> batch = flight;
        lock.unlock();
        auto ok = backend->send(batch, webhook_limit);
        lock.lock();
        if (!ok && ++failures < attempts) {
          running = false;
          resting = true;  // what comes meanwhile does not cut the pause short
          idle.notify_all();
          Duration delay = backoff * (1 << (failures - 1));
          world.executor.post_after(delay, [self = shared_from_this()] {
            std::lock_guard again(self->mutex);
            self->resting = false;
            if (!self->closed) self->wake(Duration(0));
          });
          return;
        }
        if (!ok) lost(plugin, batch.size(), ok.error().message);
        flight.clear();
        failures = 0;
        if (waiting.size() < batch_size && max_wait > Duration(0)) break;
      }
      running = false;
      if (!closed && !waiting.empty()) wake(max_wait);
      idle.notify_all();
    }

    void take() {
      while (!waiting.empty() && flight.size() < batch_size) {
        flight.push_back(std::move(waiting.front()));
        waiting.pop_front();
      }
    }

    void close() {
      std::unique_lock lock(mutex);
      closed = true;
      idle.wait_for(lock, webhook_limit, [&] { return !running; });
      std::vector<std::string> rest = std::move(flight);
      for (std::string& event : waiting) rest.push_back(std::move(event));
      waiting.clear();
      if (rest.empty()) return;
      lock.unlock();
      if (auto ok = backend->send(rest, last_limit); !ok) lost(plugin, rest.size(), ok.error().message);
    }

    const std::string plugin;
    const std::unique_ptr<Backend> backend;
    const std::size_t buffer, batch_size;
    const Duration max_wait;
    const TruncateOptions truncate;
    const Duration backoff;
    const int attempts;
    World world;
    std::mutex mutex;
    std::condition_variable idle;
    std::deque<std::string> waiting;
    std::vector<std::string> flight;
    int failures = 0;
    bool running = false, resting = false, closed = false;
  };
  std::shared_ptr<State> state_;
};

class Several final : public Sink {
 public:
  void add(std::unique_ptr<Sink> sink) { sinks_.push_back(std::move(sink)); }
  bool empty() const { return sinks_.empty(); }
  bool put(const Line& line) override {
    bool kept = true;
    for (auto& sink : sinks_) kept = sink->put(line) && kept;
    return kept;
  }

 private:
  std::vector<std::unique_ptr<Sink>> sinks_;
};

Result<std::unique_ptr<Sink>> wrap(std::string plugin, std::unique_ptr<Backend> backend, const BatchOptions& options,
                                   TruncateOptions truncate, Duration backoff, int attempts, World world) {
  if (options.mode != "batch" && options.mode != "blocking" && options.mode != "blocking-strict")
    return fail(Code::invalid,
                fmt::format("invalid audit {} mode {}, allowed modes are \"batch,blocking,blocking-strict\"", plugin, options.mode));
  if (options.mode != "batch")
    return std::make_unique<Blocking>(std::move(plugin), std::move(backend), truncate, options.mode == "blocking-strict");
  if (options.buffer_size <= 0)
    return fail(Code::invalid,
                fmt::format("invalid audit batch {} buffer size {}, must be a positive number", plugin, options.buffer_size));
  if (options.max_size <= 0)
    return fail(Code::invalid,
                fmt::format("invalid audit batch {} max batch size {}, must be a positive number", plugin, options.max_size));
  auto wait = parse_duration(options.max_wait);
  if (!wait)
    return fail(Code::invalid, fmt::format("--audit-{}-batch-max-wait: {} is no duration such as 30s", plugin, go_quote(options.max_wait)));
  return std::make_unique<Batcher>(std::move(plugin), std::move(backend), options, *wait, truncate, backoff, attempts, world);
}

// 2026-01-02T03-04-05.678, as it stands in the name of a file that was set aside.
std::string file_time(Time now) {
  std::string text = format_rfc3339_micro(now);  // 2026-01-02T03:04:05.678901Z
  std::replace(text.begin(), text.end(), ':', '-');
  return text.substr(0, 23);
}

}  // namespace

// The files that were set aside. Those that are too many or too old are removed, the rest is compressed: on the executor,
// one file after the other, while requests go on.
struct RotatingFile::OldFiles : std::enable_shared_from_this<OldFiles> {
  OldFiles(const fs::path& path, int most, int days, bool pack, World w)
      : folder(path.parent_path().empty() ? fs::path(".") : path.parent_path()),
        prefix(path.stem().string() + "-"),
        extension(path.extension().string()),
        max_backups(most),
        max_age_days(days),
        compress(pack),
        world(w) {}

  void tidy_later(Time now) {
    if (max_backups <= 0 && max_age_days <= 0 && !compress) return;
    std::lock_guard lock(mutex);
    wanted = now;
    if (running || ended) return;
    running = true;
    world.executor.post([self = shared_from_this()] { self->run(); });
  }

  // What is being packed is given up; the file stays as it was.
  void end() {
    std::unique_lock lock(mutex);
    ended = true;
    idle.wait(lock, [&] { return !running || !started; });
  }

  void run() {
    std::unique_lock lock(mutex);
    started = true;
    while (wanted && !ended) {
      const Time now = *std::exchange(wanted, std::nullopt);
      lock.unlock();
      tidy(now);
      lock.lock();
    }
    running = started = false;
    idle.notify_all();
  }

  void tidy(Time now) {
    std::error_code error;
    std::vector<std::string> kept = names();
    const std::string oldest = file_time(now - std::chrono::hours(24) * max_age_days);
    std::size_t seen = 0;
    std::string last;
    std::erase_if(kept, [&](const std::string& name) {
      // A file and what it is being packed into are one.
      const std::string at = name.substr(prefix.size(), stamp);
      if (at != last) ++seen;
      last = at;
      bool too_many = max_backups > 0 && seen > static_cast<std::size_t>(max_backups);
      bool too_old = max_age_days > 0 && at < oldest;
      if (too_many || too_old) fs::remove(folder / name, error);
      return too_many || too_old;
    });
    if (!compress) return;
    for (const std::string& name : kept)
      if (!name.ends_with(".gz")) pack((folder / name).string());
  }

  // Newest first.
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error)) {
      std::string name = entry.path().filename().string();
      if (!name.starts_with(prefix) || name.size() < prefix.size() + stamp) continue;
      std::string_view end = std::string_view(name).substr(prefix.size() + stamp);
      if (end == extension || end == extension + ".gz") out.push_back(std::move(name));
    }
    std::sort(out.rbegin(), out.rend());
    return out;
  }

  // Under its name only when it is whole.
  void pack(const std::string& file) {
    const std::string packed_file = file + ".gz", unfinished = packed_file + ".tmp";
    std::error_code error;
    std::ifstream in(file, std::ios::binary);
    std::ofstream out(unfinished, std::ios::binary);
    fs::permissions(unfinished, fs::perms::owner_read | fs::perms::owner_write, error);
    Gzip gzip;
    std::string piece(copy_bytes, '\0'), packed;
    while (!stopped() && (in.read(piece.data(), static_cast<std::streamsize>(piece.size())) || in.gcount() > 0)) {
      gzip.add({piece.data(), static_cast<std::size_t>(in.gcount())}, false, packed);
      out << packed;
      packed.clear();
    }
    gzip.add({}, true, packed);
    out << packed;
    out.close();
    const bool whole = in.eof() && !in.bad() && out && !stopped();
    if (whole) fs::rename(unfinished, packed_file, error);
    if (!whole || error) {
      if (!stopped()) log_error("audit", "an old log cannot be compressed", {{"file", file}});
      fs::remove(unfinished, error);
    } else {
      fs::remove(file, error);
    }
  }

  bool stopped() {
    std::lock_guard lock(mutex);
    return ended;
  }

  static constexpr std::size_t stamp = sizeof("2026-01-02T03-04-05.678") - 1;
  const fs::path folder;
  const std::string prefix, extension;
  const int max_backups, max_age_days;
  const bool compress;
  World world;
  std::mutex mutex;
  std::condition_variable idle;
  std::optional<Time> wanted;
  bool running = false, started = false, ended = false;
};

Result<std::unique_ptr<RotatingFile>> RotatingFile::open(std::string path, std::size_t max_bytes, int max_backups, int max_age_days,
                                                         bool compress, World world) {
  std::unique_ptr<RotatingFile> out(new RotatingFile(std::move(path), max_bytes, max_backups, max_age_days, compress, world));
  if (auto ok = out->begin(); !ok) return std::unexpected(ok.error());
  if (out->path_ != "-") out->old_->tidy_later(world.clock.now());  // what was left over when the process ended
  return out;
}

RotatingFile::RotatingFile(std::string path, std::size_t max_bytes, int max_backups, int max_age_days, bool compress, World world)
    : path_(std::move(path)),
      max_bytes_(max_bytes),
      world_(world),
      old_(std::make_shared<OldFiles>(path_, max_backups, max_age_days, compress, world)) {}

RotatingFile::~RotatingFile() {
  old_->end();
  if (file_ > 2) ::close(file_);
}

Result<void> RotatingFile::begin() {
  if (path_ == "-") return file_ = 1, Result<void>();
  std::error_code ignored;
  fs::create_directories(fs::path(path_).parent_path(), ignored);
  file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file_ < 0) return fail(Code::invalid, fmt::format("--audit-log-path {}: {}", path_, std::strerror(errno)));
  struct stat info {};
  bytes_ = ::fstat(file_, &info) == 0 ? static_cast<std::size_t>(info.st_size) : 0;
  return {};
}

Result<void> RotatingFile::write(std::string_view text) {
  if (path_ != "-" && bytes_ > 0 && bytes_ + text.size() > max_bytes_)
    if (auto ok = rotate(); !ok) return ok;
  while (!text.empty()) {
    ssize_t n = ::write(file_, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return fail(Code::unavailable, fmt::format("{}: {}", path_, std::strerror(errno)));
    text.remove_prefix(static_cast<std::size_t>(n));
    bytes_ += static_cast<std::size_t>(n);
  }
  return {};
}

Result<void> RotatingFile::rotate() {
  ::close(file_);
  file_ = -1;
  const fs::path path(path_);
  const Time now = world_.clock.now();
  std::string aside = (path.parent_path() / (path.stem().string() + "-" + file_time(now) + path.extension().string())).string();
  std::error_code error;
  fs::rename(path_, aside, error);
  if (error) log_error("audit", "the log cannot be set aside", {{"file", path_}, {"why", error.message()}});
  auto ok = begin();
  old_->tidy_later(now);
  return ok;
}

Result<std::unique_ptr<Sink>> make_sink(const SinkOptions& options, World world) {
  auto out = std::make_unique<Several>();
  if (!options.log_path.empty()) {
    if (options.log_max_age_days < 0 || options.log_max_backups < 0 || options.log_max_size_mb < 0)
      return fail(Code::invalid, "--audit-log-maxage, --audit-log-maxbackup and --audit-log-maxsize can't be negative numbers");
    std::size_t bytes = options.log_max_size_mb > 0 ? static_cast<std::size_t>(options.log_max_size_mb) << 20 : default_log_bytes;
    auto file = RotatingFile::open(options.log_path, bytes, options.log_max_backups, options.log_max_age_days, options.log_compress, world);
    if (!file) return std::unexpected(file.error());
    auto sink =
        wrap("log", std::make_unique<FileBackend>(std::move(*file)), options.log_batch, options.log_truncate, Duration(0), 1, world);
    if (!sink) return sink;
    out->add(std::move(*sink));
  }
  if (!options.webhook_config.empty()) {
    auto caller = OutsideCaller::open(options.webhook_config);
    if (!caller) return fail(Code::invalid, "--audit-webhook-config-file: " + caller.error().message);
    auto backoff = parse_duration(options.webhook_initial_backoff);
    if (!backoff)
      return fail(Code::invalid,
                  fmt::format("--audit-webhook-initial-backoff: {} is no duration such as 10s", go_quote(options.webhook_initial_backoff)));
    auto sink = wrap("webhook", std::make_unique<WebhookBackend>(std::move(*caller)), options.webhook_batch, options.webhook_truncate,
                     *backoff, webhook_attempts, world);
    if (!sink) return sink;
    out->add(std::move(*sink));
  }
  if (out->empty()) return std::unique_ptr<Sink>();
  return out;
}

}  // namespace kybern::apiserver::audit
