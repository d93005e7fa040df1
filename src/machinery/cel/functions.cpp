#include "machinery/cel/functions.h"

#include <algorithm>
#include <cctype>
#include <deque>
#include <map>

#include "base/check.h"

namespace kybern::cel {

namespace {

struct Named {
  std::string_view name;
  const Type* type;
};

TypePool& pool() {
  static TypePool pool;
  return pool;
}

const std::vector<Named>& named_types() {
  static const std::vector<Named> names = [] {
    std::vector<Named> all = {{"bool", &types::boolean},
                              {"bytes", &types::bytes},
                              {"double", &types::number},
                              {"dyn", &types::dyn},
                              {"int", &types::integer},
                              {"list", &types::list_of_dyn},
                              {"map", &types::map_of_dyn},
                              {"null_type", &types::null},
                              {"string", &types::string},
                              {"uint", &types::uint},
                              {"google.protobuf.Timestamp", &types::timestamp},
                              {"google.protobuf.Duration", &types::duration},
                              {"timestamp", &types::timestamp},
                              {"duration", &types::duration},
                              {"error", &types::error}};
    for (std::string_view name :
         {"kubernetes.URL", "kubernetes.Quantity", "kubernetes.Semver", "kubernetes.NamedFormat", "net.IP", "net.CIDR",
          "kubernetes.authorization.Authorizer", "kubernetes.authorization.PathCheck", "kubernetes.authorization.GroupCheck",
          "kubernetes.authorization.ResourceCheck", "kubernetes.authorization.Decision"})
      all.push_back({name, pool().opaque(name)});
    return all;
  }();
  return names;
}

// Reads "list<A>" and the like, from the front of `text`.
const Type* read_type(std::string_view& text) {
  std::size_t n = 0;
  while (n < text.size() && (std::isalnum(static_cast<unsigned char>(text[n])) || text[n] == '_' ||
                             (text[n] == '.' && n + 1 < text.size() && text[n + 1] != '(')))
    ++n;
  std::string_view name = text.substr(0, n);
  text.remove_prefix(n);
  std::vector<const Type*> inner;
  if (text.starts_with('<')) {
    do {
      text.remove_prefix(1);
      while (text.starts_with(' ')) text.remove_prefix(1);
      inner.push_back(read_type(text));
    } while (text.starts_with(','));
    KYBERN_CHECK(text.starts_with('>'), "a signature's type list is closed");
    text.remove_prefix(1);
  }
  if (name == "list" && !inner.empty()) return pool().list(inner[0]);
  if (name == "map" && !inner.empty()) return pool().map(inner[0], inner[1]);
  if (name == "optional") return pool().wrap(TypeKind::optional, inner[0]);
  if (name == "type") return pool().wrap(TypeKind::type, inner[0]);
  if (name.size() == 1) return pool().param(name);
  const Type* known = named_type(name);
  KYBERN_CHECK(known, "a signature names known types");
  return known;
}

bool has_param(const Type& type) {
  return type.kind == TypeKind::param || std::ranges::any_of(type.params, [](const Type* p) { return has_param(*p); });
}

Overload read_overload(const FunctionRow& row) {
  Overload out{.id = row.overload, .member = false, .generic = false, .params = {}, .result = nullptr, .impl = row.impl};
  std::string_view text = row.signature;
  if (!text.starts_with('(')) {
    out.member = true;
    out.params.push_back(read_type(text));
    text.remove_prefix(1);  // the dot
  }
  text.remove_prefix(1);
  while (!text.starts_with(')')) {
    out.params.push_back(read_type(text));
    while (text.starts_with(',') || text.starts_with(' ')) text.remove_prefix(1);
  }
  text.remove_prefix(2);
  out.result = read_type(text);
  out.generic = has_param(*out.result) || std::ranges::any_of(out.params, [](const Type* p) { return has_param(*p); });
  return out;
}

struct CostRow {
  CostRule rule;
  std::initializer_list<std::string_view> names;
};

CostRule rule_of(std::string_view name) {
  static const CostRow rows[] = {
      {CostRule::free, {"_&&_", "_||_", "_?_:_"}},
      {CostRule::check, {"check"}},
      {CostRule::elements, {"isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"}},
      {CostRule::traverse_first,
       {"url", "lowerAscii", "upperAscii", "substring", "trim", "cidr", "isIP", "isCIDR", "quantity", "isQuantity", "startsWith",
        "endsWith", "bytes", "string", "format", "strings.quote", "validate", "semver", "isSemver"}},
      {CostRule::traverse_first_twice, {"replace", "split", "ip.isCanonical"}},
      {CostRule::traverse_result_twice, {"join"}},
      {CostRule::ip, {"ip"}},
      {CostRule::contains_ip, {"containsIP"}},
      {CostRule::contains_cidr, {"containsCIDR"}},
      {CostRule::equality, {"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"}},
      {CostRule::addition, {"_+_"}},
      {CostRule::in, {"@in"}},
      {CostRule::matches, {"matches"}},
      {CostRule::find, {"find", "findAll"}},
      {CostRule::contains, {"contains"}},
      {CostRule::squared, {"distinct", "sort", "@sortByAssociatedKeys", "sets.contains", "sets.intersects", "sets.equivalent"}},
  };
  for (const CostRow& row : rows)
    if (std::ranges::find(row.names, name) != row.names.end()) return row.rule;
  return CostRule::one;
}

std::vector<Function> build() {
  std::map<std::string_view, Function> by_name;
  for (auto rows : {operator_rows(), standard_rows(), time_rows(), string_rows(), regex_rows(), list_rows(), set_rows(), optional_rows(),
                    url_rows(), address_rows(), quantity_rows(), version_rows(), format_rows(), authorizer_rows()}) {
    for (const FunctionRow& row : rows) {
      Function& function = by_name.try_emplace(row.name, Function{row.name, rule_of(row.name), {}}).first->second;
      function.overloads.push_back(read_overload(row));
    }
  }
  std::vector<Function> out;
  for (auto& [name, function] : by_name) out.push_back(std::move(function));
  return out;
}

}  // namespace

const Type* named_type(std::string_view name) {
  for (const Named& named : named_types())
    if (named.name == name) return named.type;
  return nullptr;
}

std::span<const Function> functions() {
  static const std::vector<Function> all = build();
  return all;
}

const Function* find_function(std::string_view name) {
  auto at = std::ranges::lower_bound(functions(), name, {}, &Function::name);
  return at != functions().end() && at->name == name ? &*at : nullptr;
}

bool fits(const Val& value, const Type& type) {
  switch (type.kind) {
    case TypeKind::dyn:
    case TypeKind::param: return true;
    case TypeKind::null: return value.tag == Tag::null;
    case TypeKind::boolean: return value.tag == Tag::boolean;
    case TypeKind::integer: return value.tag == Tag::integer;
    case TypeKind::uint: return value.tag == Tag::uint;
    case TypeKind::number: return value.tag == Tag::number;
    case TypeKind::string: return value.tag == Tag::string;
    case TypeKind::bytes: return value.tag == Tag::bytes;
    case TypeKind::timestamp: return value.tag == Tag::timestamp;
    case TypeKind::duration: return value.tag == Tag::duration;
    case TypeKind::list: return value.tag == Tag::list;
    case TypeKind::map:
    case TypeKind::object: return value.tag == Tag::map;
    case TypeKind::type: return value.tag == Tag::type;
    case TypeKind::optional: return value.tag == Tag::optional;
    case TypeKind::opaque: return value.tag == Tag::opaque && value.opaque->type_name() == type.name;
    case TypeKind::error: return false;
  }
  return false;
}

std::span<const FunctionRow> operator_rows() {
  static constexpr FunctionRow rows[] = {
      {"_?_:_", "conditional", "(bool, A, A) A", nullptr},
      {"_&&_", "logical_and", "(bool, bool) bool", nullptr},
      {"_||_", "logical_or", "(bool, bool) bool", nullptr},
      {"!_", "logical_not", "(bool) bool", nullptr},
      {"@not_strictly_false", "not_strictly_false", "(bool) bool", nullptr},
      {"_==_", "equals", "(A, A) bool", nullptr},
      {"_!=_", "not_equals", "(A, A) bool", nullptr},
#define KYBERN_CEL_ORDER(op, id)                                                                                          \
  {op, id "_bool", "(bool, bool) bool", nullptr}, {op, id "_int64", "(int, int) bool", nullptr},                          \
      {op, id "_int64_double", "(int, double) bool", nullptr}, {op, id "_int64_uint64", "(int, uint) bool", nullptr},     \
      {op, id "_uint64", "(uint, uint) bool", nullptr}, {op, id "_uint64_double", "(uint, double) bool", nullptr},        \
      {op, id "_uint64_int64", "(uint, int) bool", nullptr}, {op, id "_double", "(double, double) bool", nullptr},        \
      {op, id "_double_int64", "(double, int) bool", nullptr}, {op, id "_double_uint64", "(double, uint) bool", nullptr}, \
      {op, id "_string", "(string, string) bool", nullptr}, {op, id "_bytes", "(bytes, bytes) bool", nullptr},            \
      {op, id "_timestamp", "(timestamp, timestamp) bool", nullptr}, {op, id "_duration", "(duration, duration) bool", nullptr}
      KYBERN_CEL_ORDER("_<_", "less"),
      KYBERN_CEL_ORDER("_<=_", "less_equals"),
      KYBERN_CEL_ORDER("_>_", "greater"),
      KYBERN_CEL_ORDER("_>=_", "greater_equals"),
#undef KYBERN_CEL_ORDER
      {"_+_", "add_bytes", "(bytes, bytes) bytes", nullptr},
      {"_+_", "add_double", "(double, double) double", nullptr},
      {"_+_", "add_duration_duration", "(duration, duration) duration", nullptr},
      {"_+_", "add_duration_timestamp", "(duration, timestamp) timestamp", nullptr},
      {"_+_", "add_timestamp_duration", "(timestamp, duration) timestamp", nullptr},
      {"_+_", "add_int64", "(int, int) int", nullptr},
      {"_+_", "add_list", "(list<A>, list<A>) list<A>", nullptr},
      {"_+_", "add_string", "(string, string) string", nullptr},
      {"_+_", "add_uint64", "(uint, uint) uint", nullptr},
      {"_-_", "subtract_double", "(double, double) double", nullptr},
      {"_-_", "subtract_duration_duration", "(duration, duration) duration", nullptr},
      {"_-_", "subtract_int64", "(int, int) int", nullptr},
      {"_-_", "subtract_timestamp_duration", "(timestamp, duration) timestamp", nullptr},
      {"_-_", "subtract_timestamp_timestamp", "(timestamp, timestamp) duration", nullptr},
      {"_-_", "subtract_uint64", "(uint, uint) uint", nullptr},
      {"_*_", "multiply_double", "(double, double) double", nullptr},
      {"_*_", "multiply_int64", "(int, int) int", nullptr},
      {"_*_", "multiply_uint64", "(uint, uint) uint", nullptr},
      {"_/_", "divide_double", "(double, double) double", nullptr},
      {"_/_", "divide_int64", "(int, int) int", nullptr},
      {"_/_", "divide_uint64", "(uint, uint) uint", nullptr},
      {"_%_", "modulo_int64", "(int, int) int", nullptr},
      {"_%_", "modulo_uint64", "(uint, uint) uint", nullptr},
      {"-_", "negate_double", "(double) double", nullptr},
      {"-_", "negate_int64", "(int) int", nullptr},
      {"@in", "in_list", "(A, list<A>) bool", nullptr},
      {"@in", "in_map", "(A, map<A, B>) bool", nullptr},
      {"_[_]", "index_list", "(list<A>, int) A", nullptr},
      {"_[_]", "index_map", "(map<A, B>, A) B", nullptr},
      {"_[_]", "optional_list_index_int", "(optional<list<A>>, int) optional<A>", nullptr},
      {"_[_]", "optional_map_index_value", "(optional<map<A, B>>, A) optional<B>", nullptr},
      {"_[?_]", "list_optindex_optional_int", "(list<A>, int) optional<A>", nullptr},
      {"_[?_]", "map_optindex_optional_value", "(map<A, B>, A) optional<B>", nullptr},
      {"_[?_]", "optional_list_optindex_optional_int", "(optional<list<A>>, int) optional<A>", nullptr},
      {"_[?_]", "optional_map_optindex_optional_value", "(optional<map<A, B>>, A) optional<B>", nullptr},
      {"cel.@mapInsert", "@mapInsert_map_map", "(map<A, B>, map<A, B>) map<A, B>", nullptr},
      {"cel.@mapInsert", "@mapInsert_map_key_value", "(map<A, B>, A, B) map<A, B>", nullptr},
  };
  return rows;
}

}  // namespace kybern::cel
