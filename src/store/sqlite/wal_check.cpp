#include "store/sqlite/wal_check.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

namespace kybern::store {

namespace {

constexpr std::size_t header_bytes = 32;

std::uint32_t big(const unsigned char* p) {
  return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
}
std::uint32_t little(const unsigned char* p) {
  return std::uint32_t{p[3]} << 24 | std::uint32_t{p[2]} << 16 | std::uint32_t{p[1]} << 8 | p[0];
}

struct Checksum {
  std::uint32_t s0 = 0, s1 = 0;
  bool big_endian = false;
  void add(const unsigned char* p, std::size_t n) {
    for (std::size_t i = 0; i < n; i += 8) {
      s0 += (big_endian ? big(p + i) : little(p + i)) + s1;
      s1 += (big_endian ? big(p + i + 4) : little(p + i + 4)) + s0;
    }
  }
  bool is(const unsigned char* p) const { return s0 == big(p) && s1 == big(p + 4); }
};

std::unexpected<Error> damaged(const std::string& path, const std::string& what) {
  return fail(Code::internal,
              path + " is damaged (" + what +
                  "): acknowledged writes would be lost, so nothing was opened or overwritten; restore a backup, or move this "
                  "file away to go on without the newest writes");
}

}  // namespace

Result<int> check_wal(const std::string& path) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"), [](std::FILE* f) { return std::fclose(f); });
  if (!file) return 0;
  unsigned char header[header_bytes];
  if (std::fread(header, 1, sizeof header, file.get()) != sizeof header) return 0;
  Checksum sum;
  sum.big_endian = header[3] & 1;
  sum.add(header, 24);
  const std::uint32_t page_bytes = big(header + 8);
  if ((big(header) & ~1u) != 0x377f0682u || !sum.is(header + 24) || page_bytes < 512 || page_bytes > 65536)
    return damaged(path, "its header does not fit its checksum");
  std::vector<unsigned char> frame(wal_frame_header_bytes + page_bytes);
  bool good = true;
  int number = 0, bad_at = 0, committed = 0, commits_behind = 0;
  while (std::fread(frame.data(), 1, frame.size(), file.get()) == frame.size()) {
    ++number;
    bool same_log = std::equal(header + 16, header + 24, frame.data() + 8);
    if (good) {
      sum.add(frame.data(), 8);
      sum.add(frame.data() + wal_frame_header_bytes, page_bytes);
      good = same_log && sum.is(frame.data() + 16);
      if (!good) bad_at = number;
      else if (big(frame.data() + 4) != 0) committed = number;
    }
    if (!good && same_log && big(frame.data() + 4) != 0) ++commits_behind;
  }
  if (commits_behind >= 2) return damaged(path, "frame " + std::to_string(bad_at) + " does not fit its checksum");
  return committed;
}

std::optional<WalHeader> read_wal_header(int fd) {
  unsigned char header[header_bytes];
  if (::pread(fd, header, sizeof header, 0) != static_cast<ssize_t>(sizeof header)) return std::nullopt;
  return WalHeader{big(header + 8), std::uint64_t{big(header + 16)} << 32 | big(header + 20)};
}

off_t wal_frame_place(const WalHeader& header, int frame) {
  return static_cast<off_t>(header_bytes) + static_cast<off_t>(frame) * (wal_frame_header_bytes + static_cast<off_t>(header.page_bytes));
}

}  // namespace kybern::store
