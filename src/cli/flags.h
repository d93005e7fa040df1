// The flags of a command, read the way kubectl's users write them: --name value, --name=value, -n value, -nvalue, -it.
//
// Everything after "--" is a word, also when it begins with a dash.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kybern::cli {

struct Flag {
  enum class Kind : unsigned char {
    text,
    boolean,
    list,   // comma-separated, may be repeated: the values are joined
    texts,  // may be repeated, commas mean nothing
    number,
    duration,  // "30s", "1h", "0"
  };
  std::string name;
  char letter = 0;
  Kind kind = Kind::text;
  std::string fallback;  // of a boolean "true" or ""
  std::string help;
  std::string bare{};  // the value of `--name` alone, for texts that may stand alone (--dry-run)
  bool required = false;
  bool global = false;  // a flag of every command
};

class Arguments {
 public:
  // The message is complete but for its usage hint: `error: unknown flag: --nam`.
  static Result<Arguments> parse(const std::vector<Flag>& flags, const std::vector<std::string>& words);

  Result<void> check_required() const;  // error: required flag(s) "image" not set
  bool knows(std::string_view flag) const;
  bool given(std::string_view flag) const;
  std::string text(std::string_view flag) const;
  std::string global_text(std::string_view flag) const;  // "" when the command has a flag of its own by that name
  bool on(std::string_view flag) const;
  std::vector<std::string> list(std::string_view flag) const;
  Result<std::int64_t> number(std::string_view flag) const;
  // "30s", "1h", or plain seconds.
  Result<std::chrono::nanoseconds> duration(std::string_view flag) const;

  std::vector<std::string> words;  // everything that is no flag
  std::string path;                // the command itself: "kubectl create namespace"
  static constexpr std::size_t no_dash = SIZE_MAX;
  std::size_t dash = no_dash;  // how many words came before "--"

 private:
  const Flag& flag(std::string_view name) const;
  Result<void> set(const Flag& flag, std::string_view value);
  Result<void> parse_long(const std::vector<std::string>& all, std::size_t& at);
  Result<void> parse_short(const std::vector<std::string>& all, std::size_t& at);

  std::vector<Flag> flags_;
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

// Ready-made flags that many commands share.
namespace flags {
Flag text(std::string name, std::string help, std::string fallback = {}, char letter = 0);
Flag number(std::string name, std::string help, std::string fallback = "0", char letter = 0);
Flag duration(std::string name, std::string help, std::string fallback = "0s");
Flag required(Flag flag);
Flag boolean(std::string name, std::string help, bool fallback = false, char letter = 0);
Flag list(std::string name, std::string help, char letter = 0);
Flag texts(std::string name, std::string help, char letter = 0);
Flag output();    // -o
Flag selector();  // -l
Flag field_selector();
Flag dry_run();    // none, client, server
Flag filename();   // -f
Flag recursive();  // -R
Flag validate();
Flag field_manager(std::string fallback);
}  // namespace flags

// What the user may have meant by `wrong`: words at most two edits away, and words that begin with it.
std::vector<std::string> suggestions(std::string_view wrong, const std::vector<std::string>& words);

std::vector<Flag> operator+(std::vector<Flag> a, const std::vector<Flag>& b);

}  // namespace kybern::cli
