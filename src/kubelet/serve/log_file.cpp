#include "kubelet/serve/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/strings.h"

namespace kybern::kubelet {

std::optional<LogLine> parse_log_line(std::string_view line) {
  LogLine out;
  std::size_t a = line.find(' ');
  if (a == std::string_view::npos) return std::nullopt;
  std::size_t b = line.find(' ', a + 1);
  if (b == std::string_view::npos) return std::nullopt;
  std::size_t c = line.find(' ', b + 1);
  std::string_view tag = line.substr(b + 1, c == std::string_view::npos ? std::string_view::npos : c - b - 1);
  out.time = line.substr(0, a);
  out.stream = line.substr(a + 1, b - a - 1);
  out.partial = tag.substr(0, tag.find(':')) == "P";
  out.text = c == std::string_view::npos ? std::string_view() : line.substr(c + 1);
  if (out.stream != "stdout" && out.stream != "stderr") return std::nullopt;
  return out;
}

std::string file_end(const std::string& path, std::size_t max_bytes) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  struct stat st;
  std::string out;
  if (::fstat(fd, &st) == 0) {
    std::size_t want = std::min<std::size_t>(static_cast<std::size_t>(st.st_size), max_bytes);
    out.resize(want);
    ssize_t n = ::pread(fd, out.data(), want, st.st_size - static_cast<off_t>(want));
    out.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  }
  ::close(fd);
  return out;
}

std::string last_log_lines(const std::string& path, std::size_t max_lines, std::size_t max_bytes) {
  // A line's head takes some 45 bytes: enough of the end is read, not the whole file.
  std::string raw = file_end(path, max_bytes + max_lines * 64 + 65536);
  std::vector<std::string> lines;
  bool open = false;
  for (std::string_view piece : split(raw, '\n')) {
    auto line = parse_log_line(piece);
    if (!line) continue;
    if (open) lines.back() += line->text;
    else lines.emplace_back(line->text);
    open = line->partial;
    if (!open) lines.back() += '\n';
  }
  std::string out;
  for (std::size_t i = lines.size() > max_lines ? lines.size() - max_lines : 0; i < lines.size(); ++i) out += lines[i];
  if (out.size() > max_bytes) out.erase(0, out.size() - max_bytes);
  return out;
}

}  // namespace kybern::kubelet
