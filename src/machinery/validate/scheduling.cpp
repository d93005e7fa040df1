// Where a pod may run: affinity, tolerations, spreading.
#include <fmt/format.h>

#include <map>

#include "base/strings.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

void node_requirement(Findings& f, Value requirement, bool any_values, const Path& path) {
  std::string_view op = text(requirement, "operator");
  std::size_t count = requirement["values"].size();
  if (op == "In" || op == "NotIn") {
    if (count == 0) f.required(path.child("values"), "must be specified when `operator` is 'In' or 'NotIn'");
  } else if (op == "Exists" || op == "DoesNotExist") {
    if (count > 0) f.forbidden(path.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
  } else if (op == "Gt" || op == "Lt") {
    if (count != 1) f.required(path.child("values"), "must be specified single value when `operator` is 'Lt' or 'Gt'");
  } else {
    f.invalid(path.child("operator"), op, "not a valid selector operator");
  }
  f.add(validate_label_name(text(requirement, "key"), path.child("key")));
  Path values = path.child("values");
  std::size_t i = 0;
  for (Value value : requirement["values"].items()) {
    if (!any_values) f.say(values.index(i), value.as_string(), names::label_value(value.as_string()));
    ++i;
  }
}

void node_field_requirement(Findings& f, Value requirement, const Path& path) {
  std::string_view op = text(requirement, "operator"), key = text(requirement, "key");
  if (op != "In" && op != "NotIn") f.invalid(path.child("operator"), op, "not a valid selector operator");
  else if (requirement["values"].size() != 1)
    f.required(path.child("values"), "must be only one value when `operator` is 'In' or 'NotIn' for node field selector");
  if (key != "metadata.name") return f.invalid(path.child("key"), key, "not a valid field selector key");
  Path values = path.child("values");
  std::size_t i = 0;
  for (Value value : requirement["values"].items()) dns_subdomain(f, value.as_string(), values.index(i++));
}

void node_affinity(Findings& f, Value affinity, Value before, const Path& path) {
  Value required = affinity["requiredDuringSchedulingIgnoredDuringExecution"];
  bool any_values = has_odd_values(before["requiredDuringSchedulingIgnoredDuringExecution"]);
  if (!required.is_null()) node_selector(f, required, path.child("requiredDuringSchedulingIgnoredDuringExecution"), any_values);
  Path preferred = path.child("preferredDuringSchedulingIgnoredDuringExecution");
  std::size_t i = 0;
  for (Value term : affinity["preferredDuringSchedulingIgnoredDuringExecution"].items()) {
    Path at = preferred.index(i++);
    std::int64_t weight = term["weight"].as_int();
    if (weight <= 0 || weight > 100) f.invalid(at.child("weight"), weight, "must be in the range 1-100");
    node_selector_term(f, term["preference"], true, at.child("preference"));
  }
}

void label_keys(Findings& f, Value keys, Value selector, const Path& path) {
  if (keys.empty()) return;
  if (selector.is_null()) return f.forbidden(path, "must not be specified when labelSelector is not set");
  std::size_t i = 0;
  for (Value key : keys.items()) f.add(validate_label_name(key.as_string(), path.index(i++)));
}

// Where each text of a list stands last.
std::map<std::string, std::size_t, std::less<>> places(Value list) {
  std::map<std::string, std::size_t, std::less<>> out;
  for (std::size_t i = 0; i < list.size(); ++i) out.insert_or_assign(list[i].str(), i);
  return out;
}

// Of a term of an affinity, or of a spread. The server has added what the keys stand for to the selector: a key that the
// selector has besides comes twice.
void match_label_keys(Findings& f, Value term, const Path& path) {
  Value match = term["matchLabelKeys"], mismatch = term["mismatchLabelKeys"], selector = term["labelSelector"];
  if (match.empty() && mismatch.empty()) return;
  label_keys(f, match, selector, path.child("matchLabelKeys"));
  label_keys(f, mismatch, selector, path.child("mismatchLabelKeys"));
  auto matched = places(match), mismatched = places(mismatch);
  std::set<std::string, std::less<>> selected;
  for (Member label : selector["matchLabels"].members()) selected.emplace(label.key);
  for (Value expression : selector["matchExpressions"].items()) {
    std::string_view key = text(expression, "key");
    auto at = matched.find(key);
    if (at != matched.end() && selected.contains(key))
      f.invalid(path.index(at->second), key, "exists in both matchLabelKeys and labelSelector");
    selected.emplace(key);
  }
  Path keys = path.child("matchLabelKeys");
  for (std::size_t i = 0; i < match.size(); ++i) {
    if (mismatched.contains(match[i].as_string()))
      f.invalid(keys.index(i), match[i].as_string(), "exists in both matchLabelKeys and mismatchLabelKeys");
  }
}

void pod_affinity_term(Findings& f, Value term, const Path& path) {
  f.add(validate_label_selector(term["labelSelector"], path.child("labelSelector")));
  f.add(validate_label_selector(term["namespaceSelector"], path.child("namespaceSelector")));
  for (Value space : term["namespaces"].items()) dns_label(f, space.as_string(), path.child("namespace"));
  match_label_keys(f, term, path);
  if (text(term, "topologyKey").empty()) f.required(path.child("topologyKey"), "can not be empty");
  f.add(validate_label_name(text(term, "topologyKey"), path.child("topologyKey")));
}

void pod_affinity(Findings& f, Value affinity, const Path& path) {
  Path required = path.child("requiredDuringSchedulingIgnoredDuringExecution"),
       preferred = path.child("preferredDuringSchedulingIgnoredDuringExecution");
  std::size_t i = 0;
  for (Value term : affinity["requiredDuringSchedulingIgnoredDuringExecution"].items()) pod_affinity_term(f, term, required.index(i++));
  i = 0;
  for (Value term : affinity["preferredDuringSchedulingIgnoredDuringExecution"].items()) {
    Path at = preferred.index(i++);
    std::int64_t weight = term["weight"].as_int();
    if (weight <= 0 || weight > 100) f.invalid(at.child("weight"), weight, "must be in the range 1-100");
    pod_affinity_term(f, term["podAffinityTerm"], at.child("podAffinityTerm"));
  }
}

}  // namespace

void node_selector_term(Findings& f, Value term, bool any_values, const Path& path) {
  Path expressions = path.child("matchExpressions"), fields = path.child("matchFields");
  std::size_t i = 0;
  for (Value requirement : term["matchExpressions"].items()) node_requirement(f, requirement, any_values, expressions.index(i++));
  i = 0;
  for (Value requirement : term["matchFields"].items()) node_field_requirement(f, requirement, fields.index(i++));
}

bool has_odd_values(Value selector) {
  for (Value term : selector["nodeSelectorTerms"].items()) {
    for (Value requirement : term["matchExpressions"].items()) {
      for (Value value : requirement["values"].items()) {
        if (!names::label_value(value.as_string()).empty()) return true;
      }
    }
  }
  return false;
}

void node_selector(Findings& f, Value selector, const Path& path, bool any_values) {
  Path terms = path.child("nodeSelectorTerms");
  if (selector["nodeSelectorTerms"].empty()) return f.required(terms, "must have at least one node selector term");
  std::size_t i = 0;
  for (Value term : selector["nodeSelectorTerms"].items()) node_selector_term(f, term, any_values, terms.index(i++));
}

void affinity(Findings& f, Value affinity, Value before, const Path& path) {
  if (set(affinity, "nodeAffinity")) node_affinity(f, affinity["nodeAffinity"], before["nodeAffinity"], path.child("nodeAffinity"));
  if (set(affinity, "podAffinity")) pod_affinity(f, affinity["podAffinity"], path.child("podAffinity"));
  if (set(affinity, "podAntiAffinity")) pod_affinity(f, affinity["podAntiAffinity"], path.child("podAntiAffinity"));
}

void taint_effect(Findings& f, std::string_view effect, bool may_be_empty, const Path& path) {
  if (effect.empty() && !may_be_empty) return f.required(path);
  f.enumerated(path, effect, {"NoSchedule", "PreferNoSchedule", "NoExecute"});
}

void tolerations(Findings& f, Value list, const Path& path) {
  std::size_t i = 0;
  for (Value toleration : list.items()) {
    Path at = path.index(i++);
    std::string_view key = text(toleration, "key"), op = text(toleration, "operator"), effect = text(toleration, "effect"),
                     value = text(toleration, "value");
    if (!key.empty()) f.add(validate_label_name(key, at.child("key")));
    if (key.empty() && op != "Exists")
      f.invalid(at.child("operator"), op, "operator must be Exists when `key` is empty, which means \"match all values and all keys\"");
    if (set(toleration, "tolerationSeconds") && effect != "NoExecute")
      f.invalid(at.child("effect"), effect, "effect must be 'NoExecute' when `tolerationSeconds` is set");
    if (op == "Equal" || op.empty()) {
      if (auto messages = names::label_value(value); !messages.empty()) f.invalid(at.child("operator"), value, join(messages, ";"));
    } else if (op == "Exists") {
      if (!value.empty()) f.invalid(at.child("operator"), value, "value must be empty when `operator` is 'Exists'");
    } else {
      f.not_supported(at.child("operator"), op, {"Equal", "Exists"});
    }
    if (!effect.empty()) taint_effect(f, effect, true, at.child("effect"));
  }
}

void topology_spread(Findings& f, Value list, const Path& path) {
  std::map<std::pair<std::string_view, std::string_view>, std::size_t> last;
  for (std::size_t i = 0; i < list.size(); ++i)
    last.insert_or_assign({text(list[i], "topologyKey"), text(list[i], "whenUnsatisfiable")}, i);
  for (std::size_t i = 0; i < list.size(); ++i) {
    Value constraint = list[i];
    Path at = path.index(i);
    std::string_view key = text(constraint, "topologyKey"), action = text(constraint, "whenUnsatisfiable");
    if (constraint["maxSkew"].as_int() <= 0) f.invalid(at.child("maxSkew"), constraint["maxSkew"].as_int(), "must be greater than zero");
    if (key.empty()) f.required(at.child("topologyKey"), "can not be empty");
    f.enumerated(at.child("whenUnsatisfiable"), action, {"DoNotSchedule", "ScheduleAnyway"});
    if (last[{key, action}] > i) f.duplicate(at.child("{topologyKey, whenUnsatisfiable}"), fmt::format("{{{}, {}}}", key, action));
    if (Value domains = constraint["minDomains"]; !domains.is_null()) {
      if (domains.as_int() <= 0) f.invalid(at.child("minDomains"), domains.as_int(), "must be greater than zero");
      if (action != "DoNotSchedule")
        f.invalid(at.child("minDomains"), domains.as_int(),
                  fmt::format("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {}", action));
    }
    for (const char* policy : {"nodeAffinityPolicy", "nodeTaintsPolicy"}) {
      if (set(constraint, policy)) f.enumerated(at.child(policy), text(constraint, policy), {"Honor", "Ignore"});
    }
    match_label_keys(f, constraint, at);
    f.add(validate_label_selector(constraint["labelSelector"], at.child("labelSelector")));
  }
}

void topology_selector_terms(Findings& f, Value list, const Path& path) {
  std::size_t i = 0;
  for (Value term : list.items()) {
    Path at = path.index(i++), expressions = at.child("matchLabelExpressions");
    std::set<std::string, std::less<>> keys;
    std::size_t j = 0;
    for (Value requirement : term["matchLabelExpressions"].items()) {
      Path one = expressions.index(j++), values = one.child("values");
      if (requirement["values"].empty()) f.required(values);
      std::set<std::string, std::less<>> seen;
      std::size_t k = 0;
      for (Value value : requirement["values"].items()) {
        if (!seen.emplace(value.as_string()).second) f.duplicate(values.index(k), value.as_string());
        ++k;
      }
      f.add(validate_label_name(text(requirement, "key"), one.child("key")));
      if (!keys.emplace(text(requirement, "key")).second) f.duplicate(one.child("key"), text(requirement, "key"));
    }
  }
}

}  // namespace kybern::rules
