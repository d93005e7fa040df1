#include "machinery/quantity.h"

#include <gtest/gtest.h>

#include <random>

namespace kybern {
namespace {

struct Printed {
  const char *written, *printed;
};

TEST(Quantity, PrintsCanonically) {
  const Printed rows[] = {
      {"0", "0"},
      {"0.0", "0"},
      {"-0", "0"},
      {"000", "0"},
      {"0Ki", "0"},
      {"0e5", "0"},
      {"", "!"},
      {".", "0"},
      {"-", "0"},
      {"+", "0"},
      {"k", "0"},
      {"1", "1"},
      {"-1", "-1"},
      {"+1", "+1"},
      {"01", "01"},
      {"10", "10"},
      {"1000", "1k"},
      {"1k", "1k"},
      {"1000k", "1M"},
      {"1001", "1001"},
      {"100m", "100m"},
      {"0.1", "100m"},
      {"1.5", "1500m"},
      {"1.500", "1.500"},
      {"1500m", "1500m"},
      {"2000m", "2"},
      {"0.001", "1m"},
      {"0.0001", "100u"},
      {"0.00001", "10u"},
      {"1u", "1u"},
      {"1n", "1n"},
      {"0.1n", "1n"},
      {"0.5u", "500n"},
      {"0.0000000001", "1n"},
      {"-0.1n", "-1n"},
      {"1.0000000001", "1000000001n"},
      {"1Ki", "1Ki"},
      {"1024", "1024"},
      {"1024Ki", "1Mi"},
      {"1025Ki", "1025Ki"},
      {"1.5Gi", "1536Mi"},
      {"0.5Ki", "512"},
      {"0.5Mi", "512Ki"},
      {"100Ki", "100Ki"},
      {"8Ki", "8Ki"},
      {"1Ei", "1Ei"},
      {"7Ei", "7Ei"},
      {"8Ei", "9223372036854775807"},
      {"-9Ei", "-9223372036854775807"},
      {"1.1Ki", "1126400m"},
      {"0.001Ki", "1024m"},
      {"1E", "1E"},
      {"1e3", "1e3"},
      {"10e3", "10e3"},
      {"1000e3", "1e6"},
      {"1e1", "10"},
      {"12e6", "12e6"},
      {"1E3", "1E3"},
      {"1e-3", "1e-3"},
      {"1e-4", "100e-6"},
      {"100E-1", "10"},
      {"1e-10", "1e-9"},
      {"1e+5", "100e3"},
      {"1000E", "1000E"},
      {"12345678901234567890", "12345678901234567890"},
      {"123456789012345678900k", "123456789012345678900k"},
      {"100000000000000000000", "100E"},
      {"1.23456789012345678901", "1234567891n"},
      {"9223372036854775807", "9223372036854775807"},
      {"1i", "!"},
      {"1kk", "!"},
      {"1 k", "!"},
      {"k1", "!"},
      {"1Kib", "!"},
      {"1e", "!"},
      {"1e5k", "!"},
      {"abc", "!"},
      {"1..2", "!"},
      {"--1", "!"},
      {"1m5", "!"},
      {"0x1", "!"},
      {"1e99999999999999999999", "!"},
  };
  for (const Printed& row : rows) {
    auto quantity = Quantity::parse(row.written);
    EXPECT_EQ(quantity ? quantity->str() : "!", row.printed) << row.written;
  }
}

TEST(Quantity, SaysWhatIsWrong) {
  EXPECT_EQ(Quantity::parse("").error().message,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
  EXPECT_EQ(Quantity::parse("1x").error().message,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
  EXPECT_EQ(Quantity::parse("1kM").error().message, "unable to parse quantity's suffix");
}

TEST(Quantity, Values) {
  struct Row {
    const char* text;
    std::int64_t value, milli;
  };
  const Row rows[] = {
      {"1", 1, 1000},
      {"1.1", 2, 1100},
      {"-1.1", -2, -1100},
      {"100m", 1, 100},
      {"1n", 1, 1},
      {"1Ki", 1024, 1024000},
      {"1.5Ki", 1536, 1536000},
      {"2e3", 2000, 2000000},
      {"1E", 1000000000000000000, INT64_MAX},
      {"-10E", INT64_MIN, INT64_MIN},
      {"0", 0, 0},
      {"1e100", INT64_MAX, INT64_MAX},
      {"12345678901234567890", INT64_MAX, INT64_MAX},
  };
  for (const Row& row : rows) {
    Quantity quantity = *Quantity::parse(row.text);
    EXPECT_EQ(quantity.value(), row.value) << row.text;
    EXPECT_EQ(quantity.milli_value(), row.milli) << row.text;
  }
  EXPECT_EQ(Quantity::parse("1.5")->exact_int(), std::nullopt);
  EXPECT_EQ(Quantity::parse("1.0")->exact_int(), 1);
  EXPECT_DOUBLE_EQ(Quantity::parse("1.5Gi")->approximate(), 1610612736.0);
}

TEST(Quantity, Arithmetic) {
  struct Row {
    const char *a, *b, *sum, *difference;
    int order;
  };
  const Row rows[] = {
      {"1", "1", "2", "0", 0},
      {"100m", "0.1", "200m", "0", 0},
      {"1", "1Ki", "1025", "-1023", -1},
      {"0", "1Ki", "1Ki", "-1Ki", -1},
      {"1Ki", "1k", "2024", "24", 1},
      {"1Gi", "1Mi", "1025Mi", "1023Mi", 1},
      {"9223372036854775807", "1", "9223372036854775808", "9223372036854775806", 1},
      {"1E", "1n", "1000000000000000000000000001n", "999999999999999999999999999n", 1},
      {"-1", "1", "0", "-2", -1},
      {"1e3", "1", "1001", "999", 1},
      {"12345678901234567890", "1", "12345678901234567891", "12345678901234567889", 1},
      {"-5m", "-6m", "-11m", "1m", 1},
  };
  for (const Row& row : rows) {
    Quantity a = *Quantity::parse(row.a), b = *Quantity::parse(row.b);
    EXPECT_EQ((a + b).str(), row.sum) << row.a << " " << row.b;
    EXPECT_EQ((a - b).str(), row.difference) << row.a << " " << row.b;
    EXPECT_EQ(a < b ? -1 : a > b, row.order) << row.a << " " << row.b;
  }
  Quantity product = *Quantity::parse("1.5Gi");
  product *= 3;
  EXPECT_EQ(product.str(), "4608Mi");
  product *= INT64_MIN;
  EXPECT_EQ(product.sign(), -1);
  EXPECT_EQ(Quantity::parse("9223372036854775807").value().value(), INT64_MAX);
  Quantity rounded = *Quantity::parse("1.1");
  EXPECT_FALSE(rounded.round_up(0));
  EXPECT_EQ(rounded.str(), "2");
}

// Printing and parsing again keeps the amount, and printing is stable; sums agree with 128-bit arithmetic.
TEST(Quantity, RandomOnesSurvive) {
  std::mt19937_64 random(7);
  const char* suffixes[] = {"", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "e-2", "E"};
  auto draw = [&] {
    std::string text = random() % 3 == 0 ? "-" : "";
    for (std::uint64_t i = random() % 22 + 1; i > 0; --i) text.push_back(static_cast<char>('0' + random() % 10));
    if (random() % 2 == 0) {
      text.push_back('.');
      for (std::uint64_t i = random() % 14; i > 0; --i) text.push_back(static_cast<char>('0' + random() % 10));
    }
    return text + suffixes[random() % std::size(suffixes)];
  };
  for (int i = 0; i < 20000; ++i) {
    std::string text = draw();
    auto a = Quantity::parse(text);
    ASSERT_TRUE(a) << text;
    auto again = Quantity::parse(a->str());
    ASSERT_TRUE(again) << text << " -> " << a->str();
    EXPECT_TRUE(*a == *again) << text << " -> " << a->str() << " -> " << again->str();
    Quantity b = *Quantity::parse(draw());
    EXPECT_TRUE((*a + b) - b == *a) << text;
    EXPECT_EQ((*a < b), ((*a - b).sign() < 0)) << text;
  }
  for (int i = 0; i < 20000; ++i) {
    auto x = static_cast<std::int64_t>(random()) >> (random() % 60), y = static_cast<std::int64_t>(random()) >> (random() % 60);
    Quantity sum = Quantity(x) + Quantity(y);
    __int128 wide = static_cast<__int128>(x) + y;
    if (wide >= INT64_MIN && wide <= INT64_MAX) { EXPECT_EQ(sum.value(), static_cast<std::int64_t>(wide)); }
  }
}

}  // namespace
}  // namespace kybern
