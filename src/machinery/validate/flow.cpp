// Flow schemas and priority levels.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "document/json.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

// How many bits a hash has for dealing a hand of queues.
constexpr int hash_bits = 60;
constexpr std::string_view verbs[] = {"create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"};

constexpr std::int64_t precedence_max = 10'000, queues_max = 10'000'000, shares_percent_max = 100;

bool has_star(Value list) {
  for (Value one : list.items()) {
    if (one.as_string() == "*") return true;
  }
  return false;
}

void text_list(Findings& f, Value list, std::string_view missing, const char* words, const Path& path) {
  if (list.empty()) return f.required(path, missing);
  if (has_star(list) && list.size() > 1) f.invalid(path, list, words);
}

void verb_list(Findings& f, Value list, const Path& path) {
  text_list(f, list, "verbs must contain at least one value", "if '*' is present, must not specify other verbs", path);
  if (has_star(list)) return;
  for (Value one : list.items()) {
    if (std::find(std::begin(verbs), std::end(verbs), one.as_string()) != std::end(verbs)) continue;
    FieldError error = field::not_supported(path, "", verbs);
    error.value = field::shown(list);
    return f.add(std::move(error));
  }
}

void subject_name(Findings& f, Value of, std::string_view kind, const Path& path) {
  std::string_view name = text(of, "name"), space = text(of, "namespace");
  if (name.empty()) f.required(path.child("name"));
  if (kind != "ServiceAccount") return;
  if (!name.empty() && name != "*") dns_subdomain(f, name, path.child("name"));
  if (space.empty()) f.required(path.child("namespace"), "must specify namespace for service account");
  else dns_label(f, space, path.child("namespace"));
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
  Value of = subject[form->field];
  if (of.is_null()) f.required(at, fmt::format("{} is required when subject kind is '{}'", form->field, kind));
  else subject_name(f, of, kind, at);
  for (const Form& one : forms) {
    if (&one != form && set(subject, one.field))
      f.forbidden(path.child(one.field), fmt::format("{} is forbidden when subject kind is not '{}'", one.field, one.kind));
  }
}

void resource_rule(Findings& f, Value rule, const Path& path) {
  verb_list(f, rule["verbs"], path.child("verbs"));
  text_list(f, rule["apiGroups"], "resource rules must supply at least one api group",
            "if '*' is present, must not specify other api groups", path.child("apiGroups"));
  text_list(f, rule["resources"], "resource rules must supply at least one resource", "if '*' is present, must not specify other resources",
            path.child("resources"));
  Path spaces = path.child("namespaces");
  if (rule["namespaces"].empty() && !rule["clusterScope"].as_bool())
    return f.required(spaces, "resource rules that are not cluster scoped must supply at least one namespace");
  if (has_star(rule["namespaces"])) {
    if (rule["namespaces"].size() > 1) f.invalid(spaces, rule["namespaces"], "if '*' is present, must not specify other namespaces");
    return;
  }
  std::size_t i = 0;
  for (Value space : rule["namespaces"].items()) {
    Path at = spaces.index(i++);
    for (const std::string& message : names::dns1123_label(space.as_string()))
      f.invalid(at, space.as_string(), "each member of this list must be '*' or a DNS-1123 label; " + message);
  }
}

std::string_view url_fault(std::string_view url) {
  if (url.empty()) return "must not be empty";
  if (url == "/") return "";
  if (!url.starts_with('/')) return "must start with slash";
  if (url.find(' ') != std::string_view::npos) return "must not contain white-space";
  if (url.find("//") != std::string_view::npos) return "must not contain double slash";
  auto stars = std::count(url.begin(), url.end(), '*');
  return stars > 1 || (stars == 1 && !url.ends_with("/*")) ? "wildcard can only do suffix matching" : "";
}

void url_rule(Findings& f, Value rule, const Path& path) {
  verb_list(f, rule["verbs"], path.child("verbs"));
  Path urls = path.child("nonResourceURLs");
  text_list(f, rule["nonResourceURLs"], "nonResourceURLs must contain at least one value",
            "if '*' is present, must not specify other non-resource URLs", urls);
  if (has_star(rule["nonResourceURLs"])) return;
  std::size_t i = 0;
  for (Value url : rule["nonResourceURLs"].items()) {
    Path at = urls.index(i++);
    if (std::string_view fault = url_fault(url.as_string()); !fault.empty()) f.invalid(at, url.as_string(), fault);
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
  std::string_view method = text(spec["distinguisherMethod"], "type");
  if (set(spec, "distinguisherMethod") && method != "ByNamespace" && method != "ByUser") {
    Document shown = Draft::object({{"Type", method}}).freeze();  // the whole of it, as upstream's struct prints
    f.not_supported(path.child("distinguisherMethod.type"), shown.root(), {"ByNamespace", "ByUser"});
  }
  Path level = path.child("priorityLevelConfiguration.name");
  std::string_view level_name = text(spec["priorityLevelConfiguration"], "name");
  if (level_name.empty()) f.required(level, "must reference a priority level");
  else dns_subdomain(f, level_name, level);
  Path rules = path.child("rules");
  std::size_t i = 0;
  for (Value rule : spec["rules"].items()) schema_rule(f, rule, rules.index(i++));
}

// Bits needed to say which `hand` of `deck` cards, in their order.
int entropy(std::int64_t deck, std::int64_t hand) {
  return static_cast<int>(std::ceil(std::log2(static_cast<double>(deck)) * static_cast<double>(hand)));
}

void shares(Findings& f, Value level, const Path& path) {
  std::int64_t shares = level["nominalConcurrencyShares"].as_int(), lendable = level["lendablePercent"].as_int();
  if (shares < 0) f.invalid(path.child("nominalConcurrencyShares"), shares, "must be a non-negative integer");
  if (lendable < 0 || lendable > shares_percent_max)
    f.invalid(path.child("lendablePercent"), lendable, "must be between 0 and 100, inclusive");
}

void queuing(Findings& f, Value queuing, const Path& path) {
  std::int64_t queues = queuing["queues"].as_int(), hand = queuing["handSize"].as_int();
  if (queuing["queueLengthLimit"].as_int() <= 0)
    f.invalid(path.child("queueLengthLimit"), queuing["queueLengthLimit"].as_int(), "must be positive");
  if (queues <= 0) f.invalid(path.child("queues"), queues, "must be positive");
  else if (queues > queues_max) f.invalid(path.child("queues"), queues, fmt::format("must not be greater than {}", queues_max));
  if (hand <= 0) f.invalid(path.child("handSize"), hand, "must be positive");
  else if (hand > queues) f.invalid(path.child("handSize"), hand, fmt::format("should not be greater than queues ({})", queues));
  else if (entropy(queues, hand) > hash_bits)
    f.invalid(path.child("handSize"), hand,
              fmt::format("required entropy bits of deckSize {} and handSize {} should not be greater than {}", queues, hand, hash_bits));
}

void limited(Findings& f, Value limited, const Path& path) {
  Value borrowing = limited["borrowingLimitPercent"];
  shares(f, limited, path);
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

void level_spec(Findings& f, Value spec, std::string_view name) {
  const Path path("spec");
  std::string_view type = text(spec, "type");
  bool has_limits = set(spec, "limited"), has_exempt = set(spec, "exempt");
  if ((name == "exempt") != (type == "Exempt"))
    f.invalid(path.child("type"), type, "type must be 'Exempt' if and only if name is 'exempt'");
  if (type == "Exempt") {
    if (has_limits) f.forbidden(path.child("limited"), "must be nil if the type is not Limited");
    if (has_exempt) shares(f, spec["exempt"], path.child("exempt"));
  } else if (type == "Limited") {
    if (has_exempt) f.forbidden(path.child("exempt"), "must be nil if the type is Limited");
    if (!has_limits) f.required(path.child("limited"), "must not be empty when type is Limited");
    else limited(f, spec["limited"], path.child("limited"));
  } else {
    f.not_supported(path.child("type"), type, {"Exempt", "Limited"});
  }
}

// The objects that the server relies on: how much the exempt may take is all that an administrator may say of them.
constexpr const char* everything =
    R"("resourceRules":[{"verbs":["*"],"apiGroups":["*"],"resources":["*"],"clusterScope":true,"namespaces":["*"]}],)"
    R"("nonResourceRules":[{"verbs":["*"],"nonResourceURLs":["*"]}])";

Document fixed_schema(std::string_view name) {
  std::string text;
  if (name == "exempt") {
    text = fmt::format(R"({{"priorityLevelConfiguration":{{"name":"exempt"}},"matchingPrecedence":1,)"
                       R"("rules":[{{"subjects":[{{"kind":"Group","group":{{"name":"system:masters"}}}}],{}}}]}})",
                       everything);
  } else if (name == "catch-all") {
    text = fmt::format(
        R"({{"priorityLevelConfiguration":{{"name":"catch-all"}},"matchingPrecedence":10000,"distinguisherMethod":{{"type":"ByUser"}},)"
        R"("rules":[{{"subjects":[{{"kind":"Group","group":{{"name":"system:unauthenticated"}}}},)"
        R"({{"kind":"Group","group":{{"name":"system:authenticated"}}}}],{}}}]}})",
        everything);
  }
  return text.empty() ? Document() : *parse_json(text);
}

Document fixed_level(std::string_view name) {
  if (name == "exempt") return *parse_json(R"({"type":"Exempt"})");
  if (name != "catch-all") return {};
  return *parse_json(
      R"({"type":"Limited","limited":{"nominalConcurrencyShares":5,"lendablePercent":0,"limitResponse":{"type":"Reject"}}})");
}

void fixed_spec(Findings& f, Value object, Document (*fixed)(std::string_view name)) {
  std::string_view name = text(object["metadata"], "name");
  Value spec = object["spec"];
  Document wanted = fixed(name);
  if (!wanted) return;
  bool exempt_level = name == "exempt" && wanted["type"].exists();
  Draft have(spec);
  if (exempt_level) have.erase("exempt");
  Document settled = have.freeze();
  if (same(settled, wanted)) return;
  f.invalid(Path("spec"), spec,
            fmt::format("spec of '{}' {}must equal the fixed value", name, exempt_level ? "except the 'spec.exempt' field " : ""));
}

void flow_conditions(Findings& f, Value object) {
  const Path path("status.conditions");
  std::set<std::string, std::less<>> seen;
  std::size_t i = 0;
  for (Value condition : object["status"]["conditions"].items()) {
    Path at = path.index(i++);
    std::string_view type = text(condition, "type");
    if (!seen.emplace(type).second) f.duplicate(at.child("type"), type);
    if (type.empty()) f.required(at.child("type"), "must not be empty");
  }
}

}  // namespace

void flow_schema_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  schema_spec(f, object["spec"], text(object["metadata"], "name"));
  fixed_spec(f, object, fixed_schema);
  flow_conditions(f, object);
}

void flow_schema_update(Findings& f, Value object, Value) { flow_schema_create(f, object); }
void flow_schema_status(Findings& f, Value object, Value) { flow_conditions(f, object); }

void priority_level_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_subdomain);
  level_spec(f, object["spec"], text(object["metadata"], "name"));
  fixed_spec(f, object, fixed_level);
  flow_conditions(f, object);
}

void priority_level_update(Findings& f, Value object, Value) { priority_level_create(f, object); }
void priority_level_status(Findings& f, Value object, Value) { flow_conditions(f, object); }

}  // namespace kybern::rules
