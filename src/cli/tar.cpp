#include "cli/tar.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "base/strings.h"

namespace kybern::cli {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t block_bytes = 512, name_bytes = 100, piece_bytes = 32 << 10;
constexpr std::uint64_t longest_extra_bytes = 1 << 20;

std::uint64_t padding_of(std::uint64_t size) { return (block_bytes - size % block_bytes) % block_bytes; }

std::string octal(std::uint64_t value, std::size_t width) {  // with a final NUL
  std::string out(width - 1, '0');
  for (std::size_t i = width - 1; i-- > 0 && value > 0; value >>= 3) out[i] = static_cast<char>('0' + (value & 7));
  return out + '\0';
}

std::uint64_t read_octal(std::string_view field) {
  std::uint64_t out = 0;
  if (!field.empty() && (field[0] & 0x80)) {  // base 256: sizes of 8 GiB and more
    for (std::size_t i = 1; i < field.size(); ++i) out = (out << 8) | static_cast<unsigned char>(field[i]);
    return out;
  }
  for (char c : field) {
    if (c >= '0' && c <= '7') out = (out << 3) | static_cast<std::uint64_t>(c - '0');
    else if (c != ' ') break;
  }
  return out;
}

std::string_view text_of(std::string_view field) { return field.substr(0, field.find('\0')); }

std::string header_block(std::string_view name, char type, std::uint64_t size, unsigned mode, std::int64_t time) {
  std::string out(block_bytes, '\0');
  const auto put = [&](std::size_t at, std::string_view bytes) {
    std::copy(bytes.begin(), bytes.end(), out.begin() + static_cast<std::ptrdiff_t>(at));
  };
  put(0, name.substr(0, name_bytes));
  put(100, octal(mode & 07777, 8));
  put(108, octal(0, 8));
  put(116, octal(0, 8));
  put(124, octal(size, 12));
  put(136, octal(static_cast<std::uint64_t>(std::max<std::int64_t>(time, 0)), 12));
  put(148, "        ");
  out[156] = type;
  put(257, std::string_view("ustar\00000", 8));
  std::uint64_t sum = 0;
  for (char c : out) sum += static_cast<unsigned char>(c);
  put(148, octal(sum, 7) + " ");
  return out;
}

// With a pax record before it when the name is too long for the block.
std::string entry_head(const std::string& name, char type, std::uint64_t size, const struct stat& about) {
  std::string out;
  if (name.size() > name_bytes) {
    std::string record;
    std::size_t length = name.size() + 7;  // "LEN path=NAME\n": the length counts its own digits
    for (int i = 0; i < 3; ++i) record = std::to_string(length) + " path=" + name + "\n", length = record.size();
    out = header_block("pax", 'x', record.size(), 0644, about.st_mtime) + record + std::string(padding_of(record.size()), '\0');
  }
  return out + header_block(name, type, size, about.st_mode, about.st_mtime);
}

Result<bool> write_one(const std::string& path, const std::string& name, bool follow, const std::function<bool(std::string_view)>& write) {
  struct stat about {};
  if ((follow ? ::stat(path.c_str(), &about) : ::lstat(path.c_str(), &about)) != 0)
    return fail(Code::not_found, "error: " + path + " doesn't exist in local filesystem");
  if (S_ISDIR(about.st_mode)) {
    if (!write(entry_head(name + "/", '5', 0, about))) return false;
    std::vector<fs::path> entries;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(path, error)) entries.push_back(entry.path());
    std::sort(entries.begin(), entries.end());
    for (const fs::path& entry : entries) {
      auto more = write_one(entry.string(), name + "/" + entry.filename().string(), false, write);
      if (!more || !*more) return more;
    }
    return true;
  }
  if (!S_ISREG(about.st_mode)) return true;
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(Code::forbidden, "error: open " + path + ": permission denied");
  const auto size = static_cast<std::uint64_t>(about.st_size);
  if (!write(entry_head(name, '0', size, about))) return false;
  std::array<char, piece_bytes> piece;
  for (std::uint64_t left = size; left > 0;) {
    in.read(piece.data(), static_cast<std::streamsize>(std::min<std::uint64_t>(left, piece.size())));
    const auto got = static_cast<std::size_t>(in.gcount());
    if (got == 0) return fail(Code::conflict, "error: " + path + " became shorter while it was read");
    if (!write({piece.data(), got})) return false;
    left -= got;
  }
  return write(std::string(padding_of(size), '\0'));
}

}  // namespace

Result<void> write_tar(const std::string& path, const std::string& name, const std::function<bool(std::string_view)>& write) {
  auto done = write_one(path, name, true, write);
  if (!done) return std::unexpected(done.error());
  return {};
}

std::string tar_end() { return std::string(2 * block_bytes, '\0'); }

Result<void> TarReader::finish_extra() {
  if (extra_type_ == 'L') {
    name_ = std::string(text_of(extra_));
  } else if (extra_type_ == 'x') {
    for (std::size_t at = 0; at < extra_.size();) {  // "LEN key=value\n"
      const std::size_t space = extra_.find(' ', at);
      const auto length = space == std::string::npos ? std::nullopt : parse_int(std::string_view(extra_).substr(at, space - at));
      if (!length || *length < 1 || at + static_cast<std::size_t>(*length) > extra_.size())
        return fail(Code::invalid, "error: the archive has a malformed extended header");
      const std::string_view record = trim(std::string_view(extra_).substr(space + 1, at + static_cast<std::size_t>(*length) - space - 1));
      if (record.starts_with("path=")) name_ = std::string(record.substr(5));
      at += static_cast<std::size_t>(*length);
    }
  }
  extra_.clear();
  extra_type_ = 0;
  return {};
}

Result<void> TarReader::header(std::string_view block) {
  if (std::all_of(block.begin(), block.end(), [](char c) { return c == '\0'; })) return {};
  Entry entry;
  entry.type = block[156] == '\0' ? '0' : block[156];
  entry.size = read_octal(block.substr(124, 12));
  entry.mode = static_cast<unsigned>(read_octal(block.substr(100, 8))) & 07777;
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < block.size(); ++i) sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(block[i]);
  if (sum != read_octal(block.substr(148, 8))) return fail(Code::invalid, "error: the archive is damaged: a header's sum is wrong");
  left_ = entry.size;
  padding_ = padding_of(entry.size);
  if (entry.type == 'x' || entry.type == 'L' || entry.type == 'g' || entry.type == 'K') {
    if (entry.size > longest_extra_bytes) return fail(Code::too_large, "error: the archive has an extended header of more than 1 MiB");
    extra_type_ = entry.type;
    return {};
  }
  const std::string_view prefix = block.substr(257, 5) == "ustar" ? text_of(block.substr(345, 155)) : std::string_view();
  entry.name =
      !name_.empty() ? name_ : (prefix.empty() ? "" : std::string(prefix) + "/") + std::string(text_of(block.substr(0, name_bytes)));
  name_.clear();
  return begin_(entry);
}

Result<void> TarReader::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (left_ > 0) {
      const std::string_view piece = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size())));
      left_ -= piece.size();
      bytes.remove_prefix(piece.size());
      if (extra_type_) extra_ += piece;
      else if (auto taken = data_(piece); !taken) return taken;
      if (left_ == 0 && extra_type_)
        if (auto done = finish_extra(); !done) return done;
      continue;
    }
    if (padding_ > 0) {
      const auto skip = static_cast<std::size_t>(std::min<std::uint64_t>(padding_, bytes.size()));
      padding_ -= skip;
      bytes.remove_prefix(skip);
      continue;
    }
    const std::size_t take = std::min(block_bytes - block_.size(), bytes.size());
    block_ += bytes.substr(0, take);
    bytes.remove_prefix(take);
    if (block_.size() < block_bytes) return {};
    auto read = header(block_);
    block_.clear();
    if (!read) return read;
  }
  return {};
}

}  // namespace kybern::cli
