#include "kubelet/volumes/atomic_writer.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <set>

#include "base/strings.h"
#include "kubelet/files.h"

namespace kybern::kubelet {
namespace {

constexpr const char* data_link = "/..data";

std::string link_target(const std::string& path) {
  char buffer[PATH_MAX];
  ssize_t n = ::readlink(path.c_str(), buffer, sizeof buffer);
  return n <= 0 ? std::string() : std::string(buffer, static_cast<std::size_t>(n));
}

Result<void> read_below(const std::string& folder, const std::string& prefix, Payload& out) {
  for (const std::string& name : list_dir(folder)) {
    std::string path = folder + "/" + name;
    if (is_dir(path)) {
      if (auto read = read_below(path, prefix + name + "/", out); !read) return read;
      continue;
    }
    struct stat st;
    if (::stat(path.c_str(), &st) != 0) return std::unexpected(system_error("stat", path));
    auto bytes = read_file(path);
    if (!bytes) return std::unexpected(bytes.error());
    PayloadFile file{std::move(*bytes), st.st_mode & 07777, std::nullopt};
    if (st.st_uid != 0) file.owner = st.st_uid;
    out[prefix + name] = std::move(file);
  }
  return {};
}

// With a group every file is readable by it, every folder enterable.
PayloadFile as_written(PayloadFile file, std::optional<unsigned> group) {
  if (group) file.mode |= 0440;
  if (file.owner == 0u) file.owner.reset();  // root's anyway
  return file;
}

Result<void> write_one(const std::string& folder, const std::string& path, const PayloadFile& file, std::optional<unsigned> group) {
  std::string whole = folder + "/" + path;
  if (auto made = make_dirs(dir_name(whole)); !made) return made;
  if (auto wrote = write_file(whole, file.bytes, file.mode); !wrote) return wrote;
  if (file.owner || group) {
    if (::chown(whole.c_str(), file.owner.value_or(static_cast<unsigned>(-1)), group.value_or(static_cast<unsigned>(-1))) != 0) {
      return std::unexpected(system_error("chown", whole));
    }
    if (::chmod(whole.c_str(), file.mode) != 0) return std::unexpected(system_error("chmod", whole));
  }
  return {};
}

Result<void> point(const std::string& link, const std::string& target) {
  std::string next = link + "_tmp";
  ::unlink(next.c_str());
  if (::symlink(target.c_str(), next.c_str()) != 0) return std::unexpected(system_error("symlink", next));
  if (::rename(next.c_str(), link.c_str()) != 0) return std::unexpected(system_error("rename", next));
  return {};
}

// Writes the payload into a folder of its own and points ..data there. The folder's name.
Result<std::string> write_folder(const std::string& volume, const Payload& payload, std::optional<unsigned> group, Time now,
                                 std::uint64_t stamp) {
  std::string fresh =
      fmt::format("..{:%Y_%m_%d_%H_%M_%S}.{}",
                  fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::microseconds>(now))), stamp);
  std::string folder = volume + "/" + fresh;
  if (auto made = make_dirs(folder); !made) return std::unexpected(made.error());
  for (const auto& [path, file] : payload) {
    if (auto wrote = write_one(folder, path, file, group); !wrote) {
      (void)remove_tree(folder);
      return std::unexpected(wrote.error());
    }
  }
  if (auto pointed = point(volume + data_link, fresh); !pointed) {
    (void)remove_tree(folder);
    return std::unexpected(pointed.error());
  }
  return fresh;
}

// The links by which users see the payload that ..data points to; what is of no use any more goes.
Result<void> show(const std::string& volume, const Payload& payload, const std::string& current) {
  std::set<std::string> tops;
  for (const auto& [path, file] : payload) tops.insert(path.substr(0, path.find('/')));
  for (const std::string& top : tops) {
    std::string link = volume + "/" + top, target = "..data/" + top;
    if (link_target(link) == target) continue;
    if (auto pointed = point(link, target); !pointed) return pointed;
  }
  for (const std::string& name : list_dir(volume)) {
    if (name.starts_with("..")) {
      if (name != current && name != "..data") (void)remove_tree(volume + "/" + name);
    } else if (!tops.contains(name)) {
      ::unlink((volume + "/" + name).c_str());
    }
  }
  return {};
}

}  // namespace

Result<Payload> read_payload(const std::string& volume) {
  Payload out;
  std::string current = link_target(volume + data_link);
  if (current.empty()) return out;
  auto read = read_below(volume + "/" + current, "", out);
  if (!read) return std::unexpected(read.error());
  return out;
}

Result<bool> write_payload(const std::string& volume, const Payload& wanted, std::optional<unsigned> group, Time now, std::uint64_t stamp) {
  Payload payload;
  for (const auto& [path, file] : wanted) payload[path] = as_written(file, group);
  std::string current = link_target(volume + data_link);
  bool same = false;
  if (!current.empty()) {
    auto there = read_payload(volume);
    same = there && *there == payload;
  }
  if (!same) {
    auto wrote = write_folder(volume, payload, group, now, stamp);
    if (!wrote) return std::unexpected(wrote.error());
    current = std::move(*wrote);
  }
  // Also when the payload is the same: the write that brought it may have been broken off here.
  if (auto shown = show(volume, payload, current); !shown) return std::unexpected(shown.error());
  return !same;
}

}  // namespace kybern::kubelet
