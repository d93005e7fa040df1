#include "kubelet/run/machine.h"

#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/strings.h"
#include "kubelet/files.h"

namespace kybern::kubelet {
namespace {

std::string first_line(const char* path) {
  auto text = read_file(path);
  return text ? std::string(trim(split(*text, '\n')[0])) : std::string();
}

std::string os_name() {
  auto text = read_file("/etc/os-release");
  if (!text) return "Linux";
  for (std::string_view line : split(*text, '\n')) {
    if (!line.starts_with("PRETTY_NAME=")) continue;
    line.remove_prefix(12);
    if (line.size() >= 2 && line.front() == '"') line = line.substr(1, line.size() - 2);
    return std::string(line);
  }
  return "Linux";
}

std::string go_architecture(std::string_view machine) {
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return std::string(machine);
}

}  // namespace

MachineFacts read_machine(const std::string& data_dir) {
  MachineFacts f;
  f.cpu_milli = ::sysconf(_SC_NPROCESSORS_ONLN) * 1000;
  f.memory_bytes = ::sysconf(_SC_PHYS_PAGES) * ::sysconf(_SC_PAGESIZE);
  struct statvfs disk;
  if (::statvfs(data_dir.c_str(), &disk) == 0)
    f.disk_bytes = static_cast<std::int64_t>(disk.f_blocks) * static_cast<std::int64_t>(disk.f_frsize);
  f.machine_id = first_line("/etc/machine-id");
  f.system_uuid = first_line("/sys/class/dmi/id/product_uuid");
  if (f.system_uuid.empty()) f.system_uuid = f.machine_id;
  f.boot_id = first_line("/proc/sys/kernel/random/boot_id");
  utsname name;
  if (::uname(&name) == 0) {
    f.kernel = name.release;
    f.architecture = go_architecture(name.machine);
  }
  f.os_image = os_name();
  return f;
}

}  // namespace kybern::kubelet
