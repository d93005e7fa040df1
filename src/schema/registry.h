// The arrays that the generated registry defines; schema.cpp searches them.
#pragma once

#include <cstddef>

#include "schema/schema.h"

namespace kybern::schema::tables {

struct KindEntry {
  std::string_view group, version, kind;
  const Type* type;
};

extern const Resource all_resources[];  // by group, version, plural
extern const std::size_t resource_count;
extern const Type* const all_types[];  // by short name
extern const std::size_t type_count;
extern const KindEntry all_kinds[];  // by group, version, kind
extern const std::size_t kind_count;

}  // namespace kybern::schema::tables
