// Settings of a command: each has a default, a flag (--data-dir), an environment variable (KYBERN_DATA_DIR) and a line
// in the config file (data-dir: ...). A flag beats the environment, which beats the file, which beats the default.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"

namespace kybern::bin {

class Flags {
 public:
  // `command`: as typed after the program's name, for messages and help.
  Flags(std::string command, std::string summary);

  void add(std::string name, std::string* into, std::string help);
  void add(std::string name, int* into, std::string help);
  void add(std::string name, bool* into, std::string help);
  void add(std::string name, std::int64_t* into, std::string help);              // bytes: "10Mi", "500k" or a plain number
  void add(std::string name, std::vector<std::string>* into, std::string help);  // comma-separated, may be repeated
  // Flags that configure another part are told apart in the help by a heading.
  void section(std::string title);

  // Code::invalid with one clear line: unknown name (with the nearest right one), missing or malformed value, config file
  // that cannot be read. `help` becomes true when it was asked for.
  Result<void> parse(const std::vector<std::string>& arguments, bool& help);
  std::string help() const;

 private:
  using Target = std::variant<std::string*, int*, bool*, std::int64_t*, std::vector<std::string>*>;
  struct Flag {
    std::string name, help, section, shown_default;
    Target into;
    int rank = 0;  // who set it: 1 the file, 2 the environment, 3 a flag
  };
  void add_flag(std::string name, Target into, std::string help, std::string shown_default);
  Flag* find(std::string_view name);
  Result<void> set(Flag& flag, std::string_view value, int rank, std::string_view origin);
  Result<void> read_config(const std::string& file);
  std::string nearest(std::string_view wrong) const;

  std::string command_, summary_, section_, config_;
  std::vector<Flag> flags_;
};

}  // namespace kybern::bin
