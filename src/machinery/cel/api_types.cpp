#include "machinery/cel/api_types.h"

#include <algorithm>

namespace kybern::cel {

void ApiTypes::add(Type& to, std::string_view property, const Type* type) {
  std::string escaped;
  if (escape_property(property, escaped)) to.fields.push_back({escaped, std::string(property), type});
}

const Type* ApiTypes::object(const schema::Type& type) {
  Type* root = pool_.make(TypeKind::object);
  *root = *structure(type);
  for (const char* property : {"apiVersion", "kind"})
    if (std::ranges::none_of(root->fields, [&](const TypeField& f) { return f.property == property; }))
      add(*root, property, &types::string);
  std::ranges::sort(root->fields, {}, &TypeField::name);
  return root;
}

const Type* ApiTypes::structure(const schema::Type& type) {
  auto [at, fresh] = made_.try_emplace(&type, nullptr);
  if (!fresh) return at->second;
  Type* made = at->second = pool_.make(TypeKind::object);
  made->name = type.name;
  for (const schema::Field& f : type.fields)
    if (!f.gated) add(*made, f.name.text(), field(f));
  std::ranges::sort(made->fields, {}, &TypeField::name);
  return made;
}

const Type* ApiTypes::scalar(const schema::Field& f) {
  switch (f.scalar) {
    case schema::Scalar::boolean: return &types::boolean;
    case schema::Scalar::int32:
    case schema::Scalar::int64: return &types::integer;
    case schema::Scalar::float64: return &types::number;
    case schema::Scalar::string:
    case schema::Scalar::duration: return &types::string;  // of durations the schema says no format
    case schema::Scalar::bytes: return &types::bytes;
    case schema::Scalar::time:
    case schema::Scalar::micro_time: return &types::timestamp;
    case schema::Scalar::object: return f.type ? structure(*f.type) : &types::dyn;
    default: return &types::dyn;
  }
}

const Type* ApiTypes::field(const schema::Field& f) {
  const Type* one = scalar(f);
  if (f.inner_list) one = pool_.list(one);
  if (f.shape == schema::Shape::map) return pool_.map(&types::string, one);
  if (f.shape != schema::Shape::list) return one;
  Type* list = pool_.make(TypeKind::list);
  list->params = {one};
  list->semantics = f.list_type == schema::ListType::set   ? ListSemantics::set
                    : f.list_type == schema::ListType::map ? ListSemantics::map
                                                           : ListSemantics::atomic;
  for (Name key : f.list_keys) list->keys.emplace_back(key.text());
  return list;
}

}  // namespace kybern::cel
