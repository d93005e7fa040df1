#include "net/certificates.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/strings.h"
#include "net/pem.h"

namespace kybern::net {
namespace {

using std::chrono::hours;

Time at(std::string_view text) { return *parse_rfc3339(text); }
const Time begin = at("2026-01-02T03:04:05Z");
const Time end = at("2036-01-02T03:04:05Z");

const KeyPair& test_ca() {
  static const KeyPair ca = *new_ca("kybern-test", begin, end);
  return ca;
}

std::string rsa_key_pem(unsigned bits) {
  KeyPtr key(EVP_RSA_gen(bits));
  BioPtr bio = memory_bio();
  PEM_write_bio_PrivateKey_traditional(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return bio_text(bio.get());
}

// Whether OpenSSL's own chain check accepts the certificate for the purpose at `begin` + 1 h.
bool chain_verifies(const std::string& leaf_pem, const std::string& ca_pem, int purpose) {
  auto leaf = read_certificates(leaf_pem);
  auto ca = read_certificates(ca_pem);
  X509_STORE* store = X509_STORE_new();
  X509_STORE_add_cert(store, ca->front().get());
  X509_STORE_CTX* context = X509_STORE_CTX_new();
  X509_STORE_CTX_init(context, store, leaf->front().get(), nullptr);
  X509_STORE_CTX_set_flags(context, X509_V_FLAG_X509_STRICT);
  X509_STORE_CTX_set_purpose(context, purpose);
  X509_STORE_CTX_set_time(context, 0,
                          std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::seconds>(begin + hours(1))));
  bool good = X509_verify_cert(context) == 1;
  X509_STORE_CTX_free(context);
  X509_STORE_free(store);
  return good;
}

TEST(Certificates, CaIsReadBack) {
  auto info = read_certificate(test_ca().certificate_pem);
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->common_name, "kybern-test");
  EXPECT_TRUE(info->ca);
  EXPECT_FALSE(info->server);
  EXPECT_EQ(info->not_before, begin);
  EXPECT_EQ(info->not_after, end);
  EXPECT_EQ(info->serial_hex.size(), 32u);
  EXPECT_TRUE(issued_by(test_ca().certificate_pem, test_ca().certificate_pem));
}

struct LeafCase {
  const char* name;
  CertificateSpec spec;
};

class CertificatesLeaf : public testing::TestWithParam<LeafCase> {};

TEST_P(CertificatesLeaf, IsReadBackAndVerifies) {
  const CertificateSpec& spec = GetParam().spec;
  auto pair = issue(test_ca(), spec);
  ASSERT_TRUE(pair) << pair.error().message;
  auto info = read_certificate(pair->certificate_pem);
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->common_name, spec.common_name);
  EXPECT_EQ(info->organizations, spec.organizations);
  EXPECT_EQ(info->dns_names, spec.dns_names);
  EXPECT_EQ(info->ip_addresses, spec.ip_addresses);
  EXPECT_EQ(info->server, spec.server);
  EXPECT_EQ(info->client, spec.client);
  EXPECT_EQ(info->not_before, spec.not_before);
  EXPECT_EQ(info->not_after, spec.not_after);
  EXPECT_FALSE(info->ca);
  EXPECT_TRUE(issued_by(pair->certificate_pem, test_ca().certificate_pem));
  EXPECT_EQ(chain_verifies(pair->certificate_pem, test_ca().certificate_pem, X509_PURPOSE_SSL_SERVER), spec.server || !spec.client);
  EXPECT_EQ(chain_verifies(pair->certificate_pem, test_ca().certificate_pem, X509_PURPOSE_SSL_CLIENT), spec.client || !spec.server);
}

INSTANTIATE_TEST_SUITE_P(
    Table, CertificatesLeaf,
    testing::Values(LeafCase{"server",
                             {"kube-apiserver",
                              {},
                              {"kubernetes", "kubernetes.default.svc", "*.example.com"},
                              {"10.96.0.1", "127.0.0.1", "::1", "fd00::10"},
                              true,
                              false,
                              begin,
                              end}},
                    LeafCase{"client", {"kubernetes-admin", {"system:masters", "kubeadm:cluster-admins"}, {}, {}, false, true, begin, end}},
                    LeafCase{"both", {"etcd", {}, {"localhost"}, {"127.0.0.1"}, true, true, begin, begin + hours(24)}},
                    LeafCase{"long_name", {"system:node:" + std::string(240, 'n'), {"system:nodes"}, {}, {}, false, true, begin, end}},
                    LeafCase{"utf8", {"\xc3\xa9t\xc3\xa9", {"\xe7\xb5\x84"}, {}, {}, false, true, begin, end}},
                    LeafCase{"no_subject", {"", {}, {"only.san.example"}, {}, true, false, begin, end}},
                    LeafCase{"after_2050", {"late", {}, {}, {}, false, true, begin, at("2126-01-02T03:04:05Z")}}),
    [](const auto& row) { return row.param.name; });

struct BadSpec {
  const char* name;
  CertificateSpec spec;
  const char* message;
};
class CertificatesBadSpec : public testing::TestWithParam<BadSpec> {};
TEST_P(CertificatesBadSpec, IsRefused) {
  auto pair = issue(test_ca(), GetParam().spec);
  ASSERT_FALSE(pair);
  EXPECT_EQ(pair.error().code, Code::invalid);
  EXPECT_EQ(pair.error().message, GetParam().message);
}
INSTANTIATE_TEST_SUITE_P(
    Table, CertificatesBadSpec,
    testing::Values(BadSpec{"ip", {"a", {}, {}, {"10.0.0.256"}, true, false, begin, end}, "\"10.0.0.256\" is not an IP address"},
                    BadSpec{"dns_empty", {"a", {}, {""}, {}, true, false, begin, end}, "\"\" is not a DNS name"},
                    BadSpec{"dns_nul", {"a", {}, {std::string("a\0b", 3)}, {}, true, false, begin, end}, "\"a\\x00b\" is not a DNS name"},
                    BadSpec{"times", {"a", {}, {}, {}, true, false, end, begin}, "the certificate would end before it begins"},
                    BadSpec{"utf8", {"\xff", {}, {}, {}, true, false, begin, end}, "a subject name is not valid UTF-8"}),
    [](const auto& row) { return row.param.name; });

TEST(Certificates, KeyOfAnotherCaIsRefused) {
  auto other = new_ca("other", begin, end);
  ASSERT_TRUE(other);
  auto pair = issue({test_ca().certificate_pem, other->key_pem}, {"a", {}, {}, {}, true, false, begin, end});
  ASSERT_FALSE(pair);
  EXPECT_EQ(pair.error().message, "the CA's key does not fit its certificate");
  auto leaf = issue(test_ca(), {"a", {}, {}, {}, true, false, begin, end});
  EXPECT_FALSE(issued_by(leaf->certificate_pem, other->certificate_pem));
  EXPECT_TRUE(issued_by(leaf->certificate_pem, other->certificate_pem + test_ca().certificate_pem));
  EXPECT_FALSE(issue(*leaf, {"b", {}, {}, {}, true, false, begin, end})) << "a leaf is no CA";
  // A CA of the same name but another key.
  auto twin = new_ca("kybern-test", begin, end);
  EXPECT_FALSE(issued_by(leaf->certificate_pem, twin->certificate_pem));
}

TEST(Certificates, RequestIsSigned) {
  auto key = new_private_key_pem();
  CertificateSpec wanted{"system:node:n1", {"system:nodes"}, {"n1.example"}, {"10.0.0.7", "fd00::7"}, true, false, {}, {}};
  auto csr = new_request(*key, wanted);
  ASSERT_TRUE(csr) << csr.error().message;
  auto asked = read_request(*csr);
  ASSERT_TRUE(asked) << asked.error().message;
  EXPECT_EQ(asked->common_name, "system:node:n1");
  EXPECT_EQ(asked->organizations, wanted.organizations);
  EXPECT_EQ(asked->dns_names, wanted.dns_names);
  EXPECT_EQ(asked->ip_addresses, wanted.ip_addresses);
  EXPECT_TRUE(asked->server);
  EXPECT_FALSE(asked->client);
  EXPECT_EQ(asked->not_after, Time());

  CertificateSpec grant{"ignored", {"ignored"}, {}, {}, false, true, begin, begin + hours(1)};
  auto certificate = sign_request(test_ca(), *csr, grant);
  ASSERT_TRUE(certificate) << certificate.error().message;
  auto info = read_certificate(*certificate);
  EXPECT_EQ(info->common_name, "system:node:n1");
  EXPECT_EQ(info->organizations, wanted.organizations);
  EXPECT_EQ(info->dns_names, wanted.dns_names);
  EXPECT_EQ(info->ip_addresses, wanted.ip_addresses);
  EXPECT_TRUE(info->client);
  EXPECT_FALSE(info->server);
  EXPECT_EQ(info->not_after, begin + hours(1));
  EXPECT_EQ(*key_id(*certificate), *key_id(*key)) << "the request's key";

  grant.dns_names = {"other.example"};
  EXPECT_EQ(read_certificate(*sign_request(test_ca(), *csr, grant))->dns_names, grant.dns_names);
}

TEST(Certificates, RequestByAnRsaKey) {
  std::string key = rsa_key_pem(2048);
  auto csr = new_request(key, {"rsa", {}, {}, {}, false, true, {}, {}});
  ASSERT_TRUE(csr) << csr.error().message;
  auto certificate = sign_request(test_ca(), *csr, {"", {}, {}, {}, false, true, begin, end});
  ASSERT_TRUE(certificate) << certificate.error().message;
  EXPECT_EQ(read_certificate(*certificate)->common_name, "rsa");
}

TEST(Certificates, UsagesByName) {
  auto csr = new_request(*new_private_key_pem(), {"jane", {}, {}, {}, false, false, {}, {}});
  CertificateSpec spec{"", {}, {}, {}, true, false, begin, end};
  spec.usages = {"digital signature", "client auth", "signing"};
  auto certificate = sign_request(test_ca(), *csr, spec);
  ASSERT_TRUE(certificate) << certificate.error().message;
  EXPECT_TRUE(read_certificate(*certificate)->client);
  EXPECT_FALSE(read_certificate(*certificate)->server);
  spec.usages = {"client"};
  auto refused = sign_request(test_ca(), *csr, spec);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "unrecognized usage: \"client\"");
}

TEST(Certificates, TamperedRequestIsRefused) {
  auto csr = *new_request(*new_private_key_pem(), {"system:node:victim", {}, {}, {}, false, true, {}, {}});
  std::size_t body = csr.find('\n') + 1, tail = csr.find("-----END");
  std::string der = *base64_decode(csr.substr(body, tail - body));
  std::size_t at = der.find("victim");
  ASSERT_NE(at, der.npos);
  der.replace(at, 6, "wictim");
  std::string forged = "-----BEGIN CERTIFICATE REQUEST-----\n";
  std::string text = base64_encode(der);
  for (std::size_t i = 0; i < text.size(); i += 64) forged += text.substr(i, 64) + "\n";
  forged += "-----END CERTIFICATE REQUEST-----\n";
  auto read = read_request(forged);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().message, "the certificate request is not signed by its own key");
  EXPECT_FALSE(sign_request(test_ca(), forged, {"", {}, {}, {}, false, true, begin, end}));
}

TEST(Certificates, MalformedInputs) {
  const std::string& good = test_ca().certificate_pem;
  const std::string rows[] = {"",
                              "garbage",
                              std::string(3, '\0'),
                              "-----BEGIN CERTIFICATE-----\n",
                              "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
                              "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
                              "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                              good.substr(0, good.size() / 2),
                              test_ca().key_pem,
                              good.substr(0, 100) + "A" + good.substr(100)};
  for (const std::string& row : rows) {
    auto info = read_certificate(row);
    EXPECT_FALSE(info) << row;
    if (!info) { EXPECT_EQ(info.error().code, Code::invalid); }
    EXPECT_FALSE(read_request(row)) << row;
    EXPECT_FALSE(issued_by(row, good)) << row;
    EXPECT_FALSE(issued_by(good, row)) << row;
  }
  auto second_bad = read_certificates(good + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  EXPECT_FALSE(second_bad) << "a bundle is read as a whole or not at all";
  auto commented = read_certificate("# issued by hand\n" + good + "\n# the end\n");
  EXPECT_TRUE(commented);
}

TEST(Certificates, PrivateKeys) {
  EXPECT_TRUE(read_private_key(*new_private_key_pem()));
  EXPECT_TRUE(read_private_key(rsa_key_pem(2048)));
  struct Row {
    std::string pem;
    const char* message;
  };
  KeyPtr key(EVP_EC_gen("P-256"));
  BioPtr bio = memory_bio();
  PEM_write_bio_PKCS8PrivateKey(bio.get(), key.get(), EVP_aes_128_cbc(), "secret", 6, nullptr, nullptr);
  for (const Row& row :
       {Row{"", "data does not contain a PEM private key"}, Row{test_ca().certificate_pem, "data does not contain a PEM private key"},
        Row{bio_text(bio.get()), "the private key is encrypted; only unencrypted keys are supported"}}) {
    auto read = read_private_key(row.pem);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().message, row.message);
  }
  EXPECT_FALSE(read_private_key("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"));
}

TEST(Certificates, Hashes) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256("abc").size(), 32u);
  EXPECT_TRUE(equal_constant_time("abc", "abc"));
  EXPECT_TRUE(equal_constant_time("", ""));
  EXPECT_FALSE(equal_constant_time("abc", "abd"));
  EXPECT_FALSE(equal_constant_time("abc", "ab"));
  EXPECT_EQ(random_bytes(0), "");
  EXPECT_EQ(random_bytes(33).size(), 33u);
  EXPECT_NE(random_bytes(32), random_bytes(32));
}

}  // namespace
}  // namespace kybern::net
