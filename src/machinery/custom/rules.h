// x-kubernetes-validations (KEP-2876): the CEL rules of a schema, compiled once and run on objects.
#pragma once

#include <memory>
#include <string>

#include "document/document.h"
#include "machinery/status.h"

namespace kybern::custom {

// What is wrong with the rules of a schema: they do not compile, or could cost more than is allowed.
FieldErrors check_rules(Value schema, const std::string& path);

class Rules {
 public:
  // Empty when the schema has no rules. The schema must outlive what is made.
  static std::unique_ptr<const Rules> compile(Value schema);
  ~Rules();

  // Findings of all rules on an object; `old` is absent for a new one. Warnings are what was let through because the
  // value has not changed.
  FieldErrors run(Value object, Value old, std::vector<std::string>* warnings = nullptr) const;
  std::size_t memory() const;

 private:
  struct Node;
  struct Parts;
  explicit Rules(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace kybern::custom
