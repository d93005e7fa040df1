// A front proxy's word on who asks, over real connections against a whole server.
#include "apiserver/authn/front_proxy.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <fstream>
#include <mutex>
#include <sstream>

#include "apiserver/testing/live_server.h"
#include "document/json.h"
#include "net/certificates.h"
#include "net/client.h"

namespace kybern::apiserver {
namespace {

using testing::admin;
constexpr const char* map_path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";

class FrontProxies : public ::testing::Test {
 protected:
  static std::string read(const std::string& file) {
    std::ifstream in(file);
    std::stringstream out;
    out << in.rdbuf();
    return out.str();
  }
  void start(FrontProxyOptions proxy = {}) {
    ServerOptions options = live_.options();
    options.front_proxy = std::move(proxy);
    auto started = live_.start(std::move(options));
    ASSERT_TRUE(started) << started.error().message;
  }
  net::KeyPair own() {
    return {read(live_.server().credentials().front_proxy_certificate), read(live_.server().credentials().front_proxy_key)};
  }
  static net::KeyPair client_of(const net::KeyPair& ca, std::string_view name) {
    const Time now = real_world().clock.now();
    net::CertificateSpec spec;
    spec.common_name = name;
    spec.client = true;
    spec.not_before = now - std::chrono::hours(1);
    spec.not_after = now + std::chrono::hours(1);
    return *net::issue(ca, spec);
  }
  // The user as the server sees it; the status alone when it refuses.
  Document who(const net::KeyPair& certificate, net::Headers headers) {
    net::ClientOptions options;
    options.url = live_.url();
    options.tls.insecure = true;
    options.tls.certificate_pem = certificate.certificate_pem;
    options.tls.key_pem = certificate.key_pem;
    auto client = net::HttpClient::make(options);
    headers.set("content-type", "application/json");
    auto out = (*client)->call({"POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", std::move(headers),
                                R"({"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"})"});
    EXPECT_TRUE(out);
    if (!out || out->status != 201) return Draft::object({{"status", out ? out->status : 0}}).freeze();
    return Draft((*parse_json(out->body))["status"]["userInfo"]).freeze();
  }

  testing::LiveServer live_;
};

TEST_F(FrontProxies, ItsWordIsTaken) {
  start();
  const Document user = who(own(), {{"X-Remote-User", "jane"},
                                    {"X-Remote-Uid", "7"},
                                    {"X-Remote-Group", "dev"},
                                    {"X-Remote-Group", "ops"},
                                    {"X-Remote-Extra-Acme.com%2fScope", "a"},
                                    {"X-Remote-Extra-Acme.com%2fScope", "b"}});
  EXPECT_EQ(user["username"].as_string(), "jane");
  EXPECT_EQ(user["uid"].as_string(), "7");
  EXPECT_EQ(to_json(user["groups"]), R"(["dev","ops","system:authenticated"])");
  EXPECT_EQ(to_json(user["extra"]), R"({"acme.com/scope":["a","b"]})");
}

TEST_F(FrontProxies, NobodyElsesIs) {
  start();
  // A proxy that names nobody is nobody: its certificate is no user's.
  EXPECT_EQ(who(own(), {})["status"].as_int(), 401);
  const net::KeyPair ca{read(live_.folder() + "/data/pki/ca.crt"), read(live_.folder() + "/data/pki/ca.key")};
  const net::KeyPair front{read(live_.folder() + "/data/pki/front-proxy-ca.crt"), read(live_.folder() + "/data/pki/front-proxy-ca.key")};
  EXPECT_EQ(who(client_of(ca, "front-proxy-client"), {{"X-Remote-User", "jane"}})["username"].as_string(), "front-proxy-client");
  EXPECT_EQ(who(client_of(front, "another"), {{"X-Remote-User", "jane"}})["status"].as_int(), 401);
  EXPECT_EQ(who({}, {{"X-Remote-User", "jane"}})["status"].as_int(), 403) << "it is anonymous";
}

TEST_F(FrontProxies, HeadersAndNamesAreWhatWasSaid) {
  const Time now = real_world().clock.now();
  const net::KeyPair ca = *net::new_ca("gate-ca", now - std::chrono::hours(1), now + std::chrono::hours(1));
  FrontProxyOptions proxy;
  proxy.client_ca_file = live_.write("gate.crt", ca.certificate_pem);
  proxy.username_headers = {"X-Gate-User", "X-Old-User"};
  proxy.group_headers = {"X-Gate-Group", "X-Old-Group"};
  proxy.extra_prefixes = {"X-Gate-"};
  start(proxy);
  Document user = who(client_of(ca, "any name"), {{"X-Old-User", "joe"}, {"X-Old-Group", "a"}, {"X-Gate-Group", "b"}});
  EXPECT_EQ(user["username"].as_string(), "joe");
  EXPECT_EQ(to_json(user["groups"]), R"(["b","a","system:authenticated"])");
  EXPECT_EQ(who(client_of(ca, "x"), {{"X-Remote-User", "joe"}})["status"].as_int(), 401);
  EXPECT_EQ(who(own(), {{"X-Gate-User", "joe"}})["status"].as_int(), 401) << "the own authority is not asked any more";
  auto map = live_.server().call(admin(), "GET", map_path, "", {}, "");
  ASSERT_TRUE(map);
  EXPECT_EQ((*map)["data"]["requestheader-username-headers"].as_string(), R"(["X-Gate-User","X-Old-User"])");
  EXPECT_EQ((*map)["data"]["requestheader-allowed-names"].as_string(), "[]");
  EXPECT_EQ((*map)["data"]["requestheader-client-ca-file"].as_string(), ca.certificate_pem);
}

TEST_F(FrontProxies, WhatIsPublishedIsKeptTrue) {
  start();
  std::mutex mutex;
  std::condition_variable changed;
  std::string names;
  auto see = [&](const Document& object) { names = object["data"]["requestheader-allowed-names"].str(); };
  auto watch = live_.server().subscribe(
      admin(), "/api/v1/namespaces/kube-system/configmaps", "fieldSelector=metadata.name%3Dextension-apiserver-authentication",
      [&](std::vector<Document> objects, std::uint64_t) {
        std::lock_guard lock(mutex);
        for (const Document& object : objects) see(object);
        changed.notify_all();
      },
      [&](std::vector<LocalEvent> events, std::uint64_t) {
        std::lock_guard lock(mutex);
        for (const LocalEvent& event : events)
          if (event.erased) names.clear();
          else see(event.object);
        changed.notify_all();
      });
  ASSERT_TRUE(watch);
  auto comes = [&](std::string_view what) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(20), [&] { return names == what; });
  };
  ASSERT_TRUE(comes(R"(["front-proxy-client"])"));
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(
        live_.server().call(admin(), "PATCH", map_path, "", *parse_json(R"({"data":{"requestheader-allowed-names":"[]"}})"), "merge"));
    EXPECT_TRUE(comes(R"(["front-proxy-client"])"));
  }
  ASSERT_TRUE(live_.server().call(admin(), "DELETE", map_path, "", {}, ""));
  EXPECT_TRUE(comes(R"(["front-proxy-client"])"));
  watch->reset();
  // Who is behind may read it by this Role alone.
  EXPECT_TRUE(live_.server().call(
      admin(), "GET", "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles/extension-apiserver-authentication-reader", "", {},
      ""));
}

}  // namespace
}  // namespace kybern::apiserver
