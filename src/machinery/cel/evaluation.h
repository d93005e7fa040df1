// One evaluation of an expression: what it allocates, what it has cost, and the operations on values that the language
// and its libraries share. Not for sharing between threads; short-lived.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "machinery/cel/value.h"

namespace kybern::cel {

class Authorizer;
struct Ast;
struct Node;
class RegexCache;

class Evaluation {
 public:
  // `limit`: most cost units before the evaluation is stopped.
  Evaluation(const Ast& ast, std::span<const Val> variables, std::uint64_t limit, const RegexCache* regexes);
  ~Evaluation();
  Evaluation(const Evaluation&) = delete;
  Evaluation& operator=(const Evaluation&) = delete;

  Val run();
  std::uint64_t cost() const { return cost_; }
  bool exhausted() const { return cost_ > limit_; }
  void charge(std::uint64_t units) { cost_ = cost_ + units < cost_ ? ~0ull : cost_ + units; }
  const RegexCache* regexes() const { return regexes_; }
  std::uint64_t remaining() const { return cost_ > limit_ ? 0 : limit_ - cost_; }
  // Another expression's evaluation, which this one keeps: what it makes lives as long.
  Evaluation* nested(const Ast& ast, std::span<const Val> variables, std::uint64_t limit, const RegexCache* regexes);

  // Making values. Texts are copied into the arena.
  Val error(std::string_view message);
  Val string(std::string_view text, Tag tag = Tag::string);
  Val no_overload();                    // "no such overload"
  Val overflow(std::string_view what);  // "integer overflow"
  BuiltList* new_list(std::size_t capacity);
  void push(BuiltList& list, Val item);
  Val list(BuiltList* list);
  BuiltMap* new_map();
  bool insert(BuiltMap& map, Val key, Val value);  // false: the key is there already
  Val map(BuiltMap* map, const Type* type = nullptr);
  Val some(Val inner);
  Val none() { return Val::of_optional(nullptr); }
  template <class T, class... Args>
  Val make(Args&&... args) {  // an Opaque that lives as long as the evaluation
    auto owned = std::make_unique<T>(std::forward<Args>(args)...);
    const Opaque* raw = owned.get();
    owned_.push_back(std::move(owned));
    return Val::of(raw);
  }

  // Reading values.
  Val from(Value value, const Type* type);  // a document's value by its schema; `type` may be nullptr
  std::size_t length(const Val& list_or_map);
  Val at(const Val& list, std::size_t index);  // in range
  Val key_at(const Val& map, std::size_t index);
  Val value_at(const Val& map, std::size_t index);
  bool find(const Val& map, const Val& key, Val& out);
  Val field(const Val& object, std::string_view name);  // an error when there is none
  bool has_field(const Val& object, std::string_view name);

  bool equal(const Val& a, const Val& b);
  bool contains(const Val& list, const Val& item);
  // -1, 0, 1; 2 when the two cannot be ordered by each other; 3 when a NaN is among them.
  static int compare(const Val& a, const Val& b);
  Val concatenate(const Val& a, const Val& b);  // lists

  void* allocate(std::size_t bytes);
  // False when `bytes` more would be beyond what one evaluation may hold: it is then exhausted. Asked before anything is
  // made whose size its cost does not bound.
  bool reserve(std::uint64_t bytes);
  static constexpr std::uint64_t memory_max_bytes = 64u << 20;

 private:
  Val eval(std::uint32_t node);
  Val eval_call(const Node& node, std::uint32_t index);
  Val eval_operator(const Node& node);
  Val eval_logical(const Node& node, bool absorbing);
  Val eval_fold(const Node& node);
  Val eval_list(const Node& node);
  Val eval_map(const Node& node);
  Val eval_structure(const Node& node);
  Val eval_select(const Node& node);
  Val apply_select(const Val& operand, std::string_view name, bool test_only);
  Val index(const Val& operand, const Val& key);
  Val optional_index(const Val& operand, const Val& key);
  Val append_in_place(const Node& node);
  Val map_insert(std::span<const Val> args);
  Val call_function(const Node& node, std::span<const Val> args);
  void charge_call(const Node& node, std::span<const Val> args, const Val& result);
  Val equal_lists(const Val& a, const Val& b);
  bool equal_list_values(const Val& a, const Val& b);
  bool equal_map_values(const Val& a, const Val& b);
  void grow_index(BuiltMap& map);
  std::uint32_t find_entry(const BuiltMap& map, const Val& key);

  const Ast& ast_;
  std::span<const Val> variables_;
  std::uint64_t limit_, cost_ = 0;
  const RegexCache* regexes_;
  std::vector<Val> locals_;
  std::uint32_t local_base_ = 0;
  std::vector<std::unique_ptr<std::byte[]>> chunks_;
  std::vector<std::unique_ptr<Opaque>> owned_;
  std::vector<std::unique_ptr<Evaluation>> nested_;
  std::byte* free_ = nullptr;
  std::size_t left_ = 0;
  std::uint64_t held_bytes_ = 0;
  alignas(16) std::byte inline_[512];
};

}  // namespace kybern::cel
