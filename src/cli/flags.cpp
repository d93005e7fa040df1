#include "cli/flags.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/strings.h"
#include "base/time.h"

namespace kybern::cli {
namespace {

std::string hint(std::string_view wrong, const std::vector<Flag>& flags) {
  std::vector<std::string> names;
  for (const Flag& flag : flags) names.push_back(flag.name);
  const std::string near = wrong.size() > 3 ? edit_nearest(wrong, names) : "";
  const auto close = suggestions(wrong, {near});
  return near.empty() || close.empty() ? "" : " (did you mean --" + near + "?)";
}

std::size_t distance(std::string_view a, std::string_view b) {  // insertions, deletions, replacements
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t cost = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({cost, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

std::string label(const Flag& flag) { return (flag.letter ? std::string("-") + flag.letter + ", --" : "--") + flag.name; }

Error wrong_value(const Flag& flag, std::string_view value, std::string_view why) {
  return {Code::invalid, "error: invalid argument " + go_quote(value) + " for " + go_quote(label(flag)) + " flag: " + std::string(why)};
}

const Flag* by_letter(const std::vector<Flag>& flags, char letter) {
  for (const Flag& flag : flags)
    if (flag.letter == letter) return &flag;
  return nullptr;
}

const Flag* by_name(const std::vector<Flag>& flags, std::string_view name) {
  for (const Flag& flag : flags)
    if (flag.name == name) return &flag;
  return nullptr;
}

}  // namespace

const Flag& Arguments::flag(std::string_view name) const {
  const Flag* found = by_name(flags_, name);
  KYBERN_CHECK(found != nullptr, "a command asks for a flag that it does not declare");
  return *found;
}

Result<void> Arguments::set(const Flag& flag, std::string_view value) {
  auto& values = values_[flag.name];
  switch (flag.kind) {
    case Flag::Kind::boolean: {
      const std::string low = to_lower(value);
      const bool yes = low == "true" || low == "1" || low == "t", no = low == "false" || low == "0" || low == "f";
      if (!yes && !no)
        return std::unexpected(wrong_value(flag, value, "strconv.ParseBool: parsing " + go_quote(value) + ": invalid syntax"));
      values.assign(1, yes ? "true" : "");
      return {};
    }
    case Flag::Kind::number:
      if (!parse_int(value))
        return std::unexpected(wrong_value(flag, value, "strconv.ParseInt: parsing " + go_quote(value) + ": invalid syntax"));
      values.assign(1, std::string(value));
      return {};
    case Flag::Kind::duration:
      if (value != "0" && !parse_duration(value))
        return std::unexpected(
            wrong_value(flag, value, (parse_int(value) ? "time: missing unit in duration " : "time: invalid duration ") + go_quote(value)));
      values.assign(1, std::string(value));
      return {};
    case Flag::Kind::text: values.assign(1, std::string(value)); return {};
    case Flag::Kind::texts: values.emplace_back(value); return {};
    case Flag::Kind::list:
      for (std::string_view piece : split(value, ',')) values.emplace_back(piece);
      return {};
  }
  return {};
}

Result<void> Arguments::parse_long(const std::vector<std::string>& all, std::size_t& at) {
  const std::string_view word = std::string_view(all[at]).substr(2);
  const std::size_t equals = word.find('=');
  const std::string_view name = word.substr(0, equals);
  const Flag* found = by_name(flags_, name);
  if (found == nullptr) return fail(Code::invalid, "error: unknown flag: --" + std::string(name) + hint(name, flags_));
  if (equals != std::string_view::npos) return set(*found, word.substr(equals + 1));
  if (found->kind == Flag::Kind::boolean) return set(*found, "true");
  if (!found->bare.empty()) return set(*found, found->bare);
  if (at + 1 >= all.size()) return fail(Code::invalid, "error: flag needs an argument: --" + std::string(name));
  return set(*found, all[++at]);
}

Result<void> Arguments::parse_short(const std::vector<std::string>& all, std::size_t& at) {
  const std::string_view word = all[at];
  for (std::size_t i = 1; i < word.size(); ++i) {
    const Flag* found = by_letter(flags_, word[i]);
    if (found == nullptr)
      return fail(Code::invalid, "error: unknown shorthand flag: '" + std::string(1, word[i]) + "' in " + std::string(word));
    std::string_view rest = word.substr(i + 1);
    if (found->kind == Flag::Kind::boolean) {
      if (rest.starts_with('=')) return set(*found, rest.substr(1));
      if (auto done = set(*found, "true"); !done) return done;
      continue;
    }
    if (rest.starts_with('=')) rest.remove_prefix(1);
    if (!rest.empty()) return set(*found, rest);
    if (at + 1 >= all.size())
      return fail(Code::invalid, "error: flag needs an argument: '" + std::string(1, word[i]) + "' in " + std::string(word));
    return set(*found, all[++at]);
  }
  return {};
}

Result<Arguments> Arguments::parse(const std::vector<Flag>& flags, const std::vector<std::string>& words) {
  Arguments out;
  out.flags_ = flags;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      out.dash = out.words.size();
      out.words.insert(out.words.end(), words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end());
      break;
    }
    Result<void> done;
    if (word.starts_with("--")) {
      done = out.parse_long(words, i);
    } else if (word.size() > 1 && word[0] == '-') {
      done = out.parse_short(words, i);
    } else {
      out.words.push_back(word);
    }
    if (!done) return std::unexpected(done.error());
  }
  return out;
}

Result<void> Arguments::check_required() const {
  std::vector<std::string> missing;
  for (const Flag& flag : flags_)
    if (flag.required && !values_.contains(flag.name)) missing.push_back(go_quote(flag.name));
  if (missing.empty()) return {};
  return fail(Code::invalid, "error: required flag(s) " + join(missing, ", ") + " not set");
}

std::vector<std::string> suggestions(std::string_view wrong, const std::vector<std::string>& words) {
  std::vector<std::string> out;
  for (const std::string& word : words)
    if (!word.empty() && (distance(to_lower(wrong), to_lower(word)) <= 2 || to_lower(word).starts_with(to_lower(wrong))))
      out.push_back(word);
  return out;
}

bool Arguments::knows(std::string_view name) const { return by_name(flags_, name) != nullptr; }

bool Arguments::given(std::string_view name) const { return values_.contains(flag(name).name); }

std::string Arguments::text(std::string_view name) const {
  const Flag& wanted = flag(name);
  auto found = values_.find(wanted.name);
  return found == values_.end() || found->second.empty() ? wanted.fallback : found->second.back();
}

std::string Arguments::global_text(std::string_view name) const { return flag(name).global ? text(name) : std::string(); }

bool Arguments::on(std::string_view name) const { return text(name) == "true"; }

std::vector<std::string> Arguments::list(std::string_view name) const {
  auto found = values_.find(flag(name).name);
  return found == values_.end() ? std::vector<std::string>() : found->second;
}

Result<std::int64_t> Arguments::number(std::string_view name) const {
  const std::string value = text(name);
  if (auto number = parse_int(value)) return *number;
  return fail(Code::invalid,
              "error: invalid argument " + go_quote(value) + " for " + go_quote("--" + std::string(name)) + " flag: not a whole number");
}

Result<std::chrono::nanoseconds> Arguments::duration(std::string_view name) const {
  const std::string value = text(name);
  if (auto seconds = parse_int(value)) return std::chrono::seconds(*seconds);
  if (auto duration = parse_duration(value)) return *duration;
  return fail(Code::invalid, "error: invalid argument " + go_quote(value) + " for " + go_quote("--" + std::string(name)) +
                                 " flag: time: invalid duration " + go_quote(value));
}

namespace flags {

Flag text(std::string name, std::string help, std::string fallback, char letter) {
  return {std::move(name), letter, Flag::Kind::text, std::move(fallback), std::move(help)};
}
Flag boolean(std::string name, std::string help, bool fallback, char letter) {
  return {std::move(name), letter, Flag::Kind::boolean, fallback ? "true" : "", std::move(help)};
}
Flag list(std::string name, std::string help, char letter) { return {std::move(name), letter, Flag::Kind::list, "", std::move(help)}; }
Flag texts(std::string name, std::string help, char letter) { return {std::move(name), letter, Flag::Kind::texts, "", std::move(help)}; }
Flag number(std::string name, std::string help, std::string fallback, char letter) {
  return {std::move(name), letter, Flag::Kind::number, std::move(fallback), std::move(help)};
}
Flag duration(std::string name, std::string help, std::string fallback) {
  return {std::move(name), 0, Flag::Kind::duration, std::move(fallback), std::move(help)};
}
Flag required(Flag flag) {
  flag.required = true;
  return flag;
}
Flag output() { return text("output", "json, yaml, name, wide, jsonpath=TEMPLATE, custom-columns=HEADER:PATH,...", "", 'o'); }
Flag selector() { return text("selector", "only what has these labels: app=web,tier!=db", "", 'l'); }
Flag field_selector() { return text("field-selector", "only what has these fields: status.phase=Running"); }
Flag dry_run() {
  Flag flag = text("dry-run", "none, client (send nothing) or server (the server keeps nothing)", "none");
  flag.bare = "unchanged";
  return flag;
}
Flag filename() { return list("filename", "a file or folder of manifests, - for standard input", 'f'); }
Flag recursive() { return boolean("recursive", "go into the folders of a folder given with -f", false, 'R'); }
Flag validate() {
  Flag flag = text("validate", "what the server does about unknown fields: strict (refuse), warn or ignore", "strict");
  flag.bare = "strict";
  return flag;
}
Flag field_manager(std::string fallback) { return text("field-manager", "the name that changed fields are owned by", std::move(fallback)); }

}  // namespace flags

std::vector<Flag> operator+(std::vector<Flag> a, const std::vector<Flag>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace kybern::cli
