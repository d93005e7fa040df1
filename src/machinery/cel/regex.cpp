#include "machinery/cel/regex.h"

#include <re2/re2.h>

#include "machinery/cel/functions.h"

namespace kybern::cel {

struct Regex::Compiled {
  explicit Compiled(std::string_view pattern);
  re2::RE2 re;
};

namespace {

re2::RE2::Options options() {
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(Regex::memory_max_bytes);
  return options;
}

// RE2 says what Go's regexp says, but for the shape of the sentence.
std::string go_error(const re2::RE2& re) {
  std::string text = re.error();
  std::string arg = re.error_arg();
  std::string what;
  switch (re.error_code()) {
    case re2::RE2::ErrorMissingParen: what = "missing closing )"; break;
    case re2::RE2::ErrorUnexpectedParen: what = "unexpected )"; break;
    case re2::RE2::ErrorMissingBracket: what = "missing closing ]"; break;
    case re2::RE2::ErrorRepeatArgument: what = "missing argument to repetition operator"; break;
    case re2::RE2::ErrorRepeatSize: what = "invalid repeat count"; break;
    case re2::RE2::ErrorRepeatOp: what = "invalid nested repetition operator"; break;
    case re2::RE2::ErrorBadEscape: what = "invalid escape sequence"; break;
    case re2::RE2::ErrorBadCharClass: what = "invalid character class"; break;
    case re2::RE2::ErrorBadCharRange: what = "invalid character class range"; break;
    case re2::RE2::ErrorTrailingBackslash: what = "trailing backslash at end of expression"; break;
    case re2::RE2::ErrorBadPerlOp: what = "invalid or unsupported Perl syntax"; break;
    case re2::RE2::ErrorBadUTF8: what = "invalid UTF-8"; break;
    case re2::RE2::ErrorBadNamedCapture: what = "invalid named capture"; break;
    case re2::RE2::ErrorPatternTooLarge: what = "expression nests too deeply"; break;
    default: what = text; break;
  }
  if (re.error_code() == re2::RE2::ErrorMissingParen || re.error_code() == re2::RE2::ErrorUnexpectedParen) arg = re.pattern();
  return "error parsing regexp: " + what + ": `" + arg + "`";
}

// The pattern of a call: compiled with the program, or now.
template <class Use>
Val with_pattern(Evaluation& e, std::string_view pattern, Use use) {
  if (e.regexes())
    if (const Regex* known = e.regexes()->find(pattern)) return known->good() ? use(*known) : e.error(known->error());
  Regex fresh(pattern);
  return fresh.good() ? use(fresh) : e.error(fresh.error());
}

Val matches(Evaluation& e, std::span<const Val> a) {
  return with_pattern(e, a[1].str(), [&](const Regex& re) { return Val::of(re.matches(a[0].str())); });
}

Val find_one(Evaluation& e, std::span<const Val> a) {
  return with_pattern(e, a[1].str(), [&](const Regex& re) {
    std::size_t begin = 0, end = 0;
    if (!re.find(a[0].str(), 0, begin, end)) return Val::of(std::string_view(""));
    return Val::of(a[0].str().substr(begin, end - begin));
  });
}

Val find_all(Evaluation& e, std::span<const Val> a) {
  std::int64_t most = a.size() > 2 ? a[2].integer : -1;
  return with_pattern(e, a[1].str(), [&](const Regex& re) {
    BuiltList* out = e.new_list(0);
    std::string_view text = a[0].str();
    std::size_t from = 0, begin = 0, end = 0;
    std::size_t last = text.npos;
    while (from <= text.size() && (most < 0 || out->size < most) && re.find(text, from, begin, end)) {
      if (end != begin || begin != last) e.push(*out, Val::of(text.substr(begin, end - begin)));
      last = end;
      from = end == begin ? end + 1 : end;
      while (from < text.size() && (static_cast<unsigned char>(text[from]) & 0xc0) == 0x80) ++from;
    }
    return e.list(out);
  });
}

constexpr FunctionRow table_of_patterns[] = {
    {"matches", "matches", "(string, string) bool", matches},
    {"matches", "matches_string", "string.(string) bool", matches},
    {"find", "string_find_string", "string.(string) string", find_one},
    {"findAll", "string_find_all_string", "string.(string) list<string>", find_all},
    {"findAll", "string_find_all_string_int", "string.(string, int) list<string>", find_all},
};

}  // namespace

Regex::Compiled::Compiled(std::string_view pattern) : re(re2::StringPiece(pattern.data(), pattern.size()), options()) {}

Regex::Regex(std::string_view pattern) {
  if (pattern.size() > pattern_max_bytes) {
    error_ = "error parsing regexp: expression nests too deeply: ``";
    return;
  }
  compiled_ = std::make_unique<Compiled>(pattern);
  if (!compiled_->re.ok()) error_ = go_error(compiled_->re);
}
Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;

bool Regex::matches(std::string_view text) const {
  return re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), compiled_->re);
}

bool Regex::find(std::string_view text, std::size_t from, std::size_t& begin, std::size_t& end) const {
  re2::StringPiece whole(text.data(), text.size()), found;
  if (!compiled_->re.Match(whole, from, text.size(), re2::RE2::UNANCHORED, &found, 1)) return false;
  begin = static_cast<std::size_t>(found.data() - text.data());
  end = begin + found.size();
  return true;
}

const Regex& RegexCache::add(std::string_view pattern) {
  if (const Regex* known = find(pattern)) return *known;
  all_.emplace_back(std::string(pattern), std::make_unique<Regex>(pattern));
  return *all_.back().second;
}

const Regex* RegexCache::find(std::string_view pattern) const {
  for (const auto& [text, regex] : all_)
    if (text == pattern) return regex.get();
  return nullptr;
}

std::span<const FunctionRow> regex_rows() { return table_of_patterns; }

}  // namespace kybern::cel
