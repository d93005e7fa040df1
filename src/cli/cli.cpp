#include "cli/cli.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cli/command.h"

namespace kybern::cli {

std::unexpected<Error> refuse(std::string what) { return fail(Code::invalid, "error: " + std::move(what)); }

namespace {

std::vector<Command> all_commands() {
  return {get_command(), describe_command(), apply_command(), create_command(), run_command(), delete_command(), scale_command(), logs_command(),
          exec_command(), attach_command(), port_forward_command(), rollout_command(), label_command(), annotate_command(), taint_command(),
          patch_command(), replace_command(), wait_command(), cordon_command(), uncordon_command(), drain_command(), explain_command(),
          api_resources_command(), api_versions_command(), cluster_info_command(), auth_command(), config_command(), version_command()};
}

std::string flag_lines(const std::vector<Flag>& flags) {
  std::string out;
  for (const Flag& flag : flags) {
    std::string head = flag.letter ? fmt::format("-{}, --{}", flag.letter, flag.name) : "    --" + flag.name;
    if (flag.kind != Flag::Kind::boolean) head += flag.bare.empty() ? "=..." : "[=...]";
    out += fmt::format("    {:<32}{}{}\n", head, flag.help, flag.fallback.empty() || flag.fallback == "true" ? "" : " (default " + flag.fallback + ")");
  }
  return out;
}

std::string overview(const std::vector<Command>& commands) {
  std::string out = "kubectl controls a Kubernetes cluster.\n\nUsage:\n  kubectl COMMAND [flags]\n\nCommands:\n";
  for (const Command& command : commands) out += fmt::format("  {:<16}{}\n", command.name, command.summary);
  return out + "\n`kubectl COMMAND --help` tells about one command, `kubectl options` lists the flags that every command takes.\n";
}

std::string help_of(const Command& command, const std::string& path) {
  std::string out = fmt::format("{}: {}\n\nUsage:\n  {}{}{}\n", command.name, command.summary, path, command.usage.empty() ? "" : " ", command.usage);
  if (!command.aliases.empty()) out += "\nAlso known as: " + join(command.aliases, ", ") + "\n";
  if (!command.children.empty()) {
    out += "\nCommands:\n";
    for (const Command& child : command.children) out += fmt::format("  {:<18}{}\n", child.name, child.summary);
  }
  if (!command.flags.empty()) out += "\nFlags:\n" + flag_lines(command.flags);
  return out + "\n`kubectl options` lists the flags that every command takes.\n";
}

const Command* find(const std::vector<Command>& commands, std::string_view name) {
  for (const Command& command : commands)
    if (command.name == name || std::find(command.aliases.begin(), command.aliases.end(), name) != command.aliases.end()) return &command;
  return nullptr;
}

int complain(std::string_view text) {
  std::fflush(stdout);
  fmt::print(stderr, "{}{}", text, text.ends_with('\n') ? "" : "\n");
  return 1;
}

int unknown(std::string_view word, const std::string& path, const std::vector<Command>& commands) {
  std::vector<std::string> names;
  for (const Command& command : commands) names.push_back(command.name);
  const std::string near = edit_nearest(word, names);
  return complain(fmt::format("error: unknown command {} for {}{}", go_quote(word), go_quote(path), near.empty() ? "" : "\n\nDid you mean this?\n\t" + near));
}

// The word that names the command, although global flags may come before it: the index, or the number of words.
std::size_t command_word(const std::vector<std::string>& words, std::size_t from, const std::vector<Flag>& flags) {
  for (std::size_t i = from; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") return words.size();
    if (word.size() < 2 || word[0] != '-') return i;
    if (word.find('=') != std::string::npos) continue;
    for (const Flag& flag : flags) {
      const bool separate = word == "--" + flag.name || (flag.letter && word == std::string("-") + flag.letter);
      if (separate && flag.kind != Flag::Kind::boolean) ++i;
    }
  }
  return words.size();
}

int run_leaf(const Command& command, const std::string& path, const std::vector<std::string>& words) {
  if (command.run == nullptr) {
    fmt::print("{}", help_of(command, path));
    return 0;
  }
  auto arguments = Arguments::parse(command.flags + global_flags(), words);
  if (!arguments) {
    const bool help = std::find(words.begin(), words.end(), "--help") != words.end();
    if (!help) return complain(arguments.error().message + "\nSee '" + path + " --help' for usage.");
  }
  if (!arguments || arguments->on("help")) {
    fmt::print("{}", help_of(command, path));
    return 0;
  }
  Session session(*arguments);
  auto status = command.run(session, *arguments);
  if (!status) return complain(status.error().message);
  std::fflush(stdout);
  return *status;
}

}  // namespace

int run(const std::vector<std::string>& given) {
  std::vector<std::string> words = given;
  const std::vector<Command> commands = all_commands();
  const std::vector<Flag> globals = global_flags();
  std::size_t at = command_word(words, 0, globals);
  if (at < words.size() && words[at] == "options") {
    fmt::print("Flags of every command:\n{}", flag_lines(globals));
    return 0;
  }
  bool wants_help = at >= words.size();
  if (!wants_help && words[at] == "help") {
    words.erase(words.begin() + static_cast<std::ptrdiff_t>(at));
    if (at >= words.size()) wants_help = true;
    words.emplace_back("--help");
  }
  if (wants_help) {
    if (auto parsed = Arguments::parse(globals, given); !parsed && given != std::vector<std::string>{"help"})
      return complain(parsed.error().message + "\nSee 'kubectl --help' for usage.");
    fmt::print("{}", overview(commands));
    return 0;
  }
  std::string path = "kubectl";
  const Command* command = find(commands, words[at]);
  if (command == nullptr) return unknown(words[at], path, commands);
  path += " " + command->name;
  words.erase(words.begin() + static_cast<std::ptrdiff_t>(at));
  while (!command->children.empty()) {
    at = command_word(words, 0, command->flags + globals);
    if (at >= words.size()) break;
    const Command* child = find(command->children, words[at]);
    if (child == nullptr && command->run != nullptr) break;
    if (child == nullptr) return unknown(words[at], path, command->children);
    command = child;
    path += " " + child->name;
    words.erase(words.begin() + static_cast<std::ptrdiff_t>(at));
  }
  return run_leaf(*command, path, words);
}

}  // namespace kybern::cli
