// The parameters of a request's query string.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kybern::apiserver {

class Query {
 public:
  Query() = default;
  explicit Query(std::string_view encoded);
  std::string get(std::string_view name) const;  // the first; "" when absent
  bool has(std::string_view name) const;
  std::vector<std::string> all(std::string_view name) const;
  bool flag(std::string_view name) const;  // present and neither "false" nor "0", as upstream reads booleans
  void set(std::string_view name, std::string value);

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

}  // namespace kybern::apiserver
