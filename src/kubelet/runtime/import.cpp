#include "kubelet/runtime/import.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/strings.h"
#include "document/json.h"
#include "kubelet/files.h"

namespace kybern::kubelet {
namespace {

constexpr std::size_t tar_block = 512, most_index_bytes = 1 << 20;

// Runs a program to its end and returns its standard error; fails when it does.
Result<void> run_program(const std::vector<std::string>& command) {
  int pipe_ends[2];
  if (::pipe2(pipe_ends, O_CLOEXEC) != 0) return std::unexpected(system_error("pipe", command[0]));
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&files, pipe_ends[1], 2);
  posix_spawn_file_actions_addclosefrom_np(&files, 3);
  std::vector<char*> arguments;
  for (const std::string& a : command) arguments.push_back(const_cast<char*>(a.c_str()));
  arguments.push_back(nullptr);
  pid_t pid = 0;
  int failed = ::posix_spawnp(&pid, command[0].c_str(), &files, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  ::close(pipe_ends[1]);
  std::string errors;
  if (failed == 0) {
    char buffer[4096];
    ssize_t n;
    while ((n = ::read(pipe_ends[0], buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR)) {
      if (n > 0 && errors.size() < 16384) errors.append(buffer, static_cast<std::size_t>(n));
    }
  }
  ::close(pipe_ends[0]);
  if (failed != 0) return fail(Code::unavailable, fmt::format("start {}: {}", command[0], errno_text(failed)));
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return fail(Code::internal, fmt::format("{} failed: {}", command[0], trim(errors)));
}

}  // namespace

Result<std::string> archive_image_name(const std::string& archive) {
  int fd = ::open(archive.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::unexpected(system_error("open", archive));
  std::string index;
  char head[tar_block];
  for (off_t at = 0; ::pread(fd, head, tar_block, at) == static_cast<ssize_t>(tar_block) && head[0] != '\0';) {
    std::size_t size = std::strtoull(std::string(head + 124, 12).c_str(), nullptr, 8);
    std::string name(head, ::strnlen(head, 100));
    if ((name == "index.json" || name == "./index.json") && size <= most_index_bytes) {
      index.resize(size);
      if (::pread(fd, index.data(), size, at + static_cast<off_t>(tar_block)) != static_cast<ssize_t>(size)) index.clear();
      break;
    }
    at += static_cast<off_t>(tar_block + (size + tar_block - 1) / tar_block * tar_block);
  }
  ::close(fd);
  auto parsed = parse_json(index);
  std::string name = parsed ? (*parsed)["manifests"][0]["annotations"]["io.containerd.image.name"].str() : "";
  if (name.empty()) return fail(Code::invalid, fmt::format("{} is no image archive with a name", archive));
  return name;
}

Result<void> import_archive(const std::string& endpoint, const std::string& archive) {
  std::string address = endpoint.starts_with("unix://") ? endpoint.substr(7) : endpoint;
  return run_program({"ctr", "--address", address, "--namespace", "k8s.io", "images", "import", archive});
}

Result<void> mount_image(const std::string& endpoint, const std::string& image, const std::string& folder) {
  std::string address = endpoint.starts_with("unix://") ? endpoint.substr(7) : endpoint;
  return run_program({"ctr", "--address", address, "--namespace", "k8s.io", "images", "mount", image, folder});
}

}  // namespace kybern::kubelet
