// completion: a script for bash; and what it asks for (`kubectl __complete WORD...`).
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cli/cli.h"
#include "cli/command.h"

namespace kybern::cli {
namespace {

// The words so far go to the program itself, which knows its commands, flags and the cluster's objects.
constexpr std::string_view bash_script = R"(# bash completion for kubectl: source <(kubectl completion bash)
__kubectl_complete() {
  local words=("${COMP_WORDS[@]:1:COMP_CWORD}") IFS=$'\n'
  COMPREPLY=()
  [[ "${COMP_WORDS[COMP_CWORD-1]}" == -f || "${COMP_WORDS[COMP_CWORD-1]}" == --filename ]] && { compopt -o default 2>/dev/null; return; }
  COMPREPLY=($("${COMP_WORDS[0]}" __complete -- "${words[@]}" 2>/dev/null))
  [[ ${#COMPREPLY[@]} == 1 && "${COMPREPLY[0]}" == *= ]] && compopt -o nospace 2>/dev/null
}
complete -F __kubectl_complete kubectl
)";

Result<int> completion(Session&, const Arguments& arguments) {
  if (arguments.words.empty()) return refuse_usage(arguments, "Shell not specified.");
  if (arguments.words.size() > 1) return refuse_usage(arguments, "Too many arguments. Expected only the shell type.");
  if (arguments.words[0] != "bash") return refuse_usage(arguments, "Unsupported shell type " + go_quote(arguments.words[0]) + ".");
  fmt::print("{}", bash_script);
  return 0;
}

// Names of a type's objects, or types when the word before is the command itself.
std::vector<std::string> objects(Session& session, const std::vector<std::string>& plain) {
  std::vector<std::string> out;
  auto discovery = session.discovery();
  if (!discovery) return out;
  if (plain.empty()) {
    for (const ApiResource& type : (*discovery)->preferred())
      if (type.can("get")) out.push_back(type.full_plural());
    return out;
  }
  auto type = (*discovery)->find(plain[0]);
  if (!type) return out;
  auto list = session.call("GET", (*type)->path(session.ns()), "limit=500");
  if (!list) return out;
  for (Value item : (*list)["items"].items()) out.push_back(item["metadata"]["name"].str());
  return out;
}

Result<int> complete(Session& session, const Arguments& arguments) {
  const std::string last = arguments.words.empty() ? "" : arguments.words.back();
  std::vector<std::string> found, plain;
  const std::vector<Command> commands = all_commands();
  const Command* command = nullptr;
  const std::vector<Command>* level = &commands;
  for (std::size_t i = 0; i + 1 < arguments.words.size(); ++i) {
    const std::string& word = arguments.words[i];
    if (word.starts_with('-')) continue;
    const auto child = std::find_if(level->begin(), level->end(), [&](const Command& c) {
      return c.name == word || std::find(c.aliases.begin(), c.aliases.end(), word) != c.aliases.end();
    });
    if (child == level->end() || !plain.empty()) {
      plain.push_back(word);
      continue;
    }
    command = &*child;
    level = &command->children;
  }
  if (last.starts_with('-')) {
    for (const Flag& flag : (command ? command->flags : std::vector<Flag>()) + global_flags())
      found.push_back("--" + flag.name + (flag.kind == Flag::Kind::boolean ? "" : "="));
  } else if (!level->empty()) {
    for (const Command& child : *level) found.push_back(child.name);
  } else if (command) {
    static const std::vector<std::string> of_pods{"logs", "exec", "attach", "port-forward", "cp"}, of_nodes{"cordon", "uncordon", "drain"};
    if (plain.empty() && std::find(of_pods.begin(), of_pods.end(), command->name) != of_pods.end()) plain = {"pods"};
    if (plain.empty() && std::find(of_nodes.begin(), of_nodes.end(), command->name) != of_nodes.end()) plain = {"nodes"};
    found = objects(session, plain);
  }
  std::sort(found.begin(), found.end());
  for (const std::string& word : found)
    if (word.starts_with(last)) fmt::print("{}\n", word);
  return 0;
}

}  // namespace

Command completion_command() { return {"completion", "a script that completes words in a shell", "bash", {}, completion}; }
Command complete_command() { return {"__complete", "", "", {}, complete}; }

}  // namespace kybern::cli
