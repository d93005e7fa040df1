#include "machinery/cel/substitution.h"

namespace kybern::cel {

namespace {
bool wildcard(const Type* t) { return t->kind == TypeKind::dyn || t->kind == TypeKind::error; }
}  // namespace

const Type* Substitution::variable() { return pool_.param("_var" + std::to_string(made_++)); }

const Type* Substitution::instantiate(const Type* type, Fresh& fresh) {
  if (type->kind == TypeKind::param) {
    const Type*& made = fresh[type->name];
    if (!made) made = variable();
    return made;
  }
  if (type->params.empty()) return type;
  std::vector<const Type*> params;
  bool changed = false;
  for (const Type* param : type->params) {
    params.push_back(instantiate(param, fresh));
    changed |= params.back() != param;
  }
  if (!changed) return type;
  Type* out = pool_.make(type->kind);
  out->name = type->name;
  out->params = std::move(params);
  return out;
}

bool Substitution::occurs(const Type* param, const Type* in) const {
  if (in == param) return true;
  if (in->kind == TypeKind::param) {
    auto at = bindings_.find(in);
    return at != bindings_.end() && occurs(param, at->second);
  }
  for (const Type* inner : in->params)
    if (occurs(param, inner)) return true;
  return false;
}

// `bound`: the parameter stood for something already, so no other way round need be tried.
bool Substitution::bind(const Type* type, const Type* param, bool& bound) {
  bound = true;
  if (type == param) return true;
  if (auto at = bindings_.find(param); at != bindings_.end()) {
    const Type* known = at->second;
    if (!match(type, known)) return false;
    const Type* wider = general(type, known);
    if (!occurs(param, wider)) bindings_[param] = wider;
    return true;
  }
  if (occurs(param, type)) {
    bound = false;
    return false;
  }
  bindings_[param] = type;
  return true;
}

bool Substitution::match(const Type* a, const Type* b) {
  bool bound = false;
  if (b->kind == TypeKind::param) {
    if (bind(a, b, bound)) return true;
    if (bound) return false;
  }
  if (a->kind == TypeKind::param) return bind(b, a, bound);
  if (wildcard(a) || wildcard(b)) return true;
  auto holds_null = [](const Type* t) {
    return t->kind == TypeKind::null || t->kind == TypeKind::object || t->kind == TypeKind::opaque || t->kind == TypeKind::timestamp ||
           t->kind == TypeKind::duration || t->kind == TypeKind::optional;
  };
  if (a->kind == TypeKind::null) return holds_null(b);
  if (b->kind == TypeKind::null) return holds_null(a);
  if (a->kind != b->kind) return false;
  if (a->kind == TypeKind::type) return true;
  if (a->name != b->name || a->params.size() != b->params.size()) return false;
  for (std::size_t i = 0; i < a->params.size(); ++i)
    if (!match(a->params[i], b->params[i])) return false;
  return true;
}

bool Substitution::assignable(const Type* a, const Type* b) {
  Bindings before = bindings_;
  if (match(a, b)) return true;
  bindings_ = std::move(before);
  return false;
}

bool Substitution::all_assignable(const std::vector<const Type*>& a, const std::vector<const Type*>& b) {
  Bindings before = bindings_;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (match(a[i], b[i])) continue;
    bindings_ = std::move(before);
    return false;
  }
  return true;
}

const Type* Substitution::apply(const Type* type, bool unbound_is_dyn) {
  if (type->kind == TypeKind::param) {
    auto at = bindings_.find(type);
    if (at != bindings_.end()) return apply(at->second, unbound_is_dyn);
    return unbound_is_dyn ? &types::dyn : type;
  }
  if (type->params.empty()) return type;
  std::vector<const Type*> params;
  bool changed = false;
  for (const Type* param : type->params) {
    params.push_back(apply(param, unbound_is_dyn));
    changed |= params.back() != param;
  }
  if (!changed) return type;
  Type* out = pool_.make(type->kind);
  out->name = type->name;
  out->params = std::move(params);
  return out;
}

const Type* Substitution::general(const Type* a, const Type* b) {
  if (wildcard(a)) return a;
  if (wildcard(b)) return b;
  if (a->kind == TypeKind::null) return b;
  if (a->kind == TypeKind::param) return a;
  if (b->kind == TypeKind::param) return b;
  if (a->kind == b->kind && a->params.size() == b->params.size())
    for (std::size_t i = 0; i < a->params.size(); ++i)
      if (general(a->params[i], b->params[i]) == b->params[i] && a->params[i] != b->params[i]) return b;
  return a;
}

}  // namespace kybern::cel
