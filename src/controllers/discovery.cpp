#include "controllers/discovery.h"

#include <algorithm>

namespace kybern::controllers {
namespace {

void add_resources(const Document& list, std::string_view api_version, std::vector<ApiResource>& out) {
  for (Value entry : list["resources"].items()) {
    const std::string_view name = entry["name"].as_string();
    if (name.empty() || name.find('/') != std::string_view::npos) continue;
    ApiResource resource{std::string(api_version), std::string(name), entry["kind"].str(), entry["namespaced"].as_bool(), {}};
    for (Value verb : entry["verbs"].items()) resource.verbs.push_back(verb.str());
    out.push_back(std::move(resource));
  }
}

}  // namespace

bool ApiResource::can(std::string_view verb) const { return std::find(verbs.begin(), verbs.end(), verb) != verbs.end(); }

Result<Discovered> discover(client::Transport& transport) {
  Discovered out;
  const auto get = [&](std::string path) { return transport.call({.method = "GET", .path = std::move(path), .query = {}, .body = {}}); };
  const auto take = [&](const std::string& root, const std::string& api_version) {
    if (const ApiResult<Document> list = get(root + api_version)) add_resources(*list, api_version, out.resources);
    else out.failed.push_back(api_version + ": " + list.error().message);
  };
  const ApiResult<Document> groups = get("/apis");
  if (!groups) return fail(Code::unavailable, groups.error().message);
  take("/api/", "v1");
  for (Value group : (*groups)["groups"].items()) {
    const Value preferred = group["preferredVersion"]["groupVersion"];
    const Value version = preferred.as_string().empty() ? group["versions"][0]["groupVersion"] : preferred;
    if (!version.as_string().empty()) take("/apis/", version.str());
  }
  return out;
}

}  // namespace kybern::controllers
