// Files and mounts of the host, with errors as values ("open /x: no such file or directory", in the words of the system).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kybern::kubelet {

Error system_error(std::string_view action, std::string_view path);  // from errno; ENOENT is not_found, EEXIST already_exists

Result<std::string> read_file(const std::string& path, std::size_t max_bytes = 16u << 20);         // Code::too_large
Result<void> write_file(const std::string& path, std::string_view bytes, unsigned mode = 0644);    // truncates; not atomic
Result<void> replace_file(const std::string& path, std::string_view bytes, unsigned mode = 0644);  // atomic, by rename
Result<void> make_dirs(const std::string& path, unsigned mode = 0755);  // missing parents too; mode of new folders, whatever the umask
std::vector<std::string> list_dir(const std::string& path);             // names, sorted, without . and ..; empty when it cannot be read
bool path_exists(const std::string& path);
bool is_dir(const std::string& path);

// Removes a tree. Stops with an error rather than enter another file system: what is mounted there is not ours to delete.
Result<void> remove_tree(const std::string& path);

struct MountPoint {
  std::string path, type, source, options;
  std::string super_options;  // of the file system: a cgroup hierarchy's controllers
  std::string root;           // the folder of the file system that is mounted, "/" for all of it
};
std::vector<MountPoint> mount_points();  // of this mount namespace, in order of mounting
bool is_mount_point(const std::string& path);
Result<void> unmount_below(const std::string& path);  // the deepest first, `path` itself last; lazily when busy

std::string clean_path(std::string_view path);  // "/a//b/../c" -> "/a/c"
std::string base_name(std::string_view path);
std::string dir_name(std::string_view path);
// The error text of an errno in Go's wording ("no such file or directory").
std::string errno_text(int number);

}  // namespace kybern::kubelet
