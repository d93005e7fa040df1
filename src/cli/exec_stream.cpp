#include "cli/exec_stream.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <thread>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/subjects.h"
#include "cli/workload.h"
#include "document/json.h"

namespace kybern::cli {
namespace {

enum Channel : char { stdin_channel = 0, stdout_channel = 1, stderr_channel = 2, error_channel = 3, resize_channel = 4 };
constexpr char close_channel = static_cast<char>(255);  // v5: its byte names the channel that ends
constexpr int look_interval_ms = 200;                   // at the window's size, and whether the process has ended
constexpr std::size_t piece_bytes = 32 << 10;

class RawTerminal {  // puts the terminal back however the command ends
 public:
  explicit RawTerminal(bool wanted) {
    if (!wanted || !isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios raw = before_;
    cfmakeraw(&raw);
    active_ = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
  }
  ~RawTerminal() {
    if (active_) tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  termios before_{};
  bool active_ = false;
};

Result<void> send(net::WebSocketClient& socket, char channel, std::string_view bytes) {
  return socket.write(net::WebSocketOpcode::binary, std::string(1, channel) + std::string(bytes));
}

// Sends what is typed, and the window's size whenever it changes, until the process has ended.
void feed(net::WebSocketClient& socket, const ProcessStreams& streams, const std::atomic<bool>& over) {
  winsize last{};
  bool open = streams.input_fd >= 0;
  while (!over && (open || streams.tty)) {
    winsize now{};
    if (streams.tty && ioctl(STDIN_FILENO, TIOCGWINSZ, &now) == 0 && (now.ws_col != last.ws_col || now.ws_row != last.ws_row)) {
      last = now;
      if (!send(socket, resize_channel, fmt::format("{{\"Width\":{},\"Height\":{}}}", now.ws_col, now.ws_row))) return;
    }
    pollfd wait{open ? streams.input_fd : -1, POLLIN, 0};
    if (poll(&wait, 1, look_interval_ms) <= 0) continue;
    std::string piece(piece_bytes, '\0');
    const ssize_t got = read(streams.input_fd, piece.data(), piece.size());
    if (got > 0) {
      piece.resize(static_cast<std::size_t>(got));
      if (!send(socket, stdin_channel, piece)) return;
    } else {
      open = false;
      if (socket.protocol() == "v5.channel.k8s.io") (void)send(socket, close_channel, std::string(1, stdin_channel));
    }
  }
}

// The Status at the end: the exit status, or what went wrong.
Result<int> outcome(std::string_view text) {
  auto status = parse_json(text);
  if (!status) return refuse("the end of the command cannot be read: " + std::string(text));
  if ((*status)["status"].as_string() == "Success") return 0;
  if ((*status)["reason"].as_string() == "NonZeroExitCode") {
    for (Value cause : (*status)["details"]["causes"].items()) {
      if (cause["reason"].as_string() != "ExitCode") continue;
      const auto code = parse_int(cause["message"].as_string());
      if (!code) break;
      return static_cast<int>(*code);
    }
  }
  if (auto read = Status::read(*status)) return std::unexpected(Error{Code::internal, "error: " + read->message});
  return refuse(std::string(text));
}

}  // namespace

Result<int> told(Result<int> status) {
  if (status && *status != 0) fmt::print(stderr, "command terminated with exit code {}\n", *status);
  return status;
}

void copy_output(bool error, std::string_view bytes) {
  FILE* out = error ? stderr : stdout;
  std::fwrite(bytes.data(), 1, bytes.size(), out);
  if (std::fflush(out) == 0 || errno != EPIPE) return;
  std::signal(SIGPIPE, SIG_DFL);  // nobody reads any more: `kubectl exec pod -- yes | head`
  std::raise(SIGPIPE);
}

Result<int> converse(Session& session, const ContainerPlace& place, std::string_view subresource, const std::vector<std::string>& command,
                     const ProcessStreams& streams) {
  std::string query = query_of({{"container", place.container},
                                {"stdin", streams.input_fd >= 0 ? "true" : ""},
                                {"stdout", "true"},
                                {"stderr", streams.tty ? "" : "true"},
                                {"tty", streams.tty ? "true" : ""}});
  for (const std::string& word : command) query += "&command=" + url_encode(word);
  auto socket = session.websocket(place.path + "/" + std::string(subresource), query, {"v5.channel.k8s.io", "v4.channel.k8s.io"});
  if (!socket) return std::unexpected(shown(socket.error()));
  Result<int> result = 0;
  std::string failure;
  {
    RawTerminal raw(streams.tty);
    std::atomic<bool> over = false;
    std::thread feeder([&] { feed(**socket, streams, over); });
    while (true) {
      auto message = (*socket)->read();
      if (!message) {
        if (message.error().code != Code::not_found && failure.empty()) result = refuse(message.error().message);
        break;
      }
      if (message->opcode == net::WebSocketOpcode::close) break;
      if (message->payload.empty()) continue;
      const std::string_view bytes = std::string_view(message->payload).substr(1);
      if (message->payload[0] == stdout_channel || message->payload[0] == stderr_channel) {
        streams.output(message->payload[0] == stderr_channel, bytes);
      } else if (message->payload[0] == error_channel) {
        failure += bytes;
        if (parse_json(failure)) break;  // nothing comes after it
      }
    }
    over = true;
    (*socket)->close();
    feeder.join();
  }
  if (!failure.empty()) return outcome(failure);
  return result;
}

Result<ContainerPlace> find_container(Session& session, const Arguments& arguments, const std::string& word, std::string_view verb) {
  auto subject = one_subject(session, word, "pods");
  if (!subject) return std::unexpected(subject.error());
  auto pods = pods_of(session, *subject);
  if (!pods) return std::unexpected(pods.error());
  if (pods->empty()) return refuse("no pods found for " + subject->shown());
  const Value pod = pods->front();
  const std::string_view phase = pod["status"]["phase"].as_string();
  if (phase == "Succeeded" || phase == "Failed")
    return refuse(fmt::format("cannot {} a container in a completed pod; current phase is {}", verb, phase));
  std::string container = arguments.text("container");
  if (container.empty()) {
    container = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].str();
    if (container.empty()) {
      container = pod["spec"]["containers"][0]["name"].str();
      std::vector<std::string> names;
      for (Value c : pod["spec"]["containers"].items()) names.push_back(c["name"].str());
      for (Value c : pod["spec"]["ephemeralContainers"].items()) names.push_back(c["name"].str() + " (ephem)");
      for (Value c : pod["spec"]["initContainers"].items()) names.push_back(c["name"].str() + " (init)");
      if (names.size() > 1 && !arguments.on("quiet"))
        fmt::print(stderr, "Defaulted container {} out of: {}\n", go_quote(container), join(names, ", "));
    }
  }
  return ContainerPlace{fmt::format("/api/v1/namespaces/{}/pods/{}", url_encode(pod["metadata"]["namespace"].as_string()),
                                    url_encode(pod["metadata"]["name"].as_string())),
                        container};
}

}  // namespace kybern::cli
