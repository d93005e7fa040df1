// Drives a libFuzzer entry (LLVMFuzzerTestOneInput) without libFuzzer, which comes with clang: clang 14 does not compile
// std::expected. The rooms are compiled with gcc's -fsanitize-coverage=trace-pc, which calls the function below at every
// edge; an input that reaches a new one (or an old one much more often) is kept and changed further.
//
//   x_fuzz SECONDS FOUND-FOLDER CORPUS-FOLDER...     SECONDS 0: the corpora alone, each input once
//   x_fuzz - FILE                                    one input, as a crash is repeated
//   x_fuzz + FOUND-FOLDER FILE                       after a crash: writes the input that did it
//
// The input at work lies in FOUND-FOLDER/current, in memory shared with that file: its length (8 bytes), its bytes.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr std::size_t map_bits = 16, max_input_bytes = 16384;
constexpr unsigned longest_run_s = 10;  // of one input
alignas(8) std::uint8_t hits[1 << map_bits];
std::uint8_t seen[1 << map_bits];  // bits: how often an edge was reached, as a power of two
std::uintptr_t before = 0;

using Bytes = std::string;

Bytes read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> files_in(const std::string& folder) {
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

// Whether it reached something new.
bool run(const Bytes& input) {
  std::memset(hits, 0, sizeof hits);
  before = 0;
  ::alarm(longest_run_s);
  // A block of exactly this size: the sanitizer sees a read behind it.
  std::vector<std::uint8_t> copy(input.begin(), input.end());
  copy.shrink_to_fit();
  LLVMFuzzerTestOneInput(copy.data(), copy.size());
  ::alarm(0);
  bool fresh = false;
  for (std::size_t i = 0; i < sizeof hits; ++i) {
    if (i % 8 == 0) {  // most of it is empty
      std::uint64_t eight;
      std::memcpy(&eight, hits + i, 8);
      if (eight == 0) {
        i += 7;
        continue;
      }
    }
    if (!hits[i]) continue;
    auto bit = static_cast<std::uint8_t>(1u << std::min(7, 31 - __builtin_clz(hits[i])));
    if (seen[i] & bit) continue;
    seen[i] |= bit;
    fresh = true;
  }
  return fresh;
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

void too_slow(int) {
  constexpr char text[] = "an input takes too long\n";
  (void)!::write(2, text, sizeof text - 1);
  std::abort();
}

}  // namespace

extern "C" void __sanitizer_cov_trace_pc() {
  auto here = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
  here ^= here >> 17;
  std::uint8_t& count = hits[(here ^ before) & ((1 << map_bits) - 1)];
  if (count < 255) ++count;
  before = here >> 1;
}

int main(int argc, char** argv) {
  ::signal(SIGALRM, too_slow);
  if (argc == 3 && std::string(argv[1]) == "-") {
    run(read_file(argv[2]));
    return 0;
  }
  if (argc == 4 && std::string(argv[1]) == "+") return Current::extract(std::string(argv[2]) + "/current", argv[3]) ? 0 : 1;
  if (argc < 4) {
    std::fprintf(stderr, "usage: %s SECONDS FOUND-FOLDER CORPUS-FOLDER... | - FILE\n", argv[0]);
    return 2;
  }
  const long seconds = std::atol(argv[1]);
  const std::string found = argv[2];
  Current current(found + "/current");
  std::vector<Bytes> corpus;
  std::size_t given = 0, runs = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 3; i < argc; ++i)
    for (const std::string& file : files_in(argv[i])) {
      Bytes input = read_file(file);
      if (input.size() > max_input_bytes || file.ends_with("/current")) continue;
      current.set(input);
      ++given, ++runs;
      if (run(input)) corpus.push_back(std::move(input));
    }
  if (corpus.empty()) corpus.emplace_back();
  Mutator mutator(std::random_device{}());
  std::size_t kept = 0;
  while (seconds > 0 && std::chrono::steady_clock::now() - begin < std::chrono::seconds(seconds)) {
    // The newest are changed more often.
    std::size_t from =
        mutator.below(2) ? mutator.below(corpus.size()) : corpus.size() - 1 - mutator.below(std::min<std::size_t>(corpus.size(), 16));
    Bytes input = mutator.change(corpus[from], corpus);
    current.set(input);
    ++runs;
    if (!run(input)) continue;
    std::ofstream(found + "/" + std::to_string(begin.time_since_epoch().count()) + "-" + std::to_string(kept++), std::ios::binary) << input;
    corpus.push_back(std::move(input));
  }
  current.done();
  const auto edges = static_cast<std::size_t>(std::count_if(std::begin(seen), std::end(seen), [](std::uint8_t s) { return s != 0; }));
  std::printf("%zu inputs given, %zu runs in %.1f s, %zu kept, %zu edges\n", given, runs,
              std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), kept, edges);
  return 0;
}
