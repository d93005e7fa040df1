// CertificateSigningRequests (certificates.k8s.io/v1): which of them the cluster's own signers fulfil, which are approved
// without a person, and how long they are kept.
//
// What stands inside a request (PKCS #10) is given as Subject: reading it is not for pure code.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controllers/plan.h"

namespace kybern::controllers::certificates {

inline constexpr std::string_view client_signer = "kubernetes.io/kube-apiserver-client",
                                  node_client_signer = "kubernetes.io/kube-apiserver-client-kubelet",
                                  node_serving_signer = "kubernetes.io/kubelet-serving", legacy_signer = "kubernetes.io/legacy-unknown";

// Who a request is for.
struct Subject {
  std::string common_name;
  std::vector<std::string> organizations, dns_names, ip_addresses, emails, uris;
};

bool is_built_in(std::string_view signer);
// Why a built-in signer does not sign what is asked for; "" when it does.
std::string fault_of(Value request, const Subject& subject);

bool approved(Value request);  // and not denied
bool decided(Value request);   // approved or denied
bool failed(Value request);
bool issued(Value request);

// The access that lets somebody have a node's client certificate approved at once: the subresource of
// certificatesigningrequests that they may `create`, and what the condition then says.
struct Recognized {
  std::string_view subresource, message;
};
std::vector<Recognized> recognize(Value request, const Subject& subject);

Plan approve(const Document& request, std::string_view message);
Plan give_up(const Document& request, std::string_view why, Time now);
Plan publish(const Document& request, std::string_view certificate_pem);

// From when and until when a certificate is valid.
struct Validity {
  Time not_before, not_after;
};
Validity validity(Value request, Time now, Duration most, Time ca_not_after);

// When the request itself is removed: an hour after it was fulfilled, denied or given up, a day after it was made and
// forgotten, or approved and not signed, and when its certificate has ended. Nothing: not yet known.
std::optional<Time> end_of(Value request, std::optional<Time> certificate_not_after);

}  // namespace kybern::controllers::certificates
