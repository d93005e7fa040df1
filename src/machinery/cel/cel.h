// CEL, the expression language of Kubernetes' validation rules and admission policies (cel-spec; KEP-2876, KEP-3488).
//
//   Environment rules;
//   rules.declare("self", type_of_schema);
//   auto program = Program::compile(rules, "self.replicas <= self.maxReplicas");   // or upstream's message
//   Outcome outcome = program->evaluate({{program->value(document)}}, limit);
//
// A program is immutable: any number of threads evaluate it at once. Values are read out of the documents; nothing is
// copied. Every evaluation has a limit of cost units, counted as upstream's cel-go counts them.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "document/document.h"
#include "machinery/cel/type.h"
#include "machinery/cel/value.h"

namespace kybern::cel {

constexpr std::uint64_t per_call_limit = 1'000'000;      // cost units of one evaluation
constexpr std::uint64_t per_request_limit = 10'000'000;  // of all rules of one object

struct Variable {
  std::string name;
  const Type* type;
};

class Environment {
 public:
  void declare(std::string name, const Type* type) { variables_.push_back({std::move(name), type}); }
  // Messages that an expression may make: Object{...}, JSONPatch{...}. `name` as written.
  void structure(const Type* type) { structures_.push_back(type); }
  // Those that are made as they are named: Object.spec.template{...}. nullptr: there is none of that name.
  void structures(std::function<const Type*(std::string_view name)> make) { make_structure_ = std::move(make); }
  // cel.bind(name, value, expression), which only expressions about devices may use.
  void allow_bindings() { bindings_ = true; }
  bool bindings() const { return bindings_; }
  std::span<const Variable> variables() const { return variables_; }
  const Type* find_structure(std::string_view name) const;

 private:
  std::vector<Variable> variables_;
  std::vector<const Type*> structures_;
  std::function<const Type*(std::string_view)> make_structure_;
  bool bindings_ = false;
};

struct SizeRange {
  std::uint64_t low = 0, high = ~0ull;
};
struct CostRange {
  std::uint64_t low = 0, high = 0;
};

struct Outcome {
  enum class Kind { value, error, cost_exceeded } kind = Kind::value;
  std::string message;  // of an error: "no such key: x"
  std::uint64_t cost = 0;
  Tag tag = Tag::null;   // of the value
  bool truth = false;    // of a boolean
  std::string text;      // of a string
  Document document;     // of any other value, when asked for
  std::string mismatch;  // of a document with messages of open types: one that stands where its name does not belong
};

class Program {
 public:
  // The error is what upstream shows after "compilation failed: ".
  static std::expected<Program, std::string> compile(const Environment& environment, std::string_view expression);
  Program(Program&&) noexcept;
  Program& operator=(Program&&) noexcept;
  ~Program();

  const Type* type() const;  // of the result
  bool uses(std::string_view variable) const;
  std::size_t memory() const;

  // Variables in the order of their declaration. `wants_document`: a list, map or other value is given as JSON.
  Outcome evaluate(std::span<const Val> variables, std::uint64_t limit = per_call_limit, bool wants_document = false) const;
  // The same inside a running evaluation, whose budget it shares: for variables found on demand.
  Val evaluate_in(Evaluation& outer, std::span<const Val> variables) const;

  // What an evaluation may cost at most and at least, from the types' max_size.
  CostRange estimate() const;

  // A document's value as a variable.
  static Val value(Value document, const Type* type = nullptr);

 private:
  struct Parts;
  explicit Program(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

// What `authorizer` asks. Made by the one who evaluates; outlives the evaluation.
struct AuthorizationQuestion {
  std::string verb, path;  // path: not about a resource
  std::string group, version, resource, subresource, ns, name;
  std::string field_selector, label_selector;
  std::string service_account_namespace, service_account_name;  // in place of the requester
};
struct AuthorizationAnswer {
  bool allowed = false;
  std::string reason, error;
};
class Authorizer {
 public:
  virtual ~Authorizer() = default;
  virtual AuthorizationAnswer authorize(const AuthorizationQuestion& question) = 0;
};
const Type* authorizer_type();
// The value of the variables `authorizer` and `authorizer.requestResource`. The result is kept by the caller.
std::unique_ptr<Opaque> authorizer_value(Authorizer& authorizer);
std::unique_ptr<Opaque> resource_check_value(Authorizer& authorizer, const AuthorizationQuestion& resource);
const Type* resource_check_type();

}  // namespace kybern::cel
