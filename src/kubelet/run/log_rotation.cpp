#include "kubelet/run/log_rotation.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "kubelet/files.h"
#include "kubelet/runtime/cri.h"

namespace kybern::kubelet {

Result<bool> rotate_log(Cri& cri, const std::string& container_id, const std::string& path, const LogLimits& limits, Time now) {
  struct stat st;
  if (::stat(path.c_str(), &st) != 0 || st.st_size < limits.max_bytes) return false;
  std::string folder = dir_name(path), prefix = base_name(path) + ".";
  std::vector<std::string> old;
  for (const std::string& name : list_dir(folder)) {
    if (name.starts_with(prefix)) old.push_back(name);  // sorted: the oldest first
  }
  int keep = std::max(0, limits.max_files - 2);  // one becomes old now, one is new
  for (int i = 0; i + keep < static_cast<int>(old.size()); ++i) ::unlink((folder + "/" + old[static_cast<std::size_t>(i)]).c_str());
  std::time_t seconds = std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::microseconds>(now));
  std::string aside = fmt::format("{}.{:%Y%m%d-%H%M%S}", path, fmt::gmtime(seconds));
  if (::rename(path.c_str(), aside.c_str()) != 0) return std::unexpected(system_error("rename", path));
  auto reopened = cri.reopen_log(container_id);
  if (reopened) return true;
  (void)::rename(aside.c_str(), path.c_str());  // the container still writes to this file
  return std::unexpected(reopened.error());
}

}  // namespace kybern::kubelet
