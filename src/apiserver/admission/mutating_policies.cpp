// MutatingAdmissionPolicy (KEP-3962): what a policy's expressions say is merged into the object, or patched.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "apiserver/admission/policies.h"
#include "apiserver/admission/policy_parts.h"
#include "apiserver/custom/custom.h"
#include "apiserver/registry/versions.h"
#include "base/strings.h"
#include "machinery/apply/compare.h"
#include "machinery/apply/merge.h"
#include "machinery/patch/patch.h"

namespace kybern::apiserver::admission {
namespace {

// What a request's body is: the resource's own kind, or that of a subresource (Scale, Binding, Eviction).
struct BodyKind {
  BodyKind(const Served& served, std::string_view subresource) : api_version(served.api_version), kind(served.kind()) {
    const schema::Subresource* sub = subresource.empty() ? nullptr : served.subresource(subresource);
    if (!sub || sub->kind.empty() || sub->kind == served.kind() || !sub->type) {
      place = served.custom ? served.custom->place() : apply::Place::of(*served.resource->type);
      return;
    }
    place = apply::Place::of(*sub->type);
    kind = sub->kind;
    if (!sub->version.empty())
      api_version = sub->group.empty() ? std::string(sub->version) : fmt::format("{}/{}", sub->group, sub->version);
  }
  std::string api_version;
  std::string_view kind;
  apply::Place place;
};

// What an apply configuration must not touch, since the rest of it would be lost: lists, maps and structs that are one value.
void find_atomics(const apply::Place& place, Value value, const std::string& path, std::vector<std::string>& out) {
  if (!value.is_object() && !value.is_array()) return;
  apply::Rule rule = place.rule(value);
  if (rule == apply::Rule::atomic) out.push_back(path);
  if (value.is_object())
    for (Member m : value.members())
      if (place.named(m.key)) find_atomics(place.member(m.key), m.value, path + "." + std::string(m.key), out);
  if (value.is_array())
    for (std::size_t i = 0; i < value.size(); ++i) find_atomics(place.item(), value[i], fmt::format("{}[{}]", path, i), out);
}

std::expected<Document, std::string> merged(const BodyKind& body, Value object, Value said) {
  const apply::Place& root = body.place;
  Draft config(said);
  config["apiVersion"] = body.api_version;
  config["kind"] = body.kind;
  Document whole = config.freeze();
  auto wrong = [](std::string_view what, std::string_view why) {
    return std::unexpected(fmt::format("error applying patch: {}{}", what, why));
  };
  if (auto fits = apply::check(root, whole); !fits) return wrong("failed to convert patch object to typed object: ", fits.error().message);
  std::vector<std::string> atomics;
  find_atomics(root, whole, "", atomics);
  if (!atomics.empty()) return wrong("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: ", join(atomics, ", "));
  auto out = apply::merge(root, object, whole);
  if (!out) return wrong("failed to merge patch: ", out.error().message);
  return out->freeze();
}

// A patch whose test fails changes nothing.
std::expected<Document, std::string> patched(Value object, Value operations) {
  Draft so_far = Draft::array();
  Document now = object.document();
  for (Value operation : operations.items()) {
    std::string why;
    auto next = json_patch(now, Draft::array({operation}).freeze(), &why);
    if (!next && why.ends_with(": test failed")) return object.document();
    if (!next) return std::unexpected("JSON Patch: " + (why.empty() ? next.error().message : why));
    now = next->freeze();
  }
  return now;
}

struct PolicyError {
  std::string policy, binding, message, reason;
  std::string text() const {
    return binding.empty() ? fmt::format("policy {} denied request: {}", go_quote(policy), message)
                           : fmt::format("policy '{}' with binding '{}' denied request: {}", policy, binding, message);
  }
};

// One round of all policies about one request.
class Mutator {
 public:
  Mutator(const AdmissionAttributes& a, Draft& object, bool again)
      : a_(a),
        served_(*a.work.served),
        draft_(object),
        again_(again),
        object_(object.freeze()),
        target_(target_of(a, object_)),
        authorizer_(a.work, target_) {}
  std::vector<PolicyError> errors;
  bool changed = false;

  ApiResult<void> run(const PolicyInForce& in_force) {
    Value spec = in_force.policy["spec"];
    if (again_ && spec["reinvocationPolicy"].as_string() != "IfNeeded") return {};
    const Registry& registry = a_.work.registry;
    fails_ = spec["failurePolicy"].as_string() != "Ignore";
    name_ = in_force.policy["metadata"]["name"].str();
    target_.object = object_;
    auto as = match_resources(spec["matchConstraints"], target_, registry, false);
    if (!as) return failed("", "failed to configure policy: " + as.error().message, "");
    if (!*as) return {};
    if (std::string why = unknown_param_kind(registry, in_force.policy); !why.empty())
      return failed("", "failed to configure policy: " + why, "");
    policy_ = compiled_policy(in_force.policy, true);
    for (const Document& binding : in_force.bindings) {
      std::string name = binding["metadata"]["name"].str();
      if (Value resources = binding["spec"]["matchResources"]; resources.is_object()) {
        auto bound = match_resources(resources, target_, registry, true);
        if (!bound) failed(name, "failed to configure binding: " + bound.error().message, "");
        if (!bound || !*bound) continue;
      }
      auto params = params_of(registry, in_force.policy, binding, target_.ns);
      if (!params) {
        failed(name, "failed to configure binding: " + params.error(), "");
        continue;
      }
      Document ns = namespace_object(a_);
      for (const Document& one : *params)
        if (auto ok = mutate(name, **as, ns, one); !ok) return ok;
    }
    return {};
  }

 private:
  ApiResult<void> failed(const std::string& binding, std::string message, std::string reason) {
    if (fails_) errors.push_back({name_, binding, std::move(message), std::move(reason)});
    return {};
  }

  ApiResult<void> mutate(const std::string& binding, const Served& as, const Document& ns, const Document& params) {
    const Registry& registry = a_.work.registry;
    Document request = admission_request(a_, target_, as).freeze();
    auto before = in_version(registry, served_, as, a_.before);
    if (!before) return fail(std::move(before.error()));
    const BodyKind body(as, target_.subresource);
    for (std::size_t i = 0; i < policy_->mutations.size(); ++i) {
      auto seen = in_version(registry, served_, as, object_);
      if (!seen) return fail(std::move(seen.error()));
      const Document& object = *seen;
      cel::PolicyValues values{{object, *before, request, authorizer_.whole.get(), authorizer_.resource_check.get()}, ns, params};
      if (i == 0) {
        Conditions conditions = conditions_hold(*policy_, values);
        if (!conditions.hold) return {};
        if (!conditions.error.empty()) return failed(binding, conditions.error, "Invalid");
      }
      auto next = one(body, object, values, i);
      if (!next) {
        failed(binding, next.error(), "Invalid");
        continue;
      }
      if (next->root() == object.root()) continue;
      // As a client's object: fitted to its type, with defaults.
      auto typed = retyped(a_.work, as, target_.subresource, *next);
      if (!typed) return fail(std::move(typed.error()));
      if (typed->root() == object.root()) continue;
      auto back = in_version(registry, as, served_, *typed);
      if (!back) return fail(std::move(back.error()));
      object_ = std::move(*back);
      target_.object = object_;
      draft_ = Draft(object_);
      changed = true;
    }
    return {};
  }

  std::expected<Document, std::string> one(const BodyKind& body, Value object, const cel::PolicyValues& values, std::size_t i) {
    const cel::Expression& mutation = policy_->mutations[i];
    if (!mutation.program) return std::unexpected(mutation.error);
    cel::PolicyRun run(policy_->compiler, values, cel::policy_limit);
    auto result = run.evaluate(mutation, true);
    if (!result.error.empty()) return std::unexpected(result.error);
    if (!result.outcome.mismatch.empty()) return std::unexpected("type mismatch: " + result.outcome.mismatch);
    bool patch = policy_->policy["spec"]["mutations"][i]["patchType"].as_string() == "JSONPatch";
    return patch ? patched(object, result.outcome.document) : merged(body, object, result.outcome.document);
  }

  const AdmissionAttributes& a_;
  const Served& served_;
  Draft& draft_;
  bool again_;
  Document object_;
  MatchTarget target_;
  PolicyAuthorizer authorizer_;
  std::shared_ptr<const CompiledPolicy> policy_;
  std::string name_;
  bool fails_ = true;
};

}  // namespace

ApiResult<bool> mutating_policies(const AdmissionAttributes& a, Draft& object, bool again) {
  if (policy_exempt(a.work) || a.operation == "CONNECT") return false;
  auto in_force = policies_in_force(a.work.registry, true);
  if (in_force.empty()) return false;
  Mutator mutator(a, object, again);
  for (const PolicyInForce& one : in_force)
    if (auto ok = mutator.run(one); !ok) return fail(std::move(ok.error()));
  if (mutator.errors.empty()) return mutator.changed;
  Status status = forbidden(a.work.served->group(), a.work.served->plural(), a.work.name, "admission request denied by policy");
  status.message = mutator.errors.front().text();
  if (!mutator.errors.front().reason.empty()) status.reason = mutator.errors.front().reason;
  for (const PolicyError& error : mutator.errors) status.causes.push_back({"", error.text(), ""});
  return fail(std::move(status));
}

}  // namespace kybern::apiserver::admission
