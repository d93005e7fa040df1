// exec and attach.
#include <fmt/format.h>
#include <unistd.h>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/exec_stream.h"

namespace kybern::cli {
namespace {

// -t without a terminal is told and left out.
bool wants_tty(const Arguments& arguments) {
  if (!arguments.on("tty")) return false;
  if (isatty(STDIN_FILENO)) return true;
  fmt::print(stderr, "Unable to use a TTY - input is not a terminal or the right kind of file\n");
  return false;
}

Result<int> exec(Session& session, const Arguments& arguments) {
  std::vector<std::string> words = arguments.words;
  if (arguments.given("filename")) words.insert(words.begin(), "");
  if (words.empty() || (arguments.dash == 0 && !arguments.given("filename")))
    return refuse("pod, type/name or --filename must be specified");
  if (words.size() < 2) return refuse("you must specify at least one command for the container");
  if (arguments.dash == Arguments::no_dash)
    return refuse_usage(arguments, "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead");
  const bool tty = wants_tty(arguments);
  auto place = find_container(session, arguments, words[0], "exec into");
  if (!place) return std::unexpected(place.error());
  return told(
      converse(session, *place, "exec", {words.begin() + 1, words.end()}, {arguments.on("stdin") ? STDIN_FILENO : -1, tty, copy_output}));
}

Result<int> attach(Session& session, const Arguments& arguments) {
  if (arguments.words.empty()) return refuse("at least 1 argument is required for attach");
  if (arguments.words.size() > 1)
    return refuse("expected POD, TYPE/NAME, or TYPE NAME, (at most 2 arguments) saw " + std::to_string(arguments.words.size()) + ": [" +
                  join(arguments.words, " ") + "]");
  const bool tty = wants_tty(arguments);
  auto place = find_container(session, arguments, arguments.words[0], "attach to");
  if (!place) return std::unexpected(place.error());
  if (!arguments.on("quiet")) fmt::print(stderr, "If you don't see a command prompt, try pressing enter.\n");
  return told(converse(session, *place, "attach", {}, {arguments.on("stdin") ? STDIN_FILENO : -1, tty, copy_output}));
}

std::vector<Flag> common() {
  using namespace flags;
  return {filename(),
          text("container", "in this container", "", 'c'),
          boolean("stdin", "pass standard input on", false, 'i'),
          boolean("tty", "with a terminal", false, 't'),
          boolean("quiet", "say less", false, 'q'),
          text("pod-running-timeout", "accepted for compatibility", "1m0s")};
}

}  // namespace

Command exec_command() {
  return {"exec", "run a command in a container", "(POD | TYPE/NAME) [-c CONTAINER] [-it] -- COMMAND...", common(), exec};
}
Command attach_command() {
  return {"attach", "join a container's own process", "(POD | TYPE/NAME) [-c CONTAINER] [-it]", common(), attach};
}

}  // namespace kybern::cli
