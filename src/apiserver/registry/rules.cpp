#include "apiserver/registry/rules.h"

#include "machinery/defaults/defaults.h"
#include "machinery/validate/validate.h"

namespace kybern::apiserver {

void apply_defaults(const Served& served, Draft& object) { kybern::apply_defaults(*served.resource, object); }

FieldErrors validate_create(const Served& served, Value object) { return kybern::validate(*served.resource, object); }

FieldErrors validate_update(const Served& served, Value object, Value before, std::string_view subresource) {
  if (subresource == "binding") return {};  // it sets what a pod update may not, and was judged by its own rules
  if (subresource.empty()) return kybern::validate_update(*served.resource, object, before);
  return kybern::validate_subresource_update(*served.resource, subresource, object, before);
}

}  // namespace kybern::apiserver
