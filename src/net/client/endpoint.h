// Where a client connects to, and how the socket is made.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace kybern::net {

struct Endpoint {
  bool tls = false;
  bool local = false;  // a Unix socket: `path` counts
  std::string path;    // of the socket; a leading '@' names an abstract one
  std::string host;    // a name or an address, IPv6 without brackets
  int port = 0;
  std::string authority;  // what Host and :authority carry: "10.0.0.1:6443", "localhost" for a Unix socket
  std::string prefix;     // path of the URL without a trailing '/': "" or "/k8s/clusters/c-1"
};

// https://host[:port][/prefix], http://..., unix:///path. Code::invalid otherwise.
Result<Endpoint> parse_endpoint(std::string_view url);

bool is_ip_address(const std::string& host);

constexpr Instant no_deadline = Instant::max();
Instant deadline_after(Duration limit);  // from now; no overflow

// Waits until the descriptor is ready for any of `events` (poll(2)); 0 at the deadline, otherwise the events that came.
short wait_ready(int fd, short events, Instant deadline);

// A connected, non-blocking socket. Several addresses of a name are tried in turn. Errors read as Go's do:
// "dial tcp 127.0.0.1:6443: connect: connection refused" (Code::unavailable), "...: i/o timeout" (Code::timeout).
Result<int> dial(const Endpoint& endpoint, Instant deadline);

std::string error_text(int error);  // "connection refused"

}  // namespace kybern::net
