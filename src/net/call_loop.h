// Calls over many HTTP/1.1 connections, made by one thread: a load that measures a server would spend more on a thread for
// each connection than on its calls.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "net/client.h"

namespace kybern::net {

// One thread's. Each connection has one call at a time.
class CallLoop {
 public:
  using Done = std::function<void(std::size_t connection, Result<Response> answer)>;

  // Connects nothing yet. A bad URL, bad PEM: Code::invalid.
  static Result<std::unique_ptr<CallLoop>> make(ClientOptions options, std::size_t connections);
  ~CallLoop();
  CallLoop(const CallLoop&) = delete;

  // Sends the request, after connecting where there is no good connection (it waits for that). Whatever comes of it, errors
  // as of HttpClient::call() but for the second attempt, is told by wait(). Not of a connection that is busy.
  void begin(std::size_t connection, const ClientRequest& request);
  bool busy(std::size_t connection) const;
  // Tells of what has come, and waits for the first until then: at least one call has ended, or `until` is over. `done` may
  // begin the next call.
  void wait(Instant until, const Done& done);

 private:
  struct Common;
  struct Line;
  CallLoop();
  Result<void> send(Line& line, std::size_t place, const ClientRequest& request);
  Result<Response> answer_of(Line& line);
  void close(Line& line);
  bool tell_failures(const Done& done);

  std::unique_ptr<Common> common_;
  std::vector<Line> lines_;
};

}  // namespace kybern::net
