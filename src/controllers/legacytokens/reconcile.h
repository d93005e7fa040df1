// Tokens of accounts in Secrets that were made for their account long ago and that nobody uses any more: first they are
// marked as no longer valid, and removed when they stay unused for as long again (KEP-2799).
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "controllers/plan.h"

namespace kybern::controllers::legacytokens {

inline constexpr std::string_view tracking_map = "kube-apiserver-legacy-service-account-token-tracking";
inline constexpr std::string_view last_used_label = "kubernetes.io/legacy-token-last-used",
                                  invalid_since_label = "kubernetes.io/legacy-token-invalid-since";

struct Seen {
  Document tracking;              // the ConfigMap that says since when uses are noted; absent: nobody knows
  std::vector<Document> secrets;  // of type kubernetes.io/service-account-token
  std::function<Document(std::string_view ns, std::string_view name)> account;
  std::function<std::vector<Document>()> pods;  // all of them; asked when there is something to decide
};

// `period`: for how long a token has to be unused.
Plan reconcile(const Seen& seen, Time now, Duration period);

}  // namespace kybern::controllers::legacytokens
