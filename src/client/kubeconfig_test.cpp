#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "client/transport.h"

namespace kybern::client {
namespace {

constexpr std::string_view config = R"(apiVersion: v1
kind: Config
current-context: one
contexts:
- name: one
  context: {cluster: c, user: data, namespace: team}
- name: two
  context: {cluster: d, user: files}
- name: three
  context: {cluster: c, user: plugin}
- name: four
  context: {cluster: gone}
- name: five
  context: {cluster: c, user: nobody}
clusters:
- name: c
  cluster: {server: "https://a:6443", certificate-authority-data: Q0E=, tls-server-name: kubernetes}
- name: d
  cluster: {server: "https://b", insecure-skip-tls-verify: true}
users:
- name: data
  user: {client-certificate-data: Q1JU, client-key-data: S0VZ, token: t}
- name: files
  user: {client-certificate: cert.pem, client-key: key.pem, tokenFile: token, username: u, password: p}
- name: plugin
  user: {exec: {command: x}}
)";

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "kubeconfig-XXXXXX").string();
    path = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  void write(const std::string& name, std::string_view text) const { std::ofstream(path / name) << text; }
  std::filesystem::path path;
};

TEST(Kubeconfig, Data) {
  auto out = parse_kubeconfig(config, {}, "/");
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_EQ(out->url, "https://a:6443");
  EXPECT_EQ(out->ca_pem, "CA");
  EXPECT_EQ(out->certificate_pem, "CRT");
  EXPECT_EQ(out->key_pem, "KEY");
  EXPECT_EQ(out->token, "t");
  EXPECT_EQ(out->ns, "team");
  EXPECT_EQ(out->server_name, "kubernetes");
  EXPECT_FALSE(out->insecure);
}

TEST(Kubeconfig, Files) {
  Folder folder;
  folder.write("config", config);
  folder.write("cert.pem", "C");
  folder.write("key.pem", "K");
  auto out = read_kubeconfig((folder.path / "config").string(), "two");
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_EQ(out->certificate_pem, "C");
  EXPECT_EQ(out->key_pem, "K");
  EXPECT_EQ(out->token_file, (folder.path / "token").string());
  EXPECT_EQ(out->username, "u");
  EXPECT_TRUE(out->insecure);
}

TEST(Kubeconfig, Refusals) {
  struct Row {
    std::string_view context;
    Code code;
    std::string_view message;
  };
  for (const Row& row : {Row{"three", Code::unsupported, "kubeconfig: credential plugins (exec, auth-provider) are not supported"},
                         Row{"four", Code::not_found, "cluster \"gone\" does not exist"},
                         Row{"five", Code::not_found, "auth info \"nobody\" does not exist"},
                         Row{"none", Code::not_found, "context \"none\" does not exist"}}) {
    auto out = parse_kubeconfig(config, row.context, "/");
    ASSERT_FALSE(out) << row.context;
    EXPECT_EQ(out.error().code, row.code);
    EXPECT_EQ(out.error().message, row.message);
  }
  EXPECT_EQ(read_kubeconfig("/no/such/file").error().code, Code::not_found);
}

TEST(Paths, Objects) {
  EXPECT_EQ(object_path("v1", "pods", "default", "web", "status"), "/api/v1/namespaces/default/pods/web/status");
  EXPECT_EQ(object_path("apps/v1", "deployments", "", ""), "/apis/apps/v1/deployments");
  EXPECT_EQ(object_path("v1", "nodes", "", "n"), "/api/v1/nodes/n");
  EXPECT_EQ(make_query({{"a", "x=y"}, {"b", "1"}}), "a=x%3Dy&b=1");
}

}  // namespace
}  // namespace kybern::client
