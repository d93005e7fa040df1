#include "controllers/discovery.h"

#include <algorithm>
#include <functional>
#include <set>

namespace kybern::controllers {
namespace {

// `taken`: what a version of the same group that goes before this one has is that one's.
void add_resources(const Document& list, std::string_view api_version, std::set<std::string, std::less<>>& taken,
                   std::vector<ApiResource>& out) {
  for (Value entry : list["resources"].items()) {
    const std::string_view name = entry["name"].as_string();
    if (name.empty() || name.find('/') != std::string_view::npos || !taken.emplace(name).second) continue;
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
  std::set<std::string, std::less<>> taken;
  const auto take = [&](const std::string& root, const std::string& api_version) {
    const ApiResult<Document> list = get(root + api_version);
    if (list) add_resources(*list, api_version, taken, out.resources);
    else out.failed.push_back(api_version + ": " + list.error().message);
    return list.has_value();
  };
  const ApiResult<Document> groups = get("/apis");
  if (!groups) return fail(Code::unavailable, groups.error().message);
  take("/api/", "v1");
  for (Value group : (*groups)["groups"].items()) {
    taken.clear();
    const std::string preferred = group["preferredVersion"]["groupVersion"].str();
    if (!preferred.empty() && !take("/apis/", preferred)) continue;
    // A version that does not answer may serve what the ones after it serve too: whose that is, is not known then.
    for (Value entry : group["versions"].items())
      if (const std::string version = entry["groupVersion"].str(); !version.empty() && version != preferred && !take("/apis/", version))
        break;
  }
  return out;
}

}  // namespace kybern::controllers
