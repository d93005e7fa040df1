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

Result<std::unique_ptr<RotatingFile>> RotatingFile::open(std::string path, std::size_t max_bytes, int max_backups, int max_age_days,
                                                         bool compress, World world) {
  std::unique_ptr<RotatingFile> out(new RotatingFile(std::move(path), max_bytes, max_backups, max_age_days, compress, world));
  if (auto ok = out->begin(); !ok) return std::unexpected(ok.error());
  return out;
}

RotatingFile::~RotatingFile() {
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
  std::string aside =
      (path.parent_path() / (path.stem().string() + "-" + file_time(world_.clock.now()) + path.extension().string())).string();
  std::error_code error;
  fs::rename(path_, aside, error);
  if (error) log_error("audit", "the log cannot be set aside", {{"file", path_}, {"why", error.message()}});
  if (!error && compress_) {
    std::ifstream in(aside, std::ios::binary);
    std::ofstream out(aside + ".gz", std::ios::binary);
    fs::permissions(aside + ".gz", fs::perms::owner_read | fs::perms::owner_write, error);
    Gzip gzip;
    std::string piece(copy_bytes, '\0'), packed;
    while (in.read(piece.data(), static_cast<std::streamsize>(piece.size())) || in.gcount() > 0) {
      gzip.add({piece.data(), static_cast<std::size_t>(in.gcount())}, false, packed);
      out << packed;
      packed.clear();
    }
    gzip.add({}, true, packed);
    out << packed;
    out.close();
    fs::remove(out ? aside : aside + ".gz", error);
  }
  clean();
  return begin();
}

// Newest first by name; those beyond the number and the age go.
void RotatingFile::clean() {
  if (max_backups_ <= 0 && max_age_days_ <= 0) return;
  const fs::path path(path_);
  const std::string prefix = path.stem().string() + "-", extension = path.extension().string();
  const std::size_t stamp = std::strlen("2026-01-02T03-04-05.678");
  std::vector<std::string> aside;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path.parent_path().empty() ? fs::path(".") : path.parent_path(), error)) {
    std::string name = entry.path().filename().string();
    std::string_view rest = std::string_view(name);
    if (!rest.starts_with(prefix) || rest.size() < prefix.size() + stamp) continue;
    std::string_view end = rest.substr(prefix.size() + stamp);
    if (end == extension || end == extension + ".gz") aside.push_back(std::move(name));
  }
  std::sort(aside.rbegin(), aside.rend());
  const std::string oldest = file_time(world_.clock.now() - std::chrono::hours(24) * max_age_days_);
  for (std::size_t i = 0; i < aside.size(); ++i) {
    bool too_many = max_backups_ > 0 && i >= static_cast<std::size_t>(max_backups_);
    bool too_old = max_age_days_ > 0 && std::string_view(aside[i]).substr(prefix.size(), stamp) < oldest;
    if (too_many || too_old) fs::remove(path.parent_path() / aside[i], error);
  }
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
