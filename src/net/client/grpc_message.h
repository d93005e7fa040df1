// gRPC's own layer on HTTP/2 (the "gRPC over HTTP2" protocol document): length-prefixed messages, statuses, time-outs.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/client.h"

namespace kybern::net {

constexpr std::size_t max_grpc_message_bytes = 16 << 20;  // either way, as CRI and etcd are used

// One byte of flags (0: not compressed), four of length in network order, then the message. Code::too_large above the limit.
Result<std::string> frame_grpc_message(std::string_view message);

// Bytes as they come to messages.
class GrpcAssembler {
 public:
  // Calls `sink` for every message that is complete. After an error the stream is of no use.
  Result<void> feed(std::string_view bytes, const std::function<void(std::string)>& sink);
  bool between_messages() const { return prefix_.empty() && !in_message_; }

 private:
  Result<void> read_prefix();
  std::string prefix_;  // up to 5 bytes
  bool in_message_ = false;
  std::size_t length_ = 0;
  std::string message_;
};

constexpr int grpc_ok = 0, grpc_cancelled = 1, grpc_unknown = 2, grpc_deadline_exceeded = 4, grpc_not_found = 5, grpc_already_exists = 6,
              grpc_permission_denied = 7, grpc_resource_exhausted = 8, grpc_unimplemented = 12, grpc_internal = 13, grpc_unavailable = 14,
              grpc_unauthenticated = 16;

// What a caller sees of a status that is not OK; a message that is empty becomes the status' name.
Error grpc_error(const GrpcStatus& status);
GrpcStatus grpc_status_of_http(int http_status);             // of an answer that is not gRPC's
GrpcStatus grpc_status_of_reset(std::uint32_t http2_error);  // of RST_STREAM

std::string decode_grpc_message(std::string_view percent_encoded);  // what is no escape is kept as it is
std::string grpc_timeout_value(std::chrono::milliseconds timeout);  // "60000m"; at most eight digits

}  // namespace kybern::net
