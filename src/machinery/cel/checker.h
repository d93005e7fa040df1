// Gives every node its type, resolves names and overloads, and reports what does not fit (cel-spec "Gradual type checking").
#pragma once

#include <vector>

#include "machinery/cel/ast.h"
#include "machinery/cel/cel.h"
#include "machinery/cel/regex.h"

namespace kybern::cel {

struct Checked {
  std::vector<const Type*> types;                    // of each node, for static estimates
  std::vector<std::vector<std::uint8_t>> overloads;  // of each call
  TypePool pool;
  const Type* result = nullptr;
};

// Fills in slots, functions and overloads of `ast`. False when there are problems.
bool check(const Environment& environment, Ast& ast, Checked& checked, RegexCache& regexes, std::vector<Problem>& problems);

}  // namespace kybern::cel
