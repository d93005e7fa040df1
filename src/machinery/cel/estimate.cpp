#include "machinery/cel/estimate.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <unordered_map>

#include "machinery/cel/cost.h"
#include "machinery/cel/functions.h"

namespace kybern::cel {

namespace {

constexpr std::uint64_t most = ~0ull;

std::uint64_t plus(std::uint64_t a, std::uint64_t b) { return a > most - b ? most : a + b; }
std::uint64_t times(std::uint64_t a, std::uint64_t b) { return b && a > most / b ? most : a * b; }

CostRange operator+(CostRange a, CostRange b) { return {plus(a.low, b.low), plus(a.high, b.high)}; }
CostRange operator*(CostRange a, CostRange b) { return {times(a.low, b.low), times(a.high, b.high)}; }
CostRange either(CostRange a, CostRange b) { return {std::min(a.low, b.low), std::max(a.high, b.high)}; }
SizeRange operator+(SizeRange a, SizeRange b) { return {plus(a.low, b.low), plus(a.high, b.high)}; }
SizeRange either(SizeRange a, SizeRange b) { return {std::min(a.low, b.low), std::max(a.high, b.high)}; }
CostRange walk(SizeRange size, double factor) { return {scaled(size.low, factor), scaled(size.high, factor)}; }
CostRange fixed(std::uint64_t cost) { return {cost, cost}; }

struct Entry {  // sizes of a container's keys and values
  SizeRange key, value;
};

class Estimator {
 public:
  Estimator(const Ast& ast, const Checked& checked) : ast_(ast), checked_(checked) {}
  CostRange cost(std::uint32_t index) {
    if (auto at = costs_.find(index); at != costs_.end()) return at->second;
    CostRange out = compute(index);
    costs_.emplace(index, out);
    return out;
  }

 private:
  CostRange compute(std::uint32_t index);
  struct Local {
    std::optional<SizeRange> size;
    std::optional<Entry> entry;
    const Type* type;
  };

  CostRange fold(const Node& node, std::uint32_t index);
  CostRange call(const Node& node, std::uint32_t index);
  CostRange function(const Node& node, std::uint32_t index, std::uint8_t overload, CostRange args, const std::vector<CostRange>& each);
  std::optional<SizeRange> size(std::uint32_t index);
  std::optional<Entry> entry(std::uint32_t index);
  SizeRange size_or_any(std::uint32_t index) { return size(index).value_or(SizeRange{}); }
  static std::optional<SizeRange> of_type(const Type* type);
  const Type* type(std::uint32_t index) const { return checked_.types[index] ? checked_.types[index] : &types::dyn; }

  const Ast& ast_;
  const Checked& checked_;
  std::unordered_map<std::uint32_t, CostRange> costs_;  // an operand may have two parents
  std::unordered_map<std::uint32_t, SizeRange> sizes_;
  std::unordered_map<std::uint32_t, Entry> entries_;
  std::unordered_map<std::uint32_t, Local> locals_;  // by slot
};

std::optional<SizeRange> Estimator::of_type(const Type* type) {
  switch (type->kind) {
    case TypeKind::boolean:
    case TypeKind::integer:
    case TypeKind::uint:
    case TypeKind::number:
    case TypeKind::timestamp:
    case TypeKind::duration: return SizeRange{1, 1};
    default: break;
  }
  if (type->max_size != Type::unbounded) return SizeRange{0, type->max_size};
  return {};
}

std::optional<SizeRange> Estimator::size(std::uint32_t index) {
  if (auto at = sizes_.find(index); at != sizes_.end()) return at->second;
  const Node& node = ast_.nodes[index];
  if (node.kind == NodeKind::constant) {
    std::uint64_t n = size_of(ast_.constants[node.first]);
    return SizeRange{n, n};
  }
  if (node.kind == NodeKind::list) return SizeRange{node.count, node.count};
  if (node.kind == NodeKind::map) return SizeRange{node.count / 2, node.count / 2};
  if (node.kind == NodeKind::ident && node.flags & Node::local) {
    auto local = locals_.find(node.first);
    if (local != locals_.end() && local->second.size) return local->second.size;
    if (local != locals_.end() && local->second.type) return of_type(local->second.type);
  }
  return of_type(type(index));
}

std::optional<Entry> Estimator::entry(std::uint32_t index) {
  if (auto at = entries_.find(index); at != entries_.end()) return at->second;
  const Node& node = ast_.nodes[index];
  if (node.kind == NodeKind::ident && node.flags & Node::local)
    if (auto local = locals_.find(node.first); local != locals_.end()) return local->second.entry;
  return {};
}

CostRange Estimator::compute(std::uint32_t index) {
  const Node& node = ast_.nodes[index];
  switch (node.kind) {
    case NodeKind::constant: return {};
    case NodeKind::ident: return node.flags & Node::type_name ? CostRange{} : fixed(1);
    case NodeKind::select: {
      CostRange sum = cost(ast_.kid(node, 0));
      if (node.flags & Node::test_only) return sum;
      TypeKind kind = type(ast_.kid(node, 0))->kind;
      return kind == TypeKind::map || kind == TypeKind::object ? sum + fixed(1) : sum;
    }
    case NodeKind::call: return call(node, index);
    case NodeKind::list:
    case NodeKind::map:
    case NodeKind::structure: {
      CostRange sum;
      Entry inner{{node.count ? most : 0, 0}, {node.count ? most : 0, 0}};
      bool list = node.kind == NodeKind::list;
      for (std::uint32_t i = 0; i < node.count; ++i) {
        std::uint32_t kid = ast_.kid(node, i);
        sum = sum + cost(kid);
        SizeRange& into = list || i % 2 ? inner.value : inner.key;
        into = either(into, size_or_any(kid));
      }
      if (list) inner.key = {1, 1};
      if (node.kind != NodeKind::structure) entries_[index] = inner;
      return sum + fixed(list ? 10 : node.kind == NodeKind::map ? 30 : 40);
    }
    case NodeKind::fold: return fold(node, index);
  }
  return {};
}

CostRange Estimator::fold(const Node& node, std::uint32_t index) {
  std::uint32_t range = ast_.kid(node, 0), init = ast_.kid(node, 1), result = ast_.kid(node, 4);
  CostRange sum = cost(range) + cost(init);
  const std::uint32_t* slots = &ast_.kids[node.first + 5];
  const Node& condition = ast_.nodes[ast_.kid(node, 2)];
  if (condition.kind == NodeKind::constant && ast_.constants[condition.first].is_false()) {  // a binding
    locals_[slots[0]] = {size(init), entry(init), type(init)};
    sum = sum + cost(result);
    if (auto known = size(result)) sizes_[index] = *known;
    return sum;
  }
  locals_[slots[0]] = {size(init), entry(init), nullptr};
  const Type* over = type(range);
  auto inner = entry(range);
  bool list = over->kind == TypeKind::list, two = (node.flags & Node::two_variables) != 0;
  const Type* key = over->kind == TypeKind::map ? over->params[0] : &types::integer;
  auto optional = [](const std::optional<Entry>& e, bool value) { return e ? std::optional(value ? e->value : e->key) : std::nullopt; };
  if (two) {
    locals_[slots[1]] = {optional(inner, false), {}, key};
    locals_[slots[2]] = {optional(inner, true), {}, over->item()};
  } else {
    locals_[slots[1]] = {optional(inner, list), {}, list ? over->item() : key};
  }
  CostRange loop = cost(ast_.kid(node, 2)) + cost(ast_.kid(node, 3));
  sum = sum + cost(result);
  SizeRange times_round = size_or_any(range);
  sum = sum + CostRange{times(times_round.low, loop.low), times(times_round.high, loop.high)};
  const Node& start = ast_.nodes[init];
  if (start.kind == NodeKind::constant) {
    sizes_[index] = *size(init);
  } else if (start.kind == NodeKind::list || start.kind == NodeKind::map) {
    sizes_[index] = times_round;
    if (auto stepped = entry(ast_.kid(node, 3))) entries_[index] = *stepped;
  }
  return sum;
}

CostRange Estimator::call(const Node& node, std::uint32_t index) {
  if (node.op == Op::none && ast_.name(node) == "dyn") {
    CostRange sum = cost(ast_.kid(node, 0)) + fixed(1);
    if (auto known = size(ast_.kid(node, 0))) sizes_[index] = *known;
    return sum;
  }
  CostRange args;
  std::vector<CostRange> each;
  for (std::uint32_t i = 0; i < node.count; ++i) {
    each.push_back(cost(ast_.kid(node, i)));
    args = args + each.back();
  }
  const auto& overloads = checked_.overloads[index];
  if (overloads.empty()) return {};
  CostRange out{most, 0};
  for (std::uint8_t overload : overloads) out = either(out, function(node, index, overload, args, each));
  return out;
}

CostRange Estimator::function(const Node& node, std::uint32_t index, std::uint8_t which, CostRange args,
                              const std::vector<CostRange>& each) {
  auto kid = [&](std::uint32_t i) { return ast_.kid(node, i); };
  auto sized = [&](SizeRange range) {
    auto [at, fresh] = sizes_.try_emplace(index, range);
    if (!fresh) at->second = either(at->second, range);
  };
  switch (node.op) {
    case Op::logical_and:
    case Op::logical_or: return {each[0].low, plus(each[0].high, each[1].high)};
    case Op::conditional: sized(either(size_or_any(kid(1)), size_or_any(kid(2)))); return each[0] + either(each[1], each[2]);
    case Op::index: {
      if (auto inner = entry(kid(0))) sized(inner->value);
      return args + fixed(1);
    }
    case Op::optional_select: return args + fixed(1);
    default: break;
  }
  const Function& function = functions()[node.function];
  const Overload& overload = function.overloads[which];
  TypeKind first = overload.params.empty() ? TypeKind::dyn : overload.params[0]->kind;
  bool text = first == TypeKind::string || first == TypeKind::bytes;
  auto n = [&](std::uint32_t i) { return size_or_any(kid(i)); };
  switch (function.cost) {
    case CostRule::traverse_first: {
      constexpr std::uint64_t longest_scalar_text = 40;
      if (!text && function.name == "string") sized({1, longest_scalar_text});
      if (!text) break;
      SizeRange s = n(0);
      std::string_view name = function.name;
      if (name == "lowerAscii" || name == "upperAscii" || name == "substring" || name == "trim") sized(s);
      if (name == "bytes") sized({s.low, times(s.high, 4)});
      if (name == "string") sized({s.low / 4, s.high});
      return walk(s, character_cost) + args;
    }
    case CostRule::traverse_first_twice: {
      SizeRange s = n(0);
      if (function.name == "split") sized({0, s.high});
      if (function.name == "replace") {
        SizeRange from = n(1), to = n(2);
        std::uint64_t count = from.low == 0         ? plus(s.high, 1)
                              : to.high <= from.low ? 0
                              : s.high == most      ? most
                                                    : (s.high + from.low - 1) / from.low;
        std::uint64_t kept = from.low == 0 || to.high <= from.low ? s.high : 0;
        sized({0, plus(times(count, to.high), kept)});
      }
      return walk(s, 2 * character_cost) + args;
    }
    case CostRule::traverse_result_twice: {
      SizeRange items = n(0), item = of_type(type(kid(0))->item()).value_or(SizeRange{});
      if (auto inner = entry(kid(0))) item = inner->value;
      SizeRange out{times(items.low, item.low), times(items.high, item.high)};
      if (node.count > 1) {
        SizeRange separator = n(1);
        out = out + SizeRange{times(items.low ? items.low - 1 : 0, separator.low), times(items.high ? items.high - 1 : 0, separator.high)};
      }
      sized(out);
      return walk(out, character_cost) + args;
    }
    case CostRule::elements: {
      if (text) return walk(n(0), character_cost) + args;
      const Type* item = type(kid(0))->item();
      CostRange one = fixed(1);
      if (item->kind == TypeKind::string || item->kind == TypeKind::bytes)
        one = one + walk(of_type(item).value_or(SizeRange{}), character_cost);
      SizeRange s = n(0);
      return CostRange{times(s.low, one.low), times(s.high, one.high)} + args;
    }
    case CostRule::equality: {
      bool scalars = node.op != Op::equal && node.op != Op::not_equal && !text;
      if (scalars) break;
      std::uint64_t high = std::min(n(0).high, n(1).high);
      return walk({high > 0 ? 1u : 0u, high}, character_cost) + args;
    }
    case CostRule::addition: {
      bool list = first == TypeKind::list;
      if (!text && !list) break;
      SizeRange out = n(0) + n(1);
      sized(out);
      auto left = entry(kid(0)), right = entry(kid(1));
      if (left && right) entries_[index] = {either(left->key, right->key), either(left->value, right->value)};
      return (list ? fixed(1) : walk(out, character_cost)) + args;
    }
    case CostRule::in: {
      if (overload.id != "in_list") break;
      SizeRange s = n(1);
      return CostRange{s.low, s.high} + args;
    }
    case CostRule::matches:
    case CostRule::find:
      if (function.cost == CostRule::find) sized({0, n(0).high});
      return walk(n(0) + SizeRange{1, 1}, character_cost) * walk(n(1), pattern_cost) + args;
    case CostRule::contains: return walk(n(0), character_cost) * walk(n(1), character_cost) + args;
    case CostRule::check: return fixed(350000) + args;
    case CostRule::ip: return (text ? walk(n(0), character_cost) : fixed(1)) + args;
    case CostRule::contains_ip:
    case CostRule::contains_cidr: {
      CostRange compared{1, 4};
      if (function.cost == CostRule::contains_cidr) compared = compared + CostRange{2, 3};
      if (overload.params[1]->kind == TypeKind::string) compared = compared + walk(n(1), character_cost);
      return compared + args;
    }
    case CostRule::squared: {
      SizeRange a = n(0), b = node.count > 1 ? n(1) : a;
      return CostRange{plus(1, times(a.low, b.low)), plus(1, times(a.high, b.high))} + args;
    }
    default: break;
  }
  return fixed(1) + args;
}

}  // namespace

CostRange estimate_cost(const Environment&, const Ast& ast, const Checked& checked) { return Estimator(ast, checked).cost(ast.root); }

}  // namespace kybern::cel
