#include "apiserver/registry/scale.h"

#include <fmt/format.h>

#include "apiserver/admission/admission.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/managers.h"
#include "apiserver/registry/registry.h"
#include "base/strings.h"
#include "machinery/labels.h"
#include "machinery/patch/patch.h"
#include "machinery/patch/strategic.h"
#include "schema/convert.h"

namespace kybern::apiserver {

namespace {

ApiResult<Document> typed_scale(Document scale) { return typed_body("autoscaling/v1", "Scale", std::move(scale)); }

// The number of a Scale that was asked for; the errors of one that does not fit the object.
ApiResult<std::int64_t> wanted_replicas(const Work& work, Value before, Value scale) {
  const Served& served = *work.served;
  std::string_view version = scale["metadata"]["resourceVersion"].as_string();
  if (!version.empty() && version != before["metadata"]["resourceVersion"].as_string())
    return fail(conflict(served.group(), served.plural(), work.name,
                         "the object has been modified; please apply your changes to the latest version and try again"));
  if (std::string_view uid = scale["metadata"]["uid"].as_string(), ours = before["metadata"]["uid"].as_string();
      !uid.empty() && uid != ours)
    return fail(conflict(served.group(), served.plural(), work.name,
                         fmt::format("Precondition failed: UID in precondition: {}, UID in object meta: {}", uid, ours)));
  std::int64_t replicas = scale["spec"]["replicas"].as_int();
  if (replicas < 0) {
    FieldErrors errors{{FieldError::Type::invalid, "spec.replicas", std::to_string(replicas), "must be greater than or equal to 0"}};
    return fail(invalid("autoscaling", "Scale", work.name, errors));
  }
  return replicas;
}

// The Scale that a PATCH comes to.
ApiResult<Document> patched_scale(SubresourceCall& call, Value before, Value current, Value body) {
  if (call.patch == PatchKind::apply) {
    auto applied = apply_scale_config(call.work, before, current, body);
    if (!applied) return applied;
    return typed_scale(std::move(*applied));
  }
  ApiResult<Draft> patched = call.patch == PatchKind::json ? json_patch(current, body)
                             : call.patch == PatchKind::merge
                                 ? merge_patch(current, body)
                                 : strategic_merge(current, body, *schema::find_type("autoscaling/v1", "Scale"));
  if (!patched) return fail(std::move(patched.error()));
  return typed_scale(patched->freeze());
}

Status missing_scale(const Work& work) {
  // As upstream names it: deployments/scale.apps, but statefulsets.apps; of a replication controller the group is that of Scale.
  if (work.served->plural() == "statefulsets") return not_found(work.served->group(), work.served->plural(), work.name);
  std::string_view group = work.served->group().empty() ? "autoscaling" : work.served->group();
  return not_found(group, std::string(work.served->plural()) + "/scale", work.name);
}

Document read_built_in(const Work& work, Value object) {
  Draft scale = scale_head(object);
  scale["spec"] = Draft::object();
  if (std::int64_t replicas = object["spec"]["replicas"].as_int()) scale["spec"]["replicas"] = replicas;
  scale["status"] = Draft::object({{"replicas", object["status"]["replicas"].as_int()}});
  std::string selector;
  if (work.served->plural() == "replicationcontrollers") selector = LabelSelector::from_map(object["spec"]["selector"]).str();
  else if (auto parsed = LabelSelector::from(object["spec"]["selector"])) selector = parsed->str();
  if (!selector.empty()) scale["status"]["selector"] = selector;
  return scale.freeze();
}

ApiResult<Draft> built_in_with(Value object, std::int64_t replicas, const Work&) {
  Draft now(object);
  now["spec"]["replicas"] = replicas;
  return now;
}

}  // namespace

Draft scale_head(Value object) {
  Draft scale = Draft::object({{"kind", "Scale"}, {"apiVersion", "autoscaling/v1"}});
  Value m = object["metadata"];
  for (std::string_view field : {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"})
    if (m[field].exists()) scale["metadata"][field] = m[field];
  return scale;
}

ApiResult<Answer> exchange_scale(SubresourceCall& call, Value object, const ScaleShape& shape) {
  Work& work = call.work;
  if (call.verb == "get") return Answer{200, shape.read(work, object)};
  Document body = call.body;
  if (call.verb == "update") {
    auto typed = typed_scale(call.body);
    if (!typed) return fail(std::move(typed.error()));
    body = std::move(*typed);
    if (std::string_view name = body["metadata"]["name"].as_string(); name != work.name)
      return fail(bad_request(fmt::format("the name of the object ({}) does not match the name on the URL ({})", name, work.name)));
  }
  work.subresource.clear();  // the object itself is written, its generation counts
  work.managed_as = "scale";
  auto answer = work.registry.modify(
      work,
      [&](Value before) -> ApiResult<Draft> {
        work.admitted = false;
        const Document current = shape.read(work, before);
        ApiResult<Document> wanted = body;
        if (call.verb != "update") wanted = patched_scale(call, before, current.root(), body.root());
        if (!wanted) return fail(std::move(wanted.error()));
        auto admitted = admit_body(work, "UPDATE", "scale", std::move(*wanted), current.root());
        if (!admitted) return fail(std::move(admitted.error()));
        auto replicas = wanted_replicas(work, before, admitted->root());
        if (!replicas) return fail(std::move(replicas.error()));
        return shape.with_replicas(before, *replicas, work);
      },
      true);
  if (!answer) return answer;
  return Answer{answer->code, shape.read(work, answer->object.root())};
}

ApiResult<Answer> built_in_scale(SubresourceCall& call) {
  auto entry = call.work.registry.current(call.work);
  if (!entry) return fail(call.verb == "get" ? missing_scale(call.work) : entry.error());
  return exchange_scale(call, (*entry)->value.root(), {read_built_in, built_in_with});
}

}  // namespace kybern::apiserver
