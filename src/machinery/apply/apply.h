// Server-side apply (KEP-555): who owns the fields of an object, and the object that a configuration makes of it.
//
// track() is called for every other write; apply() for a configuration. Both answer metadata.managedFields as it is to be
// stored: an array, or an empty document when nobody owns anything. Neither looks at a clock or a store.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/time.h"
#include "document/document.h"
#include "machinery/apply/compare.h"
#include "machinery/apply/managed.h"
#include "machinery/status.h"

namespace kybern::apply {

// The versions in which a resource can be seen. Fields are owned in the version that they were written in.
class Versions {
 public:
  virtual ~Versions() = default;
  virtual bool has(std::string_view api_version) const = 0;  // entries of a version that is gone are dropped
  virtual Place root(std::string_view api_version) const = 0;
  virtual Document convert(Value object, std::string_view from, std::string_view to) const = 0;
};

struct Write {
  const Versions& versions;
  std::string_view api_version;  // of the objects below: "apps/v1"
  std::string_view manager;      // as the request names it; empty: "unknown"
  std::string_view subresource;  // "", "status", ...
  std::string_view now;          // RFC 3339
  const FieldSet& reset;         // what this request cannot change, and so does not own: status, or spec in /status
  Value empty;                   // what the type's zero object looks like; absent: {}
  // What versions.root(), `reset` and `empty` hang on, when they stay the same as long as the process lives: the fields of a
  // new object are then remembered by its shape. Null: they are not.
  const void* kind = nullptr;
};

// `live` is absent for a new object. `given` are the managedFields that the request brought: a client may change them, or
// forget them with [] or [{}]; an absent, undecodable or empty list, and any list in a subresource, leaves the live ones.
Document track(const Write& write, Value live, Value now, Value given);

struct Applied {
  Document object;  // what to store, without metadata.managedFields
  Document managed;
};
// `config` is what the client wrote. 409 with a cause for each field that another manager owns, unless `force`; 400 and 500
// as upstream for a configuration that cannot be applied.
ApiResult<Applied> apply(const Write& write, Value live, Value config, bool force);

// metadata.managedFields of a Scale, and back: of the object only `replicas` (a path such as f:spec f:replicas) is in it.
// `written` are the entries of the Scale after a write.
Document scale_managers(Value parent, std::string_view api_version, std::span<const std::string_view> replicas);
Document parent_managers(Value parent, Value written, std::string_view api_version, std::span<const std::string_view> replicas);

// What the name of a client says in its User-Agent: everything before the first slash.
std::string manager_of_user_agent(std::string_view user_agent);

}  // namespace kybern::apply
