#include "controllers/bootstraptokens/reconcile.h"

#include <gtest/gtest.h>

#include "base/strings.h"
#include "controllers/test_objects.h"
#include "net/cipher.h"

namespace kybern::controllers::bootstraptokens {
namespace {

using testing_objects::at;
using testing_objects::object;

Document token(std::string_view id, std::string_view expiration = "", std::string_view signing = "true") {
  Draft out = object("v1", "Secret", "kube-system", "bootstrap-token-" + std::string(id));
  out["type"] = token_type;
  out["data"] = Draft::object({{"token-id", base64_encode(id)}, {"token-secret", base64_encode("0123456789abcdef")}});
  if (!expiration.empty()) out["data"]["expiration"] = base64_encode(expiration);
  out["data"]["usage-bootstrap-signing"] = base64_encode(signing);
  return out.freeze();
}
Document info(std::string_view old = "") {
  Draft out = object("v1", "ConfigMap", "kube-public", "cluster-info");
  out["data"] = Draft::object({{"kubeconfig", "content"}});
  if (!old.empty()) out["data"][old] = "old";
  return out.freeze();
}

TEST(BootstrapTokenCleaner, EndsWhatHasExpired) {
  EXPECT_TRUE(clean(token("abcdef"), at(0)).actions.empty());
  const Plan later = clean(token("abcdef", format_rfc3339(at(60))), at(0));
  EXPECT_TRUE(later.actions.empty());
  EXPECT_EQ(later.wake_after, Duration(std::chrono::seconds(60)));
  EXPECT_EQ(describe(clean(token("abcdef", format_rfc3339(at(60))), at(60))), "delete secrets kube-system/bootstrap-token-abcdef");
  EXPECT_EQ(clean(token("abcdef", "soon"), at(0)).actions.size(), 1u) << "what cannot be read has ended";
}

// As `openssl dgst -sha256 -hmac 0123456789abcdef -binary` makes it of header.content.
TEST(BootstrapSigner, SignsDetached) {
  EXPECT_EQ(signature("content", "abcdef", "0123456789abcdef", net::hmac_sha256),
            "eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9..psz1NayrXM3IaFzKZGsb5n_mBl7MjtlsZ1xE8MRmF_4");
}

TEST(BootstrapSigner, SignaturesFollowTheTokens) {
  const Plan made = sign(info("jws-kubeconfig-gone"),
                         {token("abcdef"), token("aaaaaa", "", "false"), token("bbbbbb", format_rfc3339(at(1)))}, at(2), net::hmac_sha256);
  ASSERT_EQ(made.actions.size(), 1u);
  Value data = made.actions[0].body["data"];
  EXPECT_EQ(data.size(), 2u);
  EXPECT_TRUE(data["jws-kubeconfig-abcdef"].as_string().starts_with("eyJ"));
  EXPECT_TRUE(sign(made.actions[0].body, {token("abcdef")}, at(2), net::hmac_sha256).actions.empty());
  EXPECT_TRUE(sign(info(), {}, at(0), net::hmac_sha256).actions.empty());
}

}  // namespace
}  // namespace kybern::controllers::bootstraptokens
