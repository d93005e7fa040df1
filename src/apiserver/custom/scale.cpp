// The scale subresource of a custom resource: its paths say where the numbers and the selector are.
#include <fmt/format.h>

#include "apiserver/admission/admission.h"
#include "apiserver/custom/custom.h"
#include "apiserver/custom/scale.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/managers.h"
#include "apiserver/registry/registry.h"
#include "base/strings.h"
#include "machinery/custom/definition.h"
#include "machinery/patch/patch.h"
#include "machinery/patch/strategic.h"
#include "schema/convert.h"

namespace kybern::apiserver {

namespace {

Document scale_of(const Work& work, Value object) {
  Value paths = work.served->custom->scale();
  Draft scale = Draft::object({{"kind", "Scale"}, {"apiVersion", "autoscaling/v1"}});
  Value m = object["metadata"];
  for (std::string_view field : {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"})
    if (m[field].exists()) scale["metadata"][field] = m[field];
  scale["spec"] = Draft::object();
  if (std::int64_t replicas = custom::at_json_path(object, paths["specReplicasPath"].as_string()).as_int())
    scale["spec"]["replicas"] = replicas;
  scale["status"] = Draft::object({{"replicas", custom::at_json_path(object, paths["statusReplicasPath"].as_string()).as_int()}});
  if (std::string_view path = paths["labelSelectorPath"].as_string(); !path.empty())
    if (std::string_view selector = custom::at_json_path(object, path).as_string(); !selector.empty())
      scale["status"]["selector"] = selector;
  return scale.freeze();
}

ApiResult<Draft> with_scale(const Work& work, Value before, Value scale) {
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
  Draft now(before);
  Draft* at = &now;
  std::string_view path = served.custom->scale()["specReplicasPath"].as_string();
  for (std::string_view key : split(path.substr(1), '.')) {
    if (!at->is_object() && !at->is_null())
      return fail(internal_error(fmt::format("the spec replicas field {} cannot be set", go_quote(path))));
    at = &(*at)[key];
  }
  *at = replicas;
  return now;
}

}  // namespace

ApiResult<Answer> custom_scale(SubresourceCall& call) {
  Work& work = call.work;
  auto entry = work.registry.current(work);
  if (!entry) return fail(entry.error());
  Document object = work.registry.in_served_form(*work.served, (*entry)->value.root());
  if (call.verb == "get") return Answer{200, scale_of(work, object.root())};
  Document body = call.body;
  if (call.verb == "update") {
    auto typed = typed_body("autoscaling/v1", "Scale", call.body);
    if (!typed) return fail(std::move(typed.error()));
    body = std::move(*typed);
    if (std::string_view name = body["metadata"]["name"].as_string(); name != work.name)
      return fail(bad_request(fmt::format("the name of the object ({}) does not match the name on the URL ({})", name, work.name)));
  }
  work.subresource.clear();  // the object itself is written, its generation counts
  work.managed_as = "scale";
  auto changed = [&](Value before, Document scale) -> ApiResult<Draft> {
    auto admitted = admit_body(work, "UPDATE", "scale", std::move(scale), scale_of(work, before).root());
    if (!admitted) return fail(std::move(admitted.error()));
    return with_scale(work, before, admitted->root());
  };
  auto answer = work.registry.modify(
      work,
      [&](Value before) -> ApiResult<Draft> {
        work.admitted = false;
        if (call.verb == "update") return changed(before, body);
        Document current = scale_of(work, before);
        if (call.patch == PatchKind::apply) {
          auto applied = apply_scale_config(work, before, current.root(), body.root());
          if (!applied) return fail(std::move(applied.error()));
          auto typed = typed_body("autoscaling/v1", "Scale", *applied);
          if (!typed) return fail(std::move(typed.error()));
          return changed(before, std::move(*typed));
        }
        ApiResult<Draft> patched = fail(generic_unprocessable());
        if (call.patch == PatchKind::json) patched = json_patch(current.root(), body.root());
        else if (call.patch == PatchKind::merge) patched = merge_patch(current.root(), body.root());
        else if (call.patch == PatchKind::strategic)
          patched = strategic_merge(current.root(), body.root(), *schema::find_type("autoscaling/v1", "Scale"));
        if (!patched) return fail(std::move(patched.error()));
        auto typed = typed_body("autoscaling/v1", "Scale", patched->freeze());
        if (!typed) return fail(std::move(typed.error()));
        return changed(before, std::move(*typed));
      },
      true);
  if (!answer) return answer;
  return Answer{answer->code, scale_of(work, answer->object.root())};
}

}  // namespace kybern::apiserver
