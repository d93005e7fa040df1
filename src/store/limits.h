// The store's limits, with their defaults. Tests and benchmarks open a store with others (local_store.h).
#pragma once

#include <chrono>
#include <cstddef>

namespace kybern::store {

// A key is a resource, a namespace and a name; upstream's longest parts add up to less than this.
constexpr std::size_t max_key_bytes = 2048;

// What one transaction takes of the writes that wait. The second one bounds a pause of the readers of the log's file and
// the memory of a batch; a single write may be larger.
constexpr std::size_t max_batch_writes = 512;
constexpr std::size_t max_batch_bytes = 4 << 20;

// Changes kept for watches. All resources share one budget of bytes; when it is exceeded the largest window gives way,
// so that a busy resource never pushes out the changes of a quiet one.
struct WindowLimits {
  std::size_t max_changes = 100'000;  // per resource
  std::size_t min_changes = 128;      // per resource: these are not dropped for their age
  std::chrono::seconds max_age = std::chrono::minutes(5);
  std::size_t min_bytes = 64 << 20;  // of all resources; at least this much, or
  std::size_t live_divisor = 8;      // this part of the bytes of all live objects
};

// Snapshots at older revisions that were asked for, kept for the next page of a list.
constexpr std::size_t max_rewound_snapshots = 16;
constexpr std::chrono::seconds max_rewound_idle = std::chrono::minutes(2);

// Superseded rows of the log: they let watches resume after a restart.
struct RetentionLimits {
  std::chrono::seconds max_age = std::chrono::minutes(5);
  std::size_t min_bytes = 24 << 20;  // of superseded values: at least this much, or
  std::size_t live_divisor = 4;      // this part of the bytes of all live values
  std::size_t slice_rows = 256;      // removed at once; twice the batch when a batch is larger
};

// The write-ahead log is copied into the file when it has this many pages of 4 KiB; writes are refused when that has
// failed so often that it has grown to the second number.
constexpr int wal_checkpoint_pages = 3000;
constexpr int wal_refuse_pages = 65536;

// Free pages are given back to the file system when there are more than this many and more than half the file is free.
constexpr int vacuum_above_pages = 4096;
constexpr int vacuum_slice_pages = 256;

// Less free space than this on the file's disk and the store does not call itself writable.
constexpr std::size_t min_free_disk_bytes = 8 << 20;

}  // namespace kybern::store
