// Type parameters and what they stand for, while an expression is checked.
#pragma once

#include <unordered_map>
#include <vector>

#include "machinery/cel/type.h"

namespace kybern::cel {

class Substitution {
 public:
  explicit Substitution(TypePool& pool) : pool_(pool) {}
  using Fresh = std::unordered_map<std::string, const Type*>;

  const Type* variable();  // a new, unbound parameter
  Fresh fresh() const { return {}; }
  const Type* instantiate(const Type* type, Fresh& fresh);  // parameters replaced by new ones, the same for the same name
  bool assignable(const Type* a, const Type* b);            // binds parameters; leaves no trace when false
  bool all_assignable(const std::vector<const Type*>& a, const std::vector<const Type*>& b);
  const Type* apply(const Type* type, bool unbound_is_dyn);  // parameters replaced by what they stand for
  static const Type* general(const Type* a, const Type* b);  // the one that says less

 private:
  using Bindings = std::unordered_map<const Type*, const Type*>;
  bool match(const Type* a, const Type* b);
  bool bind(const Type* type, const Type* param, bool& bound);
  bool occurs(const Type* param, const Type* in) const;

  TypePool& pool_;
  Bindings bindings_;
  int made_ = 0;
};

}  // namespace kybern::cel
