// What a call costs when it runs, in upstream's units: one for a step, a tenth for each character that is walked.
#include <algorithm>
#include <cmath>

#include "machinery/cel/ast.h"
#include "machinery/cel/cost.h"
#include "machinery/cel/functions.h"

namespace kybern::cel {

namespace {

constexpr std::uint64_t authorization_cost = 350000;

}  // namespace

void Evaluation::charge_call(const Node& node, std::span<const Val> args, const Val& result) {
  auto size = [&](std::size_t i) { return size_of(args[i]); };
  auto walk = [&](auto&& self, const Val& v) -> std::uint64_t {  // a tree, leaf by leaf
    if (v.tag == Tag::string || v.tag == Tag::bytes) return static_cast<std::uint64_t>(static_cast<double>(v.text.size) * character_cost);
    std::uint64_t sum = 0;
    if (v.tag == Tag::list) {
      for (std::size_t i = 0, n = length(v); i < n; ++i) sum += self(self, at(v, i));
      return sum;
    }
    if (v.tag == Tag::map) {
      for (std::size_t i = 0, n = length(v); i < n; ++i) sum += self(self, key_at(v, i)) + self(self, value_at(v, i));
      return sum;
    }
    return 1;
  };
  CostRule rule = node.op == Op::none  ? functions()[node.function].cost
                  : node.op == Op::add ? CostRule::addition
                  : node.op == Op::in  ? CostRule::in
                                       : CostRule::equality;
  bool text = !args.empty() && (args[0].tag == Tag::string || args[0].tag == Tag::bytes);
  switch (rule) {
    case CostRule::free: break;
    case CostRule::one: charge(1); break;
    case CostRule::check: charge(authorization_cost); break;
    case CostRule::traverse_first: charge(text ? scaled(size(0), character_cost) : 1); break;
    case CostRule::traverse_first_twice: charge(scaled(size(0), 2 * character_cost)); break;
    case CostRule::traverse_result_twice: charge(scaled(size_of(result), 2 * character_cost)); break;
    case CostRule::elements: charge(walk(walk, args[0])); break;
    case CostRule::equality: {
      // Two scalars: one unit. Texts and lists: the shorter one is walked.
      bool ordered = node.op != Op::equal && node.op != Op::not_equal;
      charge(ordered && !text ? 1 : scaled(std::min(size(0), size(1)), character_cost));
      break;
    }
    case CostRule::addition: charge(text ? scaled(size(0) + size(1), character_cost) : 1); break;
    case CostRule::in: charge(args[1].tag == Tag::list ? size(1) : 1); break;
    case CostRule::matches:
    case CostRule::find: charge(scaled(size(0) + 1, character_cost) * scaled(size(1), pattern_cost)); break;
    case CostRule::contains: charge(scaled(size(0), character_cost) * scaled(size(1), character_cost)); break;
    case CostRule::ip: charge(text ? scaled(size(0), character_cost) : 1); break;
    case CostRule::contains_ip:
    case CostRule::contains_cidr: {
      std::uint64_t bytes = size(0);
      charge(scaled(bytes * 2, character_cost) + (rule == CostRule::contains_cidr ? scaled(bytes, character_cost) + 1 : 0) +
             (args[1].tag == Tag::string ? scaled(size(1), character_cost) : 0));
      break;
    }
    case CostRule::squared: charge(1 + size(0) * size(args.size() > 1 ? 1 : 0)); break;
  }
}

}  // namespace kybern::cel
