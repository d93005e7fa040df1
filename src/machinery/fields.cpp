#include "machinery/fields.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"

namespace kybern {
namespace {

// Splits at commas that no backslash escapes.
std::vector<std::string_view> split_terms(std::string_view text) {
  std::vector<std::string_view> out;
  if (text.empty()) return out;
  std::size_t start = 0;
  bool escaped = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (escaped) escaped = false;
    else if (text[i] == '\\') escaped = true;
    else if (text[i] == ',') {
      out.push_back(text.substr(start, i - start));
      start = i + 1;
    }
  }
  out.push_back(text.substr(start));
  return out;
}

struct Split {
  std::string_view field, op, value;
};

// At the first operator: "!=", "==" or "=".
std::optional<Split> split_term(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (std::string_view op : {"!=", "==", "="}) {
      if (text.substr(i).starts_with(op)) return Split{text.substr(0, i), op, text.substr(i + op.size())};
    }
  }
  return std::nullopt;
}

Result<std::string> unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '\\') {
      if (++i == text.size()) return fail(Code::invalid, fmt::format("invalid field selector: invalid escape sequence: {}", "\\"));
      c = text[i];
      if (c != '\\' && c != ',' && c != '=')
        return fail(Code::invalid, fmt::format("invalid field selector: invalid escape sequence: {}", text.substr(i - 1, 2)));
    } else if (c == ',' || c == '=') {
      return fail(Code::invalid, fmt::format("invalid field selector: unescaped character in value: {}", static_cast<int>(c)));
    }
    out.push_back(c);
  }
  return out;
}

std::string escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\\' || c == ',' || c == '=') out.push_back('\\');
    out.push_back(c);
  }
  return out;
}

}  // namespace

Result<FieldSelector> FieldSelector::parse(std::string_view text) {
  FieldSelector selector;
  std::vector<std::string_view> terms = split_terms(text);
  std::sort(terms.begin(), terms.end());
  for (std::string_view term : terms) {
    if (term.empty()) continue;
    auto pieces = split_term(term);
    if (!pieces) return fail(Code::invalid, fmt::format("invalid selector: '{}'; can't understand '{}'", text, term));
    auto value = unescape(pieces->value);
    if (!value) return std::unexpected(value.error());
    selector.terms_.push_back({std::string(pieces->field), std::move(*value), pieces->op != "!="});
  }
  return selector;
}

bool FieldSelector::matches(const std::function<std::string(std::string_view)>& get) const {
  return std::all_of(terms_.begin(), terms_.end(), [&](const FieldTerm& term) { return (get(term.field) == term.value) == term.equal; });
}

std::optional<std::string_view> FieldSelector::exact(std::string_view field) const {
  for (const FieldTerm& term : terms_) {
    if (term.equal && term.field == field) return term.value;
  }
  return std::nullopt;
}

std::string FieldSelector::str() const {
  std::vector<std::string> texts;
  for (const FieldTerm& term : terms_) texts.push_back(fmt::format("{}{}{}", term.field, term.equal ? "=" : "!=", escape(term.value)));
  return join(texts, ",");
}

}  // namespace kybern
