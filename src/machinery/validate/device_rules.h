// Rules that claims for devices and the slices of drivers share (resource.k8s.io). Not for other rooms.
#pragma once

#include "machinery/validate/rules.h"

namespace kybern::rules {

inline constexpr std::size_t attributes_max = 32;  // and capacities, of one device
inline constexpr std::size_t pool_name_max_bytes = 253, identifier_max_bytes = 32, binding_conditions_max = 4;

using Seen = std::set<std::string, std::less<>>;

void unique_names(Findings& f, Value list, const char* key, const Path& path);
void pool_name(Findings& f, std::string_view name, const Path& path);                  // subdomains with slashes between them
void qualified_attribute(Findings& f, std::string_view name, const Path& path);        // [domain/]identifier
void fully_qualified_attribute(Findings& f, std::string_view name, const Path& path);  // domain/identifier
void binding_conditions(Findings& f, Value device, const Path& path);

}  // namespace kybern::rules
