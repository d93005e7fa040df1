// The gRPC client against servers that others wrote: containerd over a Unix socket, etcd over TCP. Skipped where their
// programs are not installed.
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "net/client.h"
#include "net/client/raw_server.h"

namespace kybern::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
namespace fs = std::filesystem;

std::string find_program(const std::string& name) {
  std::stringstream path(std::getenv("PATH") ? std::getenv("PATH") : "");
  for (std::string folder; std::getline(path, folder, ':');)
    if (access((folder + "/" + name).c_str(), X_OK) == 0) return folder + "/" + name;
  for (const char* folder : {"/usr/bin/", "/usr/sbin/", "/usr/local/bin/"})
    if (access((folder + name).c_str(), X_OK) == 0) return folder + name;
  return {};
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "kybern-grpc-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

class Process {
 public:
  Process(std::vector<std::string> arguments, const fs::path& log) {
    std::vector<char*> raw;
    for (std::string& argument : arguments) raw.push_back(argument.data());
    raw.push_back(nullptr);
    int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);  // it must not outlive a test that was killed
      dup2(fd, 1);
      dup2(fd, 2);
      execv(raw[0], raw.data());
      _exit(127);
    }
    close(fd);
  }
  ~Process() { end(SIGTERM); }
  bool running() {
    if (pid_ > 0 && waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
    return pid_ > 0;
  }
  void end(int signal) {
    if (!running()) return;
    kill(pid_, signal);
    for (auto limit = steady_clock::now() + seconds(10); running() && steady_clock::now() < limit;)
      std::this_thread::sleep_for(milliseconds(5));
    if (running()) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
      pid_ = -1;
    }
  }

 private:
  pid_t pid_ = -1;
};

std::string log_tail(const fs::path& log) {
  std::ifstream file(log);
  std::string text(std::istreambuf_iterator<char>(file), {});
  return text.substr(text.size() > 2000 ? text.size() - 2000 : 0);
}

// One field of a protobuf message: bytes.
std::string bytes_field(int number, std::string_view value) {
  std::string out(1, static_cast<char>(number << 3 | 2));
  std::size_t size = value.size();
  for (; size >= 128; size >>= 7) out += static_cast<char>(size | 128);
  out += static_cast<char>(size);
  return out += value;
}

std::unique_ptr<GrpcClient> peer_client_of(std::string url) {
  ClientOptions options;
  options.url = std::move(url);
  return *GrpcClient::make(std::move(options));
}

// The first good answer within the time.
Result<std::string> call_until(GrpcClient& client, std::string_view method, std::string_view message, Process& process, seconds patience) {
  auto limit = steady_clock::now() + patience;
  for (;;) {
    auto answer = client.call(method, message, seconds(5));
    if (answer || steady_clock::now() >= limit || !process.running()) return answer;
    std::this_thread::sleep_for(milliseconds(10));
  }
}

// The median of unary calls, for the record.
void measure(GrpcClient& client, std::string_view method, std::string_view message, const char* name) {
  std::vector<std::int64_t> times;
  for (int i = 0; i < 500; ++i) {
    auto start = steady_clock::now();
    ASSERT_TRUE(client.call(method, message, seconds(5)));
    times.push_back(std::chrono::duration_cast<std::chrono::nanoseconds>(steady_clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  testing::Test::RecordProperty(name, fmt::format("{:.1f} us", static_cast<double>(times[times.size() / 2]) / 1000));
  fmt::print("{}: median {:.1f} us, 99% {:.1f} us\n", name, static_cast<double>(times[times.size() / 2]) / 1000,
             static_cast<double>(times[times.size() * 99 / 100]) / 1000);
}

class Containerd : public testing::Test {
 protected:
  void SetUp() override {
    std::string program = find_program("containerd");
    if (program.empty()) GTEST_SKIP() << "containerd is not installed";
    if (geteuid() != 0) GTEST_SKIP() << "containerd needs root";
    std::ofstream(folder_.path() / "config.toml") << fmt::format(R"(version = 2
root = "{0}/root"
state = "{0}/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.restart"]
[grpc]
  address = "{0}/s"
[plugins."io.containerd.internal.v1.opt"]
  path = "{0}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  disable_apparmor = true
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{0}/cni-bin"
    conf_dir = "{0}/cni"
)",
                                                                 folder_.path().string());
    arguments_ = {program, "--config", folder_.path() / "config.toml"};
    log_ = folder_.path() / "log";
    start();
    client_ = peer_client_of("unix://" + (folder_.path() / "s").string());
    auto version = call_until(*client_, "/runtime.v1.RuntimeService/Version", "", *process_, seconds(30));
    if (!version) GTEST_SKIP() << "containerd does not come up here: " << version.error().message << "\n" << log_tail(log_);
  }
  void start() { process_ = std::make_unique<Process>(arguments_, log_); }

  TemporaryFolder folder_;
  std::vector<std::string> arguments_;
  fs::path log_;
  std::unique_ptr<Process> process_;
  std::unique_ptr<GrpcClient> client_;
};

TEST_F(Containerd, Version) {
  auto version = client_->call("/runtime.v1.RuntimeService/Version", "", seconds(5));
  ASSERT_TRUE(version) << version.error().message;
  EXPECT_TRUE(version->starts_with(bytes_field(1, "0.1.0") + bytes_field(2, "containerd"))) << *version;
  EXPECT_TRUE(version->ends_with(bytes_field(4, "v1"))) << *version;
  measure(*client_, "/runtime.v1.RuntimeService/Version", "", "cri_version");
}

TEST_F(Containerd, Errors) {
  auto missing = client_->call("/runtime.v1.RuntimeService/ContainerStatus", bytes_field(1, "nobody"), seconds(5));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Code::not_found);
  EXPECT_NE(missing.error().message.find("nobody"), std::string::npos) << missing.error().message;
  auto unknown = client_->call("/runtime.v1.RuntimeService/NoSuchMethod", "", seconds(5));
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Code::unsupported);
  EXPECT_EQ(unknown.error().message, "unknown method NoSuchMethod for service runtime.v1.RuntimeService");
  auto garbage = client_->call("/runtime.v1.RuntimeService/ContainerStatus", "\xff\xff\xff", seconds(5));
  ASSERT_FALSE(garbage);
  EXPECT_EQ(garbage.error().code, Code::internal);
}

TEST_F(Containerd, EventStream) {
  ClientOptions options;
  options.url = "unix://" + (folder_.path() / "s").string();
  options.metadata = {{"containerd-namespace", "kybern-test"}};
  auto client = *GrpcClient::make(options);
  auto stream = client->stream("/containerd.services.events.v1.Events/Subscribe");
  ASSERT_TRUE(stream) << stream.error().message;
  ASSERT_TRUE((*stream)->write(""));
  ASSERT_TRUE((*stream)->finish_writing());
  // The subscription begins at some time after it was asked for: namespaces are made until one is seen.
  std::atomic<bool> seen = false;
  std::string error;
  std::thread maker([&] {
    for (int i = 0; i < 500 && !seen; ++i) {
      auto made = client->call("/containerd.services.namespaces.v1.Namespaces/Create",
                               bytes_field(1, bytes_field(1, fmt::format("kybern-{}", i))), seconds(5));
      if (!made) error = made.error().message;
      if (!made) break;
    }
    if (!seen) (*stream)->close();
  });
  auto event = (*stream)->read();
  seen = true;
  maker.join();
  EXPECT_EQ(error, "");
  ASSERT_TRUE(event) << event.error().message;
  EXPECT_NE(event->find("/namespaces/create"), std::string::npos);
}

TEST_F(Containerd, Restart) {
  process_->end(SIGKILL);
  auto down = client_->call("/runtime.v1.RuntimeService/Version", "", seconds(5));
  ASSERT_FALSE(down);
  EXPECT_EQ(down.error().code, Code::unavailable);
  start();
  auto up = call_until(*client_, "/runtime.v1.RuntimeService/Version", "", *process_, seconds(30));
  EXPECT_TRUE(up) << up.error().message;
}

class Etcd : public testing::Test {
 protected:
  void SetUp() override {
    std::string program = find_program("etcd");
    if (program.empty()) GTEST_SKIP() << "etcd is not installed";
    std::string client_url = fmt::format("http://127.0.0.1:{}", free_port()), peer_url = fmt::format("http://127.0.0.1:{}", free_port());
    arguments_ = {program,
                  "--data-dir",
                  folder_.path() / "data",
                  "--listen-client-urls",
                  client_url,
                  "--advertise-client-urls",
                  client_url,
                  "--listen-peer-urls",
                  peer_url,
                  "--initial-advertise-peer-urls",
                  peer_url,
                  "--initial-cluster",
                  "default=" + peer_url,
                  "--max-request-bytes",
                  "10485760"};
    log_ = folder_.path() / "log";
    start();
    client_ = peer_client_of(client_url);
    auto status = call_until(*client_, "/etcdserverpb.KV/Range", bytes_field(1, "x"), *process_, seconds(30));
    if (!status) GTEST_SKIP() << "etcd does not come up here: " << status.error().message << "\n" << log_tail(log_);
  }
  void start() { process_ = std::make_unique<Process>(arguments_, log_); }
  Result<std::string> put(std::string_view key, std::string_view value) {
    return client_->call("/etcdserverpb.KV/Put", bytes_field(1, key) + bytes_field(2, value), seconds(10));
  }
  Result<std::string> get(std::string_view key) { return client_->call("/etcdserverpb.KV/Range", bytes_field(1, key), seconds(10)); }

  TemporaryFolder folder_;
  std::vector<std::string> arguments_;
  fs::path log_;
  std::unique_ptr<Process> process_;
  std::unique_ptr<GrpcClient> client_;
};

TEST_F(Etcd, PutAndRange) {
  auto stored = put("kybern/key", "the value");
  ASSERT_TRUE(stored) << stored.error().message;
  auto answer = get("kybern/key");
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_NE(answer->find(bytes_field(5, "the value")), std::string::npos);
  std::string large(6 << 20, 'l');
  ASSERT_TRUE(put("kybern/large", large));
  auto back = get("kybern/large");
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_NE(back->find(large), std::string::npos);
  measure(*client_, "/etcdserverpb.KV/Range", bytes_field(1, "kybern/key") + std::string("\x38\x01", 2), "etcd_serializable_range");
}

TEST_F(Etcd, Errors) {
  auto empty = client_->call("/etcdserverpb.KV/Range", "", seconds(5));
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().code, Code::internal);
  EXPECT_EQ(empty.error().message, "etcdserver: key is not provided");
  EXPECT_EQ(client_->call("/etcdserverpb.KV/Nothing", "", seconds(5)).error().code, Code::unsupported);
  EXPECT_EQ(put("kybern/huge", std::string(11 << 20, 'h')).error().code, Code::internal);
  EXPECT_TRUE(get("kybern/key")) << "the connection goes on";
}

TEST_F(Etcd, Watch) {
  auto stream = client_->stream("/etcdserverpb.Watch/Watch");
  ASSERT_TRUE(stream) << stream.error().message;
  ASSERT_TRUE((*stream)->write(bytes_field(1, bytes_field(1, "kybern/watched"))));
  auto created = (*stream)->read();
  ASSERT_TRUE(created) << created.error().message;
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(put("kybern/watched", fmt::format("value {}", i)));
    auto event = (*stream)->read();
    ASSERT_TRUE(event) << event.error().message;
    EXPECT_NE(event->find(bytes_field(5, fmt::format("value {}", i))), std::string::npos);
  }
  (*stream)->close();
  EXPECT_EQ((*stream)->read().error().code, Code::canceled);
  EXPECT_TRUE(get("kybern/watched"));
}

TEST_F(Etcd, ManyThreads) {
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        std::string key = fmt::format("kybern/{}/{}", t, i), value = fmt::format("value of {} {}", t, i);
        if (!put(key, value)) ++wrong;
        auto answer = get(key);
        if (!answer || answer->find(bytes_field(5, value)) == std::string::npos) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(Etcd, Restart) {
  ASSERT_TRUE(put("kybern/kept", "through it all"));
  auto stream = client_->stream("/etcdserverpb.Watch/Watch");
  ASSERT_TRUE(stream);
  process_->end(SIGKILL);
  EXPECT_EQ((*stream)->read().error().code, Code::unavailable);
  EXPECT_EQ(get("kybern/kept").error().code, Code::unavailable);
  start();
  auto up = call_until(*client_, "/etcdserverpb.KV/Range", bytes_field(1, "kybern/kept"), *process_, seconds(30));
  ASSERT_TRUE(up) << up.error().message;
  EXPECT_NE(up->find("through it all"), std::string::npos);
}

}  // namespace
}  // namespace kybern::net
