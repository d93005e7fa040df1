#include "cli/cli.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "base/strings.h"
#include "cli/command.h"

namespace kybern::cli {

std::unexpected<Error> refuse(std::string what) { return fail(Code::invalid, "error: " + std::move(what)); }
std::unexpected<Error> refuse_usage(const Arguments& arguments, std::string what) {
  return fail(Code::invalid, "error: " + std::move(what) + "\nSee '" + arguments.path + " -h' for help and examples");
}

// In the order in which the help shows them.
std::vector<Command> all_commands() {
  return {create_command(),     expose_command(),      run_command(),          set_command(),          explain_command(),
          get_command(),        edit_command(),        delete_command(),       rollout_command(),      scale_command(),
          autoscale_command(),  certificate_command(), cluster_info_command(), top_command(),          cordon_command(),
          uncordon_command(),   drain_command(),       taint_command(),        describe_command(),     logs_command(),
          attach_command(),     exec_command(),        port_forward_command(), proxy_command(),        cp_command(),
          auth_command(),       debug_command(),       events_command(),       diff_command(),         apply_command(),
          patch_command(),      replace_command(),     wait_command(),         label_command(),        annotate_command(),
          completion_command(), config_command(),      version_command(),      api_versions_command(), api_resources_command()};
}

namespace {

std::string flag_lines(const std::vector<Flag>& flags) {
  std::string out;
  for (const Flag& flag : flags) {
    std::string head = flag.letter ? fmt::format("-{}, --{}", flag.letter, flag.name) : "    --" + flag.name;
    if (flag.kind != Flag::Kind::boolean) head += flag.bare.empty() ? "=..." : "[=...]";
    out += fmt::format("    {:<32}{}{}\n", head, flag.help,
                       flag.fallback.empty() || flag.fallback == "true" ? "" : " (default " + flag.fallback + ")");
  }
  return out;
}

std::string overview(const std::vector<Command>& commands) {
  std::string out = "kubectl controls a Kubernetes cluster.\n\nUsage:\n  kubectl COMMAND [flags]\n\nCommands:\n";
  for (const Command& command : commands) out += fmt::format("  {:<16}{}\n", command.name, command.summary);
  return out + "\n`kubectl COMMAND --help` tells about one command, `kubectl options` lists the flags that every command takes.\n";
}

std::string help_of(const Command& command, const std::string& path) {
  std::string out =
      fmt::format("{}: {}\n\nUsage:\n  {}{}{}\n", command.name, command.summary, path, command.usage.empty() ? "" : " ", command.usage);
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
  if (path != "kubectl") return complain(fmt::format("error: unknown command {}\nSee '{} -h' for help and examples", go_quote(word), path));
  std::vector<std::string> names;
  for (const Command& command : commands) names.push_back(command.name);
  const auto near = suggestions(word, names);
  return complain(fmt::format("error: unknown command {} for {}{}", go_quote(word), go_quote(path),
                              near.empty() ? "" : "\n\nDid you mean this?\n\t" + join(near, "\n\t")));
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
  const auto dash = std::find(words.begin(), words.end(), "--");
  const bool asked = std::find_if(words.begin(), dash, [](const std::string& word) { return word == "--help" || word == "-h"; }) != dash;
  if (command.run == nullptr) {  // a group: what was wanted of it was not said
    fmt::print(asked ? stdout : stderr, "{}", help_of(command, path));
    return asked ? 0 : 1;
  }
  auto arguments = Arguments::parse(command.flags + global_flags(), words);
  if (!arguments && !asked) { return complain(arguments.error().message + "\nSee '" + path + " --help' for usage."); }
  if (!arguments || arguments->on("help")) {
    fmt::print("{}", help_of(command, path));
    return 0;
  }
  arguments->path = path;
  if (auto complete = arguments->check_required(); !complete) return complain(complete.error().message);
  Session session(*arguments);
  auto status = command.run(session, *arguments);
  std::fflush(stdout);
  if (!session.deferred().empty()) complain(session.deferred());
  if (!status && !status.error().message.empty()) complain(status.error().message);
  if (!status || (!session.deferred().empty() && *status == 0)) return command.failure;
  if (arguments->on("warnings-as-errors") && session.warnings() > 0)
    return complain(fmt::format("error: {} warning{} received", session.warnings(), session.warnings() == 1 ? "" : "s"));
  return *status;
}

}  // namespace

namespace {

int run_words(const std::vector<std::string>& given) {
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
  const Command completes = complete_command();
  const Command* command = words[at] == completes.name ? &completes : find(commands, words[at]);
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

}  // namespace

int run(const std::vector<std::string>& arguments) {
  try {
    return run_words(arguments);
  } catch (const std::system_error&) {  // the reader of our output went away: printing throws then
    return 1;
  }
}

}  // namespace kybern::cli
