// Optional values: a field that may not be there, without has().
#include "machinery/cel/functions.h"

namespace kybern::cel {

namespace {

using Args = std::span<const Val>;

bool zero(Evaluation& e, const Val& v) {
  switch (v.tag) {
    case Tag::null: return true;
    case Tag::boolean: return !v.boolean;
    case Tag::integer:
    case Tag::uint:
    case Tag::duration: return v.integer == 0;
    case Tag::number: return v.number == 0;
    case Tag::string:
    case Tag::bytes: return v.text.size == 0;
    case Tag::list:
    case Tag::map: return v.rep != Rep::lookup && e.length(v) == 0;
    case Tag::optional: return !v.inner;
    default: return false;
  }
}

Val of(Evaluation& e, Args a) { return e.some(a[0]); }
Val of_non_zero(Evaluation& e, Args a) { return zero(e, a[0]) ? e.none() : e.some(a[0]); }
Val none(Evaluation& e, Args) { return e.none(); }
Val value(Evaluation& e, Args a) { return a[0].inner ? *a[0].inner : e.error("optional.none() dereference"); }
Val has_value(Evaluation&, Args a) { return Val::of(a[0].inner != nullptr); }
Val either(Evaluation&, Args a) { return a[0].inner ? a[0] : a[1]; }
Val or_value(Evaluation&, Args a) { return a[0].inner ? *a[0].inner : a[1]; }

Val unwrap(Evaluation& e, Args a) {
  BuiltList* out = e.new_list(e.length(a[0]));
  for (std::size_t i = 0; i < e.length(a[0]); ++i) {
    Val item = e.at(a[0], i);
    if (item.tag != Tag::optional) return e.no_overload();
    if (item.inner) e.push(*out, *item.inner);
  }
  return e.list(out);
}

Val first(Evaluation& e, Args a) { return e.length(a[0]) ? e.some(e.at(a[0], 0)) : e.none(); }
Val last(Evaluation& e, Args a) { return e.length(a[0]) ? e.some(e.at(a[0], e.length(a[0]) - 1)) : e.none(); }

constexpr FunctionRow table_of_optional[] = {
    {"optional.of", "optional_of", "(A) optional<A>", of},
    {"optional.ofNonZeroValue", "optional_ofNonZeroValue", "(A) optional<A>", of_non_zero},
    {"optional.none", "optional_none", "() optional<A>", none},
    {"value", "optional_value", "optional<A>.() A", value},
    {"hasValue", "optional_hasValue", "optional<A>.() bool", has_value},
    {"or", "optional_or_optional", "optional<A>.(optional<A>) optional<A>", either},
    {"orValue", "optional_orValue_value", "optional<A>.(A) A", or_value},
    {"optional.unwrap", "optional_unwrap", "(list<optional<A>>) list<A>", unwrap},
    {"unwrapOpt", "optional_unwrapOpt", "list<optional<A>>.() list<A>", unwrap},
    {"first", "list_first", "list<A>.() optional<A>", first},
    {"last", "list_last", "list<A>.() optional<A>", last},
};

}  // namespace

std::span<const FunctionRow> optional_rows() { return table_of_optional; }

}  // namespace kybern::cel
