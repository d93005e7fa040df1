// From any JSON to what upstream's typed round trip makes of it: every write goes through here, before defaulting.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "schema/schema.h"

namespace kybern::schema {

// What strict field validation complains about, each once and at most `report_max` of them, in the wording and the path
// form of upstream's decoder: unknown field "spec.containers[0].imagee".
struct DecodeReport {
  static constexpr std::size_t report_max = 100;
  std::vector<std::string> unknown_fields;    // texts: unknown field "a.b"
  std::vector<std::string> duplicate_fields;  // paths, from the parser: pass &duplicate_fields as JsonOptions::duplicates
  std::string text() const;  // unknown field "a.b", duplicate field "a.c"; the API puts `strict decoding error: ` before it
};

// The value as the type's JSON: unknown fields, nulls and empty optional fields are left out, fields that are always
// shown are there with their zero value (resources: {}, rules: null), times are in UTC, durations and base64 canonical,
// numbers in quantities become strings. Fields behind a feature gate that is off are left out. The order of members is
// the input's.
//
// Code::invalid on a value of the wrong kind, with the message of upstream's decoder, which the API shows after
// `Pod in version "v1" cannot be handled as a Pod: `:
//   json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32
// Upstream decodes on after a wrong kind and reports the first, unless a later value fails to parse; so does this.
Result<Document> to_typed(const Type& type, Value value, DecodeReport* report = nullptr);

// The errors of values that are texts with a grammar, as upstream's decoders word them; "" when the text is good.
std::string quantity_error(std::string_view text);
std::string time_error(std::string_view text, bool micro);
std::string duration_error(std::string_view text);

}  // namespace kybern::schema
