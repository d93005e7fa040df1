// What a call over HTTP/1.1 is made of, for the blocking client and for the loop that drives many connections.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "net/client.h"
#include "net/client/endpoint.h"
#include "net/client/http1_connection.h"

namespace kybern::net {

struct RequestBytes {
  std::string head;       // a short body with it
  std::string_view body;  // of the request: what is not in `head`
};
Result<RequestBytes> write_request(const Endpoint& endpoint, const ClientRequest& request);
Result<std::string> read_whole(Http1Connection& connection, std::size_t max_bytes, Instant deadline);  // the answer's body
Instant deadline_of(const ClientRequest& request);
Error while_awaiting_head(Error error);  // that of a time-out in the words of Go's client

}  // namespace kybern::net
