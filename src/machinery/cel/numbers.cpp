#include "machinery/cel/numbers.h"

#include <cmath>

#include <fmt/format.h>

namespace kybern::cel {

namespace {

std::string special(double v) { return std::isnan(v) ? "NaN" : v < 0 ? "-Inf" : "+Inf"; }

// The shortest digits that read back as the same number, and the exponent of the first.
void shortest(double v, std::string& digits, int& exponent) {
  std::string text = fmt::format("{:e}", v);
  for (int precision = 0; precision <= 17; ++precision) {
    text = fmt::format("{:.{}e}", v, precision);
    if (std::stod(text) == v) break;
  }
  std::size_t e = text.find('e');
  exponent = std::stoi(text.substr(e + 1));
  digits.clear();
  for (char c : text.substr(0, e))
    if (c >= '0' && c <= '9') digits += c;
}

}  // namespace

std::string number_text(double v) {
  if (!std::isfinite(v)) return special(v);
  if (v == 0) return std::signbit(v) ? "-0" : "0";
  std::string digits;
  int exponent = 0;
  shortest(std::fabs(v), digits, exponent);
  std::string out = v < 0 ? "-" : "";
  if (exponent < -4 || exponent >= 21) {
    out += digits[0];
    if (digits.size() > 1) out += "." + digits.substr(1);
    return out + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return out + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  auto whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() <= whole) return out + digits + std::string(whole - digits.size(), '0');
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::string fixed_text(double v, int precision) { return std::isfinite(v) ? fmt::format("{:.{}f}", v, precision) : special(v); }
std::string exponent_text(double v, int precision) { return std::isfinite(v) ? fmt::format("{:.{}e}", v, precision) : special(v); }

std::string duration_seconds_text(std::int64_t nanos) {
  constexpr std::int64_t second = 1'000'000'000;
  std::uint64_t size = nanos < 0 ? 0 - static_cast<std::uint64_t>(nanos) : static_cast<std::uint64_t>(nanos);
  std::string out = fmt::format("{}{}", nanos < 0 ? "-" : "", size / second);
  if (size % second) {
    std::string fraction = fmt::format(".{:09}", size % second);
    out += fraction.substr(0, fraction.find_last_not_of('0') + 1);
  }
  return out + "s";
}

}  // namespace kybern::cel
