// PodSecurity (KEP-2579): pods are held to the standard that their namespace's labels name; of what makes pods, and of a
// standard that only warns or is noted, the client is told. Nobody and nothing is exempt.
#include "machinery/pod_security/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "apiserver/admission/plugins.h"
#include "base/strings.h"

namespace kybern::apiserver::admission {
namespace {

using namespace pod_security;

constexpr auto ignored_subresources =
    std::to_array<std::string_view>({"exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"});

void note(const AdmissionAttributes& a, std::string_view key, std::string text) {
  a.work.audit_annotations[fmt::format("pod-security.kubernetes.io/{}", key)] = std::move(text);
}

std::string aggregate(const FieldErrors& errors) {
  std::vector<std::string> out;
  for (const FieldError& e : errors) out.push_back(fmt::format("{}: {}", e.field, e.message()));
  return out.size() == 1 ? out[0] : "[" + join(out, ", ") + "]";
}

ApiResult<void> judge_namespace(const AdmissionAttributes& a, Value ns) {
  if (!a.work.subresource.empty()) return {};
  Asked now = read_labels(ns["metadata"]["labels"]);
  auto refuse = [&] { return fail(invalid("", "Namespace", a.work.name, now.errors)); };
  if (a.operation == "CREATE") return now.errors.empty() ? ApiResult<void>() : refuse();
  Asked old = read_labels(a.before["metadata"]["labels"]);
  if (!now.errors.empty() && (old.errors.empty() || aggregate(now.errors) != aggregate(old.errors))) return refuse();
  LevelVersion enforce = now.policy.enforce, before = old.policy.enforce;
  if (enforce == before || enforce.level == Level::privileged || (enforce.minor == before.minor && enforce.level <= before.level))
    return {};
  std::vector<Document> pods;
  a.work.registry.each("", "v1", "pods", a.work.name, [&](Value pod) {
    pods.push_back(pod.document());
    return true;
  });
  for (std::string& warning : warnings_about(a.work.name, enforce, pods)) a.work.warn(std::move(warning));
  return {};
}

ApiResult<void> judge_pod(const AdmissionAttributes& a, const Asked& asked, Value metadata, Value spec, bool enforces) {
  const Policy& policy = asked.policy;
  if (!asked.errors.empty()) note(a, "error", "Failed to parse policy: " + aggregate(asked.errors));
  std::optional<Status> refused;
  if (enforces) {
    note(a, "enforce-policy", policy.enforce.str());
    Verdict verdict = evaluate(policy.enforce, metadata, spec);
    if (!verdict.allowed())
      refused = forbidden("", "pods", a.work.name, fmt::format("violates PodSecurity \"{}\": {}", policy.enforce.str(), verdict.details()));
  }
  auto violation = [&](LevelVersion of) {
    Verdict verdict = evaluate(of, metadata, spec);
    return verdict.allowed() ? std::string() : fmt::format("would violate PodSecurity \"{}\": {}", of.str(), verdict.details());
  };
  if (std::string text = violation(policy.audit); !text.empty()) note(a, "audit-violations", std::move(text));
  if (refused) return fail(std::move(*refused));
  if (std::string text = violation(policy.warn); !text.empty()) a.work.warn(std::move(text));
  return {};
}

bool idle(const Asked& asked, bool enforces) {
  const Policy& p = asked.policy;
  return asked.errors.empty() && (!enforces || p.enforce.level == Level::privileged) && p.warn.level == Level::privileged &&
         p.audit.level == Level::privileged;
}

}  // namespace

ApiResult<void> pod_security_standards(const AdmissionAttributes& a, Value object) {
  const Work& work = a.work;
  if (a.operation != "CREATE" && a.operation != "UPDATE") return {};
  if (work.is("", "namespaces")) return judge_namespace(a, object);
  bool pod = work.is("", "pods");
  if (pod ? std::ranges::find(ignored_subresources, work.subresource) != ignored_subresources.end()
          : !has_template(work.served->group(), work.served->plural()) || !work.subresource.empty() || !work.managed_as.empty())
    return {};
  Document ns = work.registry.read("", "v1", "namespaces", "", work.ns);
  Asked asked = read_labels(ns["metadata"]["labels"]);
  if (idle(asked, pod)) {
    if (pod) note(a, "enforce-policy", "privileged:latest");  // whichever version was said
    return {};
  }
  if (pod) {
    if (a.operation == "UPDATE" && !significant_update(object, a.before)) return {};
    return judge_pod(a, asked, object["metadata"], object["spec"], true);
  }
  Value made = template_of(work.served->group(), work.served->plural(), object);
  return made.is_object() ? judge_pod(a, asked, made["metadata"], made["spec"], false) : ApiResult<void>();
}

}  // namespace kybern::apiserver::admission
