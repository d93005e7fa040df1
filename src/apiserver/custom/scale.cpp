// The scale subresource of a custom resource: its paths say where the numbers and the selector are.
#include "apiserver/custom/scale.h"

#include <fmt/format.h>

#include "apiserver/custom/custom.h"
#include "apiserver/registry/registry.h"
#include "apiserver/registry/scale.h"
#include "base/strings.h"
#include "machinery/custom/definition.h"

namespace kybern::apiserver {

namespace {

Document read_scale(const Work& work, Value object) {
  Value paths = work.served->custom->scale();
  Draft scale = scale_head(object);
  scale["spec"] = Draft::object();
  if (std::int64_t replicas = custom::at_json_path(object, paths["specReplicasPath"].as_string()).as_int())
    scale["spec"]["replicas"] = replicas;
  scale["status"] = Draft::object({{"replicas", custom::at_json_path(object, paths["statusReplicasPath"].as_string()).as_int()}});
  if (std::string_view path = paths["labelSelectorPath"].as_string(); !path.empty())
    if (std::string_view selector = custom::at_json_path(object, path).as_string(); !selector.empty())
      scale["status"]["selector"] = selector;
  return scale.freeze();
}

ApiResult<Draft> with_replicas(Value before, std::int64_t replicas, const Work& work) {
  Draft now(before);
  Draft* at = &now;
  std::string_view path = work.served->custom->scale()["specReplicasPath"].as_string();
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
  auto entry = call.work.registry.current(call.work);
  if (!entry) return fail(entry.error());
  Document object = call.work.registry.in_served_form(*call.work.served, (*entry)->value.root());
  return exchange_scale(call, object.root(), {read_scale, with_replicas});
}

}  // namespace kybern::apiserver
