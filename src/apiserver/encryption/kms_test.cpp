// A key service over gRPC on a Unix socket: a plug-in of few words, with HTTP/2 by nghttp2 on its side.
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "apiserver/encryption/encryption.h"
#include "apiserver/encryption/wire.h"
#include "apiserver/testing/live_server.h"
#include "base/strings.h"
#include "document/json.h"
#include "net/client.h"

namespace kybern::apiserver::encryption {
namespace {

class Plugin {
 public:
  explicit Plugin(std::string path) : path_(std::move(path)) {
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 8), 0);
    acceptor_ = std::thread([this] {
      for (int fd; (fd = ::accept(listener_, nullptr, nullptr)) >= 0;) {
        std::lock_guard lock(mutex_);
        open_.insert(fd);
        threads_.emplace_back([this, fd] { serve(fd); });
      }
    });
  }
  ~Plugin() {
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    {
      std::lock_guard lock(mutex_);
      for (int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& thread : threads_) thread.join();
    ::close(listener_);
    ::unlink(path_.c_str());
  }

  void set_key(std::string id) {
    std::lock_guard lock(mutex_);
    key_ = std::move(id);
  }
  std::atomic<bool> well{true};
  std::atomic<int> encrypts{0}, decrypts{0};

 private:
  struct Stream {
    std::string path, in, out;
    std::size_t taken = 0;
  };
  struct Session {
    Plugin& plugin;
    nghttp2_session* h2 = nullptr;
    std::map<std::int32_t, Stream> streams{};
  };

  // Keys are kept by turning bytes: enough to see that nothing else can open them.
  static std::string turned(std::string text) {
    for (char& c : text) c = static_cast<char>(c ^ 0x5a);
    return text;
  }
  std::string answer(std::string_view path, const std::string& in) {
    auto request = read_message(in.size() >= 5 ? std::string_view(in).substr(5) : std::string_view());
    std::lock_guard lock(mutex_);
    if (path == "/v2.KeyManagementService/Status") return Message().text(1, "v2").text(2, well ? "ok" : "sick").text(3, key_).bytes();
    if (path == "/v2.KeyManagementService/Encrypt") {
      ++encrypts;
      return Message()
          .text(1, turned(request->text(1)))
          .text(2, key_)
          .text(3, Message().text(1, "plugin.example.com").text(2, "note").bytes())
          .bytes();
    }
    ++decrypts;
    EXPECT_EQ(path, "/v2.KeyManagementService/Decrypt");
    EXPECT_EQ(request->texts[4].size(), 1u) << "annotations come back";
    return Message().text(1, turned(request->text(1))).bytes();
  }

  void reply(Session& session, std::int32_t id) {
    Stream& stream = session.streams[id];
    std::string message = answer(stream.path, stream.in);
    stream.out.push_back('\0');
    for (int shift = 24; shift >= 0; shift -= 8) stream.out += static_cast<char>(message.size() >> shift & 0xff);
    stream.out += message;
    auto header = [](const char* name, const char* value) {
      return nghttp2_nv{const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(name)),
                        const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(value)), std::strlen(name), std::strlen(value), 0};
    };
    const nghttp2_nv head[] = {header(":status", "200"), header("content-type", "application/grpc")};
    nghttp2_data_provider provider{};
    provider.source.ptr = &stream;
    provider.read_callback = [](nghttp2_session* h2, std::int32_t of, std::uint8_t* buffer, std::size_t room, std::uint32_t* flags,
                                nghttp2_data_source* source, void*) -> ssize_t {
      auto& from = *static_cast<Stream*>(source->ptr);
      const std::size_t n = std::min(room, from.out.size() - from.taken);
      std::memcpy(buffer, from.out.data() + from.taken, n);
      from.taken += n;
      if (from.taken == from.out.size()) {
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        std::uint8_t name[] = "grpc-status", value[] = "0";
        const nghttp2_nv trailer{name, value, sizeof name - 1, sizeof value - 1, 0};
        nghttp2_submit_trailer(h2, of, &trailer, 1);
      }
      return static_cast<ssize_t>(n);
    };
    nghttp2_submit_response(session.h2, id, head, 2, &provider);
  }

  void serve(int fd) {
    Session session{*this};
    nghttp2_session_callbacks* callbacks;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t n, const std::uint8_t* value,
                      std::size_t v, std::uint8_t, void* self) {
          if (std::string_view(reinterpret_cast<const char*>(name), n) == ":path")
            static_cast<Session*>(self)->streams[frame->hd.stream_id].path.assign(reinterpret_cast<const char*>(value), v);
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks, [](nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data, std::size_t size, void* self) {
          static_cast<Session*>(self)->streams[id].in.append(reinterpret_cast<const char*>(data), size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* self) {
      auto& session = *static_cast<Session*>(self);
      if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        session.plugin.reply(session, frame->hd.stream_id);
      return 0;
    });
    nghttp2_session_server_new(&session.h2, callbacks, &session);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session.h2, 0, nullptr, 0);
    char buffer[16384];
    for (bool alive = true; alive;) {
      const std::uint8_t* data = nullptr;
      for (ssize_t n; (n = nghttp2_session_mem_send(session.h2, &data)) > 0;)
        alive = alive && ::send(fd, data, static_cast<std::size_t>(n), MSG_NOSIGNAL) == n;
      ssize_t got = alive ? ::recv(fd, buffer, sizeof buffer, 0) : 0;
      alive = got > 0 && nghttp2_session_mem_recv(session.h2, reinterpret_cast<std::uint8_t*>(buffer), static_cast<std::size_t>(got)) >= 0;
    }
    nghttp2_session_del(session.h2);
    std::lock_guard lock(mutex_);
    open_.erase(fd);
    ::close(fd);
  }

  const std::string path_;
  int listener_ = -1;
  std::mutex mutex_;
  std::string key_ = "one";
  std::set<int> open_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

class KeyServices : public ::testing::Test {
 protected:
  void SetUp() override { plugin_ = std::make_unique<Plugin>(live_.folder() + "/kms.sock"); }
  void TearDown() override { live_.stop(); }
  Result<void> start(bool reload = false) {
    ServerOptions options = live_.options();
    options.encryption_reload = reload;
    options.encryption_config = live_.write(
        "config",
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n"
        "  - kms: {apiVersion: v2, name: vault, endpoint: 'unix://" +
            live_.folder() + "/kms.sock', timeout: 5s}\n");
    return live_.start(options);
  }
  ApiResult<Document> call(std::string_view method, const std::string& path, const std::string& body = "") {
    return live_.call(method, "/api/v1/namespaces/default/secrets" + path, body);
  }
  bool make(const std::string& name, const std::string& text) {
    return call(
               "POST", "",
               R"({"apiVersion":"v1","kind":"Secret","metadata":{"name":")" + name + R"("},"data":{"k":")" + base64_encode(text) + R"("}})")
        .has_value();
  }
  bool on_disk(const std::string& text) const {
    for (const char* file : {"/data/kybern.db", "/data/kybern.db-wal"}) {
      std::ifstream in(live_.folder() + file, std::ios::binary);
      const std::string all{std::istreambuf_iterator<char>(in), {}};
      if (all.find(text) != std::string::npos) return true;
    }
    return false;
  }
  testing::LiveServer live_;
  std::unique_ptr<Plugin> plugin_;
};

TEST_F(KeyServices, SecretsAreSealedByThePlugin) {
  ASSERT_TRUE(start());
  ASSERT_TRUE(make("a", "the secret of a"));
  EXPECT_TRUE(on_disk("k8s:enc:kms:v2:vault:"));
  EXPECT_FALSE(on_disk(base64_encode("the secret of a")));
  EXPECT_EQ(plugin_->encrypts, 1);
  plugin_->set_key("two");
  ASSERT_TRUE(start());
  auto got = call("GET", "/a");
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(base64_decode((*got)["data"]["k"].as_string()), "the secret of a");
  EXPECT_EQ(plugin_->decrypts, 1);
  ASSERT_TRUE(make("b", "the secret of b"));
  EXPECT_TRUE(on_disk("two"));
}

TEST_F(KeyServices, TheServerIsAsWellAsThePlugin) {
  ASSERT_TRUE(start());
  auto health = [&](const std::string& path) { return live_.http("GET", path, {}, "").status; };
  EXPECT_EQ(health("/livez/kms-provider-0"), 200);
  EXPECT_EQ(health("/livez"), 200);
  EXPECT_EQ(health("/livez/kms-provider-1"), 404);
  plugin_->well = false;
  ASSERT_TRUE(start(true));  // what was found out before is not known any more
  EXPECT_EQ(health("/livez/kms-providers"), 500);
  EXPECT_EQ(health("/livez"), 500);
  EXPECT_EQ(health("/livez?exclude=kms-providers"), 200);
}

TEST_F(KeyServices, WithoutThePluginTheServerDoesNotBegin) {
  ASSERT_TRUE(start());
  ASSERT_TRUE(make("a", "x"));
  live_.stop();
  plugin_.reset();
  auto ok = start();
  ASSERT_FALSE(ok);
  EXPECT_NE(ok.error().message.find("failed to decrypt DEK"), std::string::npos) << ok.error().message;
}

}  // namespace
}  // namespace kybern::apiserver::encryption
