// create ingress, quota, poddisruptionbudget, priorityclass.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cli/create_parts.h"
#include "machinery/labels.h"
#include "machinery/quantity.h"

namespace kybern::cli {
namespace {

struct IngressRule {
  std::string host, path, service, port, secret;
  bool prefix = false, tls = false;
};

// host/path=service:port[,tls[=secret]]; a path that ends in * is a prefix.
Result<IngressRule> read_rule(const std::string& text) {
  const auto wrong = [&] {
    return refuse("rule " + text + " is invalid and should be in format host/path=svcname:svcport[,tls[=secret]]");
  };
  const std::size_t slash = text.find('/'), equals = text.find('=');
  if (slash == std::string::npos || equals == std::string::npos || equals < slash) return wrong();
  IngressRule out;
  out.host = text.substr(0, slash);
  out.path = text.substr(slash, equals - slash);
  std::string rest = text.substr(equals + 1);
  if (const std::size_t comma = rest.find(','); comma != std::string::npos) {
    const std::string tls = rest.substr(comma + 1);
    if (tls != "tls" && !tls.starts_with("tls=")) return wrong();
    out.tls = true;
    if (tls.size() > 4) out.secret = tls.substr(4);
    rest.resize(comma);
  }
  const std::size_t colon = rest.find(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == rest.size()) return wrong();
  out.service = rest.substr(0, colon);
  out.port = rest.substr(colon + 1);
  out.prefix = out.path.ends_with('*');
  if (out.prefix) out.path.pop_back();
  return out;
}

Draft backend(const std::string& service, const std::string& port) {
  Draft where = Draft::object();
  if (auto number = parse_int(port)) where["number"] = *number;
  else where["name"] = port;
  return Draft::object({{"service", Draft::object({{"name", service}, {"port", std::move(where)}})}});
}

Draft& entry(Draft& list, std::string_view field, const std::string& value) {
  if (list.is_array())
    for (Draft& item : list.items())
      if (const Draft* found = item.find(field); found ? found->as_string() == value : value.empty()) return item;
  Draft& made = list.push_back(Draft::object());
  if (!value.empty()) made[field] = value;
  return made;
}

Result<int> create_ingress(Session& session, const Arguments& arguments) {
  auto name = one_name(arguments);
  if (!name) return std::unexpected(name.error());
  const auto texts = arguments.list("rule");
  const std::string fallback = arguments.text("default-backend");
  if (texts.empty() && fallback.empty())
    return refuse(
        "not enough information provided: every ingress has to either specify a default-backend (which catches all traffic) or a list of "
        "rules (which catch specific paths)");
  Draft object = new_object("networking.k8s.io/v1", "Ingress", *name, session, true);
  for (const std::string& annotation : arguments.list("annotation")) {
    const std::size_t equals = annotation.find('=');
    object["metadata"]["annotations"][annotation.substr(0, equals)] = equals == std::string::npos ? "" : annotation.substr(equals + 1);
  }
  Draft& spec = object["spec"] = Draft::object();
  if (!fallback.empty()) {
    const std::size_t colon = fallback.find(':');
    if (colon == std::string::npos) return refuse("default-backend should be in format servicename:serviceport");
    spec["defaultBackend"] = backend(fallback.substr(0, colon), fallback.substr(colon + 1));
  }
  if (!arguments.text("class").empty()) spec["ingressClassName"] = arguments.text("class");
  for (const std::string& text : texts) {
    auto rule = read_rule(text);
    if (!rule) return std::unexpected(rule.error());
    Draft path = Draft::object(
        {{"backend", backend(rule->service, rule->port)}, {"path", rule->path}, {"pathType", rule->prefix ? "Prefix" : "Exact"}});
    entry(spec["rules"], "host", rule->host)["http"]["paths"].push_back(std::move(path));
    if (!rule->tls) continue;
    Draft& tls = entry(spec["tls"], "secretName", rule->secret);
    if (!rule->host.empty()) tls["hosts"].push_back(rule->host);
  }
  return finish_create(session, arguments, object, "failed to create ingress: ");
}

Result<int> create_quota(Session& session, const Arguments& arguments) {
  auto name = one_name(arguments);
  if (!name) return std::unexpected(name.error());
  Draft object = new_object("v1", "ResourceQuota", *name, session, true);
  object["spec"] = Draft::object();
  for (const std::string& pair : arguments.list("hard")) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string::npos) return refuse("Invalid argument syntax " + pair + ", expected <resource>=<value>");
    auto amount = Quantity::parse(std::string_view(pair).substr(equals + 1));
    if (!amount) return refuse(amount.error().message);
    object["spec"]["hard"][pair.substr(0, equals)] = amount->str();
  }
  for (const std::string& scope : arguments.list("scopes")) object["spec"]["scopes"].push_back(scope);
  return finish_create(session, arguments, object, "failed to create quota: ");
}

const char* operator_name(LabelOperator op) {
  switch (op) {
    case LabelOperator::exists: return "Exists";
    case LabelOperator::does_not_exist: return "DoesNotExist";
    case LabelOperator::not_equals:
    case LabelOperator::not_in: return "NotIn";
    default: return "In";
  }
}

Draft selector_object(const LabelSelector& selector) {
  Draft out = Draft::object();
  for (const LabelRequirement& one : selector.requirements()) {
    const bool equal = one.values.size() == 1 && selector.exact(one.key);
    if (equal) {
      out["matchLabels"][one.key] = one.values[0];
      continue;
    }
    Draft expression = Draft::object({{"key", one.key}, {"operator", operator_name(one.op)}});
    for (const std::string& value : one.values) expression["values"].push_back(value);
    out["matchExpressions"].push_back(std::move(expression));
  }
  return out;
}

Result<int> create_disruption_budget(Session& session, const Arguments& arguments) {
  auto name = one_name(arguments);
  if (!name) return std::unexpected(name.error());
  const std::string selector = arguments.text("selector"), least = arguments.text("min-available"),
                    most = arguments.text("max-unavailable");
  if (selector.empty()) return refuse("a selector must be specified");
  if (least.empty() && most.empty()) return refuse("one of min-available or max-unavailable must be specified");
  if (!least.empty() && !most.empty()) return refuse("min-available and max-unavailable cannot be both specified");
  auto parsed = LabelSelector::parse(selector);
  if (!parsed) return refuse(parsed.error().message);
  Draft object = new_object("policy/v1", "PodDisruptionBudget", *name, session, true);
  const std::string& amount = least.empty() ? most : least;
  const auto number = parse_int(amount);
  object["spec"] = Draft::object({{least.empty() ? "maxUnavailable" : "minAvailable", number ? Draft(*number) : Draft(amount)},
                                  {"selector", selector_object(*parsed)}});
  return finish_create(session, arguments, object, "failed to create poddisruptionbudgets: ");
}

Result<int> create_priority_class(Session& session, const Arguments& arguments) {
  auto name = one_name(arguments);
  if (!name) return std::unexpected(name.error());
  Draft object = new_object("scheduling.k8s.io/v1", "PriorityClass", *name, session, false);
  object["value"] = *arguments.number("value");
  if (arguments.on("global-default")) object["globalDefault"] = true;
  if (!arguments.text("description").empty()) object["description"] = arguments.text("description");
  object["preemptionPolicy"] = arguments.text("preemption-policy");
  return finish_create(session, arguments, object, "failed to create priorityclass: ");
}

}  // namespace

std::vector<Command> create_policy_commands() {
  using namespace flags;
  return {{"ingress",
           "how requests from outside reach services",
           "NAME --rule=HOST/PATH=SERVICE:PORT[,tls[=SECRET]]",
           create_flags() + std::vector<Flag>{texts("rule", "host/path=service:port[,tls[=secret]]"), text("class", "the ingress class"),
                                              texts("annotation", "KEY=VALUE"),
                                              text("default-backend", "service:port for what no rule matches")},
           create_ingress,
           {},
           {"ing"}},
          {"quota",
           "how much a namespace may use",
           "NAME [--hard=KEY=VALUE,...] [--scopes=SCOPE,...]",
           create_flags() + std::vector<Flag>{list("hard", "resource=amount"), list("scopes", "which objects count")},
           create_quota,
           {},
           {"resourcequota"}},
          {"poddisruptionbudget",
           "how many pods may be missing at once",
           "NAME --selector=SELECTOR (--min-available=N | --max-unavailable=N)",
           create_flags() + std::vector<Flag>{text("selector", "the pods' labels"),
                                              text("min-available", "how many must stay, or a percentage"),
                                              text("max-unavailable", "how many may be missing, or a percentage")},
           create_disruption_budget,
           {},
           {"pdb"}},
          {"priorityclass",
           "how important pods are",
           "NAME --value=VALUE",
           create_flags() + std::vector<Flag>{number("value", "the priority"), boolean("global-default", "of pods that name none"),
                                              text("description", "what it is for"),
                                              text("preemption-policy", "PreemptLowerPriority or Never", "PreemptLowerPriority")},
           create_priority_class,
           {},
           {"pc"}}};
}

}  // namespace kybern::cli
