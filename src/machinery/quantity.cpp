#include "machinery/quantity.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/strings.h"

namespace kybern {
namespace {

using Wide = __int128;

constexpr std::int32_t finest_scale = -9;
constexpr int int64_digits = 18;              // every number of 18 decimal digits fits into 64 bits
constexpr std::int64_t max_digits = 1 << 16;  // amounts whose digits would be longer are out of any use: the small part is dropped

constexpr const char* wrong_format = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
constexpr const char* wrong_suffix = "unable to parse quantity's suffix";

constexpr std::array<std::string_view, 10> decimal_suffixes = {"n", "u", "m", "", "k", "M", "G", "T", "P", "E"};  // 10^-9 .. 10^18
constexpr std::array<std::string_view, 7> binary_suffixes = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};             // 2^0 .. 2^60

struct Suffix {
  Quantity::Form form;
  std::int32_t exponent;  // of 10, or of 2 for the binary form
};

std::optional<Suffix> interpret(std::string_view text) {
  for (std::size_t i = 0; i < decimal_suffixes.size(); ++i) {
    if (text == decimal_suffixes[i]) return Suffix{Quantity::Form::decimal_si, static_cast<std::int32_t>(i) * 3 - 9};
  }
  for (std::size_t i = 1; i < binary_suffixes.size(); ++i) {
    if (text == binary_suffixes[i]) return Suffix{Quantity::Form::binary_si, static_cast<std::int32_t>(i) * 10};
  }
  if (text.size() > 1 && (text[0] == 'e' || text[0] == 'E')) {
    std::string_view digits = text.substr(1);
    if (digits[0] == '+') digits.remove_prefix(1);
    if (!digits.empty() && digits[0] != '+') {
      if (auto exponent = parse_int(digits)) return Suffix{Quantity::Form::decimal_exponent, static_cast<std::int32_t>(*exponent)};
    }
  }
  return std::nullopt;
}

struct Pieces {
  bool positive = true;
  std::string_view whole;  // without leading zeros, "0" when nothing is left
  std::string_view fraction;
  std::string_view suffix;
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Looser than the grammar in places where upstream's scanner is: "-", "." and "1." are numbers.
std::optional<Pieces> scan_quantity(std::string_view text) {
  Pieces pieces;
  std::size_t at = 0;
  if (at < text.size() && (text[at] == '-' || text[at] == '+')) pieces.positive = text[at++] != '-';
  while (at < text.size() && text[at] == '0') ++at;
  std::size_t start = at;
  while (at < text.size() && is_digit(text[at])) ++at;
  pieces.whole = text.substr(start, at - start);
  if (pieces.whole.empty()) pieces.whole = "0";
  if (at < text.size() && text[at] == '.') {
    start = ++at;
    while (at < text.size() && is_digit(text[at])) ++at;
    pieces.fraction = text.substr(start, at - start);
  }
  pieces.suffix = text.substr(at);
  while (at < text.size() && std::string_view("eEinumkKMGTP").find(text[at]) != std::string_view::npos) ++at;
  if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
  while (at < text.size() && is_digit(text[at])) ++at;
  if (at != text.size()) return std::nullopt;
  return pieces;
}

std::optional<Wide> shifted(std::int64_t value, std::int64_t power) {
  if (power > 19) return value == 0 ? std::optional<Wide>(0) : std::nullopt;
  Wide wide = value;
  for (; power > 0; --power) wide *= 10;
  return wide;
}

bool fits(Wide wide) { return wide >= std::numeric_limits<std::int64_t>::min() && wide <= std::numeric_limits<std::int64_t>::max(); }

// Divides by 10^power, away from zero. Sets `exact` to false when something was dropped.
std::int64_t divided(std::int64_t value, std::int64_t power, bool& exact) {
  std::int64_t rest_seen = 0;
  std::int64_t result = value;
  for (; power > 0 && result != 0; --power) {
    rest_seen |= result % 10;
    result /= 10;
  }
  if (rest_seen == 0) return result;
  exact = false;
  return value < 0 ? result - 1 : result + 1;
}

}  // namespace

// Magnitude as decimal digits, most significant first, without leading zeros; empty for zero. Slow and rare.
struct Quantity::Big {
  bool negative = false;
  std::string digits;
  std::int64_t exponent = 0;  // the amount is digits * 10^exponent

  bool zero() const { return digits.empty(); }
  void trim() {
    digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
    if (digits.empty()) negative = false;
  }
  std::int64_t magnitude() const { return static_cast<std::int64_t>(digits.size()) + exponent; }

  void multiply(std::uint32_t factor) {
    std::uint64_t carry = 0;
    for (std::size_t i = digits.size(); i-- > 0;) {
      carry += static_cast<std::uint64_t>(digits[i] - '0') * factor;
      digits[i] = static_cast<char>('0' + carry % 10);
      carry /= 10;
    }
    std::string front;
    for (; carry != 0; carry /= 10) front.push_back(static_cast<char>('0' + carry % 10));
    digits.insert(0, std::string(front.rbegin(), front.rend()));
    trim();
  }

  // Divides by a small factor when that leaves no rest.
  bool divide(std::uint32_t factor) {
    std::string quotient = digits;
    std::uint64_t rest = 0;
    for (char& digit : quotient) {
      rest = rest * 10 + static_cast<std::uint64_t>(digit - '0');
      digit = static_cast<char>('0' + rest / factor);
      rest %= factor;
    }
    if (rest != 0) return false;
    digits = std::move(quotient);
    trim();
    return true;
  }

  void increment() {
    for (std::size_t i = digits.size(); i-- > 0;) {
      if (digits[i] != '9') {
        ++digits[i];
        return;
      }
      digits[i] = '0';
    }
    digits.insert(digits.begin(), '1');
  }

  // Away from zero, to a multiple of 10^scale. False when that changed the amount.
  bool round(std::int64_t scale) {
    if (exponent >= scale || zero()) return true;
    std::int64_t drop = scale - exponent;
    std::size_t keep = drop >= static_cast<std::int64_t>(digits.size()) ? 0 : digits.size() - static_cast<std::size_t>(drop);
    bool exact = digits.find_first_not_of('0', keep) == std::string::npos;
    digits.resize(keep);
    exponent = scale;
    if (!exact) increment();
    return exact;
  }

  // Writes the zeros down until the exponent is `wanted`.
  void lower(std::int64_t wanted) {
    if (exponent > wanted && !zero()) digits.append(static_cast<std::size_t>(exponent - wanted), '0');
    exponent = wanted;
  }

  void strip_tens() {
    std::size_t last = digits.find_last_not_of('0');
    if (last == std::string::npos) return;
    exponent += static_cast<std::int64_t>(digits.size() - last - 1);
    digits.resize(last + 1);
  }

  static int compare_magnitudes(const Big& a, const Big& b) {
    if (a.zero() || b.zero()) return static_cast<int>(!a.zero()) - static_cast<int>(!b.zero());
    if (a.magnitude() != b.magnitude()) return a.magnitude() < b.magnitude() ? -1 : 1;
    std::size_t length = std::max(a.digits.size(), b.digits.size());
    for (std::size_t i = 0; i < length; ++i) {
      char x = i < a.digits.size() ? a.digits[i] : '0';
      char y = i < b.digits.size() ? b.digits[i] : '0';
      if (x != y) return x < y ? -1 : 1;
    }
    return 0;
  }

  static int compare(const Big& a, const Big& b) {
    if (a.negative != b.negative) return a.negative ? -1 : 1;
    int magnitudes = compare_magnitudes(a, b);
    return a.negative ? -magnitudes : magnitudes;
  }

  static Big add(Big a, Big b) {
    if (a.zero()) return b;
    if (b.zero()) return a;
    std::int64_t lowest = std::min(a.exponent, b.exponent);
    if (std::max(a.magnitude(), b.magnitude()) - lowest > max_digits) return compare_magnitudes(a, b) < 0 ? b : a;
    a.lower(lowest);
    b.lower(lowest);
    if (compare_magnitudes(a, b) < 0) std::swap(a, b);
    std::size_t length = a.digits.size();
    b.digits.insert(0, length - b.digits.size(), '0');
    int sign = a.negative == b.negative ? 1 : -1;
    int carry = 0;
    for (std::size_t i = length; i-- > 0;) {
      int digit = (a.digits[i] - '0') + sign * (b.digits[i] - '0') + carry;
      carry = digit > 9 ? 1 : digit < 0 ? -1 : 0;
      a.digits[i] = static_cast<char>('0' + digit - 10 * carry);
    }
    if (carry > 0) a.digits.insert(a.digits.begin(), '1');
    a.trim();
    return a;
  }

  // In units of 10^scale, rounded away from zero and saturated.
  std::int64_t scaled(std::int64_t scale) const {
    Big copy = *this;
    copy.round(scale);
    constexpr auto highest = std::numeric_limits<std::int64_t>::max();
    constexpr auto lowest = std::numeric_limits<std::int64_t>::min();
    if (copy.zero()) return 0;
    if (copy.magnitude() - scale > 19) return negative ? lowest : highest;
    copy.lower(scale);
    Wide wide = 0;
    for (char digit : copy.digits) wide = wide * 10 + (digit - '0');
    if (negative) wide = -wide;
    return fits(wide) ? static_cast<std::int64_t>(wide) : negative ? lowest : highest;
  }
};

Quantity::Quantity() = default;
Quantity::Quantity(std::int64_t value, Form form) : value_(value), form_(form) {}
Quantity::~Quantity() = default;
Quantity::Quantity(Quantity&& other) noexcept = default;
Quantity& Quantity::operator=(Quantity&& other) noexcept = default;
Quantity::Quantity(const Quantity& other)
    : value_(other.value_),
      scale_(other.scale_),
      form_(other.form_),
      text_(other.text_),
      big_(other.big_ ? std::make_unique<Big>(*other.big_) : nullptr) {}
Quantity& Quantity::operator=(const Quantity& other) {
  if (this != &other) *this = Quantity(other);
  return *this;
}

Quantity Quantity::milli(std::int64_t thousandths, Form form) { return scaled(thousandths, -3, form); }
Quantity Quantity::scaled(std::int64_t value, std::int32_t scale, Form form) {
  Quantity quantity(value, form);
  quantity.scale_ = scale;
  return quantity;
}

Result<Quantity> Quantity::parse(std::string_view text) {
  if (text.empty()) return fail(Code::invalid, wrong_format);
  auto pieces = scan_quantity(text);
  if (!pieces) return fail(Code::invalid, wrong_format);
  auto suffix = interpret(pieces->suffix);
  if (!suffix) return fail(Code::invalid, wrong_suffix);
  bool binary = suffix->form == Form::binary_si;

  std::string digits = fmt::format("{}{}", pieces->whole, pieces->fraction);
  std::int64_t scale = -static_cast<std::int64_t>(pieces->fraction.size()) + (binary ? 0 : suffix->exponent);
  int precision = int64_digits - static_cast<int>(std::min<std::size_t>(digits.size(), 1000));
  if (binary) {
    precision =
        pieces->fraction.empty() ? 14 - static_cast<int>(std::min<std::size_t>(digits.size(), 1000)) - suffix->exponent * 3 / 10 : -1;
  }
  Quantity quantity;
  quantity.form_ = suffix->form;
  if (precision >= 0 && scale >= finest_scale && scale <= std::numeric_limits<std::int32_t>::max()) {
    std::int64_t number = *parse_int(digits);
    quantity.value_ = (binary ? number << suffix->exponent : number) * (pieces->positive ? 1 : -1);
    quantity.scale_ = static_cast<std::int32_t>(scale);
    bool canonical = binary ? (number & 7) != 0 : scale % 3 == 0 && !digits.ends_with("000") && digits[0] != '0';
    if (canonical || text == "0") quantity.text_ = text;
    return quantity;
  }

  Big big{!pieces->positive, std::move(digits), scale};
  big.trim();
  for (int i = 0; binary && i < suffix->exponent; i += 10) big.multiply(1024);
  big.round(finest_scale);
  if (binary) {
    const Big highest{false, "9223372036854775807", 0}, one{false, "1", 0};
    if (Big::compare_magnitudes(big, highest) > 0) big = Big{big.negative, highest.digits, 0};
    if (!big.zero() && Big::compare_magnitudes(big, one) < 0) quantity.form_ = Form::decimal_si;
  }
  quantity.set(std::move(big));
  return quantity;
}

Result<Quantity> Quantity::parse(Value value) {
  switch (value.kind()) {
    case Kind::string: return parse(trim(value.as_string()));
    case Kind::integer: return parse(fmt::format("{}", value.as_int()));
    case Kind::number: return parse(fmt::format("{}", value.as_double()));
    case Kind::null: return Quantity();
    default: return fail(Code::invalid, wrong_format);
  }
}

Quantity Quantity::of(Value value) {
  auto parsed = parse(value);
  return parsed ? std::move(*parsed) : Quantity();
}

int Quantity::sign() const {
  if (big_) return big_->zero() ? 0 : big_->negative ? -1 : 1;
  return value_ == 0 ? 0 : value_ < 0 ? -1 : 1;
}

Quantity::Big Quantity::as_big() const {
  if (big_) return *big_;
  Big big{value_ < 0, fmt::format("{}", value_ < 0 ? -static_cast<Wide>(value_) : static_cast<Wide>(value_)), scale_};
  big.trim();
  return big;
}

void Quantity::set(Big big) {
  text_.clear();
  value_ = 0;
  scale_ = 0;
  big_ = std::make_unique<Big>(std::move(big));
}

std::string Quantity::decimal(Form form) const {
  Big big = as_big();
  big.strip_tens();
  // The exponent becomes a multiple of three; above 10^18, which has no suffix, the zeros are written out.
  std::int64_t exponent = big.exponent - ((big.exponent % 3) + 3) % 3;
  if (form == Form::decimal_si && exponent > 18 && exponent < max_digits) exponent = 18;
  if (form == Form::decimal_si && exponent > 18) form = Form::decimal_exponent;
  big.lower(exponent);
  std::string text = big.negative ? "-" + big.digits : big.digits;
  if (form == Form::decimal_si) return text.append(decimal_suffixes[static_cast<std::size_t>(exponent / 3 + 3)]);
  return exponent == 0 ? text : fmt::format("{}e{}", text, exponent);
}

std::string Quantity::str() const {
  if (!text_.empty()) return text_;
  if (is_zero()) return "0";
  if (form_ != Form::binary_si) return decimal(form_);
  if (*this > Quantity(-1024) && *this < Quantity(1024)) return decimal(Form::decimal_si);
  Big big = as_big();
  if (!big.round(0) || big.exponent > max_digits) return decimal(Form::decimal_si);
  big.lower(0);
  std::size_t suffix = 0;
  while (suffix + 1 < binary_suffixes.size() && big.divide(1024)) ++suffix;
  return fmt::format("{}{}{}", big.negative ? "-" : "", big.digits, binary_suffixes[suffix]);
}

std::int64_t Quantity::scaled_value(std::int32_t scale) const {
  if (big_) return big_->scaled(scale);
  std::int64_t delta = static_cast<std::int64_t>(scale_) - scale;
  bool exact = true;
  if (delta < 0) return divided(value_, -delta, exact);
  auto wide = shifted(value_, delta);
  if (wide && fits(*wide)) return static_cast<std::int64_t>(*wide);
  return value_ < 0 ? std::numeric_limits<std::int64_t>::min() : std::numeric_limits<std::int64_t>::max();
}

std::optional<std::int64_t> Quantity::exact_int() const {
  std::int64_t whole = value();
  if (Quantity(whole) != *this) return std::nullopt;
  return whole;
}

double Quantity::approximate() const {
  if (!big_) return static_cast<double>(value_) * std::pow(10.0, scale_);
  double sum = 0;
  for (char digit : big_->digits) sum = sum * 10 + (digit - '0');
  sum *= std::pow(10.0, static_cast<double>(big_->exponent));
  return big_->negative ? -sum : sum;
}

Quantity& Quantity::operator+=(const Quantity& other) {
  if (is_zero()) form_ = other.form_;
  text_.clear();
  if (!big_ && !other.big_) {
    if (other.value_ == 0) return *this;
    if (value_ == 0) {
      value_ = other.value_;
      scale_ = other.scale_;
      return *this;
    }
    std::int32_t scale = std::min(scale_, other.scale_);
    auto a = shifted(value_, static_cast<std::int64_t>(scale_) - scale),
         b = shifted(other.value_, static_cast<std::int64_t>(other.scale_) - scale);
    if (a && b && fits(*a) && fits(*b) && fits(*a + *b)) {
      value_ = static_cast<std::int64_t>(*a + *b);
      scale_ = scale;
      return *this;
    }
  }
  set(Big::add(as_big(), other.as_big()));
  return *this;
}

Quantity& Quantity::operator-=(const Quantity& other) { return *this += -other; }

Quantity Quantity::operator-() const {
  Quantity result(*this);
  result.text_.clear();
  if (big_ || value_ == std::numeric_limits<std::int64_t>::min()) {
    Big big = as_big();
    big.negative = !big.negative && !big.zero();
    result.set(std::move(big));
  } else {
    result.value_ = -value_;
  }
  return result;
}

Quantity& Quantity::operator*=(std::int64_t factor) {
  text_.clear();
  if (!big_) {
    Wide wide = static_cast<Wide>(value_) * factor;
    if (fits(wide)) {
      value_ = static_cast<std::int64_t>(wide);
      return *this;
    }
  }
  Big big = as_big();
  Wide magnitude = factor < 0 ? -static_cast<Wide>(factor) : static_cast<Wide>(factor);
  Big low = big, high = big;
  low.multiply(static_cast<std::uint32_t>(magnitude % 1'000'000'000));
  high.multiply(static_cast<std::uint32_t>(magnitude / 1'000'000'000 % 1'000'000'000));
  high.exponent += 9;
  big.multiply(static_cast<std::uint32_t>(magnitude / 1'000'000'000 / 1'000'000'000));
  big.exponent += 18;
  big = Big::add(Big::add(big, high), low);
  if (factor < 0 && !big.zero()) big.negative = !big.negative;
  set(std::move(big));
  return *this;
}

int Quantity::compare(const Quantity& other) const {
  if (!big_ && !other.big_) {
    std::int32_t scale = std::min(scale_, other.scale_);
    auto a = shifted(value_, static_cast<std::int64_t>(scale_) - scale),
         b = shifted(other.value_, static_cast<std::int64_t>(other.scale_) - scale);
    if (a && b) return *a < *b ? -1 : *a > *b;
  }
  return Big::compare(as_big(), other.as_big());
}

bool Quantity::round_up(std::int32_t scale) {
  if (!big_ && scale_ >= scale) return true;
  text_.clear();
  bool exact = true;
  if (big_) {
    exact = big_->round(scale);
  } else {
    value_ = divided(value_, static_cast<std::int64_t>(scale) - scale_, exact);
    scale_ = scale;
  }
  return exact;
}

Result<std::string> canonical_quantity(std::string_view text) {
  auto quantity = Quantity::parse(text);
  if (!quantity) return std::unexpected(quantity.error());
  return quantity->str();
}

}  // namespace kybern
