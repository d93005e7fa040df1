// Every fuzz entry of src/ in one program of the everyday build, for a bounded time: the corpus as it is, then changes of it.
// No coverage guides it and no sanitizer looks on (that is tools/fuzz.sh); what aborts or hangs is found all the same.
//
//   fuzz_all CORPUS-ROOT MILLISECONDS [NAME...]     so long for each entry
//
// Each entry runs in a child. When it dies, its input is kept in the folder for temporary files, and named.
#include <sys/wait.h>

#include <chrono>
#include <filesystem>
#include <string_view>

#include "inputs.h"

// fuzz_entries.h: the names, one ENTRY(name) a line.
#define ENTRY(name) extern "C" int fuzz_##name(const std::uint8_t* data, std::size_t size);
#include "fuzz_entries.h"
#undef ENTRY

namespace {

using namespace kybern::fuzz;
using Steady = std::chrono::steady_clock;

struct Entry {
  const char* name;
  int (*run)(const std::uint8_t*, std::size_t);
};
const Entry entries[] = {
#define ENTRY(name) {#name, fuzz_##name},
#include "fuzz_entries.h"
#undef ENTRY
};

void run(const Entry& entry, const Bytes& input) {
  set_limit(longest_run_s);
  std::vector<std::uint8_t> exact(input.begin(), input.end());
  entry.run(exact.data(), exact.size());
  set_limit(0);
}

[[noreturn]] void child(const Entry& entry, const std::string& corpus_folder, const std::string& current_file,
                        std::chrono::milliseconds time, std::uint64_t seed) {
  watch_runs();
  Current current(current_file);
  std::vector<Bytes> corpus;
  for (const std::string& file : files_in(corpus_folder)) {
    corpus.push_back(read_file(file));
    current.set(corpus.back());
    run(entry, corpus.back());
  }
  if (corpus.empty()) {
    std::fprintf(stderr, "no corpus in %s\n", corpus_folder.c_str());
    std::exit(2);
  }
  Mutator mutator(seed);
  std::size_t runs = 0;
  for (const auto end = Steady::now() + time; Steady::now() < end; ++runs) {
    const Bytes input = mutator.change(corpus[mutator.below(corpus.size())], corpus);
    current.set(input);
    run(entry, input);
  }
  current.done();
  std::printf("%-14s %zu inputs, %zu changed ones\n", entry.name, corpus.size(), runs);
  std::exit(0);
}

// Whether the entry lived through it.
bool survives(const Entry& entry, const std::string& root, const std::string& folder, std::chrono::milliseconds time) {
  const std::uint64_t seed = std::random_device{}();
  const std::string current = folder + "/" + entry.name;
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  if (pid == 0) child(entry, root + "/" + entry.name, current, time, seed);
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid) return false;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
  std::printf("%s: BROKEN (status %d, seed %llu)\n", entry.name, status, static_cast<unsigned long long>(seed));
  const std::string kept =
      (std::filesystem::temp_directory_path() / ("fuzz-" + std::string(entry.name) + "." + std::to_string(::getpid()))).string();
  if (Current::extract(current, kept)) {
    std::printf("its input is in %s; it belongs into tests/fuzz/corpus/%s once a test has it:", kept.c_str(), entry.name);
    const Bytes input = read_file(kept);
    for (std::size_t i = 0; i < std::min<std::size_t>(input.size(), 512); ++i) std::printf(" %02x", static_cast<unsigned char>(input[i]));
    std::printf("%s\n", input.size() > 512 ? " ..." : "");
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s CORPUS-ROOT MILLISECONDS [NAME...]\n", argv[0]);
    return 2;
  }
  std::string folder = (std::filesystem::temp_directory_path() / "fuzz-all-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return 2;
  bool good = true;
  for (const Entry& entry : entries) {
    const auto wanted = [&] {
      return argc == 3 || std::any_of(argv + 3, argv + argc, [&](const char* name) { return std::string_view(name) == entry.name; });
    };
    if (wanted()) good = survives(entry, argv[1], folder, std::chrono::milliseconds(std::atol(argv[2]))) && good;
  }
  std::filesystem::remove_all(folder);
  return good ? 0 : 1;
}
