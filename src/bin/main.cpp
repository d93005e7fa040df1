// kybern: one program, many components. This is the one place where rooms meet.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "apiserver/server.h"
#include "base/log.h"

using namespace kybern;

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  apiserver::ServerOptions options;
  options.data_dir = "/var/lib/kybern";
  for (std::size_t i = 1; i + 1 < arguments.size(); i += 2) {
    if (arguments[i] == "--data-dir") options.data_dir = arguments[i + 1];
    else if (arguments[i] == "--bind-address") options.bind_address = arguments[i + 1];
    else if (arguments[i] == "--secure-port") options.secure_port = std::stoi(arguments[i + 1]);
    else if (arguments[i] == "--token-auth-file") options.token_file = arguments[i + 1];
  }
  auto server = apiserver::ApiServer::start(options, real_world());
  if (!server) {
    fmt::print(stderr, "kybern: {}\n", server.error().message);
    return 1;
  }
  log_info("apiserver", "serving", {{"port", std::to_string((*server)->port())}});
  int caught = 0;
  sigwait(&signals, &caught);
  (*server)->stop(std::chrono::seconds(2));
  return 0;
}
