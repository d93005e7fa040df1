#include "base/files.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace kybern {
namespace {

TEST(Files, WholeEmptyMissingAndUnreadable) {
  std::string folder = (std::filesystem::temp_directory_path() / "kybern-files-XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string full = folder + "/full", empty = folder + "/empty";
  const std::string bytes("a\r\n\0b", 5);
  std::ofstream(full, std::ios::binary) << bytes;
  std::ofstream{empty};
  EXPECT_EQ(read_file(full).value(), bytes);
  EXPECT_EQ(read_file(empty).value(), "");
  EXPECT_EQ(file_text(full), bytes);
  for (const std::string& path : {folder + "/none", folder}) {  // reading a folder fails only when it is read
    auto read = read_file(path);
    ASSERT_FALSE(read.has_value()) << path;
    EXPECT_EQ(read.error().code, Code::invalid);
    EXPECT_EQ(read.error().message, path + ": cannot be read");
    EXPECT_EQ(file_text(path), "");
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace kybern
