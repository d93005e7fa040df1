// Makes nodes; expands the macros of CEL (cel-spec "Macros"), of its optional types, two-variable folds and bindings.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <unordered_map>

#include "machinery/cel/ast.h"

namespace kybern::cel {

class Maker {
 public:
  Maker(Ast& ast, std::vector<Problem>& problems, bool bindings) : ast_(ast), problems_(problems), bindings_(bindings) {}
  const Ast& ast() const { return ast_; }

  std::uint32_t constant(Val value, std::uint32_t offset);
  std::uint32_t text(std::string value, std::uint32_t offset, Tag tag = Tag::string);
  std::uint32_t ident(std::string_view name, std::uint32_t offset);
  std::uint32_t select(std::uint32_t operand, std::string_view field, std::uint32_t offset, bool test_only = false);
  std::uint32_t call(std::string_view name, Op op, std::vector<std::uint32_t> args, std::uint32_t offset);
  std::uint32_t member_call(std::string_view name, const std::vector<std::uint32_t>& args, std::uint32_t offset);
  // `optionals`: indices of the items (entries, for maps) that begin with a question mark.
  std::uint32_t aggregate(NodeKind kind, const std::vector<std::uint32_t>& items, const std::vector<std::uint32_t>& optionals,
                          std::uint32_t offset);
  void set_name(std::uint32_t node, std::string_view name);

  // The node of an expanded macro; nothing when the call is none. A macro's misuse is a problem.
  std::optional<std::uint32_t> expand_global(std::string_view name, std::span<const std::uint32_t> args, std::uint32_t offset);
  std::optional<std::uint32_t> expand_member(std::uint32_t target, std::string_view name, std::span<const std::uint32_t> args,
                                             std::uint32_t offset);

 private:
  struct Fold {
    std::uint32_t range, init, condition, step, result;
    std::string_view accumulator, first, second;
  };
  std::uint32_t fold(const Fold& fold, std::uint32_t offset);
  std::uint32_t name_index(std::string_view name);
  std::uint32_t add(Node node, std::span<const std::uint32_t> kids);
  std::optional<std::string> variable(std::uint32_t node, std::string_view complaint);
  std::optional<std::uint32_t> quantifier(std::uint32_t target, std::string_view name, std::span<const std::uint32_t> args,
                                          std::uint32_t offset);
  std::optional<std::uint32_t> transform(std::uint32_t target, std::string_view name, std::span<const std::uint32_t> args,
                                         std::uint32_t offset);
  std::optional<std::uint32_t> optional_macro(std::uint32_t target, std::string_view name, std::span<const std::uint32_t> args,
                                              std::uint32_t offset);
  std::optional<std::uint32_t> bind(std::span<const std::uint32_t> args, std::uint32_t offset);
  std::uint32_t append(std::uint32_t item, std::uint32_t offset);
  std::uint32_t complain(std::uint32_t offset, std::string text);

  Ast& ast_;
  std::vector<Problem>& problems_;
  bool bindings_;
  std::vector<std::uint16_t> depths_;  // of nodes: the evaluator recurses as deep
  std::unordered_map<std::string, std::uint32_t> names_;
};

}  // namespace kybern::cel
