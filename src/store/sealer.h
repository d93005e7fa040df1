// Values that lie encrypted on disk. In memory they are plain; the store asks a Sealer on the way to disk and back.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kybern::store {

// For many threads at once.
class Sealer {
 public:
  struct Sealed {
    std::string bytes;       // what is written; JSON text when it is not to be encrypted
    std::uint32_t mark = 0;  // by which key
  };
  virtual ~Sealer() = default;
  virtual bool concerns(std::string_view key) const = 0;  // of others open() and seal() are asked only when they are sealed
  virtual Result<Sealed> seal(std::string_view key, std::string_view json) = 0;
  virtual Result<Sealed> open(std::string_view key, std::string_view bytes) = 0;  // `bytes` of the result: JSON text
  // The newest value of a key was read or written by that mark; it is gone.
  virtual void note(std::string_view key, std::uint32_t mark) = 0;
  virtual void forget(std::string_view key) = 0;
  // Sealed by another key than would be taken now: to be written again.
  virtual bool stale(std::string_view key) const = 0;
};

}  // namespace kybern::store
