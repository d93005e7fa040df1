#include "bin/flags.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/strings.h"
#include "document/json.h"
#include "document/yaml.h"
#include "machinery/quantity.h"

namespace kybern::bin {
namespace {

std::string environment_name(std::string_view flag) {
  std::string out = "KYBERN_";
  for (char c : flag) out += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  return out;
}

// Whether one slip leads from one name to the other: between their common beginning and end lie at most two characters.
bool one_slip(std::string_view a, std::string_view b) {
  const std::size_t shorter = std::min(a.size(), b.size()), longer = std::max(a.size(), b.size());
  std::size_t same = 0, end = 0;
  while (same < shorter && a[same] == b[same]) ++same;
  while (end < shorter - same && a[a.size() - 1 - end] == b[b.size() - 1 - end]) ++end;
  return same + end + 2 >= longer;
}

// "KYBERN_DTA_DIR; did you mean KYBERN_DATA_DIR?", or "". What only resembles a setting is another command's, a script's, or what a
// pod finds of a Service (KYBERN_SERVICE_HOST).
std::string misspelt_variable(const std::vector<std::string>& flags) {
  constexpr std::string_view prefix = "KYBERN_";
  constexpr std::size_t min_name = 5;  // shorter ones are near to anything
  for (char** entry = ::environ; *entry != nullptr; ++entry) {
    const std::string_view variable = std::string_view(*entry).substr(0, std::string_view(*entry).find('='));
    if (!variable.starts_with(prefix)) continue;
    std::string name = to_lower(variable.substr(prefix.size()));
    std::ranges::replace(name, '_', '-');
    const std::string near = edit_nearest(name, flags);
    if (name.size() >= min_name && !near.empty() && near != name && one_slip(name, near))
      return fmt::format("{}; did you mean {}?", variable, environment_name(near));
  }
  return "";
}

}  // namespace

Flags::Flags(std::string command, std::string summary) : command_(std::move(command)), summary_(std::move(summary)) {
  add("config", &config_, "a YAML file with a line for each setting: `data-dir: /srv/kybern`");
}

void Flags::add_flag(std::string name, Target into, std::string help, std::string shown_default) {
  flags_.push_back({std::move(name), std::move(help), section_, std::move(shown_default), into});
}
void Flags::add(std::string name, std::string* into, std::string help) { add_flag(std::move(name), into, std::move(help), *into); }
void Flags::add(std::string name, int* into, std::string help) { add_flag(std::move(name), into, std::move(help), std::to_string(*into)); }
void Flags::add(std::string name, bool* into, std::string help) {
  add_flag(std::move(name), into, std::move(help), *into ? "true" : "false");
}
void Flags::add(std::string name, std::int64_t* into, std::string help) {
  add_flag(std::move(name), into, std::move(help), Quantity(*into, Quantity::Form::binary_si).str());
}
void Flags::add(std::string name, std::vector<std::string>* into, std::string help) {
  add_flag(std::move(name), into, std::move(help), join(*into, ","));
}
void Flags::section(std::string title) { section_ = std::move(title); }

Flags::Flag* Flags::find(std::string_view name) {
  for (Flag& flag : flags_)
    if (flag.name == name) return &flag;
  return nullptr;
}

std::string Flags::nearest(std::string_view wrong) const {
  std::vector<std::string> names;
  for (const Flag& flag : flags_) names.push_back(flag.name);
  return edit_nearest(wrong, names);
}

Result<void> Flags::set(Flag& flag, std::string_view value, int rank, std::string_view origin) {
  if (flag.rank > rank) return {};
  bool again = flag.rank == rank;
  flag.rank = rank;
  auto wrong = [&](std::string_view expected) {
    return fail(Code::invalid, fmt::format("{}: {} is no {}", origin, go_quote(value), expected));
  };
  if (auto* text = std::get_if<std::string*>(&flag.into)) {
    **text = value;
  } else if (auto* number = std::get_if<int*>(&flag.into)) {
    auto parsed = parse_int(value);
    if (!parsed || *parsed < INT32_MIN || *parsed > INT32_MAX) return wrong("number");
    **number = static_cast<int>(*parsed);
  } else if (auto* choice = std::get_if<bool*>(&flag.into)) {
    if (value == "true" || value == "1" || value == "yes") **choice = true;
    else if (value == "false" || value == "0" || value == "no") **choice = false;
    else return wrong("yes or no: say true or false");
  } else if (auto* bytes = std::get_if<std::int64_t*>(&flag.into)) {
    auto parsed = Quantity::parse(value);
    if (!parsed || parsed->sign() < 0) return wrong("amount of bytes such as 10Mi");
    **bytes = parsed->value();
  } else {
    auto& list = *std::get<std::vector<std::string>*>(flag.into);
    if (!again) list.clear();
    for (std::string_view piece : split(value, ','))
      if (!trim(piece).empty()) list.emplace_back(trim(piece));
  }
  return {};
}

Result<void> Flags::read_config(const std::string& file) {
  std::ifstream in(file);
  if (!in) return fail(Code::invalid, fmt::format("config file {}: cannot be read", file));
  std::stringstream text;
  text << in.rdbuf();
  auto documents = parse_yaml(text.str());
  if (!documents) return fail(Code::invalid, fmt::format("config file {}: {}", file, documents.error().message));
  if (documents->empty()) return {};
  Value root = documents->front().root();
  if (!root.is_object()) return fail(Code::invalid, fmt::format("config file {}: expected lines of `name: value`", file));
  for (Member m : root.members()) {
    Flag* flag = find(m.key);
    if (!flag) {
      // One file may serve several commands: a name that another command knows would be fine, but a slip must not pass.
      std::string near = nearest(m.key);
      return fail(Code::invalid, fmt::format("config file {}: unknown setting {}{}", file, go_quote(m.key),
                                             near.empty() ? "" : fmt::format("; did you mean {}?", near)));
    }
    std::string value;
    bool empty = m.value.is_null();
    if (m.value.is_array()) {
      std::vector<std::string> pieces;
      for (Value v : m.value.items()) empty = empty || v.is_null();
      for (Value v : m.value.items()) pieces.push_back(v.is_string() ? v.str() : to_json(v));
      value = join(pieces, ",");
    } else {
      value = m.value.is_string() ? m.value.str() : to_json(m.value);
    }
    if (empty) return fail(Code::invalid, fmt::format("config file {}, {} needs a value", file, m.key));
    if (auto ok = set(*flag, value, 1, fmt::format("config file {}, {}", file, m.key)); !ok) return ok;
  }
  return {};
}

Result<void> Flags::parse(const std::vector<std::string>& arguments, bool& help) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view argument = arguments[i];
    if (argument == "--help" || argument == "-h" || argument == "help") {
      help = true;
      return {};
    }
    if (!argument.starts_with("--"))
      return fail(Code::invalid, fmt::format("{}: unexpected argument {}; see `{} --help`", command_, go_quote(argument), command_));
    auto equals = argument.find('=');
    std::string_view name = argument.substr(2, equals == std::string_view::npos ? equals : equals - 2);
    Flag* flag = find(name);
    if (!flag) {
      std::string near = nearest(name);
      return fail(Code::invalid,
                  fmt::format("{}: unknown flag --{}{}", command_, name,
                              near.empty() ? fmt::format("; see `{} --help`", command_) : fmt::format("; did you mean --{}?", near)));
    }
    std::string_view value;
    if (equals != std::string_view::npos) value = argument.substr(equals + 1);
    else if (std::holds_alternative<bool*>(flag->into)) value = "true";
    else if (i + 1 < arguments.size()) value = arguments[++i];
    else return fail(Code::invalid, fmt::format("{}: --{} needs a value", command_, name));
    if (auto ok = set(*flag, value, 3, fmt::format("--{}", name)); !ok) return ok;
  }
  std::vector<std::string> names;
  for (const Flag& flag : flags_) names.push_back(flag.name);
  if (const std::string slip = misspelt_variable(names); !slip.empty())
    return fail(Code::invalid, fmt::format("{}: unknown environment variable {}", command_, slip));
  for (Flag& flag : flags_)
    if (const char* value = std::getenv(environment_name(flag.name).c_str()))
      if (auto ok = set(flag, value, 2, environment_name(flag.name)); !ok) return ok;
  if (!config_.empty()) return read_config(config_);
  return {};
}

std::string Flags::help() const {
  std::string out = fmt::format("{}\n\nUsage: {} [flags]\n", summary_, command_);
  std::string_view section = "-";
  for (const Flag& flag : flags_) {
    if (flag.section != section) {
      section = flag.section;
      out += section.empty() ? std::string("\nFlags:\n") : fmt::format("\n{}:\n", section);
    }
    std::string left = "  --" + flag.name;
    out += left.size() < 32 ? fmt::format("{:<32}", left) : left + "\n" + std::string(32, ' ');
    out += flag.help;
    if (!flag.shown_default.empty()) out += fmt::format(" (default {})", flag.shown_default);
    out += '\n';
  }
  out += "\nEach may also be given as an environment variable (--data-dir: KYBERN_DATA_DIR) or in the file that --config names.\n";
  return out;
}

}  // namespace kybern::bin
