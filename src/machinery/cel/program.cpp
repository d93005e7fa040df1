#include <algorithm>

#include "base/strings.h"
#include "document/document.h"
#include "machinery/cel/cel.h"
#include "machinery/cel/checker.h"
#include "machinery/cel/civil.h"
#include "machinery/cel/estimate.h"
#include "machinery/cel/evaluation.h"

namespace kybern::cel {

struct Program::Parts {
  Ast ast;
  Checked checked;
  RegexCache regexes;
  std::vector<std::string> variables;
  CostRange estimate;
  TypePool kept;
  const Type* result = nullptr;
};

namespace {

// The result's type outlives the check. Types of schemas belong to their owner; what was made around them is copied.
const Type* keep(TypePool& pool, const Type* type) {
  if (type->kind == TypeKind::object || type->kind == TypeKind::opaque) return type;
  Type* out = pool.make(type->kind);
  *out = *type;
  for (const Type*& param : out->params) param = keep(pool, param);
  return out;
}

}  // namespace

Program::Program(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Program::Program(Program&&) noexcept = default;
Program& Program::operator=(Program&&) noexcept = default;
Program::~Program() = default;

std::expected<Program, std::string> Program::compile(const Environment& environment, std::string_view expression) {
  auto parts = std::make_unique<Parts>();
  std::vector<Problem> problems;
  if (!parse(expression, parts->ast, problems, environment.bindings()) ||
      !check(environment, parts->ast, parts->checked, parts->regexes, problems))
    return std::unexpected(show_problems(expression, problems));
  parts->estimate = estimate_cost(environment, parts->ast, parts->checked);
  for (const Variable& variable : environment.variables()) parts->variables.push_back(variable.name);
  // What only the checker and the estimate needed is let go; the result's type stays with the pool.
  parts->result = keep(parts->kept, parts->checked.result);
  parts->checked.pool = {};
  parts->checked.result = nullptr;
  parts->checked.types = {};
  parts->checked.overloads = {};
  parts->ast.nodes.shrink_to_fit();
  parts->ast.kids.shrink_to_fit();
  parts->ast.constants.shrink_to_fit();
  return Program(std::move(parts));
}

const Type* Program::type() const { return parts_->result; }
CostRange Program::estimate() const { return parts_->estimate; }

bool Program::uses(std::string_view variable) const {
  auto at = std::ranges::find(parts_->variables, variable);
  auto slot = static_cast<std::uint32_t>(at - parts_->variables.begin());
  return std::ranges::any_of(parts_->ast.nodes, [&](const Node& n) {
    return n.kind == NodeKind::ident && !(n.flags & (Node::local | Node::type_name)) && n.first == slot &&
           parts_->ast.name(n).ends_with(variable);
  });
}

std::size_t Program::memory() const {
  const Ast& ast = parts_->ast;
  std::size_t bytes = sizeof(Parts) + ast.nodes.capacity() * sizeof(Node) + ast.kids.capacity() * 4 +
                      ast.constants.capacity() * sizeof(Val) + parts_->kept.memory();
  for (const std::string& name : ast.names) bytes += sizeof name + (name.size() > 15 ? name.capacity() : 0);
  for (const auto& text : ast.texts) bytes += sizeof *text + 16 + text->capacity();
  return bytes;
}

Val Program::value(Value document, const Type* type) {
  // Scalars need no arena, but for errors and texts with a grammar; those are made by the evaluation that reads them.
  Val v;
  if (document.is_array() || document.is_object()) {
    v.tag = document.is_array() ? Tag::list : Tag::map;
    v.rep = Rep::document;
    v.document = document;
    v.type = type && type->kind != TypeKind::dyn ? type : nullptr;
    return v;
  }
  bool plain = !type || (type->kind != TypeKind::timestamp && type->kind != TypeKind::duration && type->kind != TypeKind::bytes);
  switch (document.kind()) {
    case Kind::boolean: return Val::of(document.as_bool());
    case Kind::integer: return type && type->kind == TypeKind::number ? Val::of(document.as_double()) : Val::of(document.as_int());
    case Kind::number: return Val::of(document.as_double());
    case Kind::string: {
      if (plain) return Val::of(document.as_string());
      if (type->kind == TypeKind::timestamp) {
        auto time = parse_instant(document.as_string());
        return time ? Val::of_time(*time) : Val::of(std::string_view("cannot convert to timestamp"), Tag::error);
      }
      if (type->kind == TypeKind::duration) {
        auto duration = parse_duration(document.as_string());
        return duration ? Val::of_duration(duration->count()) : Val::of(std::string_view("cannot convert to duration"), Tag::error);
      }
      return Val::of(document.as_string(), Tag::bytes);
    }
    default: return Val::null();
  }
}

namespace {

// A value as JSON. A message of an open type says in its name where it belongs: Object.spec is the field `spec` of Object.
class Writer {
 public:
  explicit Writer(Evaluation& evaluation) : e_(evaluation) {}
  std::string mismatch;

  // `belongs`: the name that a message here has to have, as far as one is known.
  void write(const Val& v, const std::string& belongs) {
    switch (v.tag) {
      case Tag::boolean: return out_.boolean(v.boolean);
      case Tag::integer: return out_.integer(v.integer);
      case Tag::uint:
        return v.uint <= 1ull << 62 ? out_.integer(static_cast<std::int64_t>(v.uint)) : out_.number(static_cast<double>(v.uint));
      case Tag::number: return out_.number(v.number);
      case Tag::string: return out_.string(v.str());
      case Tag::bytes: return out_.string(base64_encode(v.str()));
      case Tag::timestamp: return out_.string(format_instant(v.time));
      case Tag::duration: return out_.string(format_duration(Duration(v.integer)));
      case Tag::list:
        if (v.rep == Rep::document) return out_.copy(v.document);
        out_.begin_array();
        for (std::size_t i = 0; i < e_.length(v); ++i) write(e_.at(v, i), belongs);
        return out_.end_array();
      case Tag::map: return map(v, belongs);
      case Tag::optional: return v.inner ? write(*v.inner, belongs) : out_.null();
      default: return out_.null();
    }
  }
  Document finish() { return out_.finish(); }

 private:
  void map(const Val& v, const std::string& belongs) {
    if (v.rep == Rep::document) return out_.copy(v.document);
    if (v.rep == Rep::lookup) return out_.null();
    bool message = v.type && v.type->kind == TypeKind::object, open = message && v.type->open;
    if (open && !belongs.empty() && v.type->name != belongs && mismatch.empty())
      mismatch = "unexpected type name " + go_quote(v.type->name) + ", expected " + go_quote(belongs) +
                 ", which matches field name path from root Object type";
    out_.begin_object();
    for (std::size_t i = 0; i < e_.length(v); ++i) {
      Val key = e_.key_at(v, i);
      std::string_view name = key.tag == Tag::string ? key.str() : std::string_view("?");
      out_.key(name);
      write(e_.value_at(v, i), open ? v.type->name + "." + std::string(name) : message ? std::string() : belongs);
    }
    out_.end_object();
  }

  Evaluation& e_;
  BlockWriter out_;
};

}  // namespace

Outcome Program::evaluate(std::span<const Val> variables, std::uint64_t limit, bool wants_document) const {
  Evaluation evaluation(parts_->ast, variables, limit, &parts_->regexes);
  Val v = evaluation.run();
  Outcome out;
  out.cost = evaluation.cost();
  if (evaluation.exhausted()) {
    out.kind = Outcome::Kind::cost_exceeded;
    out.message = "operation cancelled: actual cost limit exceeded";
    return out;
  }
  if (v.is_error()) {
    out.kind = Outcome::Kind::error;
    out.message = v.str();
    return out;
  }
  out.tag = v.tag;
  out.truth = v.is_true();
  if (v.tag == Tag::string) out.text = v.str();
  if (wants_document) {
    Writer writer(evaluation);
    writer.write(v, "");
    out.document = writer.finish();
    out.mismatch = std::move(writer.mismatch);
  }
  return out;
}

Val Program::evaluate_in(Evaluation& outer, std::span<const Val> variables) const {
  std::uint64_t left = outer.remaining();
  auto inner = outer.nested(parts_->ast, variables, left, &parts_->regexes);
  Val v = inner->run();
  outer.charge(inner->cost());
  return v;
}

}  // namespace kybern::cel
