// Payloads on disk, also when the writing of one was broken off.
#include "kubelet/volumes/atomic_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "kubelet/files.h"

namespace kybern::kubelet {
namespace {

class AtomicWriterTest : public ::testing::Test {
 protected:
  AtomicWriterTest() {
    char name[] = "/tmp/kybern-payload-XXXXXX";
    folder = ::mkdtemp(name);
  }
  ~AtomicWriterTest() override { (void)remove_tree(folder); }
  bool write(const Payload& payload) {
    auto wrote = write_payload(folder, payload, std::nullopt, Time(), ++stamp);
    EXPECT_TRUE(wrote.has_value()) << wrote.error().message;
    return wrote.value_or(false);
  }
  std::string text(const std::string& name) { return read_file(folder + "/" + name).value_or("none"); }

  std::string folder;
  std::uint64_t stamp = 0;
  Payload payload{{"a", {"one", 0644, std::nullopt}}, {"sub/b", {"two", 0644, std::nullopt}}};
};

TEST_F(AtomicWriterTest, WritesWhatChanged) {
  EXPECT_TRUE(write(payload));
  EXPECT_EQ(text("a"), "one");
  EXPECT_EQ(text("sub/b"), "two");
  EXPECT_FALSE(write(payload));
  payload.erase("sub/b");
  EXPECT_TRUE(write(payload));
  EXPECT_EQ(text("sub/b"), "none");
  EXPECT_EQ(list_dir(folder).size(), 3u);  // a, ..data and its folder
}

TEST_F(AtomicWriterTest, MakesTheLinksThatABrokenWriteLeftOut) {
  write(payload);
  ASSERT_EQ(::unlink((folder + "/a").c_str()), 0);  // as if it ended right after the new data was pointed to
  ASSERT_EQ(::symlink("..data/gone", (folder + "/gone").c_str()), 0);
  ASSERT_TRUE(make_dirs(folder + "/..2020_01_01_00_00_00.1").has_value());
  write(payload);
  EXPECT_EQ(text("a"), "one");
  EXPECT_EQ(list_dir(folder).size(), 4u);  // a, sub, ..data and its folder
}

// Who opens the folder once sees files of one payload only.
TEST_F(AtomicWriterTest, NobodySeesAMixture) {
  auto both = [&](const std::string& text) { payload = {{"a", {text, 0644, std::nullopt}}, {"b", {text, 0644, std::nullopt}}}; };
  both("0");
  write(payload);
  std::atomic<bool> done = false;
  int whole = 0, mixed = 0;
  std::thread reader([&] {
    auto text_of = [](int data, const char* name) {
      char buffer[16];
      int fd = ::openat(data, name, O_RDONLY | O_CLOEXEC);
      ssize_t n = fd < 0 ? -1 : ::read(fd, buffer, sizeof buffer);
      if (fd >= 0) ::close(fd);
      return n < 0 ? std::string("gone") : std::string(buffer, static_cast<std::size_t>(n));
    };
    while (!done || whole == 0) {
      int data = ::open((folder + "/..data").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      if (data < 0) continue;  // replaced between its name and its folder
      std::string a = text_of(data, "a"), b = text_of(data, "b");
      ::close(data);
      if (a == "gone" || b == "gone") continue;
      ++(a == b ? whole : mixed);
    }
  });
  for (int i = 1; i <= 100; ++i) {
    both(std::to_string(i));
    write(payload);
  }
  done = true;
  reader.join();
  EXPECT_EQ(mixed, 0);
  EXPECT_GT(whole, 0);
}

}  // namespace
}  // namespace kybern::kubelet
