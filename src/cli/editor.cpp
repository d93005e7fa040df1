#include "cli/editor.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/strings.h"
#include "cli/config.h"

namespace kybern::cli {
namespace {

std::string editor() {
  for (const char* name : {"KUBE_EDITOR", "EDITOR"})
    if (const char* value = std::getenv(name); value && *value) return value;
  return "vi";
}

}  // namespace

Result<EditedFile> EditedFile::make() {
  std::string pattern = (std::filesystem::temp_directory_path() / "kubectl-edit-XXXXXX.yaml").string();
  const int fd = ::mkstemps(pattern.data(), 5);
  if (fd < 0) return fail(Code::internal, "error: cannot make a temporary file");
  ::close(fd);
  return EditedFile(std::move(pattern));
}

EditedFile::~EditedFile() {
  std::error_code error;
  if (!path_.empty()) std::filesystem::remove(path_, error);
}

Result<std::string> EditedFile::edit(const std::string& text) {
  {
    std::ofstream out(path_, std::ios::binary | std::ios::trunc);
    out << text;
    if (!out.flush()) return fail(Code::internal, "error: cannot write " + path_);
  }
  // By a shell, as the variable may hold arguments: KUBE_EDITOR="code --wait".
  const std::string command = editor(), line = command + " " + path_;
  const pid_t child = ::fork();
  if (child < 0) return fail(Code::internal, "error: unable to launch the editor " + go_quote(command));
  if (child == 0) {
    ::execl("/bin/sh", "sh", "-c", line.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  if (!WIFEXITED(status) || WEXITSTATUS(status) == 127)
    return fail(Code::internal, "error: unable to launch the editor " + go_quote(command));
  if (WEXITSTATUS(status) != 0) return fail(Code::internal, "error: there was a problem with the editor " + go_quote(command));
  return read_whole_file(path_);
}

}  // namespace kybern::cli
