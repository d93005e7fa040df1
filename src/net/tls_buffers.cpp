#include "net/tls_buffers.h"

#include <malloc.h>
#include <openssl/crypto.h>

#include <cstddef>
#include <cstdlib>

namespace kybern::net {
namespace {

// A record of 16 KiB with what goes around it, whichever side it is of: all of these have one size, and any is as good.
constexpr std::size_t smallest_bytes = 16 << 10, kept_bytes = 18 << 10, malloc_slack_bytes = 64;
constexpr std::size_t kept_of_a_thread = 4;

thread_local bool ended = false;  // the thread is: OpenSSL may give something back even then
struct Kept {
  void* blocks[kept_of_a_thread];
  std::size_t count = 0;
  ~Kept() {
    ended = true;
    while (count > 0) std::free(blocks[--count]);
  }
};
thread_local Kept kept;

void* take(std::size_t bytes, const char*, int) {
  if (bytes == 0) return nullptr;
  if (bytes <= smallest_bytes || bytes > kept_bytes) return std::malloc(bytes);
  if (!ended && kept.count > 0) return kept.blocks[--kept.count];
  return std::malloc(kept_bytes);
}

void give(void* block, const char*, int) {
  if (block && !ended && kept.count < kept_of_a_thread) {
    std::size_t bytes = ::malloc_usable_size(block);
    if (bytes >= kept_bytes && bytes < kept_bytes + malloc_slack_bytes) {
      kept.blocks[kept.count++] = block;
      return;
    }
  }
  std::free(block);
}

void* resize(void* block, std::size_t bytes, const char* file, int line) {
  if (bytes > 0) return std::realloc(block, bytes);
  give(block, file, line);
  return nullptr;
}

}  // namespace

bool keep_tls_buffers() { return ::CRYPTO_set_mem_functions(take, resize, give) == 1; }

}  // namespace kybern::net
