#include "controllers/certificates/reconcile.h"

#include <gtest/gtest.h>

#include "document/json.h"

namespace kybern::controllers::certificates {
namespace {

Document request(std::string_view signer, std::string_view usages, std::string_view rest = "") {
  auto out = parse_json(
      std::string(
          R"({"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"name":"r","uid":"u","creationTimestamp":"2026-01-01T00:00:00Z"},)") +
      R"("spec":{"username":"system:node:a","signerName":")" + std::string(signer) + R"(","usages":)" + std::string(usages) + "}" +
      std::string(rest) + "}");
  EXPECT_TRUE(out);
  return out ? *out : Document();
}

const char* const client_usages = R"(["digital signature","key encipherment","client auth"])";
const char* const serving_usages = R"(["digital signature","server auth"])";
const Subject node{"system:node:a", {"system:nodes"}, {}, {}, {}, {}};

TEST(CertificateRules, EachSignerHasItsOwn) {
  Subject server = node;
  server.dns_names = {"a"};
  auto changed = [](Subject s, auto change) {
    change(s);
    return s;
  };
  struct Case {
    std::string_view signer, usages;
    Subject subject;
    std::string fault;
  };
  const Case cases[] = {
      {node_client_signer, client_usages, node, ""},
      {node_client_signer, R"(["digital signature","client auth"])", node, ""},
      {node_client_signer, serving_usages, node, "usages did not match [client auth digital signature key encipherment]"},
      {node_client_signer, client_usages, changed(node, [](Subject& s) { s.organizations.push_back("x"); }),
       "subject organization is not system:nodes"},
      {node_client_signer, client_usages, server, "DNS subjectAltNames are not allowed"},
      {node_client_signer, client_usages, changed(node, [](Subject& s) { s.ip_addresses = {"10.0.0.1"}; }),
       "IP subjectAltNames are not allowed"},
      {node_client_signer, client_usages, changed(node, [](Subject& s) { s.emails = {"a@b"}; }), "Email subjectAltNames are not allowed"},
      {node_client_signer, client_usages, changed(node, [](Subject& s) { s.uris = {"u:x"}; }), "URI subjectAltNames are not allowed"},
      {node_client_signer, client_usages, changed(node, [](Subject& s) { s.common_name = "a"; }),
       "subject common name does not begin with system:node:"},
      {node_serving_signer, serving_usages, server, ""},
      {node_serving_signer, serving_usages, node, "DNS or IP subjectAltName is required"},
      {node_serving_signer, client_usages, server, "usages did not match [digital signature key encipherment server auth]"},
      {client_signer, R"(["client auth"])", {}, ""},
      {client_signer, R"(["digital signature"])", {}, "missing required usage for client certificate: client auth"},
      {client_signer, R"(["client auth","server auth"])", {}, "invalid usage for client certificate: server auth"},
      {legacy_signer, R"(["cert sign"])", {}, ""},
  };
  for (const Case& c : cases) EXPECT_EQ(fault_of(request(c.signer, c.usages), c.subject), c.fault) << c.signer << " " << c.usages;
}

TEST(CertificateRules, NodesAreRecognized) {
  auto ways = recognize(request(node_client_signer, client_usages), node);
  ASSERT_EQ(ways.size(), 2u);
  EXPECT_EQ(ways[0].subresource, "selfnodeclient");
  Subject other = node;
  other.common_name = "system:node:b";
  ways = recognize(request(node_client_signer, client_usages), other);
  ASSERT_EQ(ways.size(), 1u);
  EXPECT_EQ(ways[0].subresource, "nodeclient");
  EXPECT_TRUE(recognize(request(client_signer, client_usages), node).empty());
}

TEST(CertificateRules, ValidityIsBounded) {
  const Time now = *parse_rfc3339("2026-01-01T00:00:00Z"), never = Time::max();
  const Duration year = std::chrono::hours(24 * 365), back = std::chrono::minutes(5);
  Document plain = request(client_signer, client_usages);
  EXPECT_EQ(validity(plain, now, year, never).not_before, now - back);
  EXPECT_EQ(validity(plain, now, year, never).not_after, now + year - back);
  EXPECT_EQ(validity(plain, now, year, now + std::chrono::hours(9)).not_after, now + std::chrono::hours(9));
  auto asked = [&](std::int64_t seconds) {
    Draft d(plain);
    d["spec"]["expirationSeconds"] = seconds;
    return d.freeze();
  };
  EXPECT_EQ(validity(asked(3600), now, year, never).not_after, now + std::chrono::hours(1));
  EXPECT_EQ(validity(asked(1), now, year, never).not_after, now + std::chrono::minutes(10));
  EXPECT_EQ(validity(asked(10 * 365 * 24 * 3600), now, year, never).not_after, now + year - back);
}

TEST(CertificateRules, OldRequestsEnd) {
  const Time made = *parse_rfc3339("2026-01-01T00:00:00Z"), hour_later = made + std::chrono::hours(1);
  auto with = [](std::string_view type, bool certificate) {
    return request(client_signer, client_usages,
                   std::string(R"(,"status":{"conditions":[{"type":")") + std::string(type) +
                       R"(","status":"True","lastUpdateTime":"2026-01-01T00:00:00Z"}])" +
                       (certificate ? R"(,"certificate":"eA=="})" : "}"));
  };
  EXPECT_EQ(end_of(request(client_signer, client_usages), {}), made + std::chrono::hours(24));
  EXPECT_EQ(end_of(with("Denied", false), {}), hour_later);
  EXPECT_EQ(end_of(with("Failed", false), {}), hour_later);
  EXPECT_EQ(end_of(with("Approved", false), {}), made + std::chrono::hours(24));
  EXPECT_EQ(end_of(with("Approved", true), {}), hour_later);
  EXPECT_EQ(end_of(with("Approved", true), made + std::chrono::minutes(3)), made + std::chrono::minutes(3));
}

}  // namespace
}  // namespace kybern::controllers::certificates
