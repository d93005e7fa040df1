// What is accepted and yet worth a word: the Warning headers that a write of a built-in kind is answered with, in upstream's
// words and order. "spec.template.spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "document/document.h"
#include "schema/schema.h"

namespace kybern {

// Of a creation (`before` absent) or an update of the main resource.
std::vector<std::string> write_warnings(const schema::Resource& resource, Value object, Value before);

// "v1 ComponentStatus is deprecated in v1.19+": of every request to a kind that is on its way out; "" for the others.
std::string_view deprecation_warning(const schema::Resource& resource);

// Finalizers of a custom resource that are new and could be somebody else's.
std::vector<std::string> finalizer_warnings(Value metadata, Value before);

}  // namespace kybern
