// Validation of metadata, the same for every object (meta/v1 ObjectMeta).
#pragma once

#include <string_view>

#include "document/document.h"
#include "machinery/field.h"
#include "machinery/names.h"

namespace kybern {

inline constexpr std::size_t annotations_max_bytes = 256 * 1024;  // keys and values together
inline constexpr std::size_t field_manager_max_bytes = 128;
inline constexpr std::size_t managed_subresource_max_bytes = 256;

// What a kind of object may be named. `prefix`: the text is a generateName, to which random characters are added.
using NameRule = names::Messages (*)(std::string_view name, bool prefix);
names::Messages name_is_subdomain(std::string_view name, bool prefix);     // most kinds
names::Messages name_is_label(std::string_view name, bool prefix);         // namespaces, services
names::Messages name_is_path_segment(std::string_view name, bool prefix);  // roles, custom resources' lower bound
names::Messages name_is_anything(std::string_view name, bool prefix);

// On creation, after generateName has been applied and the namespace has been filled in from the request.
FieldErrors validate_object_meta(Value meta, bool namespaced, NameRule rule, const Path& path = Path("metadata"));
// On update: what may not change, and the new labels, annotations, owners and managers.
FieldErrors validate_object_meta_update(Value meta, Value old, const Path& path = Path("metadata"));
// Finalizers of built-in kinds are qualified ("x.io/y") or one of the three well-known words.
FieldErrors validate_standard_finalizers(Value meta, const Path& path = Path("metadata"));

FieldErrors validate_annotations(Value annotations, const Path& path);
FieldErrors validate_owner_references(Value references, const Path& path);
FieldErrors validate_finalizers(Value finalizers, const Path& path);
FieldErrors validate_managed_fields(Value entries, const Path& path);
FieldErrors validate_field_manager(std::string_view manager, const Path& path);
FieldErrors validate_conditions(Value conditions, const Path& path);  // meta/v1 Condition
FieldErrors validate_immutable(Value value, Value old, const Path& path);

// Equal, where a missing value and null are the same.
bool same(Value a, Value b);

}  // namespace kybern
