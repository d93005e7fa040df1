// Where audit events go: a file of JSON lines, and a webhook. Each blocks the request that it tells of, or works in batches.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/world.h"

namespace kybern::apiserver::audit {

struct BatchOptions {
  std::string mode = "batch";    // batch, blocking, blocking-strict
  int buffer_size = 10000;       // events; more are dropped, and counted
  int max_size = 400;            // events of one batch
  std::string max_wait = "30s";  // an event waits no longer for its batch to fill
};
struct TruncateOptions {
  bool enabled = false;
  int max_event_bytes = 102400;  // above, the event goes without its objects, or not at all
};
struct SinkOptions {
  std::string policy_file;
  std::string log_path;                                                // "-": standard output; "": none
  int log_max_age_days = 0, log_max_backups = 0, log_max_size_mb = 0;  // 0: kept for ever, all of them, rotated at 100 MB
  bool log_compress = false;
  BatchOptions log_batch{"blocking", 10000, 1, "0s"};
  TruncateOptions log_truncate;
  std::string webhook_config;  // a kubeconfig
  std::string webhook_initial_backoff = "10s";
  BatchOptions webhook_batch;
  TruncateOptions webhook_truncate;
};

// An event as JSON, and what it is without its objects.
struct Line {
  std::string whole, small;
};

class Sink {
 public:
  virtual ~Sink() = default;               // what waits is written first, within a bound
  virtual bool put(const Line& line) = 0;  // false: a strict sink could not keep it
};
// All that the options name; nullptr when they name none. Code::invalid: a file or a mode that is no good.
Result<std::unique_ptr<Sink>> make_sink(const SinkOptions& options, World world);

// A file that is set aside when it has grown: NAME-2026-01-02T03-04-05.678.EXT beside it, .gz when compressed. Old ones are
// compressed and removed on the executor, a moment later.
class RotatingFile {
 public:
  static Result<std::unique_ptr<RotatingFile>> open(std::string path, std::size_t max_bytes, int max_backups, int max_age_days,
                                                    bool compress, World world);
  ~RotatingFile();
  Result<void> write(std::string_view text);

 private:
  struct OldFiles;
  RotatingFile(std::string path, std::size_t max_bytes, int max_backups, int max_age_days, bool compress, World world);
  Result<void> begin();
  Result<void> rotate();

  const std::string path_;
  const std::size_t max_bytes_;
  World world_;
  const std::shared_ptr<OldFiles> old_;
  int file_ = -1;
  std::size_t bytes_ = 0;
};

}  // namespace kybern::apiserver::audit
