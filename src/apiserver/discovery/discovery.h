// What the server says of itself: groups, resources, OpenAPI, version.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/http/media.h"
#include "apiserver/registry/served.h"
#include "base/time.h"
#include "net/http.h"

namespace kybern::apiserver {

// The kind of table or partial form that a client asked for, made of one object or of a list's items.
struct TableOptions {
  bool include_full_object = false;  // includeObject=Object
  bool include_none = false;         // includeObject=None
  Time now;
  std::string_view api_version = "meta.k8s.io/v1";  // of the Table and what is in it
};
// The header of a Table: columnDefinitions.
Draft table_columns(const Served& served);
// One row of it.
Draft table_row(const Served& served, Value object, const TableOptions& options);
// The same of the Scale that the subresource of one answers with.
Draft scale_columns(const Served& served);
Draft scale_row(Value scale, const TableOptions& options);
// kind PartialObjectMetadata.
Draft partial_metadata(Value object, std::string_view api_version = "meta.k8s.io/v1");

// A group-version that another server serves (aggregation/aggregator.h).
struct ExternalVersion {
  std::string group, version;
  std::int64_t group_priority = 0, version_priority = 0;
  bool current = false;      // it answers
  Document resources;        // APIResourceList, as it gave it; may be empty
  std::string openapi_hash;  // of its OpenAPI v3 document; "" when it has none
  Document openapi_v2;       // what it says in OpenAPI v2, and its tag there; empty when it has none
  std::string openapi_v2_tag;
};

class Discovery {
 public:
  explicit Discovery(const Catalog& catalog) : catalog_(catalog) {}
  void set_external(std::function<std::vector<ExternalVersion>()> external) { external_ = std::move(external); }
  // Answers /api, /apis, /apis/GROUP, /api/VERSION, /apis/GROUP/VERSION, /openapi/..., /version; empty for other paths.
  std::optional<net::Response> answer(const net::Request& request, std::string_view path) const;

 private:
  const Catalog& catalog_;
  std::function<std::vector<ExternalVersion>()> external_;
};

std::string_view server_version();  // "v1.36.0"

}  // namespace kybern::apiserver
