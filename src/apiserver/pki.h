// The cluster's certificates and keys in the data folder: made on the first start, renewed before they expire.
#pragma once

#include <string>
#include <vector>

#include "apiserver/server.h"

namespace kybern::apiserver {

// Creates or renews what is missing or near its end under `data_dir`/pki. Called again now and then, it also replaces the
// authority, without a moment at which anybody's certificate is not trusted: three years before the end the next one joins
// ca.crt (which clients, pods and the listener read), a year later it signs, and the old one stays trusted until it ends,
// longer than what it has signed. Likewise front-proxy-ca.crt.
Result<Credentials> ensure_pki(const ServerOptions& options, const std::string& service_ip, const std::string& advertise_address, Time now);

// A client identity signed by the cluster's CA, as a kubeconfig text (certificate and key embedded).
Result<std::string> make_kubeconfig(const std::string& data_dir, std::string_view server_url, std::string_view user,
                                    const std::vector<std::string>& groups, Time now);

// Whole or not at all, readable by its owner only.
Result<void> write_private_file(const std::string& path, std::string_view text);

inline constexpr Duration certificate_lifetime = std::chrono::hours(24 * 365);
inline constexpr Duration ca_lifetime = std::chrono::hours(24 * 3650);
inline constexpr Duration next_ca_before = std::chrono::hours(24 * 365 * 3), switch_ca_before = std::chrono::hours(24 * 365 * 2);
inline constexpr Duration renew_before = std::chrono::hours(24 * 90);

}  // namespace kybern::apiserver
