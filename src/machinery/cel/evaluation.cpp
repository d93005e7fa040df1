#include "machinery/cel/evaluation.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/strings.h"
#include "machinery/cel/arithmetic.h"
#include "machinery/cel/ast.h"
#include "machinery/cel/functions.h"

namespace kybern::cel {

namespace {
constexpr std::uint64_t list_cost = 10, map_cost = 30, structure_cost = 40;
constexpr std::size_t max_arguments = 8;

std::string shown_key(const Val& key) {
  switch (key.tag) {
    case Tag::string: return key.text.size ? std::string(key.str()) : std::string();
    case Tag::integer: return fmt::format("{}", key.integer);
    case Tag::uint: return fmt::format("{}", key.uint);
    case Tag::boolean: return key.boolean ? "true" : "false";
    case Tag::number: return fmt::format("{}", key.number);
    default: return type_name(key);
  }
}

bool absorbs(const Val& v, bool absorbing) { return v.tag == Tag::boolean && v.boolean == absorbing; }
}  // namespace

Evaluation::Evaluation(const Ast& ast, std::span<const Val> variables, std::uint64_t limit, const RegexCache* regexes)
    : ast_(ast), variables_(variables), limit_(limit), regexes_(regexes), free_(inline_), left_(sizeof inline_) {}

Evaluation::~Evaluation() = default;

Evaluation* Evaluation::nested(const Ast& ast, std::span<const Val> variables, std::uint64_t limit, const RegexCache* regexes) {
  return nested_.emplace_back(std::make_unique<Evaluation>(ast, variables, limit, regexes)).get();
}

Val Evaluation::run() { return eval(ast_.root); }

Val Evaluation::eval(std::uint32_t index) {
  const Node& node = ast_.nodes[index];
  switch (node.kind) {
    case NodeKind::constant: return ast_.constants[node.first];
    case NodeKind::ident:
      if (node.flags & Node::type_name) return ast_.constants[node.first];
      ++cost_;
      return node.flags & Node::local ? locals_[local_base_ + node.first] : variables_[node.first];
    case NodeKind::select: return eval_select(node);
    case NodeKind::call: return eval_call(node, index);
    case NodeKind::list: return eval_list(node);
    case NodeKind::map: return eval_map(node);
    case NodeKind::structure: return eval_structure(node);
    case NodeKind::fold: return eval_fold(node);
  }
  return no_overload();
}

Val Evaluation::field(const Val& object, std::string_view name) {
  Val out;
  if (object.tag == Tag::map) {
    if (find(object, Val::of(name), out)) return out;
    return error(fmt::format("no such key: {}", name));
  }
  if (object.tag == Tag::optional) {
    if (!object.inner) return object;
    Val inner = *object.inner;
    if (inner.tag == Tag::map) return find(inner, Val::of(name), out) ? (out.is_error() ? out : some(out)) : none();
    return no_overload();
  }
  return no_overload();
}

bool Evaluation::has_field(const Val& object, std::string_view name) {
  Val out;
  return object.tag == Tag::map && (object.rep == Rep::lookup ? object.lookup->has(name) : find(object, Val::of(name), out));
}

Val Evaluation::eval_select(const Node& node) {
  Val operand = eval(ast_.kid(node, 0));
  if (operand.is_error()) return operand;
  return apply_select(operand, ast_.name(node), (node.flags & Node::test_only) != 0);
}

Val Evaluation::apply_select(const Val& operand, std::string_view name, bool test_only) {
  if (!test_only) {
    ++cost_;
    return field(operand, name);
  }
  const Val* target = &operand;
  if (target->tag == Tag::optional) {
    if (!target->inner) return Val::of(false);
    target = target->inner;
  }
  return target->tag == Tag::map ? Val::of(has_field(*target, name)) : no_overload();
}

// a && b, a || b: an error on one side does not count when the other side decides.
Val Evaluation::eval_logical(const Node& node, bool absorbing) {
  Val left = eval(ast_.kid(node, 0));
  if (absorbs(left, absorbing)) return left;
  Val right = eval(ast_.kid(node, 1));
  if (absorbs(right, absorbing)) return right;
  if (left.is_error()) return left;
  if (right.is_error()) return right;
  if (left.tag != Tag::boolean || right.tag != Tag::boolean) return no_overload();
  return Val::of(!absorbing);
}

Val Evaluation::eval_call(const Node& node, std::uint32_t) {
  switch (node.op) {
    case Op::logical_and: return eval_logical(node, false);
    case Op::logical_or: return eval_logical(node, true);
    case Op::conditional: {
      Val condition = eval(ast_.kid(node, 0));
      if (condition.is_error()) return condition;
      if (condition.tag != Tag::boolean) return no_overload();
      return eval(ast_.kid(node, condition.boolean ? 1 : 2));
    }
    case Op::not_strictly_false: {
      Val inner = eval(ast_.kid(node, 0));
      ++cost_;
      return Val::of(!inner.is_false());
    }
    case Op::none: break;
    default: return eval_operator(node);
  }
  std::array<Val, max_arguments> args;
  for (std::uint32_t i = 0; i < node.count; ++i) {
    args[i] = eval(ast_.kid(node, i));
    if (args[i].is_error()) return args[i];
  }
  if (exhausted()) return no_overload();
  return call_function(node, std::span<const Val>(args.data(), node.count));
}

Val Evaluation::call_function(const Node& node, std::span<const Val> args) {
  const Function& function = functions()[node.function];
  for (std::size_t i = 0; i < function.overloads.size(); ++i) {
    if (node.overload != Node::any_overload && node.overload != i) continue;
    const Overload& overload = function.overloads[i];
    if (overload.params.size() != args.size() || overload.member != ((node.flags & Node::member) != 0) || !overload.impl) continue;
    bool all = true;
    for (std::size_t k = 0; k < args.size() && all; ++k) all = fits(args[k], *overload.params[k]);
    if (!all) continue;
    // What grows with the square of its input is charged for before it runs.
    if (function.cost == CostRule::squared) charge_call(node, args, Val());
    if (exhausted()) return no_overload();
    Val out = overload.impl(*this, args);
    if (function.cost != CostRule::squared) charge_call(node, args, out);
    return out;
  }
  ++cost_;
  return no_overload();
}

Val Evaluation::eval_operator(const Node& node) {
  if (node.flags & Node::accumulate) return append_in_place(node);
  Val args[3];
  for (std::uint32_t i = 0; i < node.count && i < 3; ++i) {
    args[i] = eval(ast_.kid(node, i));
    if (args[i].is_error()) return args[i];
  }
  if (exhausted()) return no_overload();
  const Val &a = args[0], &b = args[1];
  Val out;
  switch (node.op) {
    case Op::equal: out = Val::of(equal(a, b)); break;
    case Op::not_equal: out = Val::of(!equal(a, b)); break;
    case Op::less:
    case Op::less_equal:
    case Op::greater:
    case Op::greater_equal: {
      int c = compare(a, b);
      if (c == 2) return ++cost_, no_overload();
      if (c == 3) out = Val::of(false);
      else out = Val::of(node.op == Op::less ? c < 0 : node.op == Op::less_equal ? c <= 0 : node.op == Op::greater ? c > 0 : c >= 0);
      break;
    }
    case Op::logical_not: ++cost_; return a.tag == Tag::boolean ? Val::of(!a.boolean) : no_overload();
    case Op::negate: ++cost_; return negate(*this, a);
    case Op::add: out = add(*this, a, b); break;
    case Op::subtract: ++cost_; return subtract(*this, a, b);
    case Op::multiply: ++cost_; return multiply(*this, a, b);
    case Op::divide: ++cost_; return divide(*this, a, b);
    case Op::modulo: ++cost_; return modulo(*this, a, b);
    case Op::in:
      if (b.tag == Tag::list) out = Val::of(contains(b, a));
      else if (b.tag == Tag::map)
        out = Val::of(a.tag == Tag::string && b.rep == Rep::lookup ? b.lookup->has(a.str()) : find(b, a, args[2]));
      else out = no_overload();
      break;
    case Op::index: ++cost_; return this->index(a, b);
    case Op::optional_select:
    case Op::optional_index: ++cost_; return optional_index(a, b);
    case Op::map_insert: ++cost_; return map_insert(std::span<const Val>(args, node.count));
    default: return no_overload();
  }
  charge_call(node, std::span<const Val>(args, node.count), out);
  return out;
}

// accu + [x] of a macro: nothing else holds the list, so it grows where it lies.
Val Evaluation::append_in_place(const Node& node) {
  Val accu = eval(ast_.kid(node, 0));
  Val item = eval_list(ast_.nodes[ast_.kid(node, 1)]);
  ++cost_;
  if (item.is_error()) return item;
  if (accu.is_error()) return accu;
  if (accu.tag != Tag::list || accu.rep != Rep::built) return concatenate(accu, item);
  for (std::uint32_t i = 0; i < item.list->size; ++i) push(*accu.list, item.list->items[i]);
  return accu;
}

Val Evaluation::map_insert(std::span<const Val> args) {
  Val accu = args[0];
  if (accu.tag != Tag::map || accu.rep != Rep::built) return no_overload();
  if (args.size() == 3)
    return insert(*accu.map, args[1], args[2]) ? accu : error(fmt::format("insert failed: key {} already exists", shown_key(args[1])));
  if (args[1].tag != Tag::map) return no_overload();
  for (std::size_t i = 0, n = length(args[1]); i < n; ++i) {
    Val key = key_at(args[1], i);
    if (!insert(*accu.map, key, value_at(args[1], i))) return error(fmt::format("insert failed: key {} already exists", shown_key(key)));
  }
  return accu;
}

Val Evaluation::index(const Val& operand, const Val& key) {
  if (operand.tag == Tag::optional) return operand.inner ? optional_index(operand, key) : operand;
  if (operand.tag == Tag::list) {
    std::int64_t i = 0;
    if (key.tag == Tag::integer) i = key.integer;
    else if (key.tag == Tag::uint) i = key.uint > 1ull << 62 ? -1 : static_cast<std::int64_t>(key.uint);
    else if (key.tag == Tag::number && key.number >= 0 && key.number < 1e9 &&
             key.number == static_cast<double>(static_cast<std::int64_t>(key.number)))
      i = static_cast<std::int64_t>(key.number);
    else return error(fmt::format("unsupported index type '{}' in list", type_name(key)));
    if (i < 0 || static_cast<std::uint64_t>(i) >= length(operand)) return error(fmt::format("index out of bounds: {}", i));
    return at(operand, static_cast<std::size_t>(i));
  }
  if (operand.tag == Tag::map) {
    Val out;
    if (find(operand, key, out)) return out;
    return error(fmt::format("no such key: {}", shown_key(key)));
  }
  return no_overload();
}

Val Evaluation::optional_index(const Val& operand, const Val& key) {
  const Val* target = &operand;
  if (target->tag == Tag::optional) {
    if (!target->inner) return *target;
    target = target->inner;
  }
  Val out;
  if (target->tag == Tag::map) return find(*target, key, out) ? (out.is_error() ? out : some(out)) : none();
  if (target->tag == Tag::list) {
    if (key.tag != Tag::integer) return no_overload();
    if (key.integer < 0 || static_cast<std::uint64_t>(key.integer) >= length(*target)) return none();
    out = at(*target, static_cast<std::size_t>(key.integer));
    return out.is_error() ? out : some(out);
  }
  return no_overload();
}

Val Evaluation::eval_list(const Node& node) {
  BuiltList* out = new_list(node.count);
  for (std::uint32_t i = 0; i < node.count; ++i) {
    Val item = eval(ast_.kid(node, i));
    if (item.is_error()) return item;
    bool maybe = false;
    for (std::uint32_t k = 0; k < node.function; ++k) maybe |= ast_.kid(node, node.count + k) == i;
    if (maybe) {
      if (item.tag != Tag::optional) return no_overload();
      if (!item.inner) continue;
      item = *item.inner;
    }
    push(*out, item);
  }
  cost_ += list_cost;
  return list(out);
}

Val Evaluation::eval_map(const Node& node) {
  BuiltMap* out = new_map();
  for (std::uint32_t i = 0; i + 1 < node.count; i += 2) {
    Val key = eval(ast_.kid(node, i));
    if (key.is_error()) return key;
    if (key.tag != Tag::string && key.tag != Tag::integer && key.tag != Tag::uint && key.tag != Tag::boolean)
      return error("unsupported key type");
    Val value = eval(ast_.kid(node, i + 1));
    if (value.is_error()) return value;
    bool maybe = false;
    for (std::uint32_t k = 0; k < node.function; ++k) maybe |= ast_.kid(node, node.count + k) == i / 2;
    if (maybe) {
      if (value.tag != Tag::optional) return no_overload();
      if (!value.inner) continue;
      value = *value.inner;
    }
    if (!insert(*out, key, value)) return error("Failed with repeated key");
  }
  cost_ += map_cost;
  return map(out);
}

Val Evaluation::eval_structure(const Node& node) {
  Val made = eval_map(node);
  if (made.is_error()) return made;
  cost_ += structure_cost - map_cost;
  made.type = ast_.constants[node.name].type;
  return made;
}

Val Evaluation::eval_fold(const Node& node) {
  std::uint32_t accu_slot = ast_.kids[node.first + 5], first_slot = ast_.kids[node.first + 6], second_slot = ast_.kids[node.first + 7];
  Val range = eval(ast_.kid(node, 0));
  if (range.is_error()) return range;
  if (range.tag != Tag::list && range.tag != Tag::map) return no_overload();
  Val init = eval(ast_.kid(node, 1));
  std::uint32_t need = local_base_ + std::max({accu_slot, first_slot, second_slot}) + 1;
  if (locals_.size() < need) locals_.resize(need);
  locals_[local_base_ + accu_slot] = init;
  bool two = (node.flags & Node::two_variables) != 0, is_list = range.tag == Tag::list;
  for (std::size_t i = 0, n = length(range); i < n; ++i) {
    if (is_list) {
      locals_[local_base_ + first_slot] = two ? Val::of(static_cast<std::int64_t>(i)) : at(range, i);
      if (two) locals_[local_base_ + second_slot] = at(range, i);
    } else {
      locals_[local_base_ + first_slot] = key_at(range, i);
      if (two) locals_[local_base_ + second_slot] = value_at(range, i);
    }
    Val condition = eval(ast_.kid(node, 2));
    if (!condition.is_true()) break;
    Val next = eval(ast_.kid(node, 3));
    locals_[local_base_ + accu_slot] = next;
    if (exhausted()) return no_overload();
  }
  return eval(ast_.kid(node, 4));
}

}  // namespace kybern::cel
