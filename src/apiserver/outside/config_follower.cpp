#include "apiserver/outside/config_follower.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <mutex>

#include "base/files.h"
#include "base/log.h"
#include "base/metrics.h"
#include "net/certificates.h"

namespace kybern::apiserver {
namespace {

constexpr std::size_t name_hash_bytes = 16;  // of the host's name, in the server's

struct FollowerMetrics {
  explicit FollowerMetrics(std::string_view subject)
      : reloads(fmt::format("apiserver_{}_config_controller_automatic_reloads_total", subject),
                fmt::format("Total number of automatic reloads of {} configuration split by status and apiserver identity.", subject),
                {"status", "apiserver_id_hash"}),
        last(fmt::format("apiserver_{}_config_controller_automatic_reload_last_timestamp_seconds", subject),
             fmt::format("Timestamp of the last automatic reload of {} configuration split by status and apiserver identity.", subject),
             {"status", "apiserver_id_hash"}),
        info(fmt::format("apiserver_{}_config_controller_last_config_info", subject),
             fmt::format("Information about the last applied {} configuration with hash as label, split by apiserver identity.", subject),
             {"apiserver_id_hash", "hash"}) {}
  metrics::CounterFamily reloads;
  metrics::GaugeFamily last, info;
};

FollowerMetrics& metrics_of(std::string_view subject) {
  static FollowerMetrics authentication("authentication"), authorization("authorization"), encryption("encryption");
  return subject == "authentication" ? authentication : subject == "encryption" ? encryption : authorization;
}

std::string tagged_hash(std::string_view text) { return "sha256:" + net::sha256_hex(text); }

// RFC 4648, lower case and without padding.
std::string base32(std::string_view bytes) {
  constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz234567";
  std::string out;
  unsigned held = 0, bits = 0;
  for (unsigned char c : bytes) {
    held = held << 8 | c;
    for (bits += 8; bits >= 5; bits -= 5) out += letters[held >> (bits - 5) & 31];
    held &= (1U << bits) - 1;
  }
  if (bits > 0) out += letters[held << (5 - bits) & 31];
  return out;
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : std::string();
}

}  // namespace

std::string server_id_hash(std::string_view host) {
  return tagged_hash("apiserver-" + base32(net::sha256(host).substr(0, name_hash_bytes)));
}

struct ConfigFollower::State : std::enable_shared_from_this<State> {
  State(Options o, World w) : options(std::move(o)), world(w), id(server_id_hash(host_name())) {}

  void arm() {  // with the lock held
    timer = world.executor.post_after(options.interval, [weak = weak_from_this()] {
      if (auto self = weak.lock()) self->look();
    });
  }

  void look() {
    {
      std::lock_guard lock(mutex);
      if (ended) return;
      auto now = read_file(options.file);
      if (now && *now == options.text) return arm();
    }
    std::function<void()> task = [self = shared_from_this()] { self->reload(); };
    if (!options.run) return task();
    if (options.run(task)) return;
    std::lock_guard lock(mutex);
    if (!ended) arm();
  }

  void reload() {
    std::lock_guard lock(mutex);
    if (ended) return;
    auto now = read_file(options.file);
    Result<void> ok = now ? options.take(*now) : Result<void>(std::unexpected(now.error()));
    // What will never do is not tried again; what could not be read is.
    if (now && (ok || ok.error().code == Code::invalid)) options.text = *now;
    count(ok.has_value());
    if (ok) {
      tell(*now);
      log_info("apiserver", "a configuration is read again", {{"of", options.subject}, {"file", options.file}});
    } else {
      log_error("apiserver", "a configuration has changed and cannot be taken",
                {{"of", options.subject}, {"file", options.file}, {"why", ok.error().message}});
    }
    arm();
  }

  void count(bool good) const {
    FollowerMetrics& metrics = metrics_of(options.subject);
    const std::string_view status = good ? "success" : "failure";
    metrics.reloads.with({status, id}).add();
    const auto since = std::chrono::duration<double>(world.clock.now().time_since_epoch());
    metrics.last.with({status, id}).set(since.count());
  }

  // Which text is in use.
  void tell(std::string_view text) {
    FollowerMetrics& metrics = metrics_of(options.subject);
    if (!told.empty()) metrics.info.erase({id, told});
    told = tagged_hash(text);
    metrics.info.with({id, told}).set(1);
  }

  Options options;
  World world;
  const std::string id;
  std::mutex mutex;
  std::string told;
  TimerId timer = 0;
  bool ended = false;
};

ConfigFollower::ConfigFollower(Options options, World world) : state_(std::make_shared<State>(std::move(options), world)) {
  std::lock_guard lock(state_->mutex);
  state_->tell(state_->options.text);
  state_->arm();
}

ConfigFollower::~ConfigFollower() {
  std::lock_guard lock(state_->mutex);
  state_->ended = true;
  state_->world.executor.cancel(state_->timer);
}

}  // namespace kybern::apiserver
