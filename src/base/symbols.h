// Names for addresses of this process's code, read from the symbol tables of its program and libraries (ELF, 64 bits).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace kybern {

class Symbols {
 public:
  Symbols();  // reads /proc/self/maps; a file's table is read when an address in it is first asked for
  ~Symbols();
  struct Region {
    std::uintptr_t begin = 0, end = 0;
    std::uint64_t offset = 0;
    std::string file;
  };
  const std::vector<Region>& regions() const;   // executable ones, by address
  int region_of(std::uintptr_t address) const;  // -1: none
  // The function, demangled; "[libssl.so.3]" where a file has no symbol there, "[unknown]" outside of all files.
  std::string name_of(std::uintptr_t address);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kybern
