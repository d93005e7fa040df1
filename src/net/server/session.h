// The protocol spoken on a connection. Reactor thread only.
#pragma once

#include <memory>
#include <string_view>

#include "base/time.h"

namespace kybern::net {

class Connection;

class Session {
 public:
  virtual ~Session() = default;
  virtual void on_bytes(std::string_view bytes) = 0;  // from the peer
  virtual void on_eof() = 0;                          // the peer sends no more
  virtual void fill() = 0;                            // puts into the connection's out() what is ready, within bounds
  virtual void on_sent() = 0;                         // out() has become shorter
  virtual void on_deadline(Instant now) = 0;          // the deadline set on the connection has passed
  virtual void on_gone() = 0;                         // the connection is closed: tell whoever waits
  virtual bool idle() const = 0;                      // between requests: nobody loses anything when it is closed
  virtual void stop() = 0;                            // begin no more exchanges, close when those under way are done
};

std::unique_ptr<Session> make_http1_session(Connection& connection);
std::unique_ptr<Session> make_http2_session(Connection& connection);

}  // namespace kybern::net
