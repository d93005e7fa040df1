// Rules that webhooks and admission policies share. Not for other rooms.
#pragma once

#include "machinery/validate/rules.h"

namespace kybern::rules {

void admission_rule(Findings& f, Value rule, const Path& path);  // a RuleWithOperations

}  // namespace kybern::rules
