// Looks for damage in a write-ahead log that SQLite's recovery would take for its end.
//
// Recovery reads frames until one does not fit its checksum, and forgets the rest: right for a transaction that a crash
// has torn, wrong for a byte that the disk has turned, because acknowledged writes behind it would be gone silently. The
// two can be told apart: with synchronous=FULL a transaction is begun only after the one before is on disk, so behind the
// first bad frame of a torn log lies at most one frame that commits. Two or more mean damage.
// File format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"

namespace kybern::store {

// `path` of the log itself. How many frames a recovery takes: those up to the end of the last good transaction. No such
// file, or an empty one: none.
Result<int> check_wal(const std::string& path);

// What begins a log. `identity` is another one each time the log is begun anew.
struct WalHeader {
  std::uint32_t page_bytes;
  std::uint64_t identity;
};
constexpr int wal_frame_header_bytes = 24;
std::optional<WalHeader> read_wal_header(int fd);
off_t wal_frame_place(const WalHeader& header, int frame);  // where the frame begins, counted from 0

}  // namespace kybern::store
