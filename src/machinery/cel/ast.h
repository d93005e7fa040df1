// An expression as nodes in one array: 24 bytes a node, children by index. Macros are expanded, as upstream expands
// them, so what an expression costs can be counted node by node.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/cel/value.h"

namespace kybern::cel {

struct Function;

enum class NodeKind : std::uint8_t { constant, ident, select, call, list, map, structure, fold };

// The operators that the evaluator knows by itself; every other function goes through the table of functions.
enum class Op : std::uint8_t {
  none,
  logical_and,
  logical_or,
  conditional,
  logical_not,
  negate,
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  add,
  subtract,
  multiply,
  divide,
  modulo,
  in,
  index,
  optional_select,
  optional_index,
  not_strictly_false,
  map_insert,
};

struct Node {
  static constexpr std::uint8_t test_only = 1;   // select: has(a.b)
  static constexpr std::uint8_t member = 2;      // call: the first child is the target
  static constexpr std::uint8_t local = 4;       // ident: `first` is a slot of the enclosing folds
  static constexpr std::uint8_t accumulate = 8;  // call: accu + [x] of a macro: may be done in place
  static constexpr std::uint8_t optional = 16;   // list, map, structure: `optionals` has the indices of ?entries
  static constexpr std::uint8_t two_variables = 32;
  static constexpr std::uint8_t type_name = 64;  // ident: names a type; `first` is a constant

  NodeKind kind;
  std::uint8_t flags = 0;
  Op op = Op::none;
  std::uint8_t overload = any_overload;  // of the function's, when the types leave only one
  std::uint32_t name = 0;                // of an identifier, field, function or message: index into names
  std::uint32_t first = 0;               // children: Ast::kids[first .. first + count); a constant's index; a variable's slot
  std::uint32_t count = 0;
  std::uint32_t offset = 0;    // of its text in the source, in bytes
  std::uint32_t function = 0;  // index into the table of functions

  static constexpr std::uint8_t any_overload = 255;
};

// A fold's children: range, init, condition, step, result; then the names of its variables: accumulator, first, second.
// When the checker is done, the three names are slots.
struct Ast {
  std::vector<Node> nodes;
  std::vector<std::uint32_t> kids;
  std::vector<std::string> names;
  std::vector<Val> constants;  // their texts lie in `texts`
  std::vector<std::unique_ptr<std::string>> texts;
  std::uint32_t root = 0;

  std::uint32_t kid(const Node& node, std::uint32_t i) const { return kids[node.first + i]; }
  std::string_view name(const Node& node) const { return names[node.name]; }
};

struct Problem {
  std::uint32_t offset;
  std::string text;
};

// `ERROR: <input>:1:5: undefined field 'x'` with the source line and a mark below it, one after the other.
std::string show_problems(std::string_view source, const std::vector<Problem>& problems);

// Limits of the parser, as upstream's.
constexpr std::size_t max_expression_bytes = 100000;
constexpr int max_nesting = 250;
constexpr int max_depth = 600;  // of nodes: a + b + c nests too

// False when there are problems.
// `bindings`: cel.bind() is a macro.
bool parse(std::string_view source, Ast& ast, std::vector<Problem>& problems, bool bindings = false);

}  // namespace kybern::cel
