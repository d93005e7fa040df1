#include "apiserver/admission/match.h"

#include <algorithm>

#include "machinery/labels.h"

namespace kybern::apiserver::admission {
namespace {

bool lists(Value list, std::string_view text) {
  for (Value v : list.items())
    if (v.as_string() == "*" || v.as_string() == text) return true;
  return false;
}

// "pods", "pods/log", "pods/*", "*", "*/scale", "*/*"; without a slash subresources are not meant.
bool names_resource(std::string_view pattern, std::string_view plural, std::string_view subresource) {
  auto slash = pattern.find('/');
  std::string_view resource = pattern.substr(0, slash),
                   sub = slash == std::string_view::npos ? std::string_view() : pattern.substr(slash + 1);
  return (resource == "*" || resource == plural) && (sub == "*" || sub == subresource);
}

bool is_namespaces(const Served& served) { return served.plural() == "namespaces" && served.group().empty(); }

bool in_scope(std::string_view scope, const MatchTarget& target, const Served& as) {
  bool within = !target.ns.empty() && !is_namespaces(as);
  return scope == "Namespaced" ? within : scope == "Cluster" ? !within : true;
}

bool selects_all(Value selector) { return selector["matchLabels"].empty() && selector["matchExpressions"].empty(); }

bool selects(const LabelSelector& selector, Value object) { return object.is_object() && selector.matches(object["metadata"]["labels"]); }

}  // namespace

bool is_exempt(const MatchTarget& target) {
  if (target.served->group() != "admissionregistration.k8s.io") return false;
  static constexpr std::string_view plurals[] = {"mutatingwebhookconfigurations", "validatingwebhookconfigurations",
                                                 "validatingadmissionpolicies",   "validatingadmissionpolicybindings",
                                                 "mutatingadmissionpolicies",     "mutatingadmissionpolicybindings"};
  return std::ranges::find(plurals, target.served->plural()) != std::end(plurals);
}

// A name that is still to be generated is not told.
MatchTarget target_of(const AdmissionAttributes& a, Value object) {
  const Work& work = a.work;
  return {work.served,
          a.operation,
          work.subresource,
          is_namespaces(*work.served) ? std::string_view(work.name) : std::string_view(work.ns),
          work.generated_from.empty() ? std::string_view(work.name) : std::string_view(),
          object,
          a.before};
}

bool rule_matches(Value rule, const MatchTarget& target, const Served& as) {
  if (!lists(rule["operations"], target.operation) || !lists(rule["apiGroups"], as.group()) ||
      !lists(rule["apiVersions"], as.resource->version))
    return false;
  if (!in_scope(rule["scope"].as_string(), target, as)) return false;
  bool named = rule["resourceNames"].empty();
  for (Value name : rule["resourceNames"].items()) named |= name.as_string() == target.name;
  if (!named) return false;
  for (Value pattern : rule["resources"].items())
    if (names_resource(pattern.as_string(), as.plural(), target.subresource)) return true;
  return false;
}

const Served* match_rules(Value rules, bool equivalent, const MatchTarget& target) {
  for (Value rule : rules.items())
    if (rule_matches(rule, target, *target.served)) return target.served;
  if (!equivalent || rules.empty()) return nullptr;
  std::vector<const Served*> others;  // that serve the same stored objects
  for (const Served* other : target.served->versions)
    if (other != target.served && (target.subresource.empty() || other->subresource(target.subresource))) others.push_back(other);
  for (Value rule : rules.items())
    for (const Served* other : others)
      if (rule_matches(rule, target, *other)) return other;
  return nullptr;
}

ApiResult<bool> namespace_selected(Value selector, const MatchTarget& target, const Registry& registry) {
  if (selects_all(selector)) return true;
  bool of_namespace = is_namespaces(*target.served);
  if (target.ns.empty() && !of_namespace) return true;
  auto parsed = LabelSelector::from(selector);
  if (!parsed) return fail(internal_error(parsed.error().message));
  if (of_namespace && target.subresource.empty() && (target.operation == "CREATE" || target.operation == "UPDATE"))
    return parsed->matches(target.object["metadata"]["labels"]);
  Document found = registry.read("", "v1", "namespaces", "", target.ns);
  if (!found) return fail(not_found("", "namespaces", target.ns));
  return parsed->matches(found["metadata"]["labels"]);
}

bool object_selected(Value selector, const MatchTarget& target) {
  if (selects_all(selector)) return true;
  auto parsed = LabelSelector::from(selector);
  return parsed && (selects(*parsed, target.object) || selects(*parsed, target.before));
}

ApiResult<const Served*> match(const MatchCriteria& criteria, const MatchTarget& target, const Registry& registry) {
  static constexpr const Served* none = nullptr;
  const Served* as =
      criteria.rules_optional && criteria.rules.empty() ? target.served : match_rules(criteria.rules, criteria.equivalent, target);
  if (!as || match_rules(criteria.exclude_rules, criteria.equivalent, target)) return none;
  if (!object_selected(criteria.object_selector, target)) return none;
  auto selected = namespace_selected(criteria.namespace_selector, target, registry);
  if (!selected) return fail(std::move(selected.error()));
  return *selected ? as : none;
}

}  // namespace kybern::apiserver::admission
