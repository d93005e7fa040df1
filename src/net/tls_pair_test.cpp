#include "net/tls_pair.h"

#include <gtest/gtest.h>

#include "net/certificates.h"

namespace kybern::net {
namespace {

TEST(TlsPair, Faults) {
  Time from = Time(std::chrono::seconds(1'700'000'000)), to = from + std::chrono::hours(24);
  auto ca = new_ca("ca", from, to);
  ASSERT_TRUE(ca);
  CertificateSpec spec;
  spec.common_name = "a";
  spec.not_before = from;
  spec.not_after = to;
  auto one = issue(*ca, spec), two = issue(*ca, spec);
  ASSERT_TRUE(one && two);
  const std::string rsa_less = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
  const std::string note = "-----BEGIN NOTE-----\nAAAA\n-----END NOTE-----\n";
  struct Row {
    std::string certificate, key, fault;
  };
  for (const Row& row : {
           Row{one->certificate_pem, one->key_pem, ""},
           Row{one->certificate_pem + ca->certificate_pem, note + one->key_pem, ""},
           Row{one->certificate_pem, two->key_pem, "tls: private key does not match public key"},
           Row{"", "", "tls: failed to find any PEM data in certificate input"},
           Row{"Zm9v", one->key_pem, "tls: failed to find any PEM data in certificate input"},
           Row{"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", "",
               "tls: failed to find any PEM data in certificate input"},
           Row{one->certificate_pem, "", "tls: failed to find any PEM data in key input"},
           Row{one->key_pem, one->certificate_pem,
               "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been "
               "switched"},
           Row{one->certificate_pem, one->certificate_pem, "tls: found a certificate rather than a key in the PEM for the private key"},
           Row{note + note, one->key_pem,
               "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: "
               "[NOTE NOTE]"},
           Row{one->certificate_pem, note,
               "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the "
               "following types: [NOTE]"},
           Row{"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", one->key_pem, "x509: malformed certificate"},
           Row{one->certificate_pem, rsa_less, "tls: failed to parse private key"},
       })
    EXPECT_EQ(tls_pair_fault(row.certificate, row.key), row.fault) << row.fault;
}

}  // namespace
}  // namespace kybern::net
