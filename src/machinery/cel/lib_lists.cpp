// Lists and sets.
#include <algorithm>

#include <fmt/format.h>

#include "machinery/cel/arithmetic.h"
#include "machinery/cel/functions.h"

namespace kybern::cel {

namespace {

using Args = std::span<const Val>;

Val is_sorted(Evaluation& e, Args a) {
  for (std::size_t i = 1; i < e.length(a[0]); ++i) {
    int c = Evaluation::compare(e.at(a[0], i - 1), e.at(a[0], i));
    if (c == 2) return e.no_overload();
    if (c == 1) return Val::of(false);
  }
  return Val::of(true);
}

Val sum(Evaluation& e, Args a) {
  std::size_t n = e.length(a[0]);
  const Type* item = a[0].type ? a[0].type->item() : nullptr;
  if (n == 0)
    return item && item->kind == TypeKind::number     ? Val::of(0.0)
           : item && item->kind == TypeKind::duration ? Val::of_duration(0)
                                                      : Val::of(std::int64_t{0});
  Val out = e.at(a[0], 0);
  if (out.tag == Tag::string || out.tag == Tag::list || out.tag == Tag::bytes) return e.no_overload();
  for (std::size_t i = 1; i < n && !out.is_error(); ++i) out = add(e, out, e.at(a[0], i));
  return out;
}

template <int wanted>
Val extreme(Evaluation& e, Args a) {
  std::size_t n = e.length(a[0]);
  if (n == 0) return e.error(fmt::format("{} called on empty list", wanted < 0 ? "min" : "max"));
  Val out = e.at(a[0], 0);
  for (std::size_t i = 1; i < n; ++i) {
    Val next = e.at(a[0], i);
    int c = Evaluation::compare(next, out);
    if (c == 2) return e.no_overload();
    if (c == wanted) out = next;
  }
  return out;
}

Val list_index_of(Evaluation& e, Args a) {
  for (std::size_t i = 0; i < e.length(a[0]); ++i)
    if (e.equal(e.at(a[0], i), a[1])) return Val::of(static_cast<std::int64_t>(i));
  return Val::of(std::int64_t{-1});
}

Val list_last_index_of(Evaluation& e, Args a) {
  for (std::size_t i = e.length(a[0]); i-- > 0;)
    if (e.equal(e.at(a[0], i), a[1])) return Val::of(static_cast<std::int64_t>(i));
  return Val::of(std::int64_t{-1});
}

Val slice(Evaluation& e, Args a) {
  auto n = static_cast<std::int64_t>(e.length(a[0]));
  std::int64_t from = a[1].integer, to = a[2].integer;
  if (from < 0 || to < 0) return e.error(fmt::format("cannot slice({}, {}), negative indexes not supported", from, to));
  if (from > to) return e.error(fmt::format("cannot slice({}, {}), start index must be less than or equal to end index", from, to));
  if (to > n) return e.error(fmt::format("cannot slice({}, {}), list is length {}", from, to, n));
  e.charge(static_cast<std::uint64_t>(to - from));
  if (e.exhausted()) return e.no_overload();
  BuiltList* out = e.new_list(static_cast<std::size_t>(to - from));
  for (std::int64_t i = from; i < to; ++i) e.push(*out, e.at(a[0], static_cast<std::size_t>(i)));
  return e.list(out);
}

void flatten_into(Evaluation& e, const Val& list, std::int64_t depth, BuiltList& out) {
  for (std::size_t i = 0; i < e.length(list); ++i) {
    Val item = e.at(list, i);
    e.charge(1);
    if (e.exhausted()) return;
    if (item.tag == Tag::list && depth > 0) flatten_into(e, item, depth - 1, out);
    else e.push(out, item);
  }
}

Val flatten(Evaluation& e, Args a) {
  std::int64_t depth = a.size() > 1 ? a[1].integer : 1;
  if (depth < 0) return e.error("level must be non-negative");
  BuiltList* out = e.new_list(e.length(a[0]));
  flatten_into(e, a[0], std::min<std::int64_t>(depth, 500), *out);
  return e.list(out);
}

Val distinct(Evaluation& e, Args a) {
  BuiltList* out = e.new_list(0);
  for (std::size_t i = 0; i < e.length(a[0]); ++i) {
    Val item = e.at(a[0], i);
    if (!e.contains(e.list(out), item)) e.push(*out, item);
  }
  return e.list(out);
}

Val sort_by(Evaluation& e, const Val& list, const Val& keys) {
  std::size_t n = e.length(list);
  if (e.length(keys) != n) return e.error("@sortByAssociatedKeys() expected a list of the same size as the associated keys list");
  std::vector<std::pair<Val, Val>> order;
  for (std::size_t i = 0; i < n; ++i) {
    order.emplace_back(e.at(keys, i), e.at(list, i));
    Tag tag = order.back().first.tag;
    if (Evaluation::compare(order.back().first, order.back().first) == 2) return e.error("list elements must be comparable");
    if (tag != order.front().first.tag) return e.error("list elements must have the same type");
  }
  std::ranges::stable_sort(order, [](const auto& x, const auto& y) { return Evaluation::compare(x.first, y.first) == -1; });
  BuiltList* out = e.new_list(n);
  for (const auto& [key, value] : order) e.push(*out, value);
  return e.list(out);
}

Val sort(Evaluation& e, Args a) { return sort_by(e, a[0], a[0]); }
Val sort_by_keys(Evaluation& e, Args a) { return sort_by(e, a[0], a[1]); }

Val reverse(Evaluation& e, Args a) {
  std::size_t n = e.length(a[0]);
  e.charge(n);
  if (e.exhausted()) return e.no_overload();
  BuiltList* out = e.new_list(n);
  for (std::size_t i = n; i-- > 0;) e.push(*out, e.at(a[0], i));
  return e.list(out);
}

Val range(Evaluation& e, Args a) {
  std::int64_t n = std::max<std::int64_t>(a[0].integer, 0);
  e.charge(static_cast<std::uint64_t>(n));
  if (e.exhausted()) return e.no_overload();
  BuiltList* out = e.new_list(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) e.push(*out, Val::of(i));
  return e.list(out);
}

bool holds_all(Evaluation& e, const Val& list, const Val& sub) {
  for (std::size_t i = 0; i < e.length(sub); ++i)
    if (!e.contains(list, e.at(sub, i))) return false;
  return true;
}

Val set_contains(Evaluation& e, Args a) { return Val::of(holds_all(e, a[0], a[1])); }
Val set_equivalent(Evaluation& e, Args a) { return Val::of(holds_all(e, a[0], a[1]) && holds_all(e, a[1], a[0])); }
Val set_intersects(Evaluation& e, Args a) {
  for (std::size_t i = 0; i < e.length(a[1]); ++i)
    if (e.contains(a[0], e.at(a[1], i))) return Val::of(true);
  return Val::of(false);
}

#define KYBERN_CEL_SUMMABLE(name, impl)                                                                      \
  {name, "list_int_" name, "list<int>.() int", impl}, {name, "list_uint_" name, "list<uint>.() uint", impl}, \
      {name, "list_double_" name, "list<double>.() double", impl}, {                                         \
    name, "list_duration_" name, "list<duration>.() duration", impl                                          \
  }
#define KYBERN_CEL_COMPARABLE(name, impl)                                                                                      \
  KYBERN_CEL_SUMMABLE(name, impl), {name, "list_bool_" name, "list<bool>.() bool", impl},                                      \
      {name, "list_string_" name, "list<string>.() string", impl}, {name, "list_bytes_" name, "list<bytes>.() bytes", impl}, { \
    name, "list_timestamp_" name, "list<timestamp>.() timestamp", impl                                                         \
  }
#define KYBERN_CEL_SORTABLE(type)                                                                                   \
  {"isSorted", "list_" type "_is_sorted_bool", "list<" type ">.() bool", is_sorted},                                \
      {"sort", "list_" type "_sort", "list<" type ">.() list<" type ">", sort}, {                                   \
    "@sortByAssociatedKeys", "list_" type "_sortByAssociatedKeys", "list<A>.(list<" type ">) list<A>", sort_by_keys \
  }

constexpr FunctionRow table_of_lists[] = {
    KYBERN_CEL_SORTABLE("int"),
    KYBERN_CEL_SORTABLE("uint"),
    KYBERN_CEL_SORTABLE("double"),
    KYBERN_CEL_SORTABLE("bool"),
    KYBERN_CEL_SORTABLE("duration"),
    KYBERN_CEL_SORTABLE("timestamp"),
    KYBERN_CEL_SORTABLE("string"),
    KYBERN_CEL_SORTABLE("bytes"),
    KYBERN_CEL_SUMMABLE("sum", sum),
    KYBERN_CEL_COMPARABLE("max", extreme<1>),
    KYBERN_CEL_COMPARABLE("min", extreme<-1>),
    {"indexOf", "list_a_index_of_int", "list<A>.(A) int", list_index_of},
    {"lastIndexOf", "list_a_last_index_of_int", "list<A>.(A) int", list_last_index_of},
    {"slice", "list_slice", "list<A>.(int, int) list<A>", slice},
    {"flatten", "list_flatten", "list<list<A>>.() list<A>", flatten},
    {"flatten", "list_flatten_int", "list<dyn>.(int) list<dyn>", flatten},
    {"distinct", "list_distinct", "list<A>.() list<A>", distinct},
    {"reverse", "list_reverse", "list<A>.() list<A>", reverse},
    {"lists.range", "lists_range", "(int) list<int>", range},
};
#undef KYBERN_CEL_SUMMABLE
#undef KYBERN_CEL_COMPARABLE
#undef KYBERN_CEL_SORTABLE

constexpr FunctionRow sets[] = {
    {"sets.contains", "list_sets_contains_list", "(list<A>, list<A>) bool", set_contains},
    {"sets.equivalent", "list_sets_equivalent_list", "(list<A>, list<A>) bool", set_equivalent},
    {"sets.intersects", "list_sets_intersects_list", "(list<A>, list<A>) bool", set_intersects},
};

}  // namespace

std::span<const FunctionRow> list_rows() { return table_of_lists; }
std::span<const FunctionRow> set_rows() { return sets; }

}  // namespace kybern::cel
