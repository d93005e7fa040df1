#include "apiserver/encryption/encryption.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "apiserver/encryption/wire.h"
#include "apiserver/testing/live_server.h"
#include "base/strings.h"
#include "base/testing/eventually.h"
#include "document/json.h"

namespace kybern::apiserver::encryption {
namespace {

const std::string key_a = base64_encode(std::string(32, 'a')), key_b = base64_encode(std::string(16, 'b'));

std::string configuration(const std::string& providers, const std::string& resources = "secrets") {
  return "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n- resources: ['" + resources +
         "']\n  providers: " + providers + "\n";
}
std::string aes(const std::string& kind, const std::string& name, const std::string& secret) {
  return "{" + kind + ": {keys: [{name: " + name + ", secret: '" + secret + "'}]}}";
}

TEST(EncryptionConfiguration, WhatIsWrongIsSaid) {
  const std::pair<std::string, std::string> cases[] = {
      {"kind: X", "expected apiVersion apiserver.config.k8s.io/v1"},
      {"kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\n",
       "at least one encryption configuration object is required"},
      {configuration("[]"), "resources[0].providers: Required value"},
      {configuration("[{identity: {}}]", "*"), "use '*.<group>', '*.' or '*.*' for wildcards"},
      {configuration("[{rot13: {}}]"), "provider \"rot13\" is not supported"},
      {configuration("[{aesgcm: {keys: []}}]"), "at least one key is required"},
      {configuration("[" + aes("aesgcm", "k", "!") + "]"), "secret must be base64 encoded"},
      {configuration("[" + aes("aescbc", "k", "YWJj") + "]"), "got 3, expected one of [16 24 32]"},
      {configuration("[{kms: {apiVersion: v1, name: k, endpoint: 'unix:///x'}}]"), "KMSv1 is deprecated"},
      {configuration("[{kms: {name: k, endpoint: 'unix:///x'}}]"), "KMSv1 is deprecated"},
      {configuration("[{kms: {apiVersion: v3, name: k, endpoint: 'unix:///x'}}]"), "unsupported apiVersion v3 for KMS provider"},
      {configuration("[{kms: {apiVersion: v2, name: k, endpoint: 'http://x'}}]"), "unsupported scheme, must be unix"},
      {configuration("[{kms: {apiVersion: v2, name: 'a:b', endpoint: 'unix:///x'}}]"), "should not contain ':'"},
  };
  for (const auto& [text, why] : cases) {
    auto read = read_configuration(text, real_world());
    ASSERT_FALSE(read) << text;
    EXPECT_NE(read.error().message.find(why), std::string::npos) << read.error().message;
  }
  EXPECT_TRUE(read_configuration(configuration("[{identity: {}}]", "*.apps"), real_world()));
}

TEST(EncryptionProviders, PrefixesAndKeys) {
  auto gcm = aes_gcm_provider({{"new", std::string(32, 'n')}, {"old", std::string(32, 'o')}});
  auto old = aes_gcm_provider({{"old", std::string(32, 'o')}});
  auto cbc = aes_cbc_provider({{"k", std::string(32, 'n')}});
  auto sealed = gcm->seal("{}", "/registry/secrets/a/b");
  ASSERT_TRUE(sealed);
  EXPECT_TRUE(sealed->bytes.starts_with("k8s:enc:aesgcm:v1:new:"));
  EXPECT_TRUE(gcm->knows(sealed->bytes));
  EXPECT_FALSE(cbc->knows(sealed->bytes));
  EXPECT_EQ(gcm->open(sealed->bytes, "/registry/secrets/a/b")->bytes, "{}");
  EXPECT_EQ(gcm->open(sealed->bytes, "/registry/secrets/a/c").error().message, "cipher: message authentication failed");
  EXPECT_EQ(old->open(sealed->bytes, "/registry/secrets/a/b").error().message,
            "no matching key was found for the provided AES transformer");
  EXPECT_EQ(gcm->open(old->seal("{}", "w")->bytes, "w")->bytes, "{}");
  EXPECT_TRUE(cbc->seal("{}", "w")->bytes.starts_with("k8s:enc:aescbc:v1:k:"));
  EXPECT_EQ(identity_provider()->open("k8s:enc:x", "w").error().message, "identity transformer tried to read encrypted data");
}

class FakeKeyService final : public KeyService {
 public:
  Result<std::string> status() override { return down ? Result<std::string>(fail(Code::unavailable, "down")) : id; }
  Result<Encrypted> encrypt(std::string_view plain, std::string_view) override {
    ++encrypts;
    return Encrypted{"<" + std::string(plain.rbegin(), plain.rend()) + ">", id, {{"note.example", "1"}}};
  }
  Result<std::string> decrypt(const Encrypted& sealed, std::string_view) override {
    ++decrypts;
    EXPECT_EQ(sealed.annotations.size(), 1u);
    return std::string(sealed.ciphertext.rbegin() + 1, sealed.ciphertext.rend() - 1);
  }
  std::string id = "one";
  bool down = false;
  int encrypts = 0, decrypts = 0;
};

TEST(EncryptionProviders, AKeyServiceIsAskedOncePerSeed) {
  auto service = std::make_shared<FakeKeyService>();
  auto kms = kms_provider("vault", service, real_world());
  auto sealed = kms->seal("{\"a\":1}", "w");
  ASSERT_TRUE(sealed) << sealed.error().message;
  EXPECT_TRUE(sealed->bytes.starts_with("k8s:enc:kms:v2:vault:"));
  EXPECT_EQ(sealed->key, "k8s:enc:kms:v2:vault:one");
  ASSERT_TRUE(kms->seal("{}", "x"));
  EXPECT_EQ(service->encrypts, 1);
  service->down = true;
  EXPECT_TRUE(kms->seal("{}", "y"));
  auto later = kms_provider("vault", service, real_world());  // after a restart
  EXPECT_FALSE(later->seal("{}", "z"));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(later->open(sealed->bytes, "w").value_or(Provider::Sealed{}).bytes, "{\"a\":1}");
  EXPECT_EQ(service->decrypts, 1);
  EXPECT_FALSE(later->open(sealed->bytes, "elsewhere"));
  EXPECT_FALSE(later->open("k8s:enc:kms:v2:vault:\xff\xff", "w"));
}

TEST(EncryptionWire, ReadsWhatItWrites) {
  const std::string bytes = Message().text(1, "ab").number(5, 300).text(4, std::string(200, 'x')).text(4, "y").bytes();
  auto fields = read_message(bytes);
  ASSERT_TRUE(fields);
  EXPECT_EQ(fields->text(1), "ab");
  EXPECT_EQ(fields->numbers[5], 300u);
  EXPECT_EQ(fields->texts[4].size(), 2u);
  for (std::size_t n = 0; n < bytes.size(); ++n) (void)read_message(bytes.substr(0, n));
  EXPECT_FALSE(read_message("\x0a\x05x"));
}

class EncryptedServer : public ::testing::Test {
 protected:
  Result<void> start(const std::string& text, bool reload = false) {
    ServerOptions options = live_.options();
    options.encryption_reload = reload;
    if (reload) options.follow_interval = std::chrono::milliseconds(20);
    if (!text.empty()) options.encryption_config = live_.write("config", text);
    return live_.start(std::move(options));
  }
  std::string value(const std::string& name) {
    auto got = live_.call("GET", secrets + name);
    EXPECT_TRUE(got) << got.error().message;
    return got ? base64_decode((*got)["data"]["k"].as_string()).value_or("?") : "";
  }
  bool make(const std::string& name, const std::string& text) {
    return live_
        .call("POST", secrets.substr(0, secrets.size() - 1),
              R"({"apiVersion":"v1","kind":"Secret","metadata":{"name":")" + name + R"("},"data":{"k":")" + base64_encode(text) + R"("}})")
        .has_value();
  }
  // As `kubectl get secrets -o json | kubectl replace -f -` does it.
  void write_again(const std::string& name) {
    auto got = live_.call("GET", secrets + name);
    ASSERT_TRUE(got);
    auto put = live_.call("PUT", secrets + name, to_json(got->root()));
    ASSERT_TRUE(put) << put.error().message;
  }
  // Whether a text lies in what the server has written to disk.
  bool on_disk(const std::string& text) {
    for (const char* file : {"/data/kybern.db", "/data/kybern.db-wal"}) {
      std::ifstream in(live_.folder() + file, std::ios::binary);
      const std::string all{std::istreambuf_iterator<char>(in), {}};
      if (all.find(text) != std::string::npos) return true;
    }
    return false;
  }
  const std::string secrets = "/api/v1/namespaces/default/secrets/";
  testing::LiveServer live_;
};

TEST_F(EncryptedServer, KeysAreRotatedAndNothingIsLost) {
  const std::string a = aes("aesgcm", "a", key_a), b = aes("aescbc", "b", key_b);
  ASSERT_TRUE(start(""));
  ASSERT_TRUE(make("plain", "first secret"));
  EXPECT_TRUE(on_disk(base64_encode("first secret")));
  ASSERT_TRUE(start(configuration("[" + a + ", {identity: {}}]")));
  EXPECT_EQ(value("plain"), "first secret");
  ASSERT_TRUE(make("sealed", "second secret"));
  EXPECT_FALSE(on_disk(base64_encode("second secret")));
  EXPECT_TRUE(on_disk("k8s:enc:aesgcm:v1:a:"));
  write_again("plain");

  // The order changes: what is there is read by the old key, and written again by the new one.
  ASSERT_TRUE(start(configuration("[" + b + ", " + a + "]")));
  EXPECT_EQ(value("plain"), "first secret");
  EXPECT_EQ(value("sealed"), "second secret");
  write_again("plain");
  write_again("sealed");
  EXPECT_TRUE(on_disk("k8s:enc:aescbc:v1:b:"));

  // The old key is gone. What lies superseded under it is of no account.
  ASSERT_TRUE(start(configuration("[" + b + "]")));
  EXPECT_EQ(value("sealed"), "second secret");
  EXPECT_EQ(value("plain"), "first secret");

  // Without the right key the server does not begin, and leaves all as it is.
  auto wrong = start(configuration("[" + a + "]"));
  ASSERT_FALSE(wrong);
  EXPECT_TRUE(wrong.error().message.starts_with("unable to transform key \"/registry/secrets/default/")) << wrong.error().message;
  EXPECT_TRUE(wrong.error().message.ends_with(": no matching prefix found")) << wrong.error().message;
  auto none = start("");
  ASSERT_FALSE(none);
  EXPECT_TRUE(none.error().message.ends_with(": identity transformer tried to read encrypted data")) << none.error().message;
  ASSERT_TRUE(start(configuration("[{identity: {}}, " + b + "]")));
  EXPECT_EQ(value("sealed"), "second secret");
  write_again("sealed");
  EXPECT_TRUE(on_disk(base64_encode("second secret")));
}

// What cannot be used changes nothing, and is counted.
TEST_F(EncryptedServer, KeysAreRotatedWhileItRuns) {
  const std::string a = aes("aesgcm", "a", key_a), b = aes("aescbc", "b", key_b);
  auto reloads = [&](const std::string& status) {
    double sum = 0;
    for (const std::string text = live_.http("GET", "/metrics").body; std::string_view line : split(text, '\n'))
      if (line.starts_with("apiserver_encryption_config_controller_automatic_reloads_total{") && line.contains("\"" + status + "\""))
        sum += std::stod(std::string(line.substr(line.rfind(' '))));
    return sum;
  };
  ASSERT_TRUE(start(configuration("[" + a + "]"), true));
  ASSERT_TRUE(make("old", "first secret"));
  const double failed = reloads("failure"), done = reloads("success");
  live_.write("config", configuration("[{rot13: {}}]"));
  EXPECT_TRUE(eventually([&] { return reloads("failure") > failed; }));
  EXPECT_EQ(value("old"), "first secret");
  live_.write("config", configuration("[" + b + ", " + a + "]"));
  EXPECT_TRUE(eventually([&] { return reloads("success") > done; }));
  ASSERT_TRUE(make("new", "second secret"));
  EXPECT_TRUE(on_disk("k8s:enc:aescbc:v1:b:"));
  EXPECT_EQ(value("old"), "first secret");
  EXPECT_EQ(value("new"), "second secret");
}

}  // namespace
}  // namespace kybern::apiserver::encryption
