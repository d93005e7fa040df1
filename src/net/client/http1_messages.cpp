#include "net/client/http1_messages.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"

namespace kybern::net {
namespace {

constexpr std::size_t joined_body_bytes = 16 << 10;        // a body up to this size goes out together with its head
constexpr std::size_t max_reserved_body_bytes = 16 << 20;  // taken ahead for a body whose length is announced

Error while_reading_body(Error error) {
  if (error.code == Code::timeout) error.message = "context deadline exceeded (Client.Timeout or context cancellation while reading body)";
  return error;
}

}  // namespace

Error while_awaiting_head(Error error) {
  if (error.code == Code::timeout && error.message == "i/o timeout")
    error.message = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
  return error;
}

Result<RequestBytes> write_request(const Endpoint& endpoint, const ClientRequest& request) {
  bool plain_target = request.target.starts_with('/');
  for (unsigned char c : request.target) plain_target = plain_target && c > ' ' && c != 127;
  if (!plain_target) return fail(Code::invalid, fmt::format("invalid request target {}", go_quote(request.target)));
  if (!is_token(request.method)) return fail(Code::invalid, fmt::format("net/http: invalid method {}", go_quote(request.method)));
  std::string head = fmt::format("{} {}{} HTTP/1.1\r\n", request.method, endpoint.prefix, request.target);
  if (!request.headers.find("host")) head += fmt::format("host: {}\r\n", endpoint.authority);
  for (const auto& [name, value] : request.headers.fields()) {
    if (!is_token(name)) return fail(Code::invalid, fmt::format("net/http: invalid header field name {}", go_quote(name)));
    if (!is_field_value(value)) return fail(Code::invalid, fmt::format("net/http: invalid header field value for {}", go_quote(name)));
    if (name == "content-length") continue;  // said below, and truly
    if (name == "transfer-encoding") return fail(Code::invalid, "net/http: the body's transfer coding is the client's own matter");
    head.append(name).append(": ").append(value).append("\r\n");
  }
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT" || request.method == "PATCH")
    head += fmt::format("content-length: {}\r\n", request.body.size());
  head += "\r\n";
  RequestBytes bytes{std::move(head), request.body};
  if (bytes.body.size() <= joined_body_bytes) {
    bytes.head += bytes.body;
    bytes.body = {};
  }
  return bytes;
}

Result<std::string> read_whole(Http1Connection& connection, std::size_t max_bytes, Instant deadline) {
  auto too_large = [max_bytes] { return fail(Code::too_large, fmt::format("the response body is larger than {} bytes", max_bytes)); };
  if (connection.announced_bytes() > max_bytes) return too_large();
  std::string body;
  body.reserve(std::min<std::size_t>(static_cast<std::size_t>(connection.announced_bytes()), max_reserved_body_bytes));
  while (!connection.body_done()) {
    if (auto more = connection.read_body(body, deadline); !more) return std::unexpected(while_reading_body(more.error()));
    if (body.size() > max_bytes) return too_large();
  }
  return body;
}

Instant deadline_of(const ClientRequest& request) { return request.timeout.count() <= 0 ? no_deadline : deadline_after(request.timeout); }

}  // namespace kybern::net
