// Flow schemas and priority levels.
#include <fmt/format.h>

#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

constexpr std::int64_t precedence_max = 10'000, queues_max = 10'000'000, shares_percent_max = 100;

void text_list(Findings& f, Value list, std::string_view missing, const char* words, const Path& path) {
  if (list.empty()) return f.required(path, missing);
  bool star = false;
  for (Value one : list.items()) star |= one.as_string() == "*";
  if (star && list.size() > 1) f.invalid(path, list, words);
}

void subject(Findings& f, Value subject, const Path& path) {
  std::string_view kind = text(subject, "kind");
  struct Form {
    std::string_view kind;
    const char* field;
  };
  constexpr Form forms[] = {{"ServiceAccount", "serviceAccount"}, {"User", "user"}, {"Group", "group"}};
  const Form* form = nullptr;
  for (const Form& one : forms) {
    if (one.kind == kind) form = &one;
  }
  if (form == nullptr) return f.not_supported(path.child("kind"), kind, {"Group", "ServiceAccount", "User"});
  Path at = path.child(form->field);
  for (const Form& one : forms) {
    if (&one != form && set(subject, one.field))
      f.forbidden(path.child(one.field), fmt::format("{} is forbidden when subject kind is not '{}'", one.field, one.kind));
  }
  Value of = subject[form->field];
  if (of.is_null()) return f.required(at, fmt::format("{} is required when subject kind is '{}'", form->field, kind));
  std::string_view name = text(of, "name"), space = text(of, "namespace");
  if (name.empty()) f.required(at.child("name"));
  if (kind != "ServiceAccount") return;
  if (!name.empty() && name != "*") dns_subdomain(f, name, at.child("name"));
  if (space.empty()) f.required(at.child("namespace"), "must specify namespace for service account");
  else dns_label(f, space, at.child("namespace"));
}

void resource_rule(Findings& f, Value rule, const Path& path) {
  text_list(f, rule["verbs"], "verbs must contain at least one value", "if '*' is present, must not specify other verbs",
            path.child("verbs"));
  text_list(f, rule["apiGroups"], "resource rules must supply at least one api group",
            "if '*' is present, must not specify other api groups", path.child("apiGroups"));
  text_list(f, rule["resources"], "resource rules must supply at least one resource", "if '*' is present, must not specify other resources",
            path.child("resources"));
  Path spaces = path.child("namespaces");
  if (rule["namespaces"].empty() && !rule["clusterScope"].as_bool())
    return f.required(spaces, "resource rules that are not cluster scoped must supply at least one namespace");
  std::size_t i = 0;
  for (Value space : rule["namespaces"].items()) {
    Path at = spaces.index(i++);
    if (space.as_string() == "*" && rule["namespaces"].size() > 1)
      f.invalid(spaces, rule["namespaces"], "\"*\" may not accompany other namespaces");
    else if (space.as_string() != "*") dns_label(f, space.as_string(), at);
  }
}

void url_rule(Findings& f, Value rule, const Path& path) {
  text_list(f, rule["verbs"], "verbs must contain at least one value", "if '*' is present, must not specify other verbs",
            path.child("verbs"));
  Path urls = path.child("nonResourceURLs");
  if (rule["nonResourceURLs"].empty()) return f.required(urls, "nonResourceURLs must contain at least one value");
  std::size_t i = 0;
  for (Value url : rule["nonResourceURLs"].items()) {
    Path at = urls.index(i++);
    std::string_view text = url.as_string();
    if (text == "*") {
      if (rule["nonResourceURLs"].size() > 1)
        f.invalid(urls, rule["nonResourceURLs"], "if '*' is present, must not specify other non-resource URLs");
      continue;
    }
    if (text.empty()) f.invalid(at, text, "nonResourceURL must not be empty");
    else if (!text.starts_with('/')) f.invalid(at, text, "should start with slash");
    else if (std::size_t star = text.find('*'); star != std::string_view::npos && star + 1 != text.size())
      f.invalid(at, text, "wildcard can only do suffix matching");
  }
}

void schema_rule(Findings& f, Value rule, const Path& path) {
  Path subjects = path.child("subjects"), resources = path.child("resourceRules"), urls = path.child("nonResourceRules");
  if (rule["subjects"].empty()) f.required(subjects, "subjects must contain at least one value");
  std::size_t i = 0, j = 0, k = 0;
  for (Value one : rule["subjects"].items()) subject(f, one, subjects.index(i++));
  if (rule["resourceRules"].empty() && rule["nonResourceRules"].empty())
    f.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty");
  for (Value one : rule["resourceRules"].items()) resource_rule(f, one, resources.index(j++));
  for (Value one : rule["nonResourceRules"].items()) url_rule(f, one, urls.index(k++));
}

void schema_spec(Findings& f, Value spec, std::string_view name) {
  const Path path("spec");
  std::int64_t precedence = spec["matchingPrecedence"].as_int();
  if (precedence <= 0) f.invalid(path.child("matchingPrecedence"), precedence, "must be a positive value");
  if (precedence > precedence_max)
    f.invalid(path.child("matchingPrecedence"), precedence, fmt::format("must not be greater than {}", precedence_max));
  if (precedence == 1 && name != "exempt")
    f.invalid(path.child("matchingPrecedence"), precedence, "only the schema named 'exempt' may have matchingPrecedence 1");
  if (set(spec, "distinguisherMethod"))
    f.enumerated(path.child("distinguisherMethod.type"), text(spec["distinguisherMethod"], "type"), {"ByNamespace", "ByUser"});
  Path level = path.child("priorityLevelConfiguration.name");
  std::string_view level_name = text(spec["priorityLevelConfiguration"], "name");
  if (level_name.empty()) f.required(level, "must reference a priority level");
  else dns_subdomain(f, level_name, level);
  Path rules = path.child("rules");
  std::size_t i = 0;
  for (Value rule : spec["rules"].items()) schema_rule(f, rule, rules.index(i++));
}

void queuing(Findings& f, Value queuing, const Path& path) {
  std::int64_t queues = queuing["queues"].as_int(), hand = queuing["handSize"].as_int();
  if (queuing["queueLengthLimit"].as_int() <= 0)
    f.invalid(path.child("queueLengthLimit"), queuing["queueLengthLimit"].as_int(), "must be positive");
  if (queues <= 0) f.invalid(path.child("queues"), queues, "must be positive");
  else if (queues > queues_max) f.invalid(path.child("queues"), queues, fmt::format("must not be greater than {}", queues_max));
  if (hand <= 0) f.invalid(path.child("handSize"), hand, "must be positive");
  else if (hand > queues) f.invalid(path.child("handSize"), hand, fmt::format("should not be greater than queues ({})", queues));
}

void limited(Findings& f, Value limited, const Path& path) {
  if (limited["nominalConcurrencyShares"].as_int() < 0) {
    f.invalid(path.child("nominalConcurrencyShares"), limited["nominalConcurrencyShares"].as_int(), "must be a non-negative integer");
  }
  Value lendable = limited["lendablePercent"], borrowing = limited["borrowingLimitPercent"];
  bool fits = lendable.as_int() >= 0 && lendable.as_int() <= shares_percent_max;
  if (!fits) f.invalid(path.child("lendablePercent"), lendable.as_int(), "must be between 0 and 100, inclusive");
  if (borrowing.as_int() < 0)
    f.invalid(path.child("borrowingLimitPercent"), borrowing.as_int(), "if specified, must be a non-negative integer");
  Path response = path.child("limitResponse"), queue = response.child("queuing");
  std::string_view type = text(limited["limitResponse"], "type");
  bool has_queues = set(limited["limitResponse"], "queuing");
  f.enumerated(response.child("type"), type, {"Queue", "Reject"});
  if (type == "Reject" && has_queues) f.forbidden(queue, "must be nil if limited.limitResponse.type is not Limited");
  if (type == "Queue" && !has_queues) f.required(queue, "must not be empty if limited.limitResponse.type is Limited");
  if (type == "Queue" && has_queues) queuing(f, limited["limitResponse"]["queuing"], queue);
}

void level_spec(Findings& f, Value spec) {
  const Path path("spec");
  std::string_view type = text(spec, "type");
  bool has_limits = set(spec, "limited"), has_exempt = set(spec, "exempt");
  f.enumerated(path.child("type"), type, {"Exempt", "Limited"});
  if (type == "Exempt" && has_limits) f.forbidden(path.child("limited"), "must be nil if the type is not Limited");
  if (type == "Limited" && has_exempt) f.forbidden(path.child("exempt"), "must be nil if the type is Limited");
  if (type == "Limited" && !has_limits) f.required(path.child("limited"), "must not be empty when type is Limited");
  if (type == "Limited" && has_limits) limited(f, spec["limited"], path.child("limited"));
}

}  // namespace

void flow_schema_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  schema_spec(f, object["spec"], text(object["metadata"], "name"));
}

void flow_schema_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  flow_schema_create(f, object);
}

void priority_level_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  level_spec(f, object["spec"]);
}

void priority_level_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  priority_level_create(f, object);
}

}  // namespace kybern::rules
