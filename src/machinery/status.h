// meta/v1 Status: how the API says what went wrong. Made by the server, decoded by the client; every constructor below
// gives the code, reason and message that upstream gives for the same thing.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "document/document.h"

namespace kybern {

// One finding about one field: the causes of an Invalid status.
struct FieldError {
  enum class Type { not_found, required, duplicate, invalid, not_supported, forbidden, too_long, too_many, internal, type_invalid };
  Type type;
  std::string field;  // "spec.containers[0].name"
  std::string value;  // as upstream prints the bad value: "\"a b\"", "-1", "null"; empty for required and forbidden
  std::string detail;
  std::string message() const;      // without the field: `Invalid value: "a b": must ...`
  std::string_view reason() const;  // FieldValueInvalid, ...
};
using FieldErrors = std::vector<FieldError>;

struct StatusCause {
  std::string reason, message, field;
};

struct Status {
  int code = 500;
  std::string reason;  // "NotFound"; may be empty
  std::string message;
  std::string name, group, kind, uid;  // details; all empty and no causes: no details
  std::vector<StatusCause> causes;
  int retry_after_seconds = 0;
  bool empty_details = false;  // details are written even when nothing is in them (generic answers do so)
  bool success = false;        // status: Success, as deletes answer; reason and message stay empty

  bool is(std::string_view wanted_reason) const { return reason == wanted_reason; }
  Document document() const;                          // kind Status, apiVersion v1
  static std::optional<Status> read(Value document);  // of a decoded Status object
};
template <class T>
using ApiResult = std::expected<T, Status>;
inline std::unexpected<Status> fail(Status status) { return std::unexpected<Status>(std::move(status)); }

// `resource` is the plural, as in messages: pods "web" not found; deployments.apps "web" not found.
Status not_found(std::string_view group, std::string_view resource, std::string_view name);
Status already_exists(std::string_view group, std::string_view resource, std::string_view name);
Status conflict(std::string_view group, std::string_view resource, std::string_view name, std::string_view why);
Status invalid(std::string_view group, std::string_view kind, std::string_view name, const FieldErrors& errors);
Status bad_request(std::string message);
Status forbidden(std::string_view group, std::string_view resource, std::string_view name, std::string_view why);
Status unauthorized();
Status method_not_allowed(std::string_view group, std::string_view resource, std::string_view action);
Status gone(std::string message);  // 410, reason Expired
Status not_acceptable(std::string message);
Status unsupported_media_type(std::string message);
Status too_large(std::string message);
Status too_many_requests(std::string message, int retry_after_seconds);
Status server_timeout(std::string_view group, std::string_view resource, std::string_view action, int retry_after_seconds);
Status internal_error(std::string message);
Status service_unavailable(std::string message);
Status generic_not_found();           // "the server could not find the requested resource"
Status generic_method_not_allowed();  // "the server does not allow this method on the requested resource"
Status generic_unprocessable();       // 422 of a JSON patch that cannot be applied; the cause stays unsaid, as upstream
Status generate_name_conflict(std::string_view group, std::string_view resource, std::string_view name, int retry_after_seconds);
Status apply_conflict(std::vector<StatusCause> causes, std::string message);
Status timeout(std::string message, int retry_after_seconds);                                                    // 504, reason Timeout
Status deleted(std::string_view group, std::string_view resource, std::string_view name, std::string_view uid);  // 200, Success

// The status for an expected failure that no API rule names: the code decides, the message is the error's.
Status from_error(const Error& error);

}  // namespace kybern
