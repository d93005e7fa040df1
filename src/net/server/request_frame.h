// A request that is being received, and what both protocols do with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/time.h"
#include "net/http.h"
#include "net/http1.h"

namespace kybern::net {

class Connection;

constexpr std::size_t max_header_fields = 1000;
constexpr std::size_t body_time_bytes = 64 << 10;  // every so many bytes of a body buy another body_timeout

struct RequestFrame {
  Request request;
  std::size_t limit_bytes = 0;             // of the body
  std::uint64_t left_bytes = 0;            // of an announced length
  std::unique_ptr<ChunkedDecoder> chunks;  // HTTP/1
  std::size_t reserved_bytes = 0;          // counted at the server
  std::size_t timed_bytes = 0;             // received when the deadline was last moved
};

void fill_connection_facts(Request& request, Connection& connection);
std::string too_large_message(std::size_t limit_bytes);

}  // namespace kybern::net
