// The functions of the language and of Kubernetes' libraries: one table, from which the checker resolves overloads and
// the evaluator finds the code. A row's signature is written as text: "string.(int) string", "(A, list<A>) bool".
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/cel/evaluation.h"
#include "machinery/cel/type.h"

namespace kybern::cel {

using Impl = Val (*)(Evaluation&, std::span<const Val>);

struct FunctionRow {
  std::string_view name, overload, signature;
  Impl impl;  // nullptr: an operator, which the evaluator knows
};

struct Overload {
  std::string_view id;
  bool member;
  bool generic;  // has type parameters
  std::vector<const Type*> params;
  const Type* result;
  Impl impl;
};

// How a call is charged for when it runs; the static estimate goes by the same rule.
enum class CostRule : std::uint8_t {
  one,
  free,
  traverse_first,
  traverse_first_twice,
  traverse_result_twice,
  elements,
  equality,
  addition,
  in,
  matches,
  find,
  contains,
  check,
  ip,
  contains_ip,
  contains_cidr,
  squared,
};

struct Function {
  std::string_view name;
  CostRule cost;
  std::vector<Overload> overloads;
};

std::span<const Function> functions();
const Function* find_function(std::string_view name);

// What the libraries bring.
std::span<const FunctionRow> operator_rows();
std::span<const FunctionRow> standard_rows();
std::span<const FunctionRow> time_rows();
std::span<const FunctionRow> string_rows();
std::span<const FunctionRow> regex_rows();
std::span<const FunctionRow> list_rows();
std::span<const FunctionRow> set_rows();
std::span<const FunctionRow> optional_rows();
std::span<const FunctionRow> url_rows();
std::span<const FunctionRow> address_rows();
std::span<const FunctionRow> quantity_rows();
std::span<const FunctionRow> version_rows();
std::span<const FunctionRow> format_rows();
std::span<const FunctionRow> authorizer_rows();

// A type's name in a signature or an expression: int, list, kubernetes' opaque ones; nullptr when unknown.
const Type* named_type(std::string_view name);

// The kind that an argument must have at run time, when its type was only known as dyn.
bool fits(const Val& value, const Type& type);

}  // namespace kybern::cel
