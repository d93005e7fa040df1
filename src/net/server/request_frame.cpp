#include "net/server/request_frame.h"

#include "net/server/connection.h"

namespace kybern::net {

void fill_connection_facts(Request& request, Connection& connection) {
  request.remote_address = connection.remote_address();
  request.tls = connection.tls();
  if (auto peer = connection.peer()) {
    request.peer = peer->certificate;
    request.peer_error = peer->error;
    request.proxy = peer->proxy;
  }
}

std::string too_large_message(std::size_t limit_bytes) { return "Request entity too large: limit is " + std::to_string(limit_bytes); }

}  // namespace kybern::net
