// Configurations of admission webhooks.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "machinery/cel/admission.h"
#include "machinery/validate/admission_rules.h"
#include "machinery/validate/rules.h"
#include "machinery/validate/webhook_client.h"

namespace kybern::rules {
namespace {

constexpr std::int64_t timeout_max_s = 30, default_port = 443;
constexpr std::size_t conditions_max = 64;

bool has(Value list, std::string_view wanted) {
  for (Value one : list.items()) {
    if (one.as_string() == wanted) return true;
  }
  return false;
}

void alone(Findings& f, Value list, const char* words, const Path& path) {
  if (list.size() > 1 && has(list, "*")) f.invalid(path, list, fmt::format("if '*' is present, must not specify other {}", words));
}

void review_versions(Findings& f, Value versions, const Path& path) {
  if (versions.empty()) return f.required(path, "must specify one of v1, v1beta1");
  std::set<std::string, std::less<>> seen;
  bool known = false;
  std::size_t i = 0;
  for (Value version : versions.items()) {
    Path at = path.index(i++);
    std::string_view name = version.as_string();
    if (!seen.emplace(name).second) {
      f.invalid(at, name, "duplicate version");
      continue;
    }
    f.say(at, name, names::dns1035_label(name));
    known |= name == "v1" || name == "v1beta1";
  }
  if (!known) f.invalid(path, versions, "must include at least one of v1, v1beta1");
}

void resources(Findings& f, Value list, const Path& path) {
  if (list.empty()) f.required(path);
  std::set<std::string, std::less<>> whole, everywhere;  // seen as "x/*" and as "*/y"
  bool plain = false;
  std::size_t i = 0;
  for (Value entry : list.items()) {
    Path at = path.index(i++);
    std::string_view name = entry.as_string();
    if (name.empty()) {
      f.required(at);
      continue;
    }
    std::size_t slash = name.find('/');
    if (slash == std::string_view::npos) {
      plain |= name != "*";
      continue;
    }
    std::string_view resource = name.substr(0, slash), sub = name.substr(slash + 1);
    if (whole.contains(resource)) f.invalid(at, name, fmt::format("if '{}/*' is present, must not specify {}", resource, name));
    if (everywhere.contains(sub)) f.invalid(at, name, fmt::format("if '*/{}' is present, must not specify {}", sub, name));
    if (sub == "*") whole.emplace(resource);
    if (resource == "*") everywhere.emplace(sub);
  }
  if (list.size() > 1 && has(list, "*/*")) f.invalid(path, list, "if '*/*' is present, must not specify other resources");
  if (has(list, "*") && plain) f.invalid(path, list, "if '*' is present, must not specify other resources without subresources");
}

}  // namespace

void admission_rule(Findings& f, Value rule, const Path& path) {
  Path operations = path.child("operations"), groups = path.child("apiGroups"), versions = path.child("apiVersions");
  if (rule["operations"].empty()) f.required(operations);
  alone(f, rule["operations"], "operations", operations);
  std::size_t i = 0, j = 0;
  for (Value operation : rule["operations"].items())
    f.enumerated(operations.index(i++), operation.as_string(), {"*", "CONNECT", "CREATE", "DELETE", "UPDATE"});
  if (rule["apiGroups"].empty()) f.required(groups);
  alone(f, rule["apiGroups"], "API groups", groups);
  if (rule["apiVersions"].empty()) f.required(versions);
  alone(f, rule["apiVersions"], "API versions", versions);
  for (Value version : rule["apiVersions"].items()) {
    Path at = versions.index(j++);
    if (version.as_string().empty()) f.required(at);
  }
  resources(f, rule["resources"], path.child("resources"));
  if (set(rule, "scope")) f.enumerated(path.child("scope"), text(rule, "scope"), {"*", "Cluster", "Namespaced"});
}

namespace {

// https://user@host/path?query#fragment, taken apart as net/url does.
struct Url {
  std::string_view scheme, user, host, query, fragment;
  explicit Url(std::string_view text) {
    if (std::size_t hash = text.find('#'); hash != std::string_view::npos) fragment = text.substr(hash + 1), text = text.substr(0, hash);
    std::size_t colon = text.find(':');
    bool has_scheme = colon != std::string_view::npos && text.substr(0, colon).find_first_of("/?@") == std::string_view::npos;
    if (has_scheme) scheme = text.substr(0, colon), text = text.substr(colon + 1);
    if (std::size_t mark = text.find('?'); mark != std::string_view::npos) query = text.substr(mark + 1), text = text.substr(0, mark);
    if (!text.starts_with("//")) return;
    host = text.substr(2, text.find('/', 2) - 2);
    if (std::size_t at = host.rfind('@'); at != std::string_view::npos) user = host.substr(0, at), host = host.substr(at + 1);
  }
};

void url(Findings& f, std::string_view address, const Path& path) {
  constexpr const char* form = "; desired format: https://host[/path]";
  Url parsed(address);
  if (parsed.scheme != "https") f.invalid(path, parsed.scheme, fmt::format("'https' is the only allowed URL scheme{}", form));
  if (parsed.host.empty()) f.invalid(path, parsed.host, fmt::format("host must be provided{}", form));
  if (!parsed.user.empty()) f.invalid(path, parsed.user, "user information is not permitted in the URL");
  if (!parsed.fragment.empty()) f.invalid(path, parsed.fragment, "fragments are not permitted in the URL");
  if (!parsed.query.empty()) f.invalid(path, parsed.query, "query parameters are not permitted in the URL");
}

void service_path(Findings& f, std::string_view written, const Path& path) {
  if (written.empty() || written == "/") return;
  if (written == "//") return f.invalid(path, written, "segment[0] may not be empty");
  if (!written.starts_with('/')) f.invalid(path, written, "must start with a '/'");
  std::string_view rest = written.substr(1);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  std::size_t i = 0;
  for (std::string_view segment : split(rest, '/')) {
    std::size_t at = i++;
    if (segment.empty()) f.invalid(path, written, fmt::format("segment[{}] may not be empty", at));
    else
      for (const std::string& why : names::dns1123_subdomain(segment)) f.invalid(path, written, fmt::format("segment[{}]: {}", at, why));
  }
}

void client(Findings& f, Value config, const Path& path) {
  bool by_url = set(config, "url"), by_service = set(config, "service");
  if (by_url == by_service) return f.required(path, "exactly one of url or service is required");
  if (by_url) return url(f, text(config, "url"), path.child("url"));
  Value service = config["service"];
  Path at = path.child("service");
  // Upstream mixes the two up, and clients see it.
  if (text(service, "namespace").empty()) f.required(at.child("name"), "service name is required");
  if (text(service, "name").empty()) f.required(at.child("namespace"), "service namespace is required");
  std::int64_t port = service["port"].as_int(default_port);
  if (auto messages = names::port_number(port); !messages.empty())
    f.invalid(at.child("port"), port, "port is not valid: " + join(messages, ","));
  service_path(f, text(service, "path"), at.child("path"));
}

void boolean_expression(Findings& f, std::string_view text, const Path& path) {
  cel::Environment environment;
  cel::declare_admission(environment, cel::AdmissionVariables::match_conditions);
  auto program = cel::Program::compile(environment, text);
  if (!program) f.invalid(path, text, "compilation failed: " + program.error());
  else if (program->type()->kind != cel::TypeKind::boolean) f.invalid(path, text, "must evaluate to bool");
}

void match_conditions(Findings& f, Value list, const Path& path) {
  if (list.size() > conditions_max) f.too_many(path, list.size(), conditions_max);
  std::set<std::string, std::less<>> seen;
  std::size_t i = 0;
  for (Value condition : list.items()) {
    Path at = path.index(i++);
    std::string_view name = text(condition, "name");
    std::string_view expression = trim(text(condition, "expression"));
    if (expression.empty()) f.required(at.child("expression"));
    else boolean_expression(f, expression, at.child("expression"));
    if (name.empty()) {
      f.required(at.child("name"));
      continue;
    }
    qualified(f, name, at.child("name"));
    if (!seen.emplace(name).second) f.duplicate(at.child("name"), name);
  }
}

void side_effects(Findings& f, Value hook, const Path& path) {
  if (!set(hook, "sideEffects")) f.required(path, "must specify one of None, NoneOnDryRun");
  else f.enumerated(path, text(hook, "sideEffects"), {"None", "NoneOnDryRun"});
}

// Conditions that nobody changed are not judged anew: an older server may have taken what this one would not.
bool same_conditions(Value before, Value now) {
  if (before.size() != now.size()) return false;
  for (std::size_t i = 0; i < now.size(); ++i)
    if (!(before[i]["matchConditions"] == now[i]["matchConditions"])) return false;
  return true;
}

void webhook(Findings& f, Value hook, bool mutating, bool conditions, const Path& path) {
  std::string_view name = text(hook, "name");
  if (name.empty()) f.required(path.child("name"));
  else f.say(path.child("name"), name, names::fully_qualified_name(name));
  Path rules = path.child("rules");
  std::size_t i = 0;
  for (Value one : hook["rules"].items()) admission_rule(f, one, rules.index(i++));
  if (set(hook, "failurePolicy")) f.enumerated(path.child("failurePolicy"), text(hook, "failurePolicy"), {"Fail", "Ignore"});
  if (set(hook, "matchPolicy")) f.enumerated(path.child("matchPolicy"), text(hook, "matchPolicy"), {"Equivalent", "Exact"});
  side_effects(f, hook, path.child("sideEffects"));
  Value timeout = hook["timeoutSeconds"];
  bool fits = timeout.is_null() || (timeout.as_int() >= 1 && timeout.as_int() <= timeout_max_s);
  if (!fits) f.invalid(path.child("timeoutSeconds"), timeout.as_int(), "the timeout value must be between 1 and 30 seconds");
  for (const char* selector : {"namespaceSelector", "objectSelector"}) {
    if (set(hook, selector)) f.add(validate_label_selector(hook[selector], path.child(selector)));
  }
  if (mutating && set(hook, "reinvocationPolicy"))
    f.enumerated(path.child("reinvocationPolicy"), text(hook, "reinvocationPolicy"), {"IfNeeded", "Never"});
  client(f, hook["clientConfig"], path.child("clientConfig"));
  if (conditions) match_conditions(f, hook["matchConditions"], path.child("matchConditions"));
}

void webhooks(Findings& f, Value object, Value before, bool mutating) {
  object_meta(f, object, false, name_is_subdomain);
  const bool conditions = !before.exists() || !same_conditions(before["webhooks"], object["webhooks"]);
  const Path path("webhooks");
  std::set<std::string, std::less<>> seen;
  std::size_t i = 0;
  for (Value hook : object["webhooks"].items()) {
    Path at = path.index(i++);
    std::string_view name = text(hook, "name");
    webhook(f, hook, mutating, conditions, at);
    review_versions(f, hook["admissionReviewVersions"], at.child("admissionReviewVersions"));
    if (!name.empty() && !seen.emplace(name).second) f.duplicate(at.child("name"), name);
  }
}

}  // namespace

FieldErrors webhook_client(Value config, const Path& path) {
  Findings f;
  client(f, config, path);
  constexpr const char* no_certificate = "unable to load root certificates: unable to parse bytes as PEM block";
  std::string_view bundle = text(config, "caBundle");
  if (auto pem = base64_decode(bundle); !bundle.empty() && (!pem || pem->find("-----BEGIN ") == std::string::npos))
    f.invalid(path.child("caBundle"), bundle, no_certificate);
  return f.take();
}

void validating_webhooks_create(Findings& f, Value object) { webhooks(f, object, {}, false); }
void validating_webhooks_update(Findings& f, Value object, Value before) { webhooks(f, object, before, false); }
void mutating_webhooks_create(Findings& f, Value object) { webhooks(f, object, {}, true); }
void mutating_webhooks_update(Findings& f, Value object, Value before) { webhooks(f, object, before, true); }

}  // namespace kybern::rules
