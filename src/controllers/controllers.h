// Every controller of the cluster, in one object.
//
// Each works under an identity of its own, as upstream's do: "system:serviceaccount:kube-system:deployment-controller" and
// so on; what they read is mirrored once, under "system:kube-controller-manager". Nothing polls: an idle cluster costs
// nothing.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/time.h"
#include "base/world.h"
#include "client/transport.h"

namespace kybern::controllers {

struct Options {
  // The transport of an identity; called from the constructor, must stay valid until the manager is destroyed. One
  // transport for all is fine too (a separate process with one kubeconfig).
  std::function<client::Transport&(const std::string& user)> for_identity;
  std::function<std::string()> ca_bundle;  // what kube-root-ca.crt publishes; asked again now and then
  // The CA that signs CertificateSigningRequests: certificate and key, asked for each time, as both change with the years.
  // None: nobody signs.
  std::function<std::pair<std::string, std::string>()> signing_authority;
  std::function<std::string()> account_key_pem;                 // signs accounts' tokens that lie in Secrets; none: nobody does
  Duration signing_duration{std::chrono::hours(24 * 365)};      // the longest that such a certificate is valid
  Duration unused_tokens_period{std::chrono::hours(24 * 365)};  // accounts' tokens in Secrets that nobody used for so long go
  Duration node_grace{std::chrono::seconds(50)};                // a silent node is unknown after this time
  int terminated_pods_limit = 12500;                            // more finished pods are deleted, oldest first; 0: no limit
};

class ControllerManager {
 public:
  ControllerManager(World world, Options options);
  ~ControllerManager();  // stops
  void start();          // returns at once; the controllers begin when the first lists are in
  void stop();           // waits for what is in work

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kybern::controllers
