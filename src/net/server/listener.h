// Listening sockets and what is said when there can be none.
#pragma once

#include <string>

#include "base/result.h"
#include "net/server.h"

struct sockaddr_storage;

namespace kybern::net {

Result<int> listen_on(const ServerOptions& options);     // a non-blocking descriptor
int port_of(int listen_fd);                              // 0 of a Unix socket
std::string peer_name(const sockaddr_storage& address);  // "127.0.0.1:40000", "[::1]:40000", "@" of a Unix socket
void tune_accepted(int fd, const ServerOptions& options);

}  // namespace kybern::net
