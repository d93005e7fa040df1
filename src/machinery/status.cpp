#include "machinery/status.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/result.h"
#include "base/strings.h"

namespace kybern {
namespace {

using Type = FieldError::Type;

std::string qualified(std::string_view group, std::string_view name) {
  return group.empty() ? std::string(name) : fmt::format("{}.{}", name, group);
}

Status failure(int code, std::string_view reason, std::string message) {
  Status status;
  status.code = code;
  status.reason = reason;
  status.message = std::move(message);
  return status;
}

Status about(int code, std::string_view reason, std::string_view group, std::string_view kind, std::string_view name, std::string message) {
  Status status = failure(code, reason, std::move(message));
  status.group = group;
  status.kind = kind;
  status.name = name;
  status.empty_details = true;
  return status;
}

std::string_view title(Type type) {
  switch (type) {
    case Type::not_found: return "Not found";
    case Type::required: return "Required value";
    case Type::duplicate: return "Duplicate value";
    case Type::invalid:
    case Type::type_invalid: return "Invalid value";
    case Type::not_supported: return "Unsupported value";
    case Type::forbidden: return "Forbidden";
    case Type::too_long: return "Too long";
    case Type::too_many: return "Too many";
    case Type::internal: return "Internal error";
  }
  return "";
}

bool shows_value(Type type) {
  return type != Type::required && type != Type::forbidden && type != Type::too_long && type != Type::internal;
}

// "a", or "[a, b]"; equal texts are said once.
std::string aggregate(const FieldErrors& errors) {
  std::vector<std::string> texts;
  for (const FieldError& error : errors) {
    std::string text = fmt::format("{}: {}", error.field, error.message());
    if (std::find(texts.begin(), texts.end(), text) == texts.end()) texts.push_back(std::move(text));
  }
  return texts.size() == 1 ? texts.front() : fmt::format("[{}]", join(texts, ", "));
}

}  // namespace

std::string FieldError::message() const {
  std::string text(title(type));
  if (shows_value(type) && !value.empty()) text += ": " + value;
  if (!detail.empty()) text += ": " + detail;
  return text;
}

std::string_view FieldError::reason() const {
  switch (type) {
    case Type::not_found: return "FieldValueNotFound";
    case Type::required: return "FieldValueRequired";
    case Type::duplicate: return "FieldValueDuplicate";
    case Type::invalid: return "FieldValueInvalid";
    case Type::not_supported: return "FieldValueNotSupported";
    case Type::forbidden: return "FieldValueForbidden";
    case Type::too_long: return "FieldValueTooLong";
    case Type::too_many: return "FieldValueTooMany";
    case Type::internal: return "InternalError";
    case Type::type_invalid: return "FieldValueTypeInvalid";
  }
  return "";
}

Document Status::document() const {
  BlockWriter out;
  auto text = [&](std::string_view key, std::string_view value) {
    if (value.empty()) return;
    out.key(key);
    out.string(value);
  };
  out.begin_object();
  text("kind", "Status");
  text("apiVersion", "v1");
  out.key("metadata");
  out.begin_object();
  out.end_object();
  text("status", success ? "Success" : "Failure");
  text("message", message);
  text("reason", reason);
  if (empty_details || !name.empty() || !group.empty() || !kind.empty() || !uid.empty() || !causes.empty() || retry_after_seconds != 0) {
    out.key("details");
    out.begin_object();
    text("name", name);
    text("group", group);
    text("kind", kind);
    text("uid", uid);
    if (!causes.empty()) {
      out.key("causes");
      out.begin_array();
      for (const StatusCause& cause : causes) {
        out.begin_object();
        text("reason", cause.reason);
        text("message", cause.message);
        text("field", cause.field);
        out.end_object();
      }
      out.end_array();
    }
    if (retry_after_seconds != 0) {
      out.key("retryAfterSeconds");
      out.integer(retry_after_seconds);
    }
    out.end_object();
  }
  // A delete answers 200 without repeating the code in its body.
  if (!(success && code == 200)) {
    out.key("code");
    out.integer(code);
  }
  out.end_object();
  return out.finish();
}

std::optional<Status> Status::read(Value document) {
  if (document["kind"].as_string() != "Status") return std::nullopt;
  std::string_view version = document["apiVersion"].as_string();
  if (version != "v1" && version != "meta.k8s.io/v1") return std::nullopt;
  Status status;
  status.success = document["status"].as_string() == "Success";
  status.code = static_cast<int>(document["code"].as_int(status.success ? 200 : 500));
  status.reason = document["reason"].str();
  status.message = document["message"].str();
  Value details = document["details"];
  status.empty_details = details.is_object();
  status.name = details["name"].str();
  status.group = details["group"].str();
  status.kind = details["kind"].str();
  status.uid = details["uid"].str();
  status.retry_after_seconds = static_cast<int>(details["retryAfterSeconds"].as_int());
  for (Value cause : details["causes"].items()) {
    status.causes.push_back({cause["reason"].str(), cause["message"].str(), cause["field"].str()});
  }
  return status;
}

Status not_found(std::string_view group, std::string_view resource, std::string_view name) {
  return about(404, "NotFound", group, resource, name, fmt::format("{} {} not found", qualified(group, resource), go_quote(name)));
}

Status already_exists(std::string_view group, std::string_view resource, std::string_view name) {
  return about(409, "AlreadyExists", group, resource, name,
               fmt::format("{} {} already exists", qualified(group, resource), go_quote(name)));
}

Status generate_name_conflict(std::string_view group, std::string_view resource, std::string_view name, int retry_after_seconds) {
  Status status = about(409, "AlreadyExists", group, resource, name,
                        fmt::format("{} {} already exists, the server was not able to generate a unique name for the object",
                                    qualified(group, resource), go_quote(name)));
  status.retry_after_seconds = retry_after_seconds;
  return status;
}

Status conflict(std::string_view group, std::string_view resource, std::string_view name, std::string_view why) {
  return about(409, "Conflict", group, resource, name,
               fmt::format("Operation cannot be fulfilled on {} {}: {}", qualified(group, resource), go_quote(name), why));
}

Status apply_conflict(std::vector<StatusCause> causes, std::string message) {
  Status status = failure(409, "Conflict", std::move(message));
  status.causes = std::move(causes);
  status.empty_details = true;
  return status;
}

Status invalid(std::string_view group, std::string_view kind, std::string_view name, const FieldErrors& errors) {
  std::string message = fmt::format("{} {} is invalid", qualified(group, kind), go_quote(name));
  if (!errors.empty()) message += ": " + aggregate(errors);
  Status status = about(422, "Invalid", group, kind, name, std::move(message));
  status.causes.reserve(errors.size());
  for (const FieldError& error : errors) status.causes.push_back({std::string(error.reason()), error.message(), error.field});
  return status;
}

Status bad_request(std::string message) { return failure(400, "BadRequest", std::move(message)); }

Status forbidden(std::string_view group, std::string_view resource, std::string_view name, std::string_view why) {
  std::string message;
  if (group.empty() && resource.empty()) {
    message = fmt::format("forbidden: {}", why);
  } else if (name.empty()) {
    message = fmt::format("{} is forbidden: {}", qualified(group, resource), why);
  } else {
    message = fmt::format("{} {} is forbidden: {}", qualified(group, resource), go_quote(name), why);
  }
  return about(403, "Forbidden", group, resource, name, std::move(message));
}

Status unauthorized() { return failure(401, "Unauthorized", "Unauthorized"); }

Status method_not_allowed(std::string_view group, std::string_view resource, std::string_view action) {
  return about(405, "MethodNotAllowed", group, resource, {},
               fmt::format("{} is not supported on resources of kind {}", action, go_quote(qualified(group, resource))));
}

Status gone(std::string message) { return failure(410, "Expired", std::move(message)); }
Status not_acceptable(std::string message) { return failure(406, "NotAcceptable", std::move(message)); }
Status unsupported_media_type(std::string message) { return failure(415, "UnsupportedMediaType", std::move(message)); }

Status too_large(std::string message) { return failure(413, "RequestEntityTooLarge", "Request entity too large: " + std::move(message)); }

Status too_many_requests(std::string message, int retry_after_seconds) {
  Status status = failure(429, "TooManyRequests", std::move(message));
  status.retry_after_seconds = retry_after_seconds;
  status.empty_details = true;
  return status;
}

Status server_timeout(std::string_view group, std::string_view resource, std::string_view action, int retry_after_seconds) {
  Status status = about(500, "ServerTimeout", group, resource, action,
                        fmt::format("The {} operation against {} could not be completed at this time, please try again.", action,
                                    qualified(group, resource)));
  status.retry_after_seconds = retry_after_seconds;
  return status;
}

Status timeout(std::string message, int retry_after_seconds) {
  Status status = failure(504, "Timeout", "Timeout: " + std::move(message));
  status.retry_after_seconds = retry_after_seconds;
  status.empty_details = true;
  return status;
}

Status internal_error(std::string message) {
  Status status = failure(500, "InternalError", "Internal error occurred: " + message);
  status.causes.push_back({"", std::move(message), ""});
  return status;
}

Status service_unavailable(std::string message) { return failure(503, "ServiceUnavailable", std::move(message)); }

Status generic_not_found() { return about(404, "NotFound", {}, {}, {}, "the server could not find the requested resource"); }

Status generic_method_not_allowed() {
  return about(405, "MethodNotAllowed", {}, {}, {}, "the server does not allow this method on the requested resource");
}

Status generic_unprocessable() {
  return about(422, "Invalid", {}, {}, {}, "the server rejected our request due to an error in our request");
}

Status deleted(std::string_view group, std::string_view resource, std::string_view name, std::string_view uid) {
  Status status = about(200, {}, group, resource, name, {});
  status.uid = uid;
  status.success = true;
  return status;
}

Status from_error(const Error& error) {
  switch (error.code) {
    case Code::invalid: return bad_request(error.message);
    case Code::not_found: return failure(404, "NotFound", error.message);
    case Code::already_exists: return failure(409, "AlreadyExists", error.message);
    case Code::conflict: return failure(409, "Conflict", error.message);
    case Code::forbidden: return failure(403, "Forbidden", error.message);
    case Code::too_large: return too_large(error.message);
    case Code::expired: return gone(error.message);
    case Code::timeout: return timeout(error.message, 0);
    case Code::unavailable: return service_unavailable(error.message);
    case Code::canceled: return timeout(error.message, 0);
    case Code::unsupported: return failure(501, "", error.message);
    case Code::internal: return internal_error(error.message);
  }
  return internal_error(error.message);
}

}  // namespace kybern
