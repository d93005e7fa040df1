// What runs for a workload: the pods of a deployment, a job, a service.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cli/subjects.h"
#include "document/document.h"

namespace kybern::cli {

std::string selector_text(Value selector);  // of a LabelSelector object: "app=web,tier in (a,b)"
// A pod itself, or the pods that a workload's or service's selector finds: ready and running ones first, then newest.
Result<std::vector<Document>> pods_of(Session& session, const Subject& subject);

}  // namespace kybern::cli
