// The types of CEL (the Common Expression Language, cel-spec "Gradual type checking") as Kubernetes uses them.
//
// A type that comes from a schema also says how a document's value is read: `timestamp` for a text of format date-time,
// `bytes` for one of format byte, an object's fields by their names as expressions spell them. Values of type dyn are
// read as their JSON says. Types are immutable and compared by content; whoever made one keeps it alive.
#pragma once

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace kybern::cel {

enum class TypeKind : std::uint8_t {
  dyn,
  error,
  null,
  boolean,
  integer,
  uint,
  number,
  string,
  bytes,
  timestamp,
  duration,
  list,
  map,
  type,
  optional,
  object,
  opaque,
  param,
};
enum class ListSemantics : std::uint8_t { atomic, set, map };

struct Type;
struct TypeField {
  std::string name;      // as expressions write it: `__namespace__`, `a__dash__b`
  std::string property;  // the document's key
  const Type* type;
};

struct Type {
  static constexpr std::uint64_t unbounded = ~0ull;

  TypeKind kind = TypeKind::dyn;
  ListSemantics semantics = ListSemantics::atomic;  // of a list from a schema: how == and + treat it
  bool open = false;                                // of an object: whatever name, a field is dyn (Object{...} of mutations)
  bool nullable = false;                            // from a schema: a null is a null, otherwise an error
  std::string name{};                               // of an object, an opaque type or a type parameter
  std::vector<const Type*> params{};                // list: item; map: key, value; optional, type: the inner one
  std::vector<TypeField> fields{};                  // of an object, sorted by name
  std::vector<std::string> keys{};                  // of a list with map semantics
  std::uint64_t max_size = unbounded;               // most characters, items or entries, for static cost estimates

  const TypeField* find(std::string_view field) const;
  const Type* item() const;  // of a list, or the value of a map; dyn when unknown
  std::string str() const;   // as messages show it: list(string), map(string, dyn)
};

// Types without parts, one of each.
namespace types {
extern const Type dyn, error, null, boolean, integer, uint, number, string, bytes, timestamp, duration;
extern const Type list_of_dyn, map_of_dyn;  // list(dyn), map(dyn, dyn)
}  // namespace types

// Makes and keeps types.
class TypePool {
 public:
  const Type* list(const Type* item);
  const Type* map(const Type* key, const Type* value);
  const Type* wrap(TypeKind kind, const Type* inner);  // optional, type
  const Type* opaque(std::string_view name);
  const Type* param(std::string_view name);
  Type* make(TypeKind kind);  // to be filled in
  std::size_t memory() const;

 private:
  std::deque<Type> types_;
};

bool same_type(const Type& a, const Type& b);

// Property names as identifiers of CEL: keywords and characters that no identifier has are written out
// (`namespace` -> `__namespace__`, `a-b` -> `a__dash__b`). False when the name cannot be written.
bool escape_property(std::string_view property, std::string& out);

}  // namespace kybern::cel
