// create, update, patch and delete: the write half of the registry.
#include <fmt/format.h>

#include "apiserver/admission/admission.h"
#include "apiserver/custom/converter.h"
#include "apiserver/custom/custom.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/deletion.h"
#include "apiserver/registry/managers.h"
#include "apiserver/registry/patches.h"
#include "apiserver/registry/registry.h"
#include "apiserver/registry/rules.h"
#include "base/strings.h"
#include "document/json.h"
#include "machinery/field.h"
#include "machinery/patch/patch.h"

namespace kybern::apiserver {
namespace {

constexpr std::size_t warnings_max = 1000;  // more than an answer has room for
constexpr int generate_name_attempts = 8;   // as upstream tries before it answers AlreadyExists
constexpr int conflict_attempts = 5;        // of a patch without a resourceVersion
constexpr std::size_t generated_suffix = 5;
constexpr std::size_t generated_base_max = 63 - generated_suffix;

std::string_view meta(Value object, std::string_view field) { return object["metadata"][field].as_string(); }

// The metadata that only the server sets.
void fill_metadata(Work& work, Draft& object) {
  Draft& m = object["metadata"];
  if (work.served->namespaced()) m["namespace"] = work.ns;
  else m.erase("namespace");
  m.erase("deletionTimestamp");
  m.erase("deletionGracePeriodSeconds");
  m.erase("selfLink");
  m["uid"] = new_uuid(work.world.random);
  m["creationTimestamp"] = format_rfc3339(work.world.clock.now());
  m["resourceVersion"] = Document::stamp_blank();
  if (work.served->traits->generation) m["generation"] = 1;
  else m.erase("generation");
}

std::string generated(Work& work, std::string_view base) {
  return std::string(base.substr(0, generated_base_max)) + random_suffix(work.world.random, generated_suffix);
}

ApiResult<void> check_namespaces(const Work& work, Value body) {
  if (!work.served->namespaced()) return {};
  std::string_view given = meta(body, "namespace");
  if (given.empty() || given == work.ns) return {};
  return fail(bad_request("the namespace of the provided object does not match the namespace sent on the request"));
}

ApiResult<void> check_patched_namespace(const Work& work, Value after) {
  std::string_view given = meta(after, "namespace");
  if (!work.served->namespaced() || given.empty() || given == work.ns) return {};
  return fail(
      bad_request(fmt::format("the namespace of the object ({}) does not match the namespace on the request ({})", given, work.ns)));
}

// The patch is well-formed, what it makes is not: 422 about the field `patch`, which shows the patched object (of a
// strategic patch the patch).
Status unfit_patch(const Work& work, PatchKind kind, Value patch, Value patched, const Status& why) {
  std::string_view reason = why.message;
  std::string prefix = fmt::format(" cannot be handled as a {}: ", work.served->kind());
  if (auto at = reason.find(prefix); at != std::string_view::npos) reason.remove_prefix(at + prefix.size());
  if (kind == PatchKind::strategic) return patch_does_not_fit(patch, reason);
  return invalid("", "", "", {field::invalid(Path("patch"), to_json(patched), reason)});
}

Status invalid_object(const Work& work, std::string_view name, const FieldErrors& errors) {
  return invalid(work.served->group(), work.served->kind(), name, errors);
}

// What is accepted and yet worth a word.
void warn_of(Work& work, Value object, Value before) {
  if (!work.dynamic) return;
  for (std::string& one : warnings_of(*work.served, object, before)) {
    if (work.warnings.size() >= warnings_max) return;
    work.warn(std::move(one));
  }
}

// Everything but metadata and, where it has a path of its own, status: what metadata.generation counts.
bool spec_changed(Value before, const Draft& now, bool has_status) {
  for (const Draft::Field& f : now.fields()) {
    if (f.key == "metadata" || (has_status && f.key == "status") || f.key == "kind" || f.key == "apiVersion") continue;
    if (!(f.value == Draft(before[f.key]))) return true;
  }
  for (Member m : before.members()) {
    if (m.key == "metadata" || (has_status && m.key == "status")) continue;
    if (!now.find(m.key) && !m.value.is_null()) return true;
  }
  return false;
}

// What is stored is what is answered.
bool wants_stored_json(const Work& work) {
  return work.wants_json && !work.served->to_stored && !work.served->from_stored &&
         !(work.served->custom && work.served->custom->converts());
}

}  // namespace

Status status_of(const Work& work, const Error& error) {
  const Served& s = *work.served;
  switch (error.code) {
    case Code::conflict:
      return conflict(s.group(), s.plural(), work.name,
                      "the object has been modified; please apply your changes to the latest version and try again");
    case Code::already_exists: return already_exists(s.group(), s.plural(), work.name);
    case Code::not_found: return not_found(s.group(), s.plural(), work.name);
    case Code::too_large: return too_large(error.message);
    case Code::unavailable: return service_unavailable(error.message);
    default: return internal_error("Internal error occurred: " + error.message);
  }
}

ApiResult<store::EntryPtr> Registry::current(const Work& work) const {
  auto entry = store_.snapshot().get(work.served->key(work.ns, work.name));
  if (!entry) return fail(not_found(work.served->group(), work.served->plural(), work.name));
  return entry;
}

Document Registry::in_served_form(const Served& served, Value stored) const {
  return served.from_stored ? served.from_stored(stored) : stored.document();
}

ApiResult<Document> Registry::converted(const Served& served, Value stored) const {
  Document object = in_served_form(served, stored);
  if (served.custom && served.custom->converts())
    if (auto failure = conversion_failure(object.root())) return fail(std::move(*failure));
  return object;
}

ApiResult<Document> Registry::for_store(const Served& served, Document object) {
  if (!served.to_stored) return object;
  Document stored = served.to_stored(object);
  if (served.custom && served.custom->converts())
    if (auto failure = conversion_failure(stored.root())) return fail(std::move(*failure));
  return stored;
}

ApiResult<Answer> Registry::get(Work& work) {
  if (std::string version = work.query.get("resourceVersion"); !version.empty())
    if (auto ok = check_revision(version); !ok) return fail(std::move(ok.error()));
  auto entry = current(work);
  if (!entry) return fail(std::move(entry.error()));
  std::string json;
  if (wants_stored_json(work) && (*entry)->value.memory() <= HotTexts::max_text_bytes) json = hot_texts_.of(*entry);
  auto object = converted(*work.served, (*entry)->value.root());
  if (!object) return fail(std::move(object.error()));
  return Answer{200, std::move(*object), std::move(json)};
}

ApiResult<Answer> Registry::create(Work& work, Document body) {
  const Served& served = *work.served;
  auto decoded = typed(work, served, std::move(body));
  if (!decoded) return fail(std::move(decoded.error()));
  if (auto ok = check_namespaces(work, *decoded); !ok) return fail(std::move(ok.error()));
  std::string given_version((*decoded)["metadata"]["resourceVersion"].as_string());
  Draft object(*decoded);
  set_managers(work, {}, object, decoded->root());
  std::string name(meta(*decoded, "name")), base(meta(*decoded, "generateName"));
  // The name is generated after admission, which sees what it is made from; admission may give one itself.
  if (served.namespaced()) object["metadata"]["namespace"] = work.ns;
  work.name = name.empty() ? base : name;
  if (name.empty()) work.generated_from = base;
  auto admitted = admit_mutating({work, "CREATE", {}}, object);
  work.generated_from.clear();
  if (!admitted) return fail(std::move(admitted.error()));
  if (const Draft* given = object.find_path({"metadata", "name"}); name.empty() && given) name = given->str();
  bool generate = name.empty() && !base.empty();
  for (int attempt = 1;; ++attempt) {
    if (generate) name = generated(work, base);
    work.name = name;
    Draft draft = generate ? Draft(object) : std::move(object);
    if (generate) draft["metadata"]["name"] = name;
    if (!given_version.empty() && given_version != "0")
      return fail(internal_error("resourceVersion should not be set on objects to be created"));
    fill_metadata(work, draft);
    if (!served.traits->keeps_status_on_create && served.subresource("status")) {
      if (served.empty_status) draft["status"] = served.empty_status;
      else draft.erase("status");
    }
    if (served.traits->prepare_create)
      if (auto ok = served.traits->prepare_create(work, draft); !ok) return fail(std::move(ok.error()));
    Document whole = draft.freeze();
    auto undo = [&](Status status) {
      if (served.traits->after_commit) served.traits->after_commit(work, {}, {});
      return fail(std::move(status));
    };
    if (FieldErrors errors = validate_create(served, whole); !errors.empty()) return undo(invalid_object(work, name, errors));
    warn_of(work, whole, {});
    if (auto ok = admit_validating({work, "CREATE", {}}, whole); !ok) return undo(std::move(ok.error()));
    if (work.dry_run) {
      if (store_.snapshot().get(served.key(work.ns, name))) return undo(already_exists(served.group(), served.plural(), name));
      if (served.traits->after_commit) served.traits->after_commit(work, {}, {});
      Draft answer(whole);
      answer["metadata"].erase("resourceVersion");
      return Answer{201, answer.freeze()};
    }
    auto stored = for_store(served, std::move(whole));
    if (!stored) return undo(std::move(stored.error()));
    std::string json;
    auto entry = store_.commit({served.key(work.ns, name), std::move(*stored), 0, wants_stored_json(work) ? &json : nullptr});
    if (!entry && entry.error().code == Code::too_large && draft["metadata"].erase("managedFields")) {
      // Too large with its managers may be small enough without.
      Document smaller = draft.freeze();
      if (served.to_stored) smaller = served.to_stored(smaller);
      entry = store_.commit({served.key(work.ns, name), std::move(smaller), 0});
    }
    if (entry) {
      if (served.traits->after_commit) served.traits->after_commit(work, {}, (*entry)->value);
      auto answer = converted(served, (*entry)->value.root());
      if (!answer) return fail(std::move(answer.error()));
      return Answer{201, std::move(*answer), std::move(json)};
    }
    if (served.traits->after_commit) served.traits->after_commit(work, {}, {});
    if (entry.error().code != Code::already_exists) return fail(status_of(work, entry.error()));
    if (generate && attempt < generate_name_attempts) continue;
    Status status = already_exists(served.group(), served.plural(), name);
    if (generate) status.message = fmt::format("{}, the server was not able to generate a unique name for the object", status.message);
    auto there = store_.snapshot().get(served.key(work.ns, name));
    if (there && there->value["metadata"]["deletionTimestamp"].exists()) status.message = "object is being deleted: " + status.message;
    return fail(std::move(status));
  }
}

ApiResult<Answer> Registry::modify(Work& work, const Change& change, bool retry_conflicts) {
  const Served& served = *work.served;
  bool status_only = work.subresource == "status";
  for (int attempt = 1;; ++attempt) {
    auto entry = current(work);
    if (!entry) return fail(std::move(entry.error()));
    auto current_form = converted(served, (*entry)->value.root());
    if (!current_form) return fail(std::move(current_form.error()));
    Document before = std::move(*current_form);
    auto changed = change(before);
    if (!changed) return fail(std::move(changed.error()));
    Draft draft = std::move(*changed);
    Draft& m = draft["metadata"];
    Value old_meta = before["metadata"];
    // What a client cannot change: given values are put back, as upstream does.
    for (std::string_view field : {"creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"}) {
      if (old_meta[field].exists()) m[field] = old_meta[field];
      else m.erase(field);
    }
    if (const Draft* uid = m.find("uid"); !uid || uid->as_string().empty()) m["uid"] = old_meta["uid"];
    if (served.namespaced()) m["namespace"] = work.ns;
    if (old_meta["generation"].exists()) m["generation"] = old_meta["generation"];
    else m.erase("generation");
    set_managers(work, before, draft);
    auto undo = [&](Status status) {
      if (served.traits->after_commit) served.traits->after_commit(work, before, {});
      return fail(std::move(status));
    };
    if (auto ok = admit_mutating({work, "UPDATE", before}, draft); !ok) return undo(std::move(ok.error()));
    if (auto prepare = status_only ? served.traits->prepare_status : served.traits->prepare_update; prepare) {
      if (auto ok = prepare(work, draft, before); !ok) return undo(std::move(ok.error()));
    }
    if (status_only) {
      // Only the status, and of the metadata labels, annotations, finalizers and owners, come from the request.
      Draft kept(before);
      if (Draft* status = draft.find("status")) kept["status"] = std::move(*status);
      else kept.erase("status");
      Draft metadata = std::move(draft["metadata"]);
      draft = std::move(kept);
      draft["metadata"] = std::move(metadata);
    } else if (work.subresource.empty() && served.subresource("status") && !served.traits->keeps_status_on_create) {
      if (before["status"].exists()) draft["status"] = before["status"];
      else draft.erase("status");
    }
    if (served.traits->generation && !status_only && work.subresource != "binding" &&
        spec_changed(before, draft, !served.custom || served.subresource("status")))
      draft["metadata"]["generation"] = old_meta["generation"].as_int() + 1;
    draft["metadata"]["resourceVersion"] = old_meta["resourceVersion"];
    Document now = draft.freeze();
    std::vector<std::string> unchanged_findings;
    if (FieldErrors errors = validate_update(served, now, before, work.subresource, &unchanged_findings); !errors.empty())
      return undo(invalid_object(work, work.name, errors));
    for (std::string& finding : unchanged_findings) work.warn(std::move(finding));
    if (work.subresource.empty()) warn_of(work, now, before);
    if (auto ok = admit_validating({work, "UPDATE", before}, now); !ok) return undo(std::move(ok.error()));
    bool unchanged = now.root() == before.root() && !store_.stale((*entry)->key);
    if (!unchanged && !(now.root() == before.root()) && only_times_differ(before, now)) {
      now = before;
      unchanged = true;
    }
    bool gone = !unchanged && before["metadata"]["deletionTimestamp"].exists() && now["metadata"]["finalizers"].empty() &&
                now["metadata"]["deletionGracePeriodSeconds"].as_int() == 0 &&
                (before["metadata"]["finalizers"].size() > 0 || !namespace_is_done(served, before));
    if (unchanged || work.dry_run) {
      if (served.traits->after_commit) served.traits->after_commit(work, before, {});
      return Answer{200, now};
    }
    if (gone && namespace_is_done(served, now)) {
      auto erased = store_.commit({(*entry)->key, std::nullopt, (*entry)->revision});
      if (erased) {
        work.verb = "delete";  // for whoever hears of it: what the object held is free again
        if (served.traits->after_commit) served.traits->after_commit(work, before, {});
        return Answer{200, now};
      }
      if (erased.error().code == Code::conflict && retry_conflicts && attempt < conflict_attempts) continue;
      return undo(status_of(work, erased.error()));
    }
    Draft stamped(now);
    stamped["metadata"]["resourceVersion"] = Document::stamp_blank();
    auto stored = for_store(served, stamped.freeze());
    if (!stored) return undo(std::move(stored.error()));
    std::string json;
    auto written = store_.commit({(*entry)->key, std::move(*stored), (*entry)->revision, wants_stored_json(work) ? &json : nullptr});
    if (!written && written.error().code == Code::too_large && stamped["metadata"].erase("managedFields")) {
      Document smaller = stamped.freeze();
      if (served.to_stored) smaller = served.to_stored(smaller);
      written = store_.commit({(*entry)->key, std::move(smaller), (*entry)->revision});
    }
    if (written) {
      if (served.traits->after_commit) served.traits->after_commit(work, before, (*written)->value);
      auto answer = converted(served, (*written)->value.root());
      if (!answer) return fail(std::move(answer.error()));
      return Answer{200, std::move(*answer), std::move(json)};
    }
    if ((written.error().code == Code::conflict || written.error().code == Code::not_found) && retry_conflicts &&
        attempt < conflict_attempts) {
      if (served.traits->after_commit) served.traits->after_commit(work, before, {});
      continue;
    }
    return undo(status_of(work, written.error()));
  }
}

ApiResult<Answer> Registry::update(Work& work, Document body) {
  const Served& served = *work.served;
  auto decoded = typed(work, served, std::move(body));
  if (!decoded) return fail(std::move(decoded.error()));
  Value object = decoded->root();
  if (std::string_view name = meta(object, "name"); name != work.name) {
    if (name.empty()) return fail(bad_request("the name of the object (based on URL) was undeterminable: name must be provided"));
    return fail(bad_request(fmt::format("the name of the object ({}) does not match the name on the URL ({})", name, work.name)));
  }
  if (served.namespaced()) {
    std::string_view ns = meta(object, "namespace");
    if (!ns.empty() && ns != work.ns)
      return fail(
          bad_request(fmt::format("the namespace of the object ({}) does not match the namespace on the request ({})", ns, work.ns)));
  }
  std::string version(meta(object, "resourceVersion")), uid(meta(object, "uid"));
  bool missing = !store_.snapshot().get(served.key(work.ns, work.name));
  if (missing && !uid.empty() && work.subresource.empty())
    return fail(conflict(served.group(), served.plural(), work.name,
                         fmt::format("Precondition failed: UID in precondition: {}, UID in object meta: ", uid)));
  if (missing && served.traits->create_on_update && work.subresource.empty()) {
    Draft fresh(object);
    fresh["metadata"].erase("resourceVersion");
    return create(work, fresh.freeze());
  }
  return modify(
      work,
      [&](Value before) -> ApiResult<Draft> {
        if (version.empty() || version == "0") {
          if (!served.traits->unconditional_update) {
            Status status = invalid(served.group(), served.kind(), work.name,
                                    {{FieldError::Type::invalid, "metadata.resourceVersion", "0x0", "must be specified for an update"}});
            status.message =
                fmt::format("{}{}{} \"{}\" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update",
                            served.plural(), served.group().empty() ? "" : ".", served.group(), work.name);
            status.kind = served.plural();
            return fail(std::move(status));
          }
        } else if (version != meta(before, "resourceVersion")) {
          return fail(conflict(served.group(), served.plural(), work.name,
                               "the object has been modified; please apply your changes to the latest version and try again"));
        }
        if (!uid.empty() && uid != meta(before, "uid"))
          return fail(
              conflict(served.group(), served.plural(), work.name,
                       fmt::format("Precondition failed: UID in precondition: {}, UID in object meta: {}", uid, meta(before, "uid"))));
        return Draft(object);
      },
      version.empty() || version == "0");
}

ApiResult<Answer> Registry::patch(Work& work, PatchKind kind, Document body) {
  const Served& served = *work.served;
  if (kind == PatchKind::apply && work.subresource.empty() && !store_.snapshot().get(served.key(work.ns, work.name))) {
    auto made = apply_config(work, {}, body);
    if (!made) return fail(std::move(made.error()));
    if (auto ok = check_create_by_apply(work, *made); !ok) return fail(std::move(ok.error()));
    Draft fresh(*made);
    fresh["metadata"].erase("resourceVersion");
    auto created = create(work, fresh.freeze());
    if (created || created.error().reason != "AlreadyExists") return created;
    work.managed.reset();  // somebody else was faster: it is an apply to that object
  }
  bool pinned = false;  // the patch names a resourceVersion: a conflict is the client's
  auto answer = modify(
      work,
      [&](Value before) -> ApiResult<Draft> {
        auto patched = apply_patch(work, kind, before, body);
        if (!patched) return fail(std::move(patched.error()));
        Value after = patched->root();
        if (std::string_view name = meta(after, "name"); name != work.name)
          return fail(bad_request(fmt::format("the name of the object ({}) does not match the name on the URL ({})", name, work.name)));
        if (auto ok = check_patched_namespace(work, after); !ok) return fail(std::move(ok.error()));
        std::string_view version = meta(after, "resourceVersion");
        if (version != meta(before, "resourceVersion") && !version.empty()) {
          pinned = true;
          return fail(conflict(served.group(), served.plural(), work.name,
                               "the object has been modified; please apply your changes to the latest version and try again"));
        }
        auto decoded = typed(work, served, *patched);
        if (!decoded) return fail(unfit_patch(work, kind, body, *patched, decoded.error()));
        return Draft(*decoded);
      },
      true);
  return answer;
}

}  // namespace kybern::apiserver
