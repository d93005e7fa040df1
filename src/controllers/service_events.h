// Which Services a change of a pod concerns: for the run parts of the endpoint controllers.
#pragma once

#include <vector>

#include "controllers/mirrors.h"
#include "controllers/run.h"

namespace kybern::controllers {

void add_services_of_pod(Runner& runner, const Mirrors& mirrors, const Document& before, const Document& now);
std::vector<Document> pods_of_service(const Mirrors& mirrors, const Document& service);

}  // namespace kybern::controllers
