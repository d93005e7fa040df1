// CustomResourceDefinitions (apiextensions.k8s.io/v1): what may be in one, and what its status says. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "document/document.h"
#include "machinery/status.h"

namespace kybern::custom {

inline constexpr std::string_view cleanup_finalizer = "customresourcecleanup.apiextensions.k8s.io";

FieldErrors validate_definition(Value definition);  // on creation; metadata is judged elsewhere
FieldErrors validate_definition_update(Value definition, Value old);
// What is accepted and yet worth a word: formats that nothing is checked by, and that `before` did not have.
std::vector<std::string> definition_warnings(Value definition, Value before);

Value version_named(Value definition, std::string_view version);  // an entry of spec.versions
std::string_view storage_version(Value definition);

// What the other definitions of a group have been promised.
struct TakenNames {
  std::vector<std::string> names, kinds;  // plurals, singulars, short names; kinds and list kinds
};
// The status that follows from the spec, the names that others have and the status so far; `now` in RFC 3339.
Draft next_status(Value definition, const TakenNames& taken, std::string_view now);
bool has_condition(Value definition, std::string_view type);  // its status is True
void set_condition(Draft& status, std::string_view type, bool value, std::string_view reason, std::string_view message,
                   std::string_view now);

// The object's value at a path such as .spec.replicas or .status.conditions[?(@.type=="Ready")].status: the first that
// is found, absent when there is none.
Value at_json_path(Value object, std::string_view path);

}  // namespace kybern::custom
