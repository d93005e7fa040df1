#include "kubelet/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/strings.h"

namespace kybern::kubelet {

std::string errno_text(int number) {
  std::string text = std::strerror(number);
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

Error system_error(std::string_view action, std::string_view path) {
  int number = errno;
  Code code = number == ENOENT                      ? Code::not_found
              : number == EEXIST                    ? Code::already_exists
              : number == EACCES || number == EPERM ? Code::forbidden
                                                    : Code::internal;
  return Error{code, fmt::format("{} {}: {}", action, path, errno_text(number))};
}

namespace {

struct Fd {
  int fd;
  explicit Fd(int value) : fd(value) {}
  Fd(const Fd&) = delete;
  ~Fd() {
    if (fd >= 0) ::close(fd);
  }
};

Result<void> write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return std::unexpected(system_error("write", path));
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

// \040 and the like, as the kernel writes spaces in mountinfo.
std::string unescape_mount(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] >= '0' && text[i + 1] <= '3') {
      out.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0')));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

Result<void> remove_tree_at(int parent, const char* name, dev_t device, const std::string& path) {
  struct stat st;
  if (::fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};
    return std::unexpected(system_error("lstat", path));
  }
  if (!S_ISDIR(st.st_mode)) {
    if (::unlinkat(parent, name, 0) != 0 && errno != ENOENT) return std::unexpected(system_error("unlink", path));
    return {};
  }
  if (st.st_dev != device) return fail(Code::conflict, fmt::format("{} is on another file system: it is not removed", path));
  int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return std::unexpected(system_error("open", path));
  DIR* dir = ::fdopendir(fd);
  if (dir == nullptr) {
    ::close(fd);
    return std::unexpected(system_error("opendir", path));
  }
  Result<void> outcome;
  while (outcome) {
    dirent* entry = ::readdir(dir);
    if (entry == nullptr) break;
    std::string_view item = entry->d_name;
    if (item == "." || item == "..") continue;
    outcome = remove_tree_at(::dirfd(dir), entry->d_name, device, path + "/" + entry->d_name);
  }
  ::closedir(dir);
  if (!outcome) return outcome;
  if (::unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT) return std::unexpected(system_error("rmdir", path));
  return {};
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t max_bytes) {
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd < 0) return std::unexpected(system_error("open", path));
  std::string out;
  char buffer[16384];
  while (true) {
    ssize_t n = ::read(file.fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return std::unexpected(system_error("read", path));
    if (n == 0) return out;
    out.append(buffer, static_cast<std::size_t>(n));
    if (out.size() > max_bytes) return fail(Code::too_large, fmt::format("{} is larger than {} bytes", path, max_bytes));
  }
}

Result<void> write_file(const std::string& path, std::string_view bytes, unsigned mode) {
  Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (file.fd < 0) return std::unexpected(system_error("open", path));
  if (::fchmod(file.fd, mode) != 0) return std::unexpected(system_error("chmod", path));
  return write_all(file.fd, bytes, path);
}

Result<void> replace_file(const std::string& path, std::string_view bytes, unsigned mode) {
  std::string next = fmt::format("{}.{}.new", path, ::getpid());
  if (auto wrote = write_file(next, bytes, mode); !wrote) {
    ::unlink(next.c_str());
    return wrote;
  }
  if (::rename(next.c_str(), path.c_str()) != 0) {
    Error error = system_error("rename", path);
    ::unlink(next.c_str());
    return std::unexpected(error);
  }
  return {};
}

Result<void> make_dirs(const std::string& path, unsigned mode) {
  if (path.empty() || path == "/" || is_dir(path)) return {};
  if (auto parent = make_dirs(dir_name(path), 0755); !parent) return parent;
  if (::mkdir(path.c_str(), mode) != 0) {
    if (errno == EEXIST && is_dir(path)) return {};
    return std::unexpected(system_error("mkdir", path));
  }
  if (::chmod(path.c_str(), mode) != 0) return std::unexpected(system_error("chmod", path));
  return {};
}

std::vector<std::string> list_dir(const std::string& path) {
  std::vector<std::string> names;
  DIR* dir = ::opendir(path.c_str());
  if (dir == nullptr) return names;
  while (dirent* entry = ::readdir(dir)) {
    std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  ::closedir(dir);
  std::sort(names.begin(), names.end());
  return names;
}

bool path_exists(const std::string& path) {
  struct stat st;
  return ::stat(path.c_str(), &st) == 0;
}

bool is_dir(const std::string& path) {
  struct stat st;
  return ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

Result<void> remove_tree(const std::string& path) {
  struct stat st;
  if (::lstat(path.c_str(), &st) != 0) {
    if (errno == ENOENT) return {};
    return std::unexpected(system_error("lstat", path));
  }
  struct stat above;
  if (::stat(dir_name(path).c_str(), &above) == 0 && above.st_dev != st.st_dev && S_ISDIR(st.st_mode)) {
    return fail(Code::conflict, fmt::format("{} is a mount point: it is not removed", path));
  }
  return remove_tree_at(AT_FDCWD, path.c_str(), st.st_dev, path);
}

std::vector<MountPoint> mount_points() {
  std::vector<MountPoint> out;
  auto text = read_file("/proc/self/mountinfo", 64u << 20);
  if (!text) return out;
  for (std::string_view line : split(*text, '\n')) {
    std::vector<std::string_view> f = split(line, ' ');
    auto dash = std::find(f.begin(), f.end(), "-");
    if (f.size() < 10 || f.end() - dash < 4) continue;
    out.push_back({unescape_mount(f[4]), std::string(dash[1]), unescape_mount(dash[2]), std::string(f[5]), std::string(dash[3]),
                   unescape_mount(f[3])});
  }
  return out;
}

bool is_mount_point(const std::string& path) {
  std::string clean = clean_path(path);
  for (const MountPoint& m : mount_points()) {
    if (m.path == clean) return true;
  }
  return false;
}

Result<void> unmount_below(const std::string& path) {
  std::string clean = clean_path(path), prefix = clean + "/";
  std::vector<MountPoint> mounts = mount_points();
  Result<void> outcome;
  for (auto m = mounts.rbegin(); m != mounts.rend(); ++m) {
    if (m->path != clean && !m->path.starts_with(prefix)) continue;
    if (::umount2(m->path.c_str(), UMOUNT_NOFOLLOW) == 0 || errno == EINVAL) continue;
    if (::umount2(m->path.c_str(), UMOUNT_NOFOLLOW | MNT_DETACH) != 0 && errno != EINVAL) {
      outcome = std::unexpected(system_error("umount", m->path));
    }
  }
  return outcome;
}

std::string clean_path(std::string_view path) {
  std::vector<std::string_view> kept;
  bool rooted = path.starts_with('/');
  for (std::string_view piece : split(path, '/')) {
    if (piece.empty() || piece == ".") continue;
    if (piece == ".." && !kept.empty() && kept.back() != "..") kept.pop_back();
    else if (piece == ".." && rooted) continue;
    else kept.push_back(piece);
  }
  std::string out = rooted ? "/" : "";
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (i > 0) out += '/';
    out += kept[i];
  }
  return out.empty() ? "." : out;
}

std::string base_name(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return std::string(path.substr(path.rfind('/') + 1));
}

std::string dir_name(std::string_view path) {
  std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

}  // namespace kybern::kubelet
