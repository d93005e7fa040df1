#include "machinery/cel/macros.h"

#include <algorithm>

#include <fmt/format.h>

namespace kybern::cel {

namespace {
constexpr std::string_view result_name = "@result";

// In front of the indices of ?entries.
std::size_t node_children(const Node& node, std::size_t kids) { return node.flags & Node::optional ? node.count : kids; }
}  // namespace

std::uint32_t Maker::complain(std::uint32_t offset, std::string text) {
  problems_.push_back({offset, std::move(text)});
  return 0;
}

std::uint32_t Maker::name_index(std::string_view name) {
  auto [at, fresh] = names_.try_emplace(std::string(name), static_cast<std::uint32_t>(ast_.names.size()));
  if (fresh) ast_.names.emplace_back(name);
  return at->second;
}

std::uint32_t Maker::add(Node node, std::span<const std::uint32_t> kids) {
  node.first = node.kind == NodeKind::constant ? node.first : static_cast<std::uint32_t>(ast_.kids.size());
  std::size_t own = node_children(node, kids.size());
  node.count = static_cast<std::uint32_t>(kids.size());
  ast_.kids.insert(ast_.kids.end(), kids.begin(), kids.end());
  std::uint16_t depth = 0;
  std::size_t children = node.kind == NodeKind::fold ? 5 : kids.size();  // the rest are names
  // After a problem a child may be none: what is made then is never looked at.
  for (std::size_t i = 0; i < children && i < own; ++i)
    if (kids[i] < depths_.size()) depth = std::max(depth, depths_[kids[i]]);
  depths_.push_back(static_cast<std::uint16_t>(depth + 1));
  if (depth + 1 > max_depth && problems_.empty()) complain(node.offset, fmt::format("expression recursion limit exceeded: {}", max_depth));
  ast_.nodes.push_back(node);
  return static_cast<std::uint32_t>(ast_.nodes.size() - 1);
}

std::uint32_t Maker::constant(Val value, std::uint32_t offset) {
  ast_.constants.push_back(value);
  return add({.kind = NodeKind::constant, .first = static_cast<std::uint32_t>(ast_.constants.size() - 1), .offset = offset}, {});
}

std::uint32_t Maker::text(std::string value, std::uint32_t offset, Tag tag) {
  ast_.texts.push_back(std::make_unique<std::string>(std::move(value)));
  return constant(Val::of(std::string_view(*ast_.texts.back()), tag), offset);
}

std::uint32_t Maker::ident(std::string_view name, std::uint32_t offset) {
  return add({.kind = NodeKind::ident, .name = name_index(name), .offset = offset}, {});
}

std::uint32_t Maker::select(std::uint32_t operand, std::string_view field, std::uint32_t offset, bool test_only) {
  std::uint32_t kids[] = {operand};
  return add(
      {.kind = NodeKind::select, .flags = test_only ? Node::test_only : std::uint8_t{0}, .name = name_index(field), .offset = offset},
      kids);
}

std::uint32_t Maker::call(std::string_view name, Op op, std::vector<std::uint32_t> args, std::uint32_t offset) {
  return add({.kind = NodeKind::call, .op = op, .name = name_index(name), .offset = offset}, args);
}

std::uint32_t Maker::member_call(std::string_view name, const std::vector<std::uint32_t>& args, std::uint32_t offset) {
  return add({.kind = NodeKind::call, .flags = Node::member, .name = name_index(name), .offset = offset}, args);
}

std::uint32_t Maker::aggregate(NodeKind kind, const std::vector<std::uint32_t>& items, const std::vector<std::uint32_t>& optionals,
                               std::uint32_t offset) {
  std::vector<std::uint32_t> kids = items;
  kids.insert(kids.end(), optionals.begin(), optionals.end());
  std::uint32_t made = add({.kind = kind,
                            .flags = optionals.empty() ? std::uint8_t{0} : Node::optional,
                            .count = static_cast<std::uint32_t>(items.size()),
                            .offset = offset},
                           kids);
  ast_.nodes[made].count = static_cast<std::uint32_t>(items.size());
  ast_.nodes[made].function = static_cast<std::uint32_t>(optionals.size());
  return made;
}

void Maker::set_name(std::uint32_t node, std::string_view name) { ast_.nodes[node].name = name_index(name); }

std::uint32_t Maker::fold(const Fold& f, std::uint32_t offset) {
  std::uint32_t kids[] = {f.range,
                          f.init,
                          f.condition,
                          f.step,
                          f.result,
                          name_index(f.accumulator),
                          name_index(f.first),
                          f.second.empty() ? 0 : name_index(f.second)};
  return add({.kind = NodeKind::fold, .flags = f.second.empty() ? std::uint8_t{0} : Node::two_variables, .offset = offset}, kids);
}

std::optional<std::string> Maker::variable(std::uint32_t node, std::string_view complaint) {
  const Node& n = ast_.nodes[node];
  std::string name(n.kind == NodeKind::ident ? ast_.name(n) : "");
  if (name.empty() || name.starts_with('.')) {
    complain(n.offset, std::string(complaint));
    return {};
  }
  if (name == result_name || name == "__result__") {
    complain(n.offset, fmt::format("iteration variable overwrites accumulator variable"));
    return {};
  }
  return name;
}

// accu + [item]
std::uint32_t Maker::append(std::uint32_t item, std::uint32_t offset) {
  std::uint32_t made = call("_+_", Op::add, {ident(result_name, offset), aggregate(NodeKind::list, {item}, {}, offset)}, offset);
  ast_.nodes[made].flags |= Node::accumulate;
  return made;
}

std::optional<std::uint32_t> Maker::expand_global(std::string_view name, std::span<const std::uint32_t> args, std::uint32_t offset) {
  if (name != "has" || args.size() != 1) return {};
  Node n = ast_.nodes[args[0]];
  if (n.kind == NodeKind::select && !(n.flags & Node::test_only)) {
    std::string field(ast_.name(n));
    return select(ast_.kid(n, 0), field, offset, true);
  }
  return complain(n.offset, "invalid argument to has() macro");
}

std::optional<std::uint32_t> Maker::expand_member(std::uint32_t target, std::string_view name, std::span<const std::uint32_t> args,
                                                  std::uint32_t offset) {
  if (name == "all" || name == "exists" || name == "exists_one" || name == "existsOne") return quantifier(target, name, args, offset);
  if (name == "map" || name == "filter" || name.starts_with("transform")) return transform(target, name, args, offset);
  if (name == "optMap" || name == "optFlatMap") return optional_macro(target, name, args, offset);
  const Node& on = ast_.nodes[target];
  if (bindings_ && name == "bind" && args.size() == 3 && on.kind == NodeKind::ident && ast_.name(on) == "cel") return bind(args, offset);
  return {};
}

std::optional<std::uint32_t> Maker::quantifier(std::uint32_t target, std::string_view name, std::span<const std::uint32_t> args,
                                               std::uint32_t offset) {
  bool two = args.size() == 3;
  if (args.size() != 2 && !two) return {};
  auto first = variable(args[0], "argument must be a simple name");
  if (!first) return 0;
  std::string second;
  if (two) {
    auto given = variable(args[1], "argument must be a simple name");
    if (!given) return 0;
    if (*given == *first) return complain(ast_.nodes[args[1]].offset, fmt::format("duplicate variable name: {}", *given));
    second = *given;
  }
  std::uint32_t predicate = args[args.size() - 1];
  auto result = [&] { return ident(result_name, offset); };
  Fold f{.range = target, .init = 0, .condition = 0, .step = 0, .result = 0, .accumulator = result_name, .first = *first, .second = second};
  if (name == "all") {
    f.init = constant(Val::of(true), offset);
    f.condition = call("@not_strictly_false", Op::not_strictly_false, {result()}, offset);
    f.step = call("_&&_", Op::logical_and, {result(), predicate}, offset);
    f.result = result();
  } else if (name == "exists") {
    f.init = constant(Val::of(false), offset);
    std::uint32_t inverse = call("!_", Op::logical_not, {result()}, offset);
    f.condition = call("@not_strictly_false", Op::not_strictly_false, {inverse}, offset);
    f.step = call("_||_", Op::logical_or, {result(), predicate}, offset);
    f.result = result();
  } else {
    f.init = constant(Val::of(std::int64_t{0}), offset);
    f.condition = constant(Val::of(true), offset);
    std::uint32_t more = call("_+_", Op::add, {result(), constant(Val::of(std::int64_t{1}), offset)}, offset);
    f.step = call("_?_:_", Op::conditional, {predicate, more, result()}, offset);
    f.result = call("_==_", Op::equal, {result(), constant(Val::of(std::int64_t{1}), offset)}, offset);
  }
  return fold(f, offset);
}

// map(x, [p,] f), filter(x, p), transformList(i, v, [p,] f), transformMap(k, v, [p,] f), transformMapEntry(k, v, [p,] f)
std::optional<std::uint32_t> Maker::transform(std::uint32_t target, std::string_view name, std::span<const std::uint32_t> args,
                                              std::uint32_t offset) {
  bool two = name.starts_with("transform");
  bool list = name == "map" || name == "filter" || name == "transformList";
  if (two && name != "transformList" && name != "transformMap" && name != "transformMapEntry") return {};
  std::size_t names = two ? 2 : 1;
  bool filtered = args.size() == names + 2 && name != "filter";
  if (args.size() != names + 1 && !filtered) return {};
  std::string_view complaint = two ? "argument must be a simple name" : "argument is not an identifier";
  auto first = variable(args[0], complaint);
  if (!first) return 0;
  std::string second;
  if (two) {
    auto given = variable(args[1], complaint);
    if (!given) return 0;
    if (*given == *first) return complain(ast_.nodes[args[1]].offset, fmt::format("duplicate variable name: {}", *given));
    second = *given;
  }
  std::uint32_t value = args[args.size() - 1];
  std::optional<std::uint32_t> predicate;
  if (filtered) predicate = args[names];
  if (name == "filter") predicate = value, value = args[0];
  Fold f{.range = target,
         .init = aggregate(list ? NodeKind::list : NodeKind::map, {}, {}, offset),
         .condition = constant(Val::of(true), offset),
         .step = 0,
         .result = ident(result_name, offset),
         .accumulator = result_name,
         .first = *first,
         .second = second};
  if (list) {
    f.step = append(value, offset);
  } else {
    std::vector<std::uint32_t> operands{ident(result_name, offset)};
    if (name == "transformMap") operands.push_back(ident(*first, offset));
    operands.push_back(value);
    f.step = call("cel.@mapInsert", Op::map_insert, operands, offset);
  }
  if (predicate) f.step = call("_?_:_", Op::conditional, {*predicate, f.step, ident(result_name, offset)}, offset);
  return fold(f, offset);
}

// o.optMap(x, f) is o.hasValue() ? optional.of(let x = o.value() in f) : optional.none(); optFlatMap leaves out the `of`.
std::optional<std::uint32_t> Maker::optional_macro(std::uint32_t target, std::string_view name, std::span<const std::uint32_t> args,
                                                   std::uint32_t offset) {
  if (args.size() != 2) return {};
  auto bound = variable(args[0], fmt::format("{}() variable name must be a simple identifier", name));
  if (!bound) return 0;
  Fold f{.range = aggregate(NodeKind::list, {}, {}, offset),
         .init = member_call("value", {target}, offset),
         .condition = constant(Val::of(false), offset),
         .step = ident(*bound, offset),
         .result = args[1],
         .accumulator = *bound,
         .first = "#unused",
         .second = {}};
  std::uint32_t made = fold(f, offset);
  if (name == "optMap") made = call("optional.of", Op::none, {made}, offset);
  return call("_?_:_", Op::conditional, {member_call("hasValue", {target}, offset), made, call("optional.none", Op::none, {}, offset)},
              offset);
}

// cel.bind(x, v, f) is f, in which x is v: a fold over nothing that begins with v.
std::optional<std::uint32_t> Maker::bind(std::span<const std::uint32_t> args, std::uint32_t offset) {
  auto bound = variable(args[0], "cel.bind() variable names must be simple identifiers");
  if (!bound) return 0;
  return fold({.range = aggregate(NodeKind::list, {}, {}, offset),
               .init = args[1],
               .condition = constant(Val::of(false), offset),
               .step = ident(*bound, offset),
               .result = args[2],
               .accumulator = *bound,
               .first = "#unused",
               .second = {}},
              offset);
}

}  // namespace kybern::cel
