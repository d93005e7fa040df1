// What they may: kubelets by their pods (node_authorizer.h), everybody by RBAC over the stored roles and bindings, or what
// else a cluster is told to ask (chain.h).
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "apiserver/http/request_info.h"
#include "apiserver/registry/registry.h"
#include "apiserver/user.h"
#include "base/published.h"

namespace kybern::apiserver {

struct Attributes {
  User user;
  std::string verb, group, version, resource, subresource, name, ns;
  std::string path;  // of a non-resource request
  bool is_resource = true;
  std::string field_selector = {}, label_selector = {};  // of a list, watch or deletecollection
};
Attributes attributes_of(const User& user, const RequestInfo& info);

// Neither allowed nor denied: no opinion, another may be asked.
struct Decision {
  bool allowed = false;
  std::string reason;  // upstream's: RBAC: allowed by ClusterRoleBinding "x" of ClusterRole "y" to User "z"
  bool denied = false;
  std::string error = {};  // why nobody can say; a request that is not allowed then fails instead of being forbidden
};

class NodeAuthorizer;
struct Authority;
using AuthorizationChain = std::vector<Authority>;

class Authorizer {
 public:
  explicit Authorizer(Registry& registry);  // Node, RBAC
  ~Authorizer();
  // From now on these are asked; at any time.
  void ask(AuthorizationChain chain);

  // Blocks where a webhook has to be asked.
  Decision authorize(const Attributes& attributes) const;
  // Nothing: a webhook has to be asked.
  std::optional<Decision> authorize_at_once(const Attributes& attributes) const;
  bool may_wait() const { return may_wait_.load(std::memory_order_relaxed); }  // there are webhooks

  // The rules that a user has in a namespace ("" for cluster-wide), as PolicyRule values: for the escalation check. Roles that
  // are missing are told to `errors`.
  std::vector<Document> rules_for(const User& user, std::string_view ns, std::vector<std::string>* errors = nullptr) const;
  // All that those who are asked can tell of a user's rules.
  struct Rules {
    std::vector<Document> rules;
    bool incomplete = false;
    std::vector<std::string> errors;
  };
  Rules told_rules(const User& user, std::string_view ns) const;
  // Whether every rule in `wanted` is covered by `held`. Gives the rules that are not.
  static std::vector<Document> uncovered(const std::vector<Document>& held, Value wanted);

 private:
  // What was decided by the roles and bindings as they are still. A question has one or two keys: without the object's name,
  // and with it, for what a rule with names decided.
  struct Decided {
    std::shared_mutex mutex;
    store::Revision at = 0;  // the roles' last change
    std::unordered_map<std::string, Decision> by_question;
  };
  std::optional<Decision> decide(const Attributes& attributes, bool may_wait) const;
  Decision by_roles(const Attributes& attributes) const;
  Decision walk_roles(const Attributes& attributes, bool& by_name) const;
  std::optional<Decision> decided(const std::string& question, store::Revision at) const;
  void remember(const std::string& question, bool by_name, store::Revision at, const Decision& decision) const;

  const Registry& registry_;
  const store::Store& store_;
  mutable Decided decided_;
  std::unique_ptr<NodeAuthorizer> nodes_;
  Published<AuthorizationChain> chain_;
  std::atomic<bool> may_wait_{false};
};

// Whether a PolicyRule covers the request.
bool rule_allows(Value rule, const Attributes& attributes);

// The Forbidden status of a denied request, in upstream's words.
Status denied(const Attributes& attributes, const Decision& decision);

// Upstream's default cluster roles, roles and bindings: made at start when missing, and brought back when changed
// (unless rbac.authorization.kubernetes.io/autoupdate is "false").
Result<void> reconcile_bootstrap_policy(Registry& registry, World world);

}  // namespace kybern::apiserver
