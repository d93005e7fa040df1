// A custom resource as CEL sees it, by its schema.
#pragma once

#include <string>

#include "document/document.h"
#include "machinery/cel/type.h"

namespace kybern::custom {

// `metadata`: the type of every object's. dyn when the schema says nothing of the fields.
const cel::Type* object_type(cel::TypePool& pool, Value schema, const std::string& name, const cel::Type* metadata);

}  // namespace kybern::custom
