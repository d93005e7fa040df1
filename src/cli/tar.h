// Archives as `cp` sends and receives them: POSIX.1-2001 (ustar with pax names), read with GNU's long names too.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kybern::cli {

// The file or folder `path` (followed when it is a link) under the name `name`, in pieces to `write` until it answers false.
// Links inside folders are not followed and not sent. Ends without the archive's two final blocks: tar_end() gives them.
Result<void> write_tar(const std::string& path, const std::string& name, const std::function<bool(std::string_view)>& write);
std::string tar_end();

// An archive that comes in pieces of any size.
class TarReader {
 public:
  struct Entry {
    std::string name;
    char type = '0';  // '0' a file, '5' a folder, '2' a symbolic link
    std::uint64_t size = 0;
    unsigned mode = 0644;
  };
  // `begin`: a new entry, Code::invalid refuses it all. `data`: bytes of the entry that began last.
  TarReader(std::function<Result<void>(const Entry&)> begin, std::function<Result<void>(std::string_view)> data)
      : begin_(std::move(begin)), data_(std::move(data)) {}
  Result<void> feed(std::string_view bytes);

 private:
  Result<void> header(std::string_view block);
  Result<void> finish_extra();

  std::function<Result<void>(const Entry&)> begin_;
  std::function<Result<void>(std::string_view)> data_;
  std::string block_;         // a header that has come in part
  std::string extra_, name_;  // the bytes of a header about the next entry; the name that it gave
  char extra_type_ = 0;
  std::uint64_t left_ = 0, padding_ = 0;
};

}  // namespace kybern::cli
