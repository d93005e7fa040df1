// The schema of a custom resource, walked where it lies: in the document of its definition. A schema is the Value of
// spec.versions[].schema.openAPIV3Schema or of a node below; nothing is made from it, so a definition costs what its
// text costs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "document/document.h"
#include "machinery/field.h"
#include "machinery/status.h"

namespace kybern::custom {

inline bool preserves_unknown(Value schema) { return schema["x-kubernetes-preserve-unknown-fields"].as_bool(); }
inline bool is_embedded(Value schema) { return schema["x-kubernetes-embedded-resource"].as_bool(); }
inline bool is_int_or_string(Value schema) { return schema["x-kubernetes-int-or-string"].as_bool(); }
inline bool is_nullable(Value schema) { return schema["nullable"].as_bool(); }
inline std::string_view list_type(Value schema) { return schema["x-kubernetes-list-type"].as_string(); }
// The schema of a list's items; absent when there is none.
inline Value items_of(Value schema) { return schema["items"].is_object() ? schema["items"] : Value(); }

// The object as the schema has it: unknown fields are dropped, defaults filled in, nulls that may not be are left out.
// `unknown` gets the paths of what was dropped (spec.a[0].b). `root`: apiVersion, kind and metadata are always known.
Document shape(Value object, Value schema, bool root, std::vector<std::string>* unknown = nullptr);
// The same without filling anything in: is a text of the schema, such as a default, made of known fields only?
bool has_unknown(Value value, Value schema);

// Every keyword of the schema, in upstream's wording: `spec.n in body must be of type integer: "string"`. What `old` has
// too is not complained about again (KEP-4008, ratcheting). `name`: the path so far, "" for the whole object.
FieldErrors validate_value(Value value, Value schema, const std::string& name, Value old = {});
// Lists that are sets or maps have no duplicates; embedded resources have a kind and proper metadata.
FieldErrors validate_lists(Value value, Value schema);
FieldErrors validate_embedded(Value value, Value schema);

// Formats that are checked; any other is not.
bool fits_format(std::string_view format, std::string_view text);
bool known_format(std::string_view format);

// A bad value as upstream prints a decoded one: JSON with its keys in order, {"a":1,"b":[]}.
std::string sorted_json(Value value);

// The item of a list with map semantics that has the same keys as `item`; absent when there is none.
Value correlated_item(Value list, Value schema, Value item);

}  // namespace kybern::custom
