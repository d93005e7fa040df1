// Whom a webhook or an admission policy concerns: rules, scope, selectors, matchPolicy
// (admissionregistration.k8s.io/v1: RuleWithOperations, NamedRuleWithOperations, MatchResources).
//
//   MatchTarget target = target_of(attributes, object);
//   auto as = match({.rules = hook["rules"], .namespace_selector = hook["namespaceSelector"],
//                    .object_selector = hook["objectSelector"], .equivalent = true}, target, registry);
//   if (!as) return fail(as.error());          // the request's namespace is not there
//   if (!*as) ...                              // it does not concern this request
//   (*as)->api_version                         // the version that the webhook gets the objects in
#pragma once

#include <string_view>

#include "apiserver/registry/registry.h"

namespace kybern::apiserver::admission {

// A request as rules see it. Everything is borrowed from the request.
struct MatchTarget {
  const Served* served = nullptr;
  std::string_view operation;    // CREATE UPDATE DELETE CONNECT
  std::string_view subresource;  // "": the object itself
  std::string_view ns, name;     // of a Namespace both are its name; a cluster's object has no ns
  Value object, before;          // either may be absent
};
MatchTarget target_of(const AdmissionAttributes& a, Value object);

// Configurations of webhooks and policies are nobody's business: a broken one could not be taken back.
bool is_exempt(const MatchTarget& target);

struct MatchCriteria {
  Value rules{};               // absent or empty: matches nothing, unless rules_optional
  Value exclude_rules{};       // win over rules
  Value namespace_selector{};  // absent: everything
  Value object_selector{};
  bool equivalent = true;       // matchPolicy: a rule may name another version or group of the same stored objects
  bool rules_optional = false;  // no rules at all match every resource
};

// Whether a rule names the operation, the resource as `as` serves it, the scope, and (resourceNames) the object.
bool rule_matches(Value rule, const MatchTarget& target, const Served& as);
// The first rule that matches: as which resource. nullptr: none does.
const Served* match_rules(Value rules, bool equivalent, const MatchTarget& target);
// An object outside of namespaces is always selected; a namespace that is missing is an error.
ApiResult<bool> namespace_selected(Value selector, const MatchTarget& target, const Registry& registry);
// Either of the objects, before or after, is enough.
bool object_selected(Value selector, const MatchTarget& target);

// All of the above in upstream's order: what does not concern the request is never an error.
ApiResult<const Served*> match(const MatchCriteria& criteria, const MatchTarget& target, const Registry& registry);

}  // namespace kybern::apiserver::admission
