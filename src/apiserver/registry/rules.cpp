#include "apiserver/registry/rules.h"

#include "machinery/defaults/defaults.h"
#include "machinery/metadata.h"

namespace kybern::apiserver {

void apply_defaults(const Served& served, Draft& object) { kybern::apply_defaults(*served.resource, object); }

namespace {

NameRule name_rule(const Served& served) {
  std::string_view group = served.group(), plural = served.plural();
  if (group == "rbac.authorization.k8s.io") return name_is_path_segment;
  if (group.empty() && plural == "namespaces") return name_is_label;
  if (group.empty() && plural == "services") return name_is_dns1035_label;
  return name_is_subdomain;
}

}  // namespace

FieldErrors validate_create(const Served& served, Value object) {
  return validate_object_meta(object["metadata"], served.namespaced(), name_rule(served));
}

FieldErrors validate_update(const Served&, Value object, Value before, std::string_view) {
  return validate_object_meta_update(object["metadata"], before["metadata"]);
}

}  // namespace kybern::apiserver
