// Field selectors: metadata.name=a,status.phase!=Running. A value may escape a comma, an equals sign or a backslash with
// a backslash. The terms are ANDed, and printed in the order of their text.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kybern {

struct FieldTerm {
  std::string field;
  std::string value;
  bool equal = true;  // false: !=
};

class FieldSelector {
 public:
  FieldSelector() = default;  // matches everything
  // Code::invalid: "invalid selector: 'x'; can't understand 'x'".
  static Result<FieldSelector> parse(std::string_view text);

  // `get` gives the text of a field of the object, "" when it has none.
  bool matches(const std::function<std::string(std::string_view field)>& get) const;
  bool empty() const { return terms_.empty(); }
  const std::vector<FieldTerm>& terms() const { return terms_; }
  std::vector<FieldTerm>& terms() { return terms_; }
  std::optional<std::string_view> exact(std::string_view field) const;  // the value that `field` must have
  std::string str() const;

 private:
  std::vector<FieldTerm> terms_;
};

}  // namespace kybern
