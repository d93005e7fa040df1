// Objects of built-in kinds for tests of their rules, written as JSON without what every object has.
#pragma once

#include <string>
#include <string_view>

#include "base/check.h"
#include "document/json.h"
#include "machinery/defaults/defaults.h"
#include "machinery/status.h"
#include "schema/convert.h"

namespace kybern::testing {

inline std::string findings(const FieldErrors& errors) {
  std::string out;
  for (const FieldError& error : errors) out += (out.empty() ? "" : " | ") + error.field + ": " + error.message();
  return out;
}

struct Typed {
  const schema::Resource* resource = nullptr;
  Document object;
};

// Of a JSON object without its metadata.
inline Typed typed(std::string_view group, std::string_view version, std::string_view kind, std::string_view text) {
  Typed out;
  out.resource = schema::find_kind(group, version, kind);
  auto parsed = parse_json(text);
  KYBERN_CHECK(out.resource != nullptr && parsed, "a test names a kind and writes JSON");
  Draft draft(*parsed);
  draft["apiVersion"] = group.empty() ? std::string(version) : std::string(group) + "/" + std::string(version);
  draft["kind"] = kind;
  if (draft.find("metadata") == nullptr) draft["metadata"]["name"] = "a";
  if (out.resource->namespaced) draft["metadata"]["namespace"] = "ns";
  auto fitted = schema::to_typed(*out.resource->type, draft.freeze());
  KYBERN_CHECK(fitted, "a test's object has the fields of its kind");
  Draft defaulted(*fitted);
  apply_defaults(*out.resource, defaulted);
  out.object = defaulted.freeze();
  return out;
}

// As it is stored, for rules about changes.
inline Typed stored(std::string_view group, std::string_view version, std::string_view kind, std::string_view text) {
  Typed one = typed(group, version, kind, text);
  Draft draft(one.object);
  draft["metadata"]["resourceVersion"] = "1";
  draft["metadata"]["uid"] = "u";
  return {one.resource, draft.freeze()};
}

}  // namespace kybern::testing
