// resource.Quantity: an exact decimal amount with a unit suffix, as in `cpu: 250m` or `memory: 1Gi`.
//
//   "1500m" is 1.5; "1.5Gi" prints as "1536Mi"; "0.1n" rounds up to "1n"; "12e6" keeps its exponent form.
//
// An amount is an integer times a power of ten, not finer than 10^-9; finer ones are rounded away from zero when parsed.
// It remembers which of three forms it was written in and prints in that form: no fraction, the largest suffix that
// loses nothing. A text that is already in that form is kept as it is (so "+5" stays "+5", as upstream has it). Amounts
// beyond 64 bits are exact too; with a binary suffix they are capped at 2^63-1.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "document/document.h"

namespace kybern {

class Quantity {
 public:
  enum class Form : std::uint8_t { decimal_si, binary_si, decimal_exponent };

  Quantity();  // 0
  explicit Quantity(std::int64_t value, Form form = Form::decimal_si);
  static Quantity milli(std::int64_t thousandths, Form form = Form::decimal_si);
  static Quantity scaled(std::int64_t value, std::int32_t scale, Form form = Form::decimal_si);  // value * 10^scale
  Quantity(const Quantity& other);
  Quantity(Quantity&& other) noexcept;
  Quantity& operator=(const Quantity& other);
  Quantity& operator=(Quantity&& other) noexcept;
  ~Quantity();

  // Code::invalid with upstream's message: "quantities must match the regular expression '...'" or "unable to parse
  // quantity's suffix".
  static Result<Quantity> parse(std::string_view text);
  // Of a JSON value: a text (white space around it is ignored) or a number; null is 0.
  static Result<Quantity> parse(Value value);
  // As parse, for a value that has been validated: 0 when it is absent or malformed.
  static Quantity of(Value value);

  std::string str() const;
  Form form() const { return form_; }
  int sign() const;  // -1, 0, 1
  bool is_zero() const { return sign() == 0; }

  // Rounded away from zero, saturated at the ends of int64.
  std::int64_t value() const { return scaled_value(0); }
  std::int64_t milli_value() const { return scaled_value(-3); }
  std::int64_t scaled_value(std::int32_t scale) const;  // in units of 10^scale
  std::optional<std::int64_t> exact_int() const;        // the value, when it is an integer of 64 bits
  double approximate() const;

  // The sum takes the form of `other` when this is zero.
  Quantity& operator+=(const Quantity& other);
  Quantity& operator-=(const Quantity& other);
  Quantity& operator*=(std::int64_t factor);
  Quantity operator-() const;
  friend Quantity operator+(Quantity a, const Quantity& b) { return a += b; }
  friend Quantity operator-(Quantity a, const Quantity& b) { return a -= b; }

  // By amount; the form does not matter.
  friend std::strong_ordering operator<=>(const Quantity& a, const Quantity& b) { return a.compare(b) <=> 0; }
  friend bool operator==(const Quantity& a, const Quantity& b) { return a.compare(b) == 0; }

  // The multiple of 10^scale at or above (below, for negative amounts) this; false when that is not exact.
  bool round_up(std::int32_t scale);

 private:
  struct Big;
  int compare(const Quantity& other) const;
  Big as_big() const;
  void set(Big big);
  std::string decimal(Form form) const;

  std::int64_t value_ = 0;  // when big_ is empty: the amount is value_ * 10^scale_
  std::int32_t scale_ = 0;
  Form form_ = Form::decimal_si;
  std::string text_;          // how it was written, when that is canonical already
  std::unique_ptr<Big> big_;  // amounts that do not fit
};

// The canonical form of a quantity's text, or the error of parse(): how the API stores and shows it.
Result<std::string> canonical_quantity(std::string_view text);

}  // namespace kybern
