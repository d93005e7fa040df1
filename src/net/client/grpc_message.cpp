#include "net/client/grpc_message.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"

namespace kybern::net {
namespace {

constexpr std::size_t prefix_bytes = 5;
constexpr std::size_t max_reserved_message_bytes = 1 << 20;  // a length alone does not make us take memory

std::string_view name_of(int code) {
  static constexpr std::string_view names[] = {"OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
                                               "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
                                               "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
                                               "DataLoss", "Unauthenticated"};
  return code >= 0 && code < static_cast<int>(std::size(names)) ? names[code] : "Unknown";
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

Result<std::string> frame_grpc_message(std::string_view message) {
  if (message.size() > max_grpc_message_bytes)
    return fail(Code::too_large,
                fmt::format("grpc: trying to send message larger than max ({} vs. {} bytes)", message.size(), max_grpc_message_bytes));
  std::string frame;
  frame.reserve(prefix_bytes + message.size());
  frame += '\0';
  for (int shift = 24; shift >= 0; shift -= 8) frame += static_cast<char>(message.size() >> shift & 0xff);
  frame += message;
  return frame;
}

Result<void> GrpcAssembler::read_prefix() {
  unsigned char flags = static_cast<unsigned char>(prefix_[0]);
  length_ = 0;
  for (std::size_t i = 1; i < prefix_bytes; ++i) length_ = length_ << 8 | static_cast<unsigned char>(prefix_[i]);
  prefix_.clear();
  if (flags == 1) return fail(Code::internal, "grpc: compressed flag set with identity or empty encoding");
  if (flags != 0) return fail(Code::internal, fmt::format("grpc: received unexpected payload format {}", flags));
  if (length_ > max_grpc_message_bytes)
    return fail(Code::too_large, fmt::format("grpc: received message larger than max ({} vs. {} bytes)", length_, max_grpc_message_bytes));
  in_message_ = true;
  message_.clear();
  message_.reserve(std::min(length_, max_reserved_message_bytes));
  return {};
}

Result<void> GrpcAssembler::feed(std::string_view bytes, const std::function<void(std::string)>& sink) {
  for (;;) {
    if (!in_message_) {
      std::size_t count = std::min(prefix_bytes - prefix_.size(), bytes.size());
      prefix_ += bytes.substr(0, count);
      bytes.remove_prefix(count);
      if (prefix_.size() < prefix_bytes) return {};
      if (auto read = read_prefix(); !read) return read;
    }
    std::size_t count = std::min(length_ - message_.size(), bytes.size());
    message_ += bytes.substr(0, count);
    bytes.remove_prefix(count);
    if (message_.size() < length_) return {};
    in_message_ = false;
    sink(std::move(message_));
    std::string().swap(message_);
  }
}

Error grpc_error(const GrpcStatus& status) {
  Error error{Code::internal, status.message.empty() ? std::string(name_of(status.code)) : status.message};
  switch (status.code) {
    case grpc_cancelled: error.code = Code::canceled; break;
    case grpc_deadline_exceeded: error.code = Code::timeout; break;
    case grpc_not_found: error.code = Code::not_found; break;
    case grpc_already_exists: error.code = Code::already_exists; break;
    case grpc_unimplemented: error.code = Code::unsupported; break;
    case grpc_unavailable: error.code = Code::unavailable; break;
    default: break;
  }
  return error;
}

GrpcStatus grpc_status_of_http(int http_status) {
  int code = grpc_unknown;
  switch (http_status) {
    case 400: code = grpc_internal; break;
    case 401: code = grpc_unauthenticated; break;
    case 403: code = grpc_permission_denied; break;
    case 404: code = grpc_unimplemented; break;
    case 429:
    case 502:
    case 503:
    case 504: code = grpc_unavailable; break;
    default: break;
  }
  return {code, fmt::format("unexpected HTTP status code received from server: {} ({})", http_status, reason_phrase(http_status))};
}

GrpcStatus grpc_status_of_reset(std::uint32_t http2_error) {
  static constexpr std::string_view names[] = {"NO_ERROR",
                                               "PROTOCOL_ERROR",
                                               "INTERNAL_ERROR",
                                               "FLOW_CONTROL_ERROR",
                                               "SETTINGS_TIMEOUT",
                                               "STREAM_CLOSED",
                                               "FRAME_SIZE_ERROR",
                                               "REFUSED_STREAM",
                                               "CANCEL",
                                               "COMPRESSION_ERROR",
                                               "CONNECT_ERROR",
                                               "ENHANCE_YOUR_CALM",
                                               "INADEQUATE_SECURITY",
                                               "HTTP_1_1_REQUIRED"};
  int code = grpc_internal;
  if (http2_error == 7) code = grpc_unavailable;
  if (http2_error == 8) code = grpc_cancelled;
  if (http2_error == 11) code = grpc_resource_exhausted;
  if (http2_error == 12) code = grpc_permission_denied;
  return {code, fmt::format("stream terminated by RST_STREAM with error code: {}",
                            http2_error < std::size(names) ? names[http2_error] : "unknown")};
}

std::string decode_grpc_message(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    int high = text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
    if (low < 0) {
      out += text[i];
      continue;
    }
    out += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return out;
}

std::string grpc_timeout_value(std::chrono::milliseconds timeout) {
  std::int64_t count = std::max<std::int64_t>(timeout.count(), 1);
  constexpr std::int64_t most = 99'999'999;
  if (count <= most) return fmt::format("{}m", count);
  return fmt::format("{}S", std::min(count / 1000, most));
}

}  // namespace kybern::net
