// describe's pages: pure.
#pragma once

#include <string>
#include <vector>

#include "base/time.h"
#include "document/document.h"

namespace kybern::cli {

// What a pod template says, with tabs between titles and values.
std::string pod_template_text(Value pod_template);

// `related`: what else belongs to the object, with its kind: the pods of a node, the slices of a service. `events`: of
// the object; nullptr: they are not shown.
std::string describe(Value object, const std::vector<Document>& related, const std::vector<Document>* events, Time now);

}  // namespace kybern::cli
