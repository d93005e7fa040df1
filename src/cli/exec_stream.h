// A process in a container, its streams over one WebSocket (v5.channel.k8s.io, v4.channel.k8s.io).
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/flags.h"
#include "cli/session.h"

namespace kybern::cli {

struct ContainerPlace {
  std::string path;  // of the pod, without a subresource
  std::string container;
};

struct ProcessStreams {
  int input_fd = -1;  // -1: none
  bool tty = false;   // the terminal's size is told, and standard input is put in raw mode
  std::function<void(bool error, std::string_view bytes)> output;
};

// exec or attach, until the process ends: its exit status, or what went wrong.
Result<int> converse(Session& session, const ContainerPlace& place, std::string_view subresource, const std::vector<std::string>& command,
                     const ProcessStreams& streams);
// What a command's end means for ours: tells of an exit status other than 0.
Result<int> told(Result<int> status);
// To our own standard output and error.
void copy_output(bool error, std::string_view bytes);
// The pod that `word` means (POD, TYPE/NAME) and the container of it; says on standard error which was chosen of several.
Result<ContainerPlace> find_container(Session& session, const Arguments& arguments, const std::string& word, std::string_view verb);

}  // namespace kybern::cli
