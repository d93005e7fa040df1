#include "base/symbols.h"

#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <string_view>

namespace kybern {
namespace {

struct Function {
  std::uint64_t begin, size;
  std::string_view name;  // in the mapped file
};

// One ELF file, mapped as long as it lives. Offsets are checked against its size: a file may be anything.
class Elf {
 public:
  explicit Elf(const std::string& file) {
    int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    struct stat info {};
    if (::fstat(fd, &info) == 0 && info.st_size > static_cast<off_t>(sizeof(Elf64_Ehdr))) {
      size_ = static_cast<std::size_t>(info.st_size);
      void* at = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
      if (at != MAP_FAILED) bytes_ = static_cast<const char*>(at);
    }
    ::close(fd);
    if (bytes_) read();
  }
  ~Elf() {
    if (bytes_) ::munmap(const_cast<char*>(bytes_), size_);
  }
  Elf(const Elf&) = delete;
  Elf& operator=(const Elf&) = delete;

  std::string_view find(std::uint64_t file_offset) const {
    for (const Elf64_Phdr& load : loads_) {
      if (file_offset < load.p_offset || file_offset - load.p_offset >= load.p_filesz) continue;
      std::uint64_t address = file_offset - load.p_offset + load.p_vaddr;
      auto after =
          std::upper_bound(functions_.begin(), functions_.end(), address, [](std::uint64_t a, const Function& f) { return a < f.begin; });
      if (after == functions_.begin()) return {};
      const Function& found = *std::prev(after);
      return found.size == 0 || address - found.begin < found.size ? found.name : std::string_view();
    }
    return {};
  }

 private:
  template <class T>
  const T* at(std::uint64_t offset, std::uint64_t count = 1) const {
    if (offset > size_ || count > (size_ - offset) / sizeof(T)) return nullptr;
    return reinterpret_cast<const T*>(bytes_ + offset);
  }

  void read() {
    const auto* head = at<Elf64_Ehdr>(0);
    if (std::memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 || head->e_ident[EI_CLASS] != ELFCLASS64) return;
    if (const auto* programs = at<Elf64_Phdr>(head->e_phoff, head->e_phnum))
      for (unsigned i = 0; i < head->e_phnum; ++i)
        if (programs[i].p_type == PT_LOAD) loads_.push_back(programs[i]);
    const auto* sections = at<Elf64_Shdr>(head->e_shoff, head->e_shnum);
    if (!sections) return;
    for (unsigned i = 0; i < head->e_shnum; ++i)
      if ((sections[i].sh_type == SHT_SYMTAB || sections[i].sh_type == SHT_DYNSYM) && sections[i].sh_link < head->e_shnum)
        add(sections[i], sections[sections[i].sh_link]);
    std::stable_sort(functions_.begin(), functions_.end(), [](const Function& a, const Function& b) { return a.begin < b.begin; });
  }

  void add(const Elf64_Shdr& table, const Elf64_Shdr& texts) {
    std::uint64_t count = table.sh_size / sizeof(Elf64_Sym);
    const auto* symbols = at<Elf64_Sym>(table.sh_offset, count);
    const char* names = at<char>(texts.sh_offset, texts.sh_size);
    if (!symbols || !names || texts.sh_size == 0 || names[texts.sh_size - 1] != 0) return;
    for (std::uint64_t i = 0; i < count; ++i)
      if (ELF64_ST_TYPE(symbols[i].st_info) == STT_FUNC && symbols[i].st_value && symbols[i].st_name < texts.sh_size)
        functions_.push_back({symbols[i].st_value, symbols[i].st_size, names + symbols[i].st_name});
  }

  const char* bytes_ = nullptr;
  std::size_t size_ = 0;
  std::vector<Elf64_Phdr> loads_;
  std::vector<Function> functions_;
};

std::string demangle(std::string_view name) {
  int status = 0;
  std::string text(name);
  char* plain = abi::__cxa_demangle(text.c_str(), nullptr, nullptr, &status);
  if (status == 0 && plain) text = plain;
  std::free(plain);
  return text;
}

}  // namespace

struct Symbols::State {
  std::vector<Region> regions;
  std::map<std::string, std::unique_ptr<Elf>> files;
};

Symbols::Symbols() : state_(std::make_unique<State>()) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0, end = 0, offset = 0;
    char rights[5] = {};
    int path = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx %4s %lx %*s %*s %n", &begin, &end, rights, &offset, &path) < 4 || rights[2] != 'x') continue;
    state_->regions.push_back({begin, end, offset, path > 0 ? line.substr(static_cast<std::size_t>(path)) : std::string()});
  }
}
Symbols::~Symbols() = default;

const std::vector<Symbols::Region>& Symbols::regions() const { return state_->regions; }

int Symbols::region_of(std::uintptr_t address) const {
  auto after = std::upper_bound(state_->regions.begin(), state_->regions.end(), address,
                                [](std::uintptr_t a, const Region& r) { return a < r.begin; });
  if (after == state_->regions.begin() || address >= std::prev(after)->end) return -1;
  return static_cast<int>(std::prev(after) - state_->regions.begin());
}

std::string Symbols::name_of(std::uintptr_t address) {
  int at = region_of(address);
  if (at < 0) return "[unknown]";
  const Region& region = state_->regions[static_cast<std::size_t>(at)];
  if (region.file.starts_with('/')) {
    auto& elf = state_->files[region.file];
    // The program's own file may have been replaced since it was started.
    if (!elf) elf = std::make_unique<Elf>(region.file.ends_with(" (deleted)") ? "/proc/self/exe" : region.file);
    if (std::string_view name = elf->find(address - region.begin + region.offset); !name.empty()) return demangle(name);
  }
  auto slash = region.file.rfind('/');
  return "[" + (slash == std::string::npos ? region.file.empty() ? std::string("anonymous") : region.file : region.file.substr(slash + 1)) +
         "]";
}

}  // namespace kybern
