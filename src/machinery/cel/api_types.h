// The types of the API as CEL sees them, made of the tables of schema/schema.h: for checking expressions about built-in
// objects before there is one.
#pragma once

#include <map>

#include "machinery/cel/type.h"
#include "schema/schema.h"

namespace kybern::cel {

// Keeps what it makes. What has no fixed shape (quantities, int-or-strings, raw JSON) is dyn.
class ApiTypes {
 public:
  // A whole object, with apiVersion and kind.
  const Type* object(const schema::Type& type);

 private:
  const Type* structure(const schema::Type& type);
  const Type* field(const schema::Field& field);
  const Type* scalar(const schema::Field& field);
  void add(Type& to, std::string_view property, const Type* type);

  TypePool pool_;
  std::map<const schema::Type*, Type*> made_;  // before their fields are: types may hold themselves
};

}  // namespace kybern::cel
