#include "apiserver/http/requests.h"

#include "apiserver/custom/custom.h"
#include "apiserver/custom/scale.h"
#include "machinery/validate/warnings.h"

namespace kybern::apiserver {
namespace {

std::uint16_t verb_bit(std::string_view verb) {
  if (verb == "create") return schema::verb_create;
  if (verb == "delete") return schema::verb_delete;
  if (verb == "deletecollection") return schema::verb_deletecollection;
  if (verb == "get") return schema::verb_get;
  if (verb == "list") return schema::verb_list;
  if (verb == "patch") return schema::verb_patch;
  if (verb == "update") return schema::verb_update;
  if (verb == "watch") return schema::verb_watch;
  return 0;
}

Status no_such_method() {
  Status status;
  status.code = 405;
  status.reason = "MethodNotAllowed";
  status.message = "the server does not allow this method on the requested resource";
  status.empty_details = true;
  return status;
}

// Strategic merges lean on tables that only built-in types have.
Status strategic_of_custom() {
  Status status = unsupported_media_type(
      "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, "
      "application/merge-patch+json, application/apply-patch+yaml");
  status.empty_details = true;
  return status;
}

}  // namespace

ApiResult<Work> begin_work(Registry& registry, const User& user, const RequestInfo& info, Query query) {
  const ServedRef served = registry.catalog().find(info.group, info.version, info.resource);
  if (!served) return fail(generic_not_found());
  bool is_namespace = served->plural() == "namespaces" && served->group().empty();
  std::string ns = is_namespace ? "" : info.ns;
  if (!served->namespaced() && !ns.empty()) return fail(generic_not_found());
  // An object of a namespaced kind has its namespace in the path; so has a collection that is written to.
  if (served->namespaced() && ns.empty() && (!info.name.empty() || info.verb == "create" || info.verb == "deletecollection")) {
    if (info.name.empty() && info.verb == "create") return fail(no_such_method());
    return fail(info.name.empty() ? no_such_method() : generic_not_found());
  }
  std::uint16_t verbs = served->resource->verbs;
  if (!info.subresource.empty()) {
    const schema::Subresource* sub = served->subresource(info.subresource);
    if (!sub) return fail(generic_not_found());
    verbs = sub->verbs;
  } else {
    // A name in the path of a POST, none in that of a PUT: the path is there, for another method.
    bool collection_verb = info.verb == "create" || info.verb == "list" || info.verb == "deletecollection";
    bool object_verb = info.verb == "update" || info.verb == "patch" || info.verb == "delete";
    if ((collection_verb && !info.name.empty()) || (object_verb && info.name.empty())) return fail(no_such_method());
  }
  std::uint16_t bit = verb_bit(info.verb);
  // A proxy passes on methods that have no verb: OPTIONS.
  if (info.verb.empty() && info.subresource == "proxy" && verbs) bit = verbs;
  if (!bit || !(verbs & bit)) return fail(no_such_method());
  Work work{.registry = registry,
            .world = registry.world(),
            .user = user,
            .served = served,
            .ns = ns,
            .name = info.name,
            .subresource = info.subresource,
            .query = std::move(query)};
  work.verb = info.verb;
  work.dynamic = true;
  if (served->custom && !served->custom->deprecation().empty()) work.warnings.push_back(served->custom->deprecation());
  if (!served->custom)
    if (std::string_view old = deprecation_warning(*served->resource); !old.empty()) work.warnings.emplace_back(old);
  return work;
}

ApiResult<Answer> run_object_request(Work& work, std::string_view verb, Document body, PatchKind patch) {
  std::string_view options = verb == "create"   ? "CreateOptions"
                             : verb == "update" ? "UpdateOptions"
                             : verb == "patch"  ? "PatchOptions"
                                                : "DeleteOptions";
  if (verb != "get")
    if (auto ok = read_write_options(work, options); !ok) return fail(std::move(ok.error()));
  if (verb == "patch" && patch == PatchKind::strategic && work.served->custom && work.subresource != "scale")
    return fail(strategic_of_custom());
  if (verb == "patch" && patch != PatchKind::apply && work.query.has("force")) {
    FieldErrors errors{{FieldError::Type::forbidden, "force", "", "may not be specified for non-apply patch"}};
    return fail(invalid("meta.k8s.io", "PatchOptions", "", errors));
  }
  if (verb == "patch" && patch == PatchKind::apply && work.field_manager.empty()) {
    FieldErrors errors{{FieldError::Type::required, "fieldManager", "", "is required for apply patch"}};
    return fail(invalid("meta.k8s.io", "PatchOptions", "", errors));
  }
  if (!work.subresource.empty() && work.subresource != "status") {
    SubresourceHandler handler = work.served->custom && work.subresource == "scale"
                                     ? custom_scale
                                     : find_subresource(work.served->group(), work.served->plural(), work.subresource);
    if (!handler) return fail(generic_not_found());
    SubresourceCall call{work, verb, std::move(body), patch};
    return handler(call);
  }
  if (ReviewHandler review = find_review(work.served->group(), work.served->plural())) return review(work, std::move(body));
  if (verb == "get") return work.registry.get(work);
  if (verb == "create") return work.registry.create(work, std::move(body));
  if (verb == "update") return work.registry.update(work, std::move(body));
  if (verb == "patch") return work.registry.patch(work, patch, std::move(body));
  auto deletion = read_delete_options(body.root(), work.query);
  if (!deletion) return fail(std::move(deletion.error()));
  for (Value value : body["dryRun"].items()) work.dry_run = work.dry_run || value.as_string() == "All";
  work.options = body;
  if (verb == "delete") return work.registry.remove(work, *deletion);
  auto selection = read_list_options(*work.served, work.query);
  if (!selection) return fail(std::move(selection.error()));
  return work.registry.remove_collection(work, *deletion, *selection);
}

}  // namespace kybern::apiserver
