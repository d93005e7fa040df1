// The user's editor on a temporary file.
#pragma once

#include <string>
#include <utility>

#include "base/result.h"

namespace kybern::cli {

class EditedFile {
 public:
  // A file that only we may read: <temporary folder>/kubectl-edit-XXXXXX.yaml
  static Result<EditedFile> make();
  EditedFile(EditedFile&& other) noexcept : path_(std::exchange(other.path_, "")) {}
  ~EditedFile();

  const std::string& path() const { return path_; }
  Result<std::string> edit(const std::string& text);  // the text as it is after $KUBE_EDITOR, $EDITOR or vi
  void keep() { path_.clear(); }                      // it stays for the user

 private:
  explicit EditedFile(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace kybern::cli
