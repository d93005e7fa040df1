// What an expression may cost, from the sizes that its types allow: CRD rules and policies that could be too expensive are
// refused before they ever run (KEP-2876 "Resource constraints").
#pragma once

#include "machinery/cel/cel.h"
#include "machinery/cel/checker.h"

namespace kybern::cel {

CostRange estimate_cost(const Environment& environment, const Ast& ast, const Checked& checked);

}  // namespace kybern::cel
