#include "apiserver/admission/policies.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <set>

#include "apiserver/admission/match.h"
#include "apiserver/admission/policy_parts.h"
#include "apiserver/admission/review.h"
#include "apiserver/registry/versions.h"
#include "base/strings.h"
#include "document/json.h"

namespace kybern::apiserver::admission {

constexpr std::size_t compiled_max = 4096;
constexpr std::size_t audit_value_max_bytes = 10 * 1024, message_max_bytes = 5 * 1024;

CompiledPolicy::CompiledPolicy(const Document& of, bool mutating) : policy(of), compiler(of["spec"]["paramKind"].is_object()) {
  Value spec = policy["spec"];
  for (Value variable : spec["variables"].items()) compiler.add_variable(variable["name"].as_string(), variable["expression"].as_string());
  for (Value condition : spec["matchConditions"].items())
    conditions.push_back(compiler.compile(condition["expression"].as_string(), cel::Wanted::boolean));
  if (mutating) {
    for (Value mutation : spec["mutations"].items()) {
      bool patch = mutation["patchType"].as_string() == "JSONPatch";
      mutations.push_back(compiler.compile(mutation[patch ? "jsonPatch" : "applyConfiguration"]["expression"].as_string(),
                                           patch ? cel::Wanted::json_patches : cel::Wanted::object));
    }
    return;
  }
  for (Value validation : spec["validations"].items()) {
    validations.push_back(compiler.compile(validation["expression"].as_string(), cel::Wanted::boolean));
    std::string_view message = validation["messageExpression"].as_string();
    messages.push_back(trim(message).empty() ? cel::Expression() : compiler.compile(message, cel::Wanted::string, false));
  }
  for (Value annotation : spec["auditAnnotations"].items())
    annotations.push_back(compiler.compile(annotation["valueExpression"].as_string(), cel::Wanted::string_or_null));
}

// One cache for the process: an entry counts only for the very content that it was made of.
std::shared_ptr<const CompiledPolicy> compiled_policy(const Document& policy, bool mutating) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<const CompiledPolicy>> compiled;  // by "v/" or "m/" and name
  std::string key = (mutating ? "m/" : "v/") + policy["metadata"]["name"].str();
  {
    std::lock_guard lock(mutex);
    auto found = compiled.find(key);
    if (found != compiled.end() && (found->second->policy.same_block(policy) || found->second->policy.root() == policy.root()))
      return found->second;
  }
  auto made = std::make_shared<const CompiledPolicy>(policy, mutating);
  std::lock_guard lock(mutex);
  if (compiled.size() >= compiled_max) compiled.clear();  // names that came and went
  compiled[key] = made;
  return made;
}

bool policy_exempt(const Work& work) {
  static constexpr auto own = std::to_array<std::string_view>({"mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
                                                               "mutatingwebhookconfigurations", "validatingadmissionpolicies",
                                                               "validatingadmissionpolicybindings", "validatingwebhookconfigurations"});
  std::string_view group = work.served->group();
  if (group == "authentication.k8s.io" || group == "authorization.k8s.io") return true;
  return group == "admissionregistration.k8s.io" && std::ranges::find(own, work.served->plural()) != own.end();
}

std::vector<PolicyInForce> policies_in_force(const Registry& registry, bool mutating) {
  std::map<std::string, std::vector<Document>> bindings;
  registry.each("admissionregistration.k8s.io", "v1", mutating ? "mutatingadmissionpolicybindings" : "validatingadmissionpolicybindings",
                "", [&](Value binding) {
                  bindings[binding["spec"]["policyName"].str()].push_back(binding.document());
                  return true;
                });
  std::vector<PolicyInForce> out;
  for (auto& [name, of] : bindings)
    if (Document policy = registry.read("admissionregistration.k8s.io", "v1",
                                        mutating ? "mutatingadmissionpolicies" : "validatingadmissionpolicies", "", name))
      out.push_back({std::move(policy), std::move(of)});
  return out;
}

ApiResult<const Served*> match_resources(Value resources, const MatchTarget& target, const Registry& registry, bool rules_optional) {
  MatchCriteria criteria{.rules = resources["resourceRules"],
                         .exclude_rules = resources["excludeResourceRules"],
                         .namespace_selector = resources["namespaceSelector"],
                         .object_selector = resources["objectSelector"],
                         .equivalent = resources["matchPolicy"].as_string() != "Exact",
                         .rules_optional = rules_optional};
  return match(criteria, target, registry);
}

namespace {

std::pair<std::string_view, std::string_view> group_and_version(std::string_view api_version) {
  auto slash = api_version.find('/');
  return slash == std::string_view::npos ? std::pair(std::string_view(), api_version)
                                         : std::pair(api_version.substr(0, slash), api_version.substr(slash + 1));
}

}  // namespace

std::string unknown_param_kind(const Registry& registry, Value policy) {
  Value kind = policy["spec"]["paramKind"];
  if (!kind.is_object()) return {};
  auto [group, version] = group_and_version(kind["apiVersion"].as_string());
  if (registry.catalog().find_kind(group, version, kind["kind"].as_string())) return {};
  return fmt::format("failed to find resource referenced by paramKind: '{}/{}, Kind={}'", group, version, kind["kind"].as_string());
}

std::expected<std::vector<Document>, std::string> params_of(const Registry& registry, Value policy, Value binding,
                                                            std::string_view request_ns) {
  Value kind = policy["spec"]["paramKind"], ref = binding["spec"]["paramRef"];
  if (!kind.is_object() || !ref.is_object()) return std::vector<Document>(1);
  auto [group, version] = group_and_version(kind["apiVersion"].as_string());
  const ServedRef served = registry.catalog().find_kind(group, version, kind["kind"].as_string());
  if (!served)
    return std::unexpected(fmt::format("paramKind kind `&ParamKind{{APIVersion:{},Kind:{},}}` not known", kind["apiVersion"].as_string(),
                                       kind["kind"].as_string()));
  std::string ns(ref["namespace"].as_string());
  if (served->namespaced() && ns.empty()) {
    if (request_ns.empty())
      return std::unexpected("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources");
    ns = request_ns;
  } else if (!served->namespaced() && !ns.empty()) {
    return std::unexpected("paramRef.namespace must not be provided for a cluster-scoped `paramKind`");
  }
  std::vector<Document> out;
  auto take = [&](Value one) { out.push_back(one.document()); };
  if (std::string_view name = ref["name"].as_string(); !name.empty()) {
    if (ref["selector"].is_object()) return std::unexpected("paramRef.name and paramRef.selector are mutually exclusive");
    if (Document one = registry.read(group, version, served->plural(), ns, name)) take(one);
  } else if (ref["selector"].is_object()) {
    auto selector = LabelSelector::from(ref["selector"]);
    if (!selector) return std::unexpected(selector.error().message);
    registry.each(group, version, served->plural(), ns, [&](Value one) {
      if (selector->matches(one["metadata"]["labels"])) take(one);
      return true;
    });
  } else {
    return std::unexpected("one of name or selector must be provided");
  }
  if (out.empty() && ref["parameterNotFoundAction"].as_string() == "Deny")
    return std::unexpected("no params found for policy binding with `Deny` parameterNotFoundAction");
  return out;
}

Document namespace_object(const AdmissionAttributes& a) {
  const Work& work = a.work;
  if (!work.served->namespaced() || work.ns.empty()) return {};
  return work.registry.read("", "v1", "namespaces", "", work.ns);
}

Conditions conditions_hold(const CompiledPolicy& policy, const cel::PolicyValues& values) {
  if (policy.conditions.empty()) return {};
  cel::PolicyRun run(policy.compiler, {values.admission, {}, values.params}, cel::match_conditions_limit);
  std::vector<std::string> errors;
  for (const cel::Expression& condition : policy.conditions) {
    auto result = run.evaluate(condition);
    if (result.out_of_budget) return {true, result.error};
    if (!result.error.empty()) errors.push_back(result.error);
    else if (!result.outcome.truth) return {false, ""};
  }
  return {true, errors.empty() ? "" : errors.size() == 1 ? errors[0] : "[" + join(errors, ", ") + "]"};
}

namespace {

struct Denial {
  std::string policy, binding, message, reason;  // no binding: the policy itself is at fault
};

int code_of(std::string_view reason) {
  if (reason == "Forbidden") return 403;
  if (reason == "Unauthorized") return 401;
  if (reason == "RequestEntityTooLarge") return 413;
  return 422;
}

// One policy about one request.
class Judge {
 public:
  Judge(const AdmissionAttributes& a, const MatchTarget& target, const PolicyAuthorizer& authorizer, const PolicyInForce& in_force)
      : a_(a),
        target_(target),
        authorizer_(authorizer),
        in_force_(in_force),
        spec_(in_force.policy["spec"]),
        name_(in_force.policy["metadata"]["name"].str()),
        fails_(spec_["failurePolicy"].as_string() != "Ignore") {}
  std::vector<Denial> denials;

  void run(Value object) {
    const Registry& registry = a_.work.registry;
    auto as = match_resources(spec_["matchConstraints"], target_, registry, false);
    if (!as) return configuration_error(as.error().message, nullptr);
    if (!*as) return;
    if (std::string why = unknown_param_kind(registry, in_force_.policy); !why.empty()) return configuration_error(why, nullptr);
    policy_ = compiled_policy(in_force_.policy, false);
    auto now = in_version(registry, *a_.work.served, **as, object), before = in_version(registry, *a_.work.served, **as, a_.before);
    if (!now || !before) return configuration_error((now ? before : now).error().message, nullptr);
    object_ = std::move(*now);
    before_ = std::move(*before);
    request_ = admission_request(a_, target_, **as).freeze();
    for (const Document& binding : in_force_.bindings) bound(binding);
    for (const auto& [key, values] : noted_) a_.work.audit_annotations.try_emplace(name_ + "/" + key, join(values, ", "));
  }

 private:
  void configuration_error(std::string_view why, const Document* binding) {
    if (!fails_) return;
    denials.push_back({name_, binding ? (*binding)["metadata"]["name"].str() : "",
                       fmt::format("failed to configure {}: {}", binding ? "binding" : "policy", why), ""});
  }

  void bound(const Document& binding) {
    if (Value resources = binding["spec"]["matchResources"]; resources.is_object()) {
      auto as = match_resources(resources, target_, a_.work.registry, true);
      if (!as) return configuration_error(as.error().message, &binding);
      if (!*as) return;
    }
    auto params = params_of(a_.work.registry, in_force_.policy, binding, target_.ns);
    if (!params) return configuration_error(params.error(), &binding);
    Document ns = namespace_object(a_);
    for (const Document& one : *params)
      judge(binding, {{object_, before_, request_, authorizer_.whole.get(), authorizer_.resource_check.get()}, ns, one});
  }

  void failed(const Document& binding, std::size_t index, const std::string& message) {
    if (fails_) denied(binding, index, message, "");
  }

  void denied(const Document& binding, std::size_t index, const std::string& message, std::string_view reason) {
    std::string binding_name = binding["metadata"]["name"].str();
    for (Value action : binding["spec"]["validationActions"].items()) {
      if (action.as_string() == "Deny") denials.push_back({name_, binding_name, message, std::string(reason)});
      if (action.as_string() == "Warn")
        a_.work.warn(
            fmt::format("Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}", name_, binding_name, message));
      if (action.as_string() != "Audit") continue;
      Draft failure = Draft::object(
          {{"message", message}, {"policy", name_}, {"binding", binding_name}, {"expressionIndex", static_cast<std::int64_t>(index)}});
      failure["validationActions"] = binding["spec"]["validationActions"];
      a_.work.audit_annotations.try_emplace("validation.policy.admission.k8s.io/validation_failure", to_json(Draft::array({failure})));
    }
  }

  void judge(const Document& binding, const cel::PolicyValues& values) {
    Conditions conditions = conditions_hold(*policy_, values);
    if (!conditions.hold) return;
    if (!conditions.error.empty()) return failed(binding, 0, conditions.error);
    cel::PolicyRun run(policy_->compiler, values, cel::policy_limit);
    std::vector<cel::PolicyRun::Result> results;
    for (const cel::Expression& validation : policy_->validations) {
      results.push_back(run.evaluate(validation));
      if (results.back().out_of_budget) return failed(binding, 0, results.back().error);
    }
    // Messages are found with what is left of the budget, all of them, before any is said.
    cel::PolicyRun speech(policy_->compiler, values, run.remaining());
    std::vector<std::string> messages;
    std::string unsaid;
    for (const cel::Expression& message : policy_->messages) {
      if (!message.program || !unsaid.empty()) {
        messages.emplace_back();
        continue;
      }
      auto said = speech.evaluate(message);
      if (said.out_of_budget) unsaid = said.error;
      std::string_view text = trim(said.outcome.text);
      bool good = said.error.empty() && text.size() <= message_max_bytes && text.find('\n') == text.npos;
      messages.emplace_back(good ? text : "");
    }
    for (std::size_t i = 0; i < results.size(); ++i) verdict(binding, i, results[i], messages[i], unsaid);
    annotate(binding, values);
  }

  void verdict(const Document& binding, std::size_t i, const cel::PolicyRun::Result& result, const std::string& said,
               const std::string& unsaid) {
    if (!result.error.empty()) return failed(binding, i, result.error);
    if (!unsaid.empty()) return failed(binding, i, "failed messageExpression: " + unsaid);
    if (result.outcome.truth) return;
    Value validation = spec_["validations"][i];
    std::string message = said;
    if (message.empty()) message = trim(validation["message"].as_string());
    if (message.empty()) message = fmt::format("failed expression: {}", trim(validation["expression"].as_string()));
    denied(binding, i, message, validation["reason"].as_string("Invalid"));
  }

  void annotate(const Document& binding, const cel::PolicyValues& values) {
    cel::PolicyRun run(policy_->compiler, values, cel::policy_limit);
    std::string binding_name = binding["metadata"]["name"].str();
    for (std::size_t i = 0; i < policy_->annotations.size(); ++i) {
      auto result = run.evaluate(policy_->annotations[i]);
      if (result.out_of_budget) return failed(binding, 0, result.error);
      if (!result.error.empty()) {
        if (fails_) denials.push_back({name_, binding_name, result.error, ""});
        continue;
      }
      std::string value(trim(result.outcome.text));
      if (result.outcome.tag != cel::Tag::string || value.empty()) continue;
      if (value.size() > audit_value_max_bytes) value.resize(audit_value_max_bytes);
      auto& seen = noted_[spec_["auditAnnotations"][i]["key"].str()];
      if (std::ranges::find(seen, value) == seen.end()) seen.push_back(std::move(value));
    }
  }

  const AdmissionAttributes& a_;
  const MatchTarget& target_;
  const PolicyAuthorizer& authorizer_;
  const PolicyInForce& in_force_;
  Value spec_;
  std::string name_;
  bool fails_;
  std::shared_ptr<const CompiledPolicy> policy_;
  Document object_, before_, request_;
  std::map<std::string, std::vector<std::string>> noted_;
};

}  // namespace

ApiResult<void> validating_policies(const AdmissionAttributes& a, Value object) {
  if (policy_exempt(a.work)) return {};
  auto in_force = policies_in_force(a.work.registry, false);
  if (in_force.empty()) return {};
  MatchTarget target = target_of(a, object);
  PolicyAuthorizer authorizer(a.work, target);
  std::vector<Denial> denials;
  for (const PolicyInForce& one : in_force) {
    Judge judge(a, target, authorizer, one);
    judge.run(object);
    denials.insert(denials.end(), judge.denials.begin(), judge.denials.end());
  }
  if (denials.empty()) return {};
  const Denial& first = denials.front();
  std::string with = first.binding.empty() ? "" : fmt::format(" with binding '{}'", first.binding);
  std::string message = fmt::format("ValidatingAdmissionPolicy '{}'{} denied request: {}", first.policy, with, first.message);
  Status status = forbidden(a.work.served->group(), a.work.served->plural(), a.work.name, message);
  status.reason = first.reason.empty() ? "Invalid" : first.reason;
  status.code = code_of(status.reason);
  status.causes.push_back({"", message, ""});
  return fail(std::move(status));
}

}  // namespace kybern::apiserver::admission
