#include "base/files.h"

#include <fstream>

namespace kybern {

Result<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text;
  char bytes[16 << 10];
  while (in.read(bytes, sizeof bytes) || in.gcount() > 0) text.append(bytes, static_cast<std::size_t>(in.gcount()));
  if (!in.eof()) return fail(Code::invalid, path + ": cannot be read");  // a folder opens and fails at the first read
  return text;
}

std::string file_text(const std::string& path) { return read_file(path).value_or(""); }

}  // namespace kybern
