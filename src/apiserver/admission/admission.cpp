#include "apiserver/admission/admission.h"

#include "apiserver/admission/plugins.h"
#include "apiserver/admission/policies.h"
#include "apiserver/admission/webhooks.h"
#include "apiserver/authz/escalation.h"
#include "base/strings.h"

namespace kybern::apiserver {
namespace {

using admission::Reinvocation;

bool is_dynamic(const AdmissionAttributes& a) { return a.work.dynamic && !a.work.admitted; }

// Policies, then webhooks: upstream's order. `object` is nullptr for a deletion.
ApiResult<void> mutate_dynamically(const AdmissionAttributes& a, Draft* object, Reinvocation& again) {
  if (!is_dynamic(a)) return {};
  if (object) {
    auto changed = admission::mutating_policies(a, *object, again.second);
    if (!changed) return fail(std::move(changed.error()));
    again.wanted |= *changed;
  }
  return a.work.registry.webhooks().mutate(a, object, again);
}

ApiResult<void> validate_dynamically(const AdmissionAttributes& a, Value object) {
  if (!is_dynamic(a)) return {};
  if (auto ok = admission::validating_policies(a, object); !ok) return ok;
  return a.work.registry.webhooks().validate(a, object);
}

}  // namespace

// The order is upstream's order of its recommended plug-ins.
ApiResult<void> admit_mutating(const AdmissionAttributes& a, Draft& object) {
  using Plugin = ApiResult<void> (*)(const AdmissionAttributes&, Draft&);
  static constexpr Plugin plugins[] = {
      admission::namespace_lifecycle,
      admission::default_limits,
      admission::service_account,
      admission::node_restriction,
      admission::taint_nodes_by_condition,
      admission::priority,
      admission::default_toleration_seconds,
      admission::default_storage_class,
      admission::storage_object_in_use,
      admission::topology_labels,
      admission::runtime_class,
      admission::default_ingress_class,
  };
  Reinvocation again;
  for (;;) {
    for (Plugin plugin : plugins)
      if (auto ok = plugin(a, object); !ok) return ok;
    if (auto ok = mutate_dynamically(a, &object, again); !ok) return ok;
    if (!again.wanted || again.second) return {};
    again.second = true;
  }
}

ApiResult<void> admit_validating(const AdmissionAttributes& a, Value object) {
  if (auto ok = check_escalation(a, object); !ok) return ok;
  using Plugin = ApiResult<void> (*)(const AdmissionAttributes&, Value);
  static constexpr Plugin plugins[] = {admission::certificates, admission::check_limits, admission::pod_security_standards,
                                       admission::one_default_priority, admission::claim_resize};
  for (Plugin plugin : plugins)
    if (auto ok = plugin(a, object); !ok) return ok;
  if (auto ok = validate_dynamically(a, object); !ok) return ok;
  return admission::charge_quotas(a, object);
}

ApiResult<void> admit_deletion(const AdmissionAttributes& a) {
  Reinvocation again;
  if (auto ok = admission::protected_namespaces(a); !ok) return ok;
  if (auto ok = admission::node_restriction_of_deletion(a); !ok) return ok;
  if (auto ok = mutate_dynamically(a, nullptr, again); !ok) return ok;
  return validate_dynamically(a, {});
}

ApiResult<Document> admit_body(Work& work, std::string_view operation, std::string_view subresource, Document body, Value before) {
  if (!work.dynamic || work.admitted) return body;
  std::string held = std::exchange(work.subresource, std::string(subresource));
  AdmissionAttributes a{work, operation, before};
  Draft object(body);
  Reinvocation again;
  auto ok = mutate_dynamically(a, &object, again);
  if (ok && again.wanted) {
    again.second = true;
    ok = mutate_dynamically(a, &object, again);
  }
  Document whole = again.wanted ? object.freeze() : std::move(body);
  if (ok) ok = validate_dynamically(a, whole.root());
  work.subresource = std::move(held);
  work.admitted = true;
  if (!ok) return fail(std::move(ok.error()));
  return whole;
}

// The object is the request's options, as its query gives them.
ApiResult<void> admit_connect(Work& work) {
  const schema::Subresource* sub = work.served->subresource(work.subresource);
  if (work.subresource == "log" || !sub) return {};
  Draft options = Draft::object({{"kind", sub->kind}, {"apiVersion", work.served->api_version}});
  auto text = [&](std::string_view name) {
    if (std::string value = work.query.get(name); !value.empty()) options[name] = value;
  };
  if (work.subresource == "proxy") {
    text("path");
  } else if (work.subresource == "portforward") {
    for (const std::string& list : work.query.all("ports"))
      for (std::string_view port : split(list, ','))
        if (auto number = parse_int(port)) options["ports"].push_back(*number);
  } else {
    for (std::string_view flag : {"stdin", "stdout", "stderr", "tty"})
      if (work.query.flag(flag)) options[flag] = true;
    text("container");
    for (const std::string& word : work.query.all("command")) options["command"].push_back(word);
  }
  auto admitted = admit_body(work, "CONNECT", work.subresource, options.freeze());
  if (!admitted) return fail(std::move(admitted.error()));
  return {};
}

}  // namespace kybern::apiserver
