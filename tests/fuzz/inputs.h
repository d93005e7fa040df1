// What the drivers of fuzz entries share: the inputs in folders, how they are changed, and where the one at work is kept.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace kybern::fuzz {

constexpr std::size_t max_input_bytes = 16384;
constexpr unsigned longest_run_s = 10;  // of one input, of the processor: a busy machine does not count

using Bytes = std::string;

inline Bytes read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> out;
  DIR* d = ::opendir(folder.c_str());
  if (!d) return out;
  while (const dirent* e = ::readdir(d)) {
    std::string path = folder + "/" + e->d_name;
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode)) out.push_back(path);
  }
  ::closedir(d);
  std::sort(out.begin(), out.end());
  return out;
}

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  Bytes change(const Bytes& from, const std::vector<Bytes>& corpus) {
    Bytes out = from;
    for (unsigned n = 1 + below(4); n > 0; --n) once(out, corpus[below(corpus.size())]);
    if (out.size() > max_input_bytes) out.resize(max_input_bytes);
    return out;
  }
  std::size_t below(std::size_t limit) { return static_cast<std::size_t>(random_() % limit); }

 private:
  void once(Bytes& b, const Bytes& other) {
    static const char* const words[] = {"\xff\xff\xff\xff",
                                        "\x7f\xff\xff\xff",
                                        "-1",
                                        "0",
                                        "9223372036854775808",
                                        "1e999",
                                        "\"",
                                        "\\u0000",
                                        "{}",
                                        "[]",
                                        "\r\n",
                                        "\xc0\x80",
                                        "\xed\xa0\x80",
                                        "null",
                                        ":",
                                        ",",
                                        "=",
                                        " "};
    std::size_t at = b.empty() ? 0 : below(b.size());
    switch (below(9)) {
      case 0:
        if (!b.empty()) b[at] = static_cast<char>(b[at] ^ (1 << below(8)));
        return;
      case 1:
        if (!b.empty()) b[at] = static_cast<char>(random_());
        return;
      case 2: b.insert(at, 1 + below(8), static_cast<char>(random_())); return;
      case 3:
        if (!b.empty()) b.erase(at, 1 + below(std::min<std::size_t>(b.size() - at, 32)));
        return;
      case 4:  // a piece of itself once more
        if (!b.empty()) b.insert(below(b.size()), b.substr(at, 1 + below(64)));
        return;
      case 5:  // a piece of another
        if (!other.empty()) {
          std::size_t from = below(other.size());
          b.insert(at, other.substr(from, 1 + below(other.size() - from)));
        }
        return;
      case 6: b.insert(at, words[below(std::size(words))]); return;
      case 7:  // a number a little larger or smaller
        if (!b.empty()) b[at] = static_cast<char>(b[at] + static_cast<int>(below(9)) - 4);
        return;
      default:  // its beginning, another's end
        if (!other.empty()) b = b.substr(0, at) + other.substr(below(other.size()));
    }
  }
  std::mt19937_64 random_;
};

// The input at work, in memory that is shared with a file, so that it outlives the process.
class Current {
 public:
  explicit Current(const std::string& path) : path_(path) {
    int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd >= 0 && ::ftruncate(fd, size) == 0) at_ = static_cast<char*>(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    if (fd >= 0) ::close(fd);
    if (!at_ || at_ == MAP_FAILED) {
      std::fprintf(stderr, "%s: cannot be written\n", path.c_str());
      std::exit(2);
    }
  }
  void set(const Bytes& input) {
    std::uint64_t n = std::min(input.size(), max_input_bytes);
    std::memcpy(at_, &n, 8);
    std::memcpy(at_ + 8, input.data(), n);
  }
  void done() { ::unlink(path_.c_str()); }

  static bool extract(const std::string& path, const std::string& into) {
    Bytes all = read_file(path);
    std::uint64_t n = 0;
    if (all.size() != size) return false;
    std::memcpy(&n, all.data(), 8);
    std::ofstream(into, std::ios::binary) << all.substr(8, n);
    return true;
  }

 private:
  static constexpr std::size_t size = 8 + max_input_bytes;
  std::string path_;
  char* at_ = nullptr;
};

// Ends the process when the input at work takes longer than set_limit() allows; 0: no limit. Once: watch_runs().
inline void too_slow(int) {
  constexpr char text[] = "an input takes too long\n";
  (void)!::write(2, text, sizeof text - 1);
  std::abort();
}
inline void set_limit(unsigned seconds) {
  itimerval timer{};
  timer.it_value.tv_sec = seconds;
  ::setitimer(ITIMER_PROF, &timer, nullptr);
}
inline void watch_runs() { ::signal(SIGPROF, too_slow); }

}  // namespace kybern::fuzz
