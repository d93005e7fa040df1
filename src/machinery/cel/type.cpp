#include "machinery/cel/type.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace kybern::cel {

namespace types {
const Type dyn{.kind = TypeKind::dyn};
const Type error{.kind = TypeKind::error};
const Type null{.kind = TypeKind::null};
const Type boolean{.kind = TypeKind::boolean};
const Type integer{.kind = TypeKind::integer};
const Type uint{.kind = TypeKind::uint};
const Type number{.kind = TypeKind::number};
const Type string{.kind = TypeKind::string};
const Type bytes{.kind = TypeKind::bytes};
const Type timestamp{.kind = TypeKind::timestamp};
const Type duration{.kind = TypeKind::duration};
const Type list_of_dyn{.kind = TypeKind::list, .params = {&dyn}};
const Type map_of_dyn{.kind = TypeKind::map, .params = {&dyn, &dyn}};
}  // namespace types

const TypeField* Type::find(std::string_view field) const {
  static const TypeField any{"", "", &types::dyn};
  if (open) return &any;
  auto at = std::ranges::lower_bound(fields, field, {}, &TypeField::name);
  return at != fields.end() && at->name == field ? &*at : nullptr;
}

const Type* Type::item() const {
  if (kind == TypeKind::list && !params.empty()) return params[0];
  if (kind == TypeKind::map && params.size() == 2) return params[1];
  return &types::dyn;
}

std::string Type::str() const {
  std::string head;
  switch (kind) {
    case TypeKind::dyn: return "dyn";
    case TypeKind::error: return "!error!";
    case TypeKind::null: return "null";
    case TypeKind::boolean: return "bool";
    case TypeKind::integer: return "int";
    case TypeKind::uint: return "uint";
    case TypeKind::number: return "double";
    case TypeKind::string: return "string";
    case TypeKind::bytes: return "bytes";
    case TypeKind::timestamp: return "timestamp";
    case TypeKind::duration: return "duration";
    case TypeKind::list: head = "list"; break;
    case TypeKind::map: head = "map"; break;
    case TypeKind::type: head = "type"; break;
    case TypeKind::optional: head = "optional_type"; break;
    default: return name;
  }
  if (params.empty()) return head;
  head += '(';
  for (std::size_t i = 0; i < params.size(); ++i) head += (i ? ", " : "") + params[i]->str();
  return head + ')';
}

const Type* TypePool::list(const Type* item) {
  if (item->kind == TypeKind::dyn && item == &types::dyn) return &types::list_of_dyn;
  Type* made = make(TypeKind::list);
  made->params = {item};
  return made;
}

const Type* TypePool::map(const Type* key, const Type* value) {
  Type* made = make(TypeKind::map);
  made->params = {key, value};
  return made;
}

const Type* TypePool::wrap(TypeKind kind, const Type* inner) {
  Type* made = make(kind);
  made->params = {inner};
  return made;
}

const Type* TypePool::opaque(std::string_view name) {
  Type* made = make(TypeKind::opaque);
  made->name = name;
  return made;
}

const Type* TypePool::param(std::string_view name) {
  Type* made = make(TypeKind::param);
  made->name = name;
  return made;
}

Type* TypePool::make(TypeKind kind) { return &types_.emplace_back(Type{.kind = kind}); }

std::size_t TypePool::memory() const {
  std::size_t bytes = 0;
  for (const Type& type : types_) {
    bytes += sizeof type + type.params.capacity() * sizeof(Type*) + type.fields.capacity() * sizeof(TypeField);
    for (const TypeField& field : type.fields) bytes += field.name.capacity() + field.property.capacity();
  }
  return bytes;
}

bool same_type(const Type& a, const Type& b) {
  if (&a == &b) return true;
  if (a.kind != b.kind || a.name != b.name || a.params.size() != b.params.size()) return false;
  for (std::size_t i = 0; i < a.params.size(); ++i)
    if (!same_type(*a.params[i], *b.params[i])) return false;
  return true;
}

bool escape_property(std::string_view property, std::string& out) {
  static constexpr std::array<std::string_view, 19> reserved = {"as",        "break", "const",  "continue", "else", "false", "for",
                                                                "function",  "if",    "import", "in",       "let",  "loop",  "package",
                                                                "namespace", "null",  "return", "true",     "var"};
  out.clear();
  if (property.empty()) return false;
  if (property == "void" || property == "while" || std::ranges::find(reserved, property) != reserved.end()) {
    out.append("__").append(property).append("__");
    return true;
  }
  if (std::isdigit(static_cast<unsigned char>(property[0]))) return false;
  for (std::size_t i = 0; i < property.size(); ++i) {
    char c = property[i];
    if (c == '.') out += "__dot__";
    else if (c == '-') out += "__dash__";
    else if (c == '/') out += "__slash__";
    else if (c == '_' && i + 1 < property.size() && property[i + 1] == '_') out += "__underscores__", ++i;
    else if (c == '_' || std::isalnum(static_cast<unsigned char>(c))) out += c;
    else return false;
  }
  return true;
}

}  // namespace kybern::cel
