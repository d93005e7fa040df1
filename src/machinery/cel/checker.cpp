#include "machinery/cel/checker.h"

#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include "base/time.h"
#include "machinery/cel/civil.h"
#include "machinery/cel/functions.h"
#include "machinery/cel/substitution.h"

namespace kybern::cel {

namespace {

class Checker {
 public:
  Checker(const Environment& environment, Ast& ast, Checked& checked, RegexCache& regexes, std::vector<Problem>& problems)
      : environment_(environment), ast_(ast), checked_(checked), regexes_(regexes), problems_(problems), substitution_(checked.pool) {
    checked_.types.assign(ast.nodes.size(), nullptr);
    checked_.overloads.assign(ast.nodes.size(), {});
  }

  bool run() {
    visit(ast_.root);
    for (const Type*& type : checked_.types)
      if (type) type = substitution_.apply(type, true);
    checked_.result = checked_.types[ast_.root];
    if (problems_.empty()) literals();
    return problems_.empty();
  }

 private:
  struct Local {
    std::uint32_t name;
    const Type* type;
    std::uint32_t slot;
  };

  // A macro's operand may have two parents: it is looked at once.
  const Type* visit(std::uint32_t index) {
    if (checked_.types[index]) return checked_.types[index];
    const Type* type = infer(index);
    return checked_.types[index] = type;
  }
  const Type* infer(std::uint32_t index);
  const Type* ident(std::uint32_t index);
  const Type* select(std::uint32_t index);
  const Type* selected(const Type* target, std::string_view field, const Node& node, bool optional);
  const Type* call(std::uint32_t index);
  const Type* optional_select(std::uint32_t index);
  const Type* resolve(std::uint32_t index, const std::vector<const Type*>& args, bool member);
  const Type* list(std::uint32_t index);
  const Type* map(std::uint32_t index);
  const Type* structure(std::uint32_t index);
  const Type* fold(std::uint32_t index);
  const Type* join(const Type* so_far, const Type* next, std::uint32_t offset);
  void literals();
  std::string qualified(std::uint32_t index) const;
  bool is_variable(std::string_view name) const;
  std::uint32_t name_at(std::string_view name);
  bool assignable(const Type* a, const Type* b) { return substitution_.assignable(a, b); }
  std::string shown(const Type* type) { return substitution_.apply(type, true)->str(); }

  const Type* wrong(std::uint32_t offset, std::string text) {
    problems_.push_back({offset, std::move(text)});
    return &types::error;
  }

  const Environment& environment_;
  Ast& ast_;
  Checked& checked_;
  RegexCache& regexes_;
  std::vector<Problem>& problems_;
  Substitution substitution_;
  std::vector<Local> locals_;
};

const Type* Checker::infer(std::uint32_t index) {
  const Node& node = ast_.nodes[index];
  switch (node.kind) {
    case NodeKind::constant:
      switch (ast_.constants[node.first].tag) {
        case Tag::null: return &types::null;
        case Tag::boolean: return &types::boolean;
        case Tag::integer: return &types::integer;
        case Tag::uint: return &types::uint;
        case Tag::number: return &types::number;
        case Tag::bytes: return &types::bytes;
        default: return &types::string;
      }
    case NodeKind::ident: return ident(index);
    case NodeKind::select: return select(index);
    case NodeKind::call: return call(index);
    case NodeKind::list: return list(index);
    case NodeKind::map: return map(index);
    case NodeKind::structure: return structure(index);
    case NodeKind::fold: return fold(index);
  }
  return &types::dyn;
}

const Type* Checker::ident(std::uint32_t index) {
  Node& node = ast_.nodes[index];
  std::string_view name = ast_.name(node);
  if (name.starts_with('.')) name.remove_prefix(1);
  for (auto local = locals_.rbegin(); local != locals_.rend(); ++local) {
    if (ast_.names[local->name] != name || ast_.name(node).starts_with('.')) continue;
    node.flags |= Node::local;
    node.first = local->slot;
    return local->type;
  }
  auto variables = environment_.variables();
  for (std::size_t i = 0; i < variables.size(); ++i) {
    if (variables[i].name != name) continue;
    node.first = static_cast<std::uint32_t>(i);
    return variables[i].type;
  }
  if (const Type* named = named_type(name)) {
    node.flags |= Node::type_name;
    node.first = static_cast<std::uint32_t>(ast_.constants.size());
    ast_.constants.push_back(Val::of_type(named));
    return checked_.pool.wrap(TypeKind::type, named);
  }
  return wrong(node.offset, fmt::format("undeclared reference to '{}' (in container '')", name));
}

std::string Checker::qualified(std::uint32_t index) const {
  const Node& node = ast_.nodes[index];
  if (node.kind == NodeKind::ident) return std::string(ast_.name(node));
  if (node.kind != NodeKind::select || node.flags & Node::test_only) return {};
  std::string left = qualified(ast_.kid(node, 0));
  return left.empty() ? left : left + "." + std::string(ast_.name(node));
}

bool Checker::is_variable(std::string_view name) const {
  for (const Variable& variable : environment_.variables())
    if (variable.name == name) return true;
  return false;
}

const Type* Checker::select(std::uint32_t index) {
  // A dotted name may be one variable or a type.
  if (std::string name = qualified(index); name.find('.') != name.npos && (named_type(name) || is_variable(name))) {
    Node& node = ast_.nodes[index];
    node.kind = NodeKind::ident;
    node.name = name_at(name);
    node.count = 0;
    return ident(index);
  }
  const Type* target = substitution_.apply(visit(ast_.kid(ast_.nodes[index], 0)), false);
  const Node& node = ast_.nodes[index];
  const Type* type = selected(target, ast_.name(node), node, false);
  return node.flags & Node::test_only ? (type == &types::error ? type : &types::boolean) : type;
}

const Type* Checker::selected(const Type* target, std::string_view field, const Node& node, bool optional) {
  bool wrapped = optional;
  if (target->kind == TypeKind::optional) {
    wrapped = true;
    target = substitution_.apply(target->params[0], false);
  }
  const Type* type = nullptr;
  switch (target->kind) {
    case TypeKind::error: return &types::error;
    case TypeKind::dyn: type = &types::dyn; break;
    case TypeKind::map: type = target->item(); break;
    case TypeKind::object: {
      const TypeField* found = target->find(field);
      if (!found) return wrong(node.offset, fmt::format("undefined field '{}'", field));
      type = found->type;
      break;
    }
    case TypeKind::param:
      substitution_.assignable(target, &types::dyn);
      type = &types::dyn;
      break;
    default: return wrong(node.offset, fmt::format("type '{}' does not support field selection", shown(target)));
  }
  return wrapped ? checked_.pool.wrap(TypeKind::optional, type) : type;
}

const Type* Checker::optional_select(std::uint32_t index) {
  const Node& node = ast_.nodes[index];
  std::uint32_t operand = ast_.kid(node, 0), field = ast_.kid(node, 1);
  const Type* target = substitution_.apply(visit(operand), false);
  checked_.types[field] = &types::string;
  checked_.overloads[index] = {0};
  return selected(target, ast_.constants[ast_.nodes[field].first].str(), node, true);
}

const Type* Checker::call(std::uint32_t index) {
  if (ast_.nodes[index].op == Op::optional_select) return optional_select(index);
  // x.f(y): `x.f` may be the name of a global function (sets.contains).
  if (ast_.nodes[index].flags & Node::member) {
    std::string target = qualified(ast_.kid(ast_.nodes[index], 0));
    std::string name = target.empty() ? target : target + "." + std::string(ast_.name(ast_.nodes[index]));
    if (!name.empty() && find_function(name)) {
      Node& node = ast_.nodes[index];
      node.flags &= static_cast<std::uint8_t>(~Node::member);
      node.name = name_at(name);
      ++node.first;
      --node.count;
    }
  }
  const Node node = ast_.nodes[index];
  std::string name(ast_.name(node));  // names may move while the arguments are looked at
  if (name.starts_with('.')) name.erase(0, 1);
  const Function* function = find_function(name);
  std::vector<const Type*> args;
  for (std::uint32_t i = 0; i < node.count; ++i) args.push_back(visit(ast_.kid(node, i)));
  if (!function || args.size() > 8) return wrong(node.offset, fmt::format("undeclared reference to '{}' (in container '')", name));
  ast_.nodes[index].function = static_cast<std::uint32_t>(function - functions().data());
  return resolve(index, args, (node.flags & Node::member) != 0);
}

const Type* Checker::resolve(std::uint32_t index, const std::vector<const Type*>& args, bool member) {
  Node& node = ast_.nodes[index];
  const Function& function = functions()[node.function];
  const Type* result = nullptr;
  std::vector<std::uint8_t> found;
  for (std::size_t i = 0; i < function.overloads.size(); ++i) {
    const Overload& overload = function.overloads[i];
    if (overload.member != member || overload.params.size() != args.size()) continue;
    std::vector<const Type*> params = overload.params;
    const Type* type = overload.result;
    if (overload.generic) {
      auto fresh = substitution_.fresh();
      for (const Type*& param : params) param = substitution_.instantiate(param, fresh);
      type = substitution_.instantiate(type, fresh);
    }
    if (!substitution_.all_assignable(args, params)) continue;
    found.push_back(static_cast<std::uint8_t>(i));
    type = substitution_.apply(type, false);
    if (!result) result = type;
    else if (result->kind != TypeKind::dyn && !same_type(*result, *type)) result = &types::dyn;
  }
  if (!result) {
    for (const Type* arg : args)
      if (arg->kind == TypeKind::error) return &types::error;
    std::string list;
    for (std::size_t i = member ? 1 : 0; i < args.size(); ++i) list += (list.empty() ? "" : ", ") + shown(args[i]);
    std::string applied = member ? fmt::format("{}.({})", shown(args[0]), list) : fmt::format("({})", list);
    return wrong(node.offset, fmt::format("found no matching overload for '{}' applied to '{}'", function.name, applied));
  }
  node.overload = found.size() == 1 ? found[0] : Node::any_overload;
  checked_.overloads[index] = std::move(found);
  return result;
}

const Type* Checker::join(const Type* so_far, const Type* next, std::uint32_t offset) {
  if (!so_far) return next;
  if (assignable(so_far, next)) return Substitution::general(so_far, next);
  return wrong(offset, fmt::format("expected type '{}' but found '{}'", shown(so_far), shown(next)));
}

const Type* Checker::list(std::uint32_t index) {
  const Node node = ast_.nodes[index];
  const Type* item = nullptr;
  for (std::uint32_t i = 0; i < node.count; ++i) {
    std::uint32_t kid = ast_.kid(node, i);
    const Type* type = visit(kid);
    for (std::uint32_t k = 0; k < node.function; ++k) {
      if (ast_.kid(node, node.count + k) != i) continue;
      type = substitution_.apply(type, false);
      if (type->kind == TypeKind::optional) type = type->params[0];
      else if (type->kind != TypeKind::dyn && type->kind != TypeKind::error)
        type = wrong(ast_.nodes[kid].offset, fmt::format("expected type 'optional_type(dyn)' but found '{}'", shown(type)));
    }
    item = join(item, type, ast_.nodes[kid].offset);
  }
  return checked_.pool.list(item ? item : substitution_.variable());
}

const Type* Checker::map(std::uint32_t index) {
  const Node node = ast_.nodes[index];
  const Type *key = nullptr, *value = nullptr;
  for (std::uint32_t i = 0; i + 1 < node.count; i += 2) {
    std::uint32_t key_node = ast_.kid(node, i), value_node = ast_.kid(node, i + 1);
    key = join(key, visit(key_node), ast_.nodes[key_node].offset);
    const Type* type = visit(value_node);
    for (std::uint32_t k = 0; k < node.function; ++k) {
      if (ast_.kid(node, node.count + k) != i / 2) continue;
      type = substitution_.apply(type, false);
      if (type->kind == TypeKind::optional) type = type->params[0];
    }
    value = join(value, type, ast_.nodes[value_node].offset);
  }
  return checked_.pool.map(key ? key : substitution_.variable(), value ? value : substitution_.variable());
}

const Type* Checker::structure(std::uint32_t index) {
  const Node node = ast_.nodes[index];
  const Type* type = environment_.find_structure(ast_.name(node));
  if (!type) return wrong(node.offset, fmt::format("undeclared reference to '{}' (in container '')", ast_.name(node)));
  for (std::uint32_t i = 0; i + 1 < node.count; i += 2) {
    std::uint32_t field_node = ast_.kid(node, i), value_node = ast_.kid(node, i + 1);
    std::string_view name = ast_.constants[ast_.nodes[field_node].first].str();
    const Type* value = visit(value_node);
    for (std::uint32_t k = 0; k < node.function; ++k)
      if (ast_.kid(node, node.count + k) == i / 2 && value->kind == TypeKind::optional) value = value->params[0];
    checked_.types[field_node] = &types::string;
    const TypeField* field = type->find(name);
    if (!field) wrong(ast_.nodes[field_node].offset, fmt::format("undefined field '{}'", name));
    else if (!assignable(field->type, value))
      wrong(ast_.nodes[field_node].offset,
            fmt::format("expected type of field '{}' is '{}' but provided type is '{}'", name, shown(field->type), shown(value)));
  }
  // The type is kept as a constant, whose index takes the place of the name.
  ast_.nodes[index].name = static_cast<std::uint32_t>(ast_.constants.size());
  ast_.constants.push_back(Val::of_type(type));
  return type;
}

const Type* Checker::fold(std::uint32_t index) {
  const Node node = ast_.nodes[index];
  bool two = (node.flags & Node::two_variables) != 0;
  const Type* range = substitution_.apply(visit(ast_.kid(node, 0)), false);
  const Type* accumulator = visit(ast_.kid(node, 1));
  const Type *first = &types::dyn, *second = &types::dyn;
  switch (range->kind) {
    case TypeKind::list: first = two ? &types::integer : range->params[0], second = range->params[0]; break;
    case TypeKind::map: first = range->params[0], second = range->params[1]; break;
    case TypeKind::dyn:
    case TypeKind::error: break;
    case TypeKind::param: substitution_.assignable(range, &types::dyn); break;
    default:
      first = second =
          wrong(ast_.nodes[ast_.kid(node, 0)].offset,
                fmt::format("expression of type '{}' cannot be range of a comprehension (must be list, map, or dynamic)", shown(range)));
  }
  // Slots are handed out like a stack: one for each name that is in scope.
  std::size_t depth = locals_.size();
  std::uint32_t names[3] = {ast_.kids[node.first + 5], ast_.kids[node.first + 6], ast_.kids[node.first + 7]};
  auto slot = static_cast<std::uint32_t>(depth ? locals_.back().slot + 1 : 0);
  const std::uint32_t slots[3] = {slot, slot + 1, two ? slot + 2 : slot + 1};
  locals_.push_back({names[0], accumulator, slots[0]});
  locals_.push_back({names[1], first, slots[1]});
  if (two) locals_.push_back({names[2], second, slots[2]});
  const Type* condition = visit(ast_.kid(node, 2));
  if (!assignable(condition, &types::boolean))
    wrong(ast_.nodes[ast_.kid(node, 2)].offset, fmt::format("expected type 'bool' but found '{}'", shown(condition)));
  const Type* step = visit(ast_.kid(node, 3));
  if (!assignable(accumulator, step))
    wrong(ast_.nodes[ast_.kid(node, 3)].offset, fmt::format("expected type '{}' but found '{}'", shown(accumulator), shown(step)));
  locals_.resize(depth + 1);
  const Type* result = visit(ast_.kid(node, 4));
  locals_.resize(depth);
  for (std::uint32_t i = 0; i < 3; ++i) ast_.kids[node.first + 5 + i] = slots[i];
  return substitution_.apply(result, false);
}

std::uint32_t Checker::name_at(std::string_view name) {
  auto at = std::ranges::find(ast_.names, name);
  if (at == ast_.names.end()) {
    ast_.names.emplace_back(name);
    return static_cast<std::uint32_t>(ast_.names.size() - 1);
  }
  return static_cast<std::uint32_t>(at - ast_.names.begin());
}

// Constants with a grammar are looked at now: patterns, durations, times.
void Checker::literals() {
  for (std::uint32_t i = 0; i < ast_.nodes.size(); ++i) {
    const Node& node = ast_.nodes[i];
    if (node.kind != NodeKind::call || node.count == 0 || node.op != Op::none) continue;
    const Node& last = ast_.nodes[ast_.kid(node, node.count > 1 ? 1 : 0)];
    if (last.kind != NodeKind::constant || ast_.constants[last.first].tag != Tag::string) continue;
    std::string_view text = ast_.constants[last.first].str(), name = ast_.name(node);
    if ((name == "matches" || name == "find" || name == "findAll") && node.count > 1) {
      const Regex& regex = regexes_.add(text);
      if (!regex.good() && name == "matches") problems_.push_back({last.offset, fmt::format("invalid matches argument")});
    } else if (name == "duration" && node.count == 1 && !parse_duration(text)) {
      problems_.push_back({last.offset, "invalid duration argument"});
    } else if (name == "timestamp" && node.count == 1 && (!parse_instant(text) || text.size() == 10)) {
      problems_.push_back({last.offset, "invalid timestamp argument"});
    }
  }
}

}  // namespace

const Type* Environment::find_structure(std::string_view name) const {
  for (const Type* type : structures_)
    if (type->name == name) return type;
  return make_structure_ ? make_structure_(name) : nullptr;
}

bool check(const Environment& environment, Ast& ast, Checked& checked, RegexCache& regexes, std::vector<Problem>& problems) {
  return Checker(environment, ast, checked, regexes, problems).run();
}

}  // namespace kybern::cel
