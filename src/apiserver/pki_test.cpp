// The cluster's certificates over the years.
#include "apiserver/pki.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "net/certificates.h"

namespace kybern::apiserver {
namespace {

namespace fs = std::filesystem;
constexpr Duration day = std::chrono::hours(24);

std::string text_of(const std::string& path) {
  std::ifstream in(path);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

class PkiTest : public ::testing::Test {
 protected:
  PkiTest() {
    char name[] = "/tmp/kybern-pki-XXXXXX";
    options.data_dir = ::mkdtemp(name);
  }
  ~PkiTest() override { fs::remove_all(options.data_dir); }

  std::string file(const std::string& name) const { return text_of(options.data_dir + "/pki/" + name); }
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
