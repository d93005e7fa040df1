// The cluster's certificates over the years.
#include "apiserver/pki.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/files.h"
#include "net/certificates.h"

namespace kybern::apiserver {
namespace {

namespace fs = std::filesystem;
constexpr Duration day = std::chrono::hours(24);

class PkiTest : public ::testing::Test {
 protected:
  PkiTest() {
    char name[] = "/tmp/kybern-pki-XXXXXX";
    options.data_dir = ::mkdtemp(name);
  }
  ~PkiTest() override { fs::remove_all(options.data_dir); }

  std::string file(const std::string& name) const { return file_text(options.data_dir + "/pki/" + name); }
  // What the server does every hour, here once a month, as far as `end`.
  void live_until(Time end) {
    for (; now < end; now += day * 30) ASSERT_TRUE(ensure());
    now = end;
    ASSERT_TRUE(ensure());
  }
  bool ensure() {
    auto made = ensure_pki(options, "10.96.0.1", "192.0.2.7", now);
    EXPECT_TRUE(made) << made.error().message;
    return made.has_value();
  }

  ServerOptions options;
  Time now = *parse_rfc3339("2026-01-01T00:00:00Z");
};

TEST_F(PkiTest, ACertificateIsRenewedBeforeItEndsByTheSameAuthority) {
  ASSERT_TRUE(ensure());
  const std::string first = file("apiserver.crt"), ca = file("ca.crt");
  now += certificate_lifetime - renew_before - day;
  ASSERT_TRUE(ensure());
  EXPECT_EQ(file("apiserver.crt"), first);
  now += day * 2;
  ASSERT_TRUE(ensure());
  EXPECT_NE(file("apiserver.crt"), first);
  EXPECT_EQ(file("ca.crt"), ca);
  EXPECT_TRUE(net::issued_by(file("apiserver.crt"), ca));
}

TEST_F(PkiTest, TheAuthorityIsReplacedWhileAllThatItSignedStaysTrusted) {
  ASSERT_TRUE(ensure());
  const Time begin = now;
  const std::string old = file("ca.crt");

  live_until(begin + ca_lifetime - next_ca_before + day * 40);  // the next one is trusted and does not sign
  const std::string both = file("ca.crt");
  EXPECT_TRUE(both.starts_with(old));
  EXPECT_GT(both.size(), old.size());
  EXPECT_TRUE(net::issued_by(file("apiserver.crt"), old));

  live_until(begin + ca_lifetime - switch_ca_before + day * 40);  // it signs
  EXPECT_EQ(file("ca-next.key"), "");
  EXPECT_TRUE(file("ca.crt").ends_with(old));
  EXPECT_EQ(file("ca.crt").size(), both.size());
  live_until(begin + ca_lifetime - day);
  EXPECT_FALSE(net::issued_by(file("apiserver.crt"), old));
  for (const char* name : {"apiserver.crt", "admin.crt", "apiserver-kubelet-client.crt"}) {
    EXPECT_TRUE(net::issued_by(file(name), both)) << name;  // who has the bundle of years ago trusts it
    EXPECT_GT(net::read_certificate(file(name))->not_after, now + renew_before) << name;
  }

  live_until(begin + ca_lifetime + day);  // the old one has ended
  EXPECT_EQ(file("ca.crt").find(old), std::string::npos);
  EXPECT_TRUE(both.find(file("ca.crt")) != std::string::npos);
  live_until(begin + ca_lifetime * 3);  // and so on
  EXPECT_TRUE(net::issued_by(file("apiserver.crt"), file("ca.crt")));
  EXPECT_GT(net::read_certificate(file("ca.crt"))->not_after, now + switch_ca_before - day * 60);
}

// `kybern server` runs for years: the certificate that its node agent shows, and what servers behind it ask for, with it.
TEST_F(PkiTest, TheNodeAgentsCertificateAndTheFrontProxysAuthorityAreRenewedToo) {
  ASSERT_TRUE(ensure());
  EXPECT_EQ(file("kubelet.crt"), "");  // no agent in this process
  options.node_name = "node-1";
  ASSERT_TRUE(ensure());
  const std::string first = file("kubelet.crt"), front = file("front-proxy-ca.crt");
  auto info = net::read_certificate(first);
  ASSERT_TRUE(info);
  EXPECT_EQ(info->common_name, "system:node:node-1");
  EXPECT_EQ(info->organizations, std::vector<std::string>{"system:nodes"});
  EXPECT_EQ(info->dns_names, std::vector<std::string>{"node-1"});
  EXPECT_EQ(info->ip_addresses, (std::vector<std::string>{"127.0.0.1", "192.0.2.7"}));
  now += certificate_lifetime - renew_before + day;
  ASSERT_TRUE(ensure());
  EXPECT_NE(file("kubelet.crt"), first);
  options.node_ip = "192.0.2.9";  // another address, another certificate
  ASSERT_TRUE(ensure());
  EXPECT_EQ(net::read_certificate(file("kubelet.crt"))->ip_addresses, (std::vector<std::string>{"127.0.0.1", "192.0.2.9"}));

  const Time begin = *parse_rfc3339("2026-01-01T00:00:00Z");
  live_until(begin + ca_lifetime - next_ca_before + day * 40);
  const std::string both = file("front-proxy-ca.crt");
  EXPECT_TRUE(both.starts_with(front));
  live_until(begin + ca_lifetime + day);
  EXPECT_EQ(file("front-proxy-ca.crt").find(front), std::string::npos);
  EXPECT_TRUE(net::issued_by(file("front-proxy-client.crt"), both));  // who read the bundle years ago trusts it
  EXPECT_GT(net::read_certificate(file("front-proxy-client.crt"))->not_after, now + renew_before);
}

TEST_F(PkiTest, AStepThatWasCutShortIsTakenAgain) {
  ASSERT_TRUE(ensure());
  const Time begin = now;
  now = begin + ca_lifetime - next_ca_before + day;
  fs::create_directories(options.data_dir + "/pki");
  std::ofstream(options.data_dir + "/pki/ca-next.key") << "half a key";  // written, and then the power went
  ASSERT_TRUE(ensure());
  now = begin + ca_lifetime - switch_ca_before + day;
  const std::string next = file("ca-next.key");
  ASSERT_NE(next, "half a key");
  ASSERT_TRUE(write_private_file(options.data_dir + "/pki/ca.key", next));  // the key changed places, the certificates not
  ASSERT_TRUE(ensure());
  EXPECT_EQ(file("ca.key"), next);
  net::CertificateSpec spec;
  spec.common_name = "somebody";
  spec.not_before = now;
  spec.not_after = now + day;
  auto issued = net::issue({file("ca.crt"), file("ca.key")}, spec);
  ASSERT_TRUE(issued) << issued.error().message;
  EXPECT_TRUE(net::issued_by(issued->certificate_pem, file("ca.crt")));
}

}  // namespace
}  // namespace kybern::apiserver
