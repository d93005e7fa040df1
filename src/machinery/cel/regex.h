// Regular expressions by RE2, whose running time is linear in the text. A pattern that is written as a constant is
// compiled once, with the program.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace kybern::cel {

class Regex {
 public:
  static constexpr std::size_t pattern_max_bytes = 100000;
  static constexpr std::int64_t memory_max_bytes = 8 << 20;

  explicit Regex(std::string_view pattern);
  ~Regex();
  Regex(Regex&&) noexcept;
  bool good() const { return error_.empty(); }
  const std::string& error() const { return error_; }  // as Go words it: error parsing regexp: missing closing ): `(`
  bool matches(std::string_view text) const;           // anywhere in it
  bool find(std::string_view text, std::size_t from, std::size_t& begin, std::size_t& end) const;

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
  std::string error_;
};

class RegexCache {
 public:
  const Regex& add(std::string_view pattern);
  const Regex* find(std::string_view pattern) const;

 private:
  std::vector<std::pair<std::string, std::unique_ptr<Regex>>> all_;
};

}  // namespace kybern::cel
