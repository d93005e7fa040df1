#include "machinery/metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <vector>

#include "base/strings.h"
#include "machinery/labels.h"

namespace kybern {
namespace {

constexpr std::size_t condition_reason_max_bytes = 1024, condition_message_max_bytes = 32 * 1024;

// The runes of UTF-8 text with the offset of each. Documents hold valid UTF-8 only.
template <class Visit>
void each_rune(std::string_view text, Visit visit) {
  for (std::size_t i = 0; i < text.size();) {
    auto lead = static_cast<unsigned char>(text[i]);
    std::size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    std::uint32_t rune = length == 1 ? lead : lead & (0xffu >> (length + 1));
    for (std::size_t j = 1; j < length && i + j < text.size(); ++j) rune = rune << 6 | (static_cast<unsigned char>(text[i + j]) & 0x3fu);
    visit(rune, i, text.substr(i, length));
    i += length;
  }
}

// Controls, separators other than the space, surrogates and private use do not print.
bool printable(std::uint32_t rune) {
  if (rune < 0x20 || (rune >= 0x7f && rune <= 0xa0) || rune == 0xad) return false;
  if (rune >= 0x2000 && rune <= 0x200f) return false;
  if (rune >= 0x2028 && rune <= 0x202f) return false;
  if (rune >= 0x205f && rune <= 0x206f) return false;
  return rune != 0x3000 && rune != 0xfeff && !(rune >= 0xd800 && rune <= 0xf8ff) && rune < 0xe0000;
}

struct GroupVersion {
  std::string_view group, version;
};

GroupVersion group_version(std::string_view api_version) {
  std::size_t slash = api_version.find('/');
  if (slash == std::string_view::npos) return {{}, api_version};
  if (api_version.find('/', slash + 1) != std::string_view::npos) return {};
  return {api_version.substr(0, slash), api_version.substr(slash + 1)};
}

void add_messages(FieldErrors& out, const Path& path, std::string_view value, const names::Messages& messages) {
  for (const std::string& message : messages) out.push_back(field::invalid(path, value, message));
}

FieldErrors validate_owner_reference(Value reference, const Path& path) {
  FieldErrors out;
  std::string_view api_version = reference["apiVersion"].as_string(), kind = reference["kind"].as_string();
  GroupVersion gv = group_version(api_version);
  if (gv.version.empty()) out.push_back(field::invalid(path.child("apiVersion"), api_version, "version must not be empty"));
  for (const char* name : {"kind", "name", "uid"}) {
    if (reference[name].as_string().empty()) out.push_back(field::invalid(path.child(name), "", "must not be empty"));
  }
  if (gv.group.empty() && gv.version == "v1" && kind == "Event") {
    out.push_back(field::invalid(path, reference, "/v1, Kind=Event is disallowed from being an owner"));
  }
  return out;
}

// Shared by creation and update, in the order that clients see.
void validate_common(FieldErrors& out, Value meta, const Path& path) {
  field::append(out, validate_labels(meta["labels"], path.child("labels")));
  field::append(out, validate_annotations(meta["annotations"], path.child("annotations")));
  field::append(out, validate_owner_references(meta["ownerReferences"], path.child("ownerReferences")));
}

}  // namespace

bool same(Value a, Value b) { return a.is_null() ? b.is_null() : !b.is_null() && a == b; }

names::Messages name_is_subdomain(std::string_view name, bool prefix) {
  return names::dns1123_subdomain(prefix ? names::without_trailing_dash(name) : name);
}
names::Messages name_is_label(std::string_view name, bool prefix) {
  return names::dns1123_label(prefix ? names::without_trailing_dash(name) : name);
}
names::Messages name_is_path_segment(std::string_view name, bool prefix) {
  return prefix ? names::path_segment_prefix(name) : names::path_segment(name);
}
names::Messages name_is_anything(std::string_view, bool) { return {}; }

FieldErrors validate_immutable(Value value, Value old, const Path& path) {
  if (same(value, old)) return {};
  return {field::invalid(path, value, "field is immutable")};
}

FieldErrors validate_annotations(Value annotations, const Path& path) {
  FieldErrors out;
  std::size_t total = 0;
  for (Member annotation : annotations.members()) {
    total += annotation.key.size() + annotation.value.as_string().size();
    // Case does not matter here.
    add_messages(out, path, annotation.key, names::qualified_name(to_lower(annotation.key)));
  }
  if (total > annotations_max_bytes) out.push_back(field::too_long(path, annotations_max_bytes));
  return out;
}

FieldErrors validate_owner_references(Value references, const Path& path) {
  FieldErrors out;
  std::string first_controller;
  for (Value reference : references.items()) {
    field::append(out, validate_owner_reference(reference, path));
    if (!reference["controller"].as_bool()) continue;
    std::string controller = fmt::format("{}/{}", reference["kind"].as_string(), reference["name"].as_string());
    if (first_controller.empty()) {
      first_controller = std::move(controller);
    } else {
      out.push_back(
          field::invalid(path, references,
                         fmt::format("Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
                                     first_controller, controller)));
    }
  }
  return out;
}

FieldErrors validate_finalizers(Value finalizers, const Path& path) {
  FieldErrors out;
  bool orphan = false, foreground = false;
  for (Value finalizer : finalizers.items()) {
    std::string_view name = finalizer.as_string();
    add_messages(out, path, name, names::qualified_name(name));
    orphan |= name == "orphan";
    foreground |= name == "foregroundDeletion";
  }
  if (orphan && foreground) out.push_back(field::invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set"));
  return out;
}

FieldErrors validate_standard_finalizers(Value meta, const Path& path) {
  FieldErrors out;
  Path finalizers = path.child("finalizers");
  std::size_t i = 0;
  for (Value finalizer : meta["finalizers"].items()) {
    std::string_view name = finalizer.as_string();
    bool standard = name == "kubernetes" || name == "orphan" || name == "foregroundDeletion";
    if (name.find('/') == std::string_view::npos && !standard) {
      out.push_back(field::invalid(finalizers.index(i), name, "name is neither a standard finalizer name nor is it fully qualified"));
    }
    ++i;
  }
  return out;
}

FieldErrors validate_field_manager(std::string_view manager, const Path& path) {
  FieldErrors out;
  if (manager.size() > field_manager_max_bytes) out.push_back(field::too_long(path, field_manager_max_bytes));
  each_rune(manager, [&](std::uint32_t rune, std::size_t at, std::string_view bytes) {
    if (printable(rune)) return;
    std::string shown = rune < 0x20 || rune == 0x7f ? fmt::format("U+{:04X}", rune) : fmt::format("U+{:04X} '{}'", rune, bytes);
    out.push_back(field::invalid(path, manager, fmt::format("invalid character {} (at position {})", shown, at)));
  });
  return out;
}

FieldErrors validate_managed_fields(Value entries, const Path& path) {
  FieldErrors out;
  std::size_t i = 0;
  for (Value entry : entries.items()) {
    Path at = path.index(i++);
    std::string_view operation = entry["operation"].as_string(), type = entry["fieldsType"].as_string();
    if (operation != "Apply" && operation != "Update")
      out.push_back(field::invalid(at.child("operation"), operation, "must be `Apply` or `Update`"));
    if (!type.empty() && type != "FieldsV1") out.push_back(field::invalid(at.child("fieldsType"), type, "must be `FieldsV1`"));
    field::append(out, validate_field_manager(entry["manager"].as_string(), at.child("manager")));
    if (entry["subresource"].as_string().size() > managed_subresource_max_bytes) {
      out.push_back(field::too_long(at.child("subresource"), managed_subresource_max_bytes));
    }
  }
  return out;
}

FieldErrors validate_object_meta(Value meta, bool namespaced, NameRule rule, const Path& path) {
  FieldErrors out;
  std::string_view name = meta["name"].as_string(), generate = meta["generateName"].as_string(), space = meta["namespace"].as_string();
  if (!generate.empty()) add_messages(out, path.child("generateName"), generate, rule(generate, true));
  if (name.empty()) out.push_back(field::required(path.child("name"), "name or generateName is required"));
  else add_messages(out, path.child("name"), name, rule(name, false));
  if (namespaced && space.empty()) out.push_back(field::required(path.child("namespace")));
  else if (namespaced) add_messages(out, path.child("namespace"), space, names::dns1123_label(space));
  else if (!space.empty()) out.push_back(field::forbidden(path.child("namespace"), "not allowed on this type"));
  if (std::int64_t generation = meta["generation"].as_int(); generation < 0) {
    out.push_back(field::invalid(path.child("generation"), generation, "must be greater than or equal to 0"));
  }
  validate_common(out, meta, path);
  field::append(out, validate_finalizers(meta["finalizers"], path.child("finalizers")));
  field::append(out, validate_managed_fields(meta["managedFields"], path.child("managedFields")));
  return out;
}

FieldErrors validate_object_meta_update(Value meta, Value old, const Path& path) {
  FieldErrors out;
  if (!old["deletionTimestamp"].is_null()) {
    std::set<std::string> known, added;
    for (Value finalizer : old["finalizers"].items()) known.insert(finalizer.str());
    for (Value finalizer : meta["finalizers"].items()) {
      if (!known.contains(finalizer.str())) added.insert(finalizer.str());
    }
    std::string list;
    for (const std::string& one : added) list += (list.empty() ? "" : ", ") + go_quote(one);
    if (!added.empty()) {
      out.push_back(field::forbidden(
          path.child("finalizers"),
          fmt::format("no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}", list)));
    }
  }
  if (meta["resourceVersion"].as_string().empty())
    out.push_back(field::invalid(path.child("resourceVersion"), "", "must be specified for an update"));
  if (meta["generation"].as_int() < old["generation"].as_int()) {
    out.push_back(field::invalid(path.child("generation"), meta["generation"].as_int(), "must not be decremented"));
  }
  for (const char* name : {"name", "namespace", "uid"}) {
    if (meta[name].as_string() != old[name].as_string())
      out.push_back(field::invalid(path.child(name), meta[name].as_string(), "field is immutable"));
  }
  for (const char* name : {"creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"}) {
    field::append(out, validate_immutable(meta[name], old[name], path.child(name)));
  }
  validate_common(out, meta, path);
  field::append(out, validate_managed_fields(meta["managedFields"], path.child("managedFields")));
  return out;
}

FieldErrors validate_conditions(Value conditions, const Path& path) {
  FieldErrors out;
  std::set<std::string_view> seen;
  std::size_t i = 0;
  for (Value condition : conditions.items()) {
    Path at = path.index(i++);
    std::string_view type = condition["type"].as_string(), status = condition["status"].as_string(),
                     reason = condition["reason"].as_string();
    if (!seen.insert(type).second) out.push_back(field::duplicate(at.child("type"), type));
    field::append(out, validate_label_name(type, at.child("type")));
    if (status != "True" && status != "False" && status != "Unknown")
      out.push_back(field::not_supported(at.child("status"), status, {"False", "True", "Unknown"}));
    if (condition["observedGeneration"].as_int() < 0) {
      out.push_back(field::invalid(at.child("observedGeneration"), condition["observedGeneration"].as_int(),
                                   "must be greater than or equal to zero"));
    }
    if (condition["lastTransitionTime"].is_null()) out.push_back(field::required(at.child("lastTransitionTime"), "must be set"));
    if (reason.empty()) out.push_back(field::required(at.child("reason"), "must be set"));
    else add_messages(out, at.child("reason"), reason, names::condition_reason(reason));
    if (reason.size() > condition_reason_max_bytes) out.push_back(field::too_long(at.child("reason"), condition_reason_max_bytes));
    if (condition["message"].as_string().size() > condition_message_max_bytes)
      out.push_back(field::too_long(at.child("message"), condition_message_max_bytes));
  }
  return out;
}

}  // namespace kybern
