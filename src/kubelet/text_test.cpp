#include "kubelet/text.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "kubelet/files.h"
#include "kubelet/serve/log_file.h"

namespace kybern::kubelet {
namespace {

TEST(Text, BytesOutsideOfUtf8AreReplacedOneByOne) {
  struct {
    const char *bytes, *text;
  } rows[] = {{"", ""},
              {"plain", "plain"},
              {"für 日本 \xf0\x9f\x98\x80", "für 日本 \xf0\x9f\x98\x80"},
              {"f\xfcr", "f\ufffdr"},
              {"\xa4 end", "\ufffd end"},              // the rest of a letter that was cut
              {"\xe6\x97", "\ufffd\ufffd"},            // its beginning
              {"\xed\xa0\x80", "\ufffd\ufffd\ufffd"},  // a surrogate
              {"\xc0\x80.", "\ufffd\ufffd."}};
  for (const auto& row : rows) EXPECT_EQ(to_valid_utf8(row.bytes), row.text);
}

TEST(Text, TheEndOfAFileIsRead) {
  std::string path = "/tmp/kybern-text-" + std::to_string(::getpid());
  ASSERT_TRUE(write_file(path, "0123456789").has_value());
  EXPECT_EQ(file_end(path, 4), "6789");
  EXPECT_EQ(file_end(path, 40), "0123456789");
  (void)remove_tree(path);
  EXPECT_EQ(file_end(path, 4), "");
}

}  // namespace
}  // namespace kybern::kubelet
