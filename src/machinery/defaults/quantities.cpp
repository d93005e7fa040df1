// Canonical quantities. Which fields of a type hold quantities, or structs that do, is found out once for all types, so
// that an object is opened only on the way to its quantities.
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "machinery/defaults/defaults.h"
#include "machinery/quantity.h"

namespace kybern {
namespace {

using schema::Field;
using schema::Scalar;
using schema::Shape;
using schema::Type;

class Routes {
 public:
  Routes() {
    // Types refer to each other in circles: add what leads to a quantity until nothing changes.
    for (bool changed = true; changed;) {
      changed = false;
      for (const Type* type : schema::types()) {
        if (holders_.contains(type)) continue;
        for (const Field& field : type->fields) {
          if (field.scalar == Scalar::quantity || (field.scalar == Scalar::object && holders_.contains(field.type))) {
            holders_.insert(type);
            changed = true;
            break;
          }
        }
      }
    }
    for (const Type* type : holders_) {
      for (const Field& field : type->fields) {
        if (field.scalar == Scalar::quantity || (field.scalar == Scalar::object && holders_.contains(field.type)))
          routes_[type].push_back(&field);
      }
    }
  }

  const std::vector<const Field*>& of(const Type* type) const {
    static const std::vector<const Field*> none;
    auto it = routes_.find(type);
    return it == routes_.end() ? none : it->second;
  }

 private:
  std::unordered_set<const Type*> holders_;
  std::unordered_map<const Type*, std::vector<const Field*>> routes_;
};

const Routes& routes() {
  static const Routes all;
  return all;
}

void one(const Field& field, Draft& value) {
  if (field.scalar == Scalar::object) {
    if (value.is_object()) canonical_quantities(*field.type, value);
    return;
  }
  if (!value.is_string()) return;
  auto quantity = Quantity::parse(value.as_string());
  if (!quantity) return;
  std::string text = quantity->str();
  if (text != value.as_string()) value = std::move(text);
}

}  // namespace

void canonical_quantities(const Type& type, Draft& object) {
  for (const Field* field : routes().of(&type)) {
    Draft* value = object.find(field->name);
    if (value == nullptr) continue;
    if (field->shape == Shape::single) {
      one(*field, *value);
    } else if (field->shape == Shape::list && value->is_array()) {
      for (Draft& item : value->items()) one(*field, item);
    } else if (field->shape == Shape::map && value->is_object()) {
      for (Draft::Field& member : value->fields()) one(*field, member.value);
    }
  }
}

}  // namespace kybern
