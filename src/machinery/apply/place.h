// Where in a schema a value stands, as far as merging and ownership ask: what is one value and what has parts.
//
// Built-in types are walked in their tables (schema/schema.h: list_type, list_keys, atomic). A custom resource's schema is
// walked through CustomSchema, by the same code; a value without a schema is deduced: maps have parts, lists are one value.
#pragma once

#include <span>
#include <string_view>

#include "machinery/apply/field_set.h"
#include "schema/schema.h"

namespace kybern::apply {

enum class Rule : std::uint8_t {
  scalar,
  atomic,     // a list or map that is owned and replaced as a whole
  structure,  // members have names that the schema knows
  map,        // every key is a part
  set,        // a list of scalars without order
  keyed,      // a list of structs, told apart by keys
};

enum class ScalarType : std::uint8_t { any, string, number, boolean };

// One node of the schema of a custom resource. Nodes live as long as the definition that they were made from.
class CustomSchema {
 public:
  virtual ~CustomSchema() = default;
  // A node that is a built-in type (metadata) says so, and nothing else is asked of it.
  virtual const schema::Type* built_in() const { return nullptr; }
  // Without a type (x-kubernetes-preserve-unknown-fields, int-or-string) the value decides.
  virtual Rule rule(Value value) const = 0;
  virtual ScalarType scalar() const { return ScalarType::any; }
  virtual bool atomic_list() const { return false; }
  virtual const CustomSchema* property(std::string_view name) const = 0;  // a named field; null when the schema does not name it
  virtual const CustomSchema* value() const = 0;                          // of keys without a name; null: none are allowed
  virtual const CustomSchema* item() const = 0;                           // of lists
  virtual std::span<const std::string_view> keys() const = 0;             // of Rule::keyed
  virtual Document key_default(std::string_view key) const = 0;           // of an item's key; empty when there is none
};

class Place {
 public:
  Place() = default;  // deduced
  static Place of(const schema::Type& type);
  static Place of(const CustomSchema& custom);

  // Of a value that stands here. A value of a kind that the schema does not have gets the schema's rule.
  Rule rule(Value value) const;
  ScalarType scalar() const;
  bool atomic_list() const;  // of Rule::atomic: the schema has a list here
  bool deduced() const { return !type_ && !field_ && !custom_; }

  Place member(std::string_view key) const;             // of a struct or a map
  Place member(Value object, std::size_t index) const;  // the same for a member of `object`, without hashing a known name
  bool named(std::string_view key) const;               // the schema names this member
  bool declared(std::string_view key) const;            // it may stand here
  Place item() const;                                   // of a list

  // How an item of a set or keyed list is told apart. The failure is upstream's wording.
  Result<Element> element(Value item, FieldTexts& texts) const;

 private:
  static Place of_field(const schema::Field* field);
  static Place of_custom(const CustomSchema* custom);  // null: deduced
  const schema::Type* type_ = nullptr;                 // a struct
  const schema::Field* field_ = nullptr;               // a field's value; with inside_, an element of it
  const CustomSchema* custom_ = nullptr;
  bool inside_ = false;
  bool atomic_ = false;  // of type_
};

// f:key, without hashing when the member's name is known.
Element member_element(Value object, std::size_t index, FieldTexts& texts);

}  // namespace kybern::apply
