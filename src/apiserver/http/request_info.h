// What a request's method and path mean: the attributes that authorization, admission and the registry work on.
#pragma once

#include <string>
#include <string_view>

#include "apiserver/http/query.h"

namespace kybern::apiserver {

struct RequestInfo {
  std::string path;          // decoded, as it came
  bool is_resource = false;  // below /api/VERSION or /apis/GROUP/VERSION, with a resource
  std::string verb;          // get list watch create update patch delete deletecollection; for other paths the method in lower case
  std::string group, version, ns, resource, subresource, name;
  std::string field_selector, label_selector;  // as sent, of a list, watch or deletecollection
  std::string selected_name;                   // the name that it asks for: fieldSelector=metadata.name=NAME
  std::string rest;                            // of proxy paths: what follows the subresource, with its slash

  std::string group_version() const { return group.empty() ? version : group + "/" + version; }
};

// `path` is percent-encoded. The verb of a GET on a collection depends on `watch` in the query.
RequestInfo read_request_info(std::string_view method, std::string_view path, const Query& query);

}  // namespace kybern::apiserver
