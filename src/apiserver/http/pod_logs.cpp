#include "apiserver/http/pod_logs.h"

#include <fmt/format.h>

#include <tuple>

#include "base/strings.h"
#include "base/time.h"
#include "machinery/field.h"

namespace kybern::apiserver {

ApiResult<void> check_log_options(const Work& work) {
  auto given = [&](std::string_view option) { return !work.query.get(option).empty(); };
  FieldErrors errors;
  for (const auto& [option, least, why] :
       {std::tuple("tailLines", 0, "must be greater than or equal to 0"), std::tuple("limitBytes", 1, "must be greater than 0"),
        std::tuple("sinceSeconds", 1, "must be greater than 0")}) {
    if (!given(option)) continue;
    const std::string text = work.query.get(option);
    auto number = parse_int(text);
    if (!number) return fail(bad_request(fmt::format("strconv.ParseInt: parsing {}: invalid syntax", go_quote(text))));
    if (option == std::string_view("sinceSeconds") && given("sinceTime")) continue;
    if (*number < least) errors.push_back(field::invalid(Path(option), *number, why));
  }
  auto forbid = [&](const char* why) { errors.push_back({FieldError::Type::forbidden, "", "", why}); };
  if (const std::string text = work.query.get("sinceTime"); !text.empty() && !parse_rfc3339(text))
    return fail(
        bad_request(fmt::format("parsing time {0} as \"2006-01-02T15:04:05Z07:00\": cannot parse {0} as \"2006\"", go_quote(text))));
  if (given("sinceSeconds") && given("sinceTime")) forbid("at most one of `sinceTime` or `sinceSeconds` may be specified");
  if (const std::string stream = work.query.get("stream"); !stream.empty()) {
    if (stream != "All" && stream != "Stdout" && stream != "Stderr")
      errors.push_back({FieldError::Type::not_supported, "stream", go_quote(stream), "supported values: \"All\", \"Stderr\", \"Stdout\""});
    if (stream != "All" && given("tailLines")) forbid("`tailLines` and specific `stream` are mutually exclusive for now");
  }
  if (!errors.empty()) return fail(invalid("", "PodLogOptions", work.name, errors));
  return {};
}

Status log_refusal(int code, std::string text, std::string_view pod) {
  if (code == 500) return internal_error(std::move(text));
  if (code == 400) return bad_request(std::move(text));
  struct Known {
    int code;
    const char *reason, *message;
  };
  static constexpr Known known[] = {
      {401, "Unauthorized", "the server has asked for the client to provide credentials"},
      {404, "NotFound", "the server could not find the requested resource"},
      {405, "MethodNotAllowed", "the server does not allow this method on the requested resource"},
      {422, "Invalid", "the server rejected our request due to an error in our request"},
      {429, "TooManyRequests", "the server has received too many requests and has asked us to try again later"},
      {503, "ServiceUnavailable", "the server is currently unable to handle the request"},
  };
  Status status;
  status.code = code;
  status.kind = "pods/log";
  status.name = pod;
  std::string message = fmt::format("the server responded with the status code {} but did not return more information", code);
  if (code == 403) {
    status.reason = "Forbidden";
    message = text;
  } else if (code > 500 && code != 503) {
    status.reason = "InternalError";
    message = fmt::format("an error on the server ({}) has prevented the request from succeeding", go_quote(text));
  }
  for (const Known& one : known)
    if (one.code == code) status.reason = one.reason, message = one.message;
  status.message = fmt::format("{} ( pods/log {})", message, pod);
  return status;
}

}  // namespace kybern::apiserver
