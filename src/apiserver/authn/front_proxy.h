// Requests of a front proxy: it proves by its certificate that it may say who asks, and says it in headers. This is how an
// API server behind another one, or behind an authenticating proxy, learns of the user.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apiserver/user.h"
#include "net/http.h"

namespace kybern::apiserver {

struct FrontProxyOptions {
  std::string client_ca_file;              // who signs proxies' certificates; "": the cluster's own authority for them
  std::vector<std::string> allowed_names;  // their common names; empty: any
  // Where the user stands; of several headers for one thing the first that holds something counts, of groups all.
  std::vector<std::string> username_headers{"X-Remote-User"}, uid_headers{"X-Remote-Uid"}, group_headers{"X-Remote-Group"},
      extra_prefixes{"X-Remote-Extra-"};
};

class FrontProxy {
 public:
  explicit FrontProxy(FrontProxyOptions options);

  // The user that the proxy names, without system:authenticated. Nothing: the request is of no proxy, or names nobody.
  std::optional<User> user_of(const net::Request& request) const;
  // Takes out of the request what was said of the user: it goes to nobody else.
  void strip(net::Headers& headers) const;
  // Why the certificate is no way in: its name is not among the allowed ones. "" when it is, or when there is none.
  std::string fault_of(const net::Request& request) const;

 private:
  bool names_allow(const net::PeerCertificate& certificate) const;
  FrontProxyOptions options_;  // header names in lower case
};

}  // namespace kybern::apiserver
