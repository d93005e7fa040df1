// Drives a libFuzzer entry (LLVMFuzzerTestOneInput) without libFuzzer, which comes with clang: clang 14 does not compile
// std::expected. The rooms are compiled with gcc's -fsanitize-coverage=trace-pc, which calls the function below at every
// edge; an input that reaches a new one (or an old one much more often) is kept and changed further.
//
//   x_fuzz SECONDS FOUND-FOLDER CORPUS-FOLDER...     SECONDS 0: the corpora alone, each input once
//   x_fuzz - FILE                                    one input, as a crash is repeated
//   x_fuzz + FOUND-FOLDER FILE                       after a crash: writes the input that did it
//
// The input at work lies in FOUND-FOLDER/current, in memory shared with that file: its length (8 bytes), its bytes.
#include <signal.h>
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

#include "inputs.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using namespace kybern::fuzz;

constexpr std::size_t map_bits = 16;
alignas(8) std::uint8_t hits[1 << map_bits];
std::uint8_t seen[1 << map_bits];  // bits: how often an edge was reached, as a power of two
std::uintptr_t before = 0;

// Whether it reached something new.
bool run(const Bytes& input) {
  std::memset(hits, 0, sizeof hits);
  before = 0;
  set_limit(longest_run_s);
  // A block of exactly this size: the sanitizer sees a read behind it.
  std::vector<std::uint8_t> copy(input.begin(), input.end());
  copy.shrink_to_fit();
  LLVMFuzzerTestOneInput(copy.data(), copy.size());
  set_limit(0);
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

}  // namespace

extern "C" void __sanitizer_cov_trace_pc() {
  auto here = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
  here ^= here >> 17;
  std::uint8_t& count = hits[(here ^ before) & ((1 << map_bits) - 1)];
  if (count < 255) ++count;
  before = here >> 1;
}

int main(int argc, char** argv) {
  watch_runs();
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
