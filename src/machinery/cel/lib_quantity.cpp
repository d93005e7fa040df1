// Amounts (kubernetes.Quantity) and semantic versions (kubernetes.Semver).
#include <fmt/format.h>

#include "base/strings.h"
#include "machinery/cel/functions.h"
#include "machinery/quantity.h"

namespace kybern::cel {

namespace {

using Args = std::span<const Val>;

struct Amount : Opaque {
  explicit Amount(Quantity q) : quantity(std::move(q)) {}
  Quantity quantity;
  std::string_view type_name() const override { return "kubernetes.Quantity"; }
  bool equals(const Opaque& other) const override {
    const auto* amount = dynamic_cast<const Amount*>(&other);
    return amount && amount->quantity == quantity;
  }
};
const Quantity& amount(const Val& v) { return static_cast<const Amount&>(*v.opaque).quantity; }

Val make_amount(Evaluation& e, Args a) {
  auto parsed = Quantity::parse(a[0].str());
  return parsed ? e.make<Amount>(std::move(*parsed)) : e.error(parsed.error().message);
}
Val is_amount(Evaluation&, Args a) { return Val::of(Quantity::parse(a[0].str()).has_value()); }
std::int64_t order(const Quantity& a, const Quantity& b) { return a < b ? -1 : b < a ? 1 : 0; }
Val amount_less(Evaluation&, Args a) { return Val::of(order(amount(a[0]), amount(a[1])) < 0); }
Val amount_greater(Evaluation&, Args a) { return Val::of(order(amount(a[0]), amount(a[1])) > 0); }
Val amount_compare(Evaluation&, Args a) { return Val::of(order(amount(a[0]), amount(a[1]))); }
Val approximate(Evaluation&, Args a) { return Val::of(amount(a[0]).approximate()); }
Val as_integer(Evaluation& e, Args a) {
  auto exact = amount(a[0]).exact_int();
  return exact ? Val::of(*exact) : e.error("cannot convert value to integer");
}
Val is_integer(Evaluation&, Args a) { return Val::of(amount(a[0]).exact_int().has_value()); }
Val sign(Evaluation&, Args a) { return Val::of(static_cast<std::int64_t>(amount(a[0]).sign())); }
template <int factor>
Val combine(Evaluation& e, Args a) {
  Quantity other = a[1].tag == Tag::integer ? Quantity(a[1].integer) : amount(a[1]);
  return e.make<Amount>(factor > 0 ? amount(a[0]) + other : amount(a[0]) - other);
}

constexpr FunctionRow table_of_quantity[] = {
    {"quantity", "string_to_quantity", "(string) kubernetes.Quantity", make_amount},
    {"isQuantity", "is_quantity_string", "(string) bool", is_amount},
    {"isLessThan", "quantity_is_less_than", "kubernetes.Quantity.(kubernetes.Quantity) bool", amount_less},
    {"isGreaterThan", "quantity_is_greater_than", "kubernetes.Quantity.(kubernetes.Quantity) bool", amount_greater},
    {"compareTo", "quantity_compare_to", "kubernetes.Quantity.(kubernetes.Quantity) int", amount_compare},
    {"asApproximateFloat", "quantity_get_float", "kubernetes.Quantity.() double", approximate},
    {"asInteger", "quantity_get_int", "kubernetes.Quantity.() int", as_integer},
    {"isInteger", "quantity_is_integer", "kubernetes.Quantity.() bool", is_integer},
    {"sign", "quantity_sign", "kubernetes.Quantity.() int", sign},
    {"add", "quantity_add", "kubernetes.Quantity.(kubernetes.Quantity) kubernetes.Quantity", combine<1>},
    {"add", "quantity_add_int", "kubernetes.Quantity.(int) kubernetes.Quantity", combine<1>},
    {"sub", "quantity_sub", "kubernetes.Quantity.(kubernetes.Quantity) kubernetes.Quantity", combine<-1>},
    {"sub", "quantity_sub_int", "kubernetes.Quantity.(int) kubernetes.Quantity", combine<-1>},
};

// --- versions, as semver.org 2.0 orders them ---

struct Semver : Opaque {
  std::uint64_t parts[3] = {};
  std::vector<std::string> pre, build;
  std::string_view type_name() const override { return "kubernetes.Semver"; }
  int compare(const Semver& other) const;
  bool equals(const Opaque& other) const override {
    const auto* version = dynamic_cast<const Semver*>(&other);
    return version && compare(*version) == 0;
  }
};

bool digits_only(std::string_view text) { return !text.empty() && text.find_first_not_of("0123456789") == text.npos; }

int Semver::compare(const Semver& other) const {
  for (int i = 0; i < 3; ++i)
    if (parts[i] != other.parts[i]) return parts[i] < other.parts[i] ? -1 : 1;
  if (pre.empty() || other.pre.empty()) return pre.empty() == other.pre.empty() ? 0 : pre.empty() ? 1 : -1;
  for (std::size_t i = 0; i < pre.size() && i < other.pre.size(); ++i) {
    const std::string &x = pre[i], &y = other.pre[i];
    if (x == y) continue;
    bool xn = digits_only(x), yn = digits_only(y);
    if (xn != yn) return xn ? -1 : 1;
    if (xn && x.size() != y.size()) return x.size() < y.size() ? -1 : 1;
    return x < y ? -1 : 1;
  }
  return pre.size() == other.pre.size() ? 0 : pre.size() < other.pre.size() ? -1 : 1;
}

std::string read_identifiers(std::string_view text, std::vector<std::string>& out, bool numbers) {
  for (std::string_view part : kybern::split(text, '.')) {
    if (part.empty()) return "prerelease is empty";
    for (char c : part)
      if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-')
        return fmt::format("Invalid character(s) found in prerelease {}", go_quote(part));
    if (numbers && digits_only(part) && part.size() > 1 && part[0] == '0')
      return fmt::format("Numeric PreRelease version must not contain leading zeroes {}", go_quote(part));
    out.emplace_back(part);
  }
  return {};
}

std::string read_version(std::string_view text, Semver& out, bool normalize) {
  if (text.empty()) return "Version string empty";
  std::string owned;
  if (normalize) {  // v1.2 -> 1.2.0, 01.2.3 -> 1.2.3
    if (text.starts_with('v')) text.remove_prefix(1);
    std::size_t tail = std::min(text.find_first_of("-+"), text.size());
    std::vector<std::string> numbers;
    for (std::string_view number : kybern::split(text.substr(0, tail), '.')) numbers.emplace_back(number);
    for (std::string& n : numbers)
      while (n.size() > 1 && n[0] == '0') n.erase(0, 1);
    while (numbers.size() < 3 && tail == text.size()) numbers.push_back("0");
    owned = kybern::join(numbers, ".") + std::string(text.substr(tail));
    text = owned;
  }
  std::size_t plus = text.find('+');
  std::string_view build = plus == text.npos ? std::string_view() : text.substr(plus + 1);
  std::string_view head = text.substr(0, plus);
  std::size_t dash = head.find('-');
  std::vector<std::string_view> numbers = kybern::split(head.substr(0, dash), '.');
  if (numbers.size() != 3) return "No Major.Minor.Patch elements found";
  static constexpr std::string_view part_names[] = {"major", "minor", "patch"};
  for (std::size_t i = 0; i < 3; ++i) {
    if (!digits_only(numbers[i])) return fmt::format("Invalid character(s) found in {} number {}", part_names[i], go_quote(numbers[i]));
    if (numbers[i].size() > 1 && numbers[i][0] == '0')
      return fmt::format("{} number must not contain leading zeroes {}",
                         i == 0   ? "Major"
                         : i == 1 ? "Minor"
                                  : "Patch",
                         go_quote(numbers[i]));
    auto number = parse_int(numbers[i]);
    if (!number) return fmt::format("strconv.ParseUint: parsing {}: value out of range", go_quote(numbers[i]));
    out.parts[i] = static_cast<std::uint64_t>(*number);
  }
  if (dash != head.npos)
    if (std::string problem = read_identifiers(head.substr(dash + 1), out.pre, true); !problem.empty()) return problem;
  if (plus != text.npos) return read_identifiers(build, out.build, false);
  return {};
}

const Semver& version(const Val& v) { return static_cast<const Semver&>(*v.opaque); }
Val make_version(Evaluation& e, Args a) {
  Semver out;
  std::string problem = read_version(a[0].str(), out, a.size() > 1 && a[1].boolean);
  return problem.empty() ? e.make<Semver>(std::move(out)) : e.error(problem);
}
Val is_version(Evaluation&, Args a) {
  Semver out;
  return Val::of(read_version(a[0].str(), out, a.size() > 1 && a[1].boolean).empty());
}
template <int i>
Val version_part(Evaluation&, Args a) {
  return Val::of(static_cast<std::int64_t>(version(a[0]).parts[i]));
}
Val version_less(Evaluation&, Args a) { return Val::of(version(a[0]).compare(version(a[1])) < 0); }
Val version_greater(Evaluation&, Args a) { return Val::of(version(a[0]).compare(version(a[1])) > 0); }
Val version_compare(Evaluation&, Args a) { return Val::of(static_cast<std::int64_t>(version(a[0]).compare(version(a[1])))); }

constexpr FunctionRow versions[] = {
    {"semver", "string_to_semver", "(string) kubernetes.Semver", make_version},
    {"semver", "string_bool_to_semver", "(string, bool) kubernetes.Semver", make_version},
    {"isSemver", "is_semver_string", "(string) bool", is_version},
    {"isSemver", "is_semver_string_bool", "(string, bool) bool", is_version},
    {"major", "semver_major", "kubernetes.Semver.() int", version_part<0>},
    {"minor", "semver_minor", "kubernetes.Semver.() int", version_part<1>},
    {"patch", "semver_patch", "kubernetes.Semver.() int", version_part<2>},
    {"isLessThan", "semver_is_less_than", "kubernetes.Semver.(kubernetes.Semver) bool", version_less},
    {"isGreaterThan", "semver_is_greater_than", "kubernetes.Semver.(kubernetes.Semver) bool", version_greater},
    {"compareTo", "semver_compare_to", "kubernetes.Semver.(kubernetes.Semver) int", version_compare},
};

}  // namespace

std::span<const FunctionRow> quantity_rows() { return table_of_quantity; }
std::span<const FunctionRow> version_rows() { return versions; }

}  // namespace kybern::cel
