#include "apiserver/registry/versions.h"

#include "apiserver/registry/decode.h"
#include "schema/convert.h"

namespace kybern::apiserver {

ApiResult<Document> in_version(const Registry& registry, const Served& from, const Served& to, Value object) {
  if (!object.exists()) return Document();
  if (&from == &to || object["kind"].as_string() != from.kind()) return object.document();
  auto stored = Registry::for_store(from, object.document());
  if (!stored) return stored;
  return registry.converted(to, stored->root());
}

ApiResult<Document> retyped(const Work& work, const Served& served, std::string_view subresource, Document object) {
  const schema::Subresource* sub = subresource.empty() ? nullptr : served.subresource(subresource);
  if (!sub || sub->kind.empty() || sub->kind == served.kind()) {
    Work own{.registry = work.registry,
             .world = work.world,
             .user = work.user,
             .served = ServedRef::borrowed(served),
             .ns = work.ns,
             .name = work.name,
             .field_validation = FieldValidation::ignore};
    return work.registry.typed(own, served, std::move(object));
  }
  std::string version = sub->version.empty() ? served.api_version
                        : sub->group.empty() ? std::string(sub->version)
                                             : std::string(sub->group) + "/" + std::string(sub->version);
  auto checked = check_kind(version, sub->kind, std::move(object));
  if (!checked || !sub->type) return checked;
  auto decoded = schema::to_typed(*sub->type, checked->root());
  if (!decoded) return fail(bad_request(decoded.error().message));
  return std::move(*decoded);
}

}  // namespace kybern::apiserver
