// /api, /apis and below: which groups, versions and resources there are, in the old form and the aggregated one.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "apiserver/discovery/discovery.h"
#include "apiserver/discovery/openapi.h"
#include "base/strings.h"
#include "document/json.h"
#include "net/http.h"

namespace kybern::apiserver {
namespace {

constexpr std::pair<schema::Verb, std::string_view> verb_names[] = {
    {schema::verb_create, "create"}, {schema::verb_delete, "delete"}, {schema::verb_deletecollection, "deletecollection"},
    {schema::verb_get, "get"},       {schema::verb_list, "list"},     {schema::verb_patch, "patch"},
    {schema::verb_update, "update"}, {schema::verb_watch, "watch"},
};

// Upstream's order of groups, by priority: what kubectl prefers when a short name is ambiguous.
constexpr std::string_view group_order[] = {
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "resource.k8s.io",
};

Draft verbs_of(std::uint16_t verbs) {
  Draft out = Draft::array();
  for (auto [bit, name] : verb_names)
    if (verbs & bit) out.push_back(name);
  return out;
}

struct Group {
  std::string_view name;
  std::vector<std::string_view> versions;  // the newest first
};

// v10 before v2 before v1beta2 before v1alpha1 before any other name.
bool comes_before(std::string_view a, std::string_view b) {
  struct Parts {
    int stage = -1;  // 2: stable, 1: beta, 0: alpha
    std::int64_t major = 0, minor = 0;
  };
  auto read = [](std::string_view text) {
    Parts out;
    if (!text.starts_with('v')) return out;
    std::size_t end = std::min(text.find_first_not_of("0123456789", 1), text.size());
    auto major = parse_int(text.substr(1, end - 1));
    if (!major) return out;
    std::string_view rest = text.substr(end);
    std::string_view word = rest.starts_with("alpha") ? "alpha" : rest.starts_with("beta") ? "beta" : "";
    auto minor = word.empty() ? std::optional<std::int64_t>(0) : parse_int(rest.substr(word.size()));
    if (!minor || (word.empty() && !rest.empty())) return out;
    return Parts{word.empty() ? 2 : word == "beta" ? 1 : 0, *major, *minor};
  };
  Parts x = read(a), y = read(b);
  if (x.stage != y.stage) return x.stage > y.stage;
  if (x.stage < 0) return a < b;
  return x.major != y.major ? x.major > y.major : x.minor > y.minor;
}

std::vector<Group> groups_of(const Catalog& catalog) {
  std::vector<Group> out;
  auto add = [&](std::string_view name) -> Group& {
    for (Group& g : out)
      if (g.name == name) return g;
    return out.emplace_back(Group{name, {}});
  };
  const Catalog::All all = catalog.all();
  for (std::string_view name : group_order)
    if (std::any_of(all.begin(), all.end(), [&](const Served* s) { return s->group() == name; })) add(name);
  for (const Served* s : all) {
    auto& versions = add(s->group()).versions;
    if (std::find(versions.begin(), versions.end(), s->resource->version) == versions.end()) versions.push_back(s->resource->version);
  }
  for (Group& g : out) std::sort(g.versions.begin(), g.versions.end(), comes_before);
  return out;
}

Draft group_object(const Group& group) {
  Draft out = Draft::object({{"name", group.name}});
  for (std::string_view version : group.versions)
    out["versions"].push_back(Draft::object({{"groupVersion", fmt::format("{}/{}", group.name, version)}, {"version", version}}));
  out["preferredVersion"] = out["versions"].items()[0];
  return out;
}

Draft kind_ref(std::string_view group, std::string_view version, std::string_view kind) {
  return Draft::object({{"group", group}, {"version", version}, {"kind", kind}});
}

void add_names(Draft& out, std::string_view key, std::span<const std::string_view> names) {
  for (std::string_view name : names) out[key].push_back(name);
}

Draft resource_list(const Catalog& catalog, std::string_view group, std::string_view version) {
  Draft list = Draft::object({{"kind", "APIResourceList"}});
  if (!group.empty()) list["apiVersion"] = "v1";
  list["groupVersion"] = group.empty() ? std::string(version) : fmt::format("{}/{}", group, version);
  list["resources"] = Draft::array();
  for (const auto& s : catalog.all()) {
    if (s->group() != group || s->resource->version != version) continue;
    const schema::Resource& r = *s->resource;
    Draft one = Draft::object(
        {{"name", r.plural}, {"singularName", r.singular}, {"namespaced", r.namespaced}, {"kind", r.kind}, {"verbs", verbs_of(r.verbs)}});
    add_names(one, "shortNames", r.short_names);
    add_names(one, "categories", r.categories);
    list["resources"].push_back(std::move(one));
    for (const schema::Subresource& sub : r.subresources) {
      Draft below = Draft::object({{"name", fmt::format("{}/{}", r.plural, sub.name)}, {"singularName", ""}, {"namespaced", r.namespaced}});
      if (!sub.group.empty() || (!sub.version.empty() && sub.version != version)) {
        below["group"] = sub.group;
        below["version"] = sub.version;
      }
      below["kind"] = sub.kind;
      below["verbs"] = verbs_of(sub.verbs);
      list["resources"].push_back(std::move(below));
    }
  }
  return list;
}

Draft aggregated_version(const Catalog& catalog, std::string_view group, std::string_view version) {
  Draft out = Draft::object({{"version", version}, {"freshness", "Current"}});
  out["resources"] = Draft::array();
  for (const auto& s : catalog.all()) {
    if (s->group() != group || s->resource->version != version) continue;
    const schema::Resource& r = *s->resource;
    Draft one = Draft::object({{"resource", r.plural},
                               {"responseKind", kind_ref(group, version, r.kind)},
                               {"scope", r.namespaced ? "Namespaced" : "Cluster"},
                               {"singularResource", r.singular}});
    one["verbs"] = verbs_of(r.verbs);
    add_names(one, "shortNames", r.short_names);
    add_names(one, "categories", r.categories);
    for (const schema::Subresource& sub : r.subresources) {
      bool own = sub.version.empty();
      one["subresources"].push_back(
          Draft::object({{"subresource", sub.name},
                         {"responseKind", kind_ref(own ? group : sub.group, own ? version : sub.version, sub.kind)},
                         {"verbs", verbs_of(sub.verbs)}}));
    }
    out["resources"].push_back(std::move(one));
  }
  return out;
}

// A resource list in the aggregated form.
Draft external_version(const ExternalVersion& external) {
  Draft out = Draft::object({{"version", external.version}, {"freshness", external.current ? "Current" : "Stale"}});
  auto kind = [&](Value entry) {
    std::string_view group = entry["group"].exists() || entry["version"].exists() ? entry["group"].as_string() : external.group;
    std::string_view version = entry["version"].exists() ? entry["version"].as_string() : external.version;
    return kind_ref(group, version, entry["kind"].as_string());
  };
  Draft resources = Draft::array();
  for (Value entry : external.resources["resources"].items()) {
    std::string_view name = entry["name"].as_string();
    std::size_t slash = name.find('/');
    if (slash == std::string_view::npos) {
      Draft one = Draft::object({{"resource", name},
                                 {"responseKind", kind(entry)},
                                 {"scope", entry["namespaced"].as_bool() ? "Namespaced" : "Cluster"},
                                 {"singularResource", entry["singularName"].as_string()}});
      one["verbs"] = entry["verbs"];
      for (std::string_view list : {"shortNames", "categories"})
        if (!entry[list].empty()) one[list] = entry[list];
      resources.push_back(std::move(one));
      continue;
    }
    for (Draft& parent : resources.items())
      if (parent["resource"].as_string() == name.substr(0, slash))
        parent["subresources"].push_back(
            Draft::object({{"subresource", name.substr(slash + 1)}, {"responseKind", kind(entry)}, {"verbs", entry["verbs"]}}));
  }
  out["resources"] = std::move(resources);
  return out;
}

// Groups in the order of their priority, each with its versions in theirs.
std::vector<std::vector<ExternalVersion>> by_group(std::vector<ExternalVersion> all) {
  std::sort(all.begin(), all.end(), [](const ExternalVersion& a, const ExternalVersion& b) {
    if (a.group_priority != b.group_priority) return a.group_priority > b.group_priority;
    if (a.group != b.group) return a.group < b.group;
    if (a.version_priority != b.version_priority) return a.version_priority > b.version_priority;
    return comes_before(a.version, b.version);
  });
  std::vector<std::vector<ExternalVersion>> out;
  for (ExternalVersion& one : all) {
    auto found = std::find_if(out.begin(), out.end(), [&](const auto& group) { return group.front().group == one.group; });
    if (found == out.end()) out.push_back({std::move(one)});
    else found->push_back(std::move(one));
  }
  return out;
}

Draft external_group(const std::vector<ExternalVersion>& versions) {
  Group group{versions.front().group, {}};
  for (const ExternalVersion& one : versions) group.versions.push_back(one.version);
  return group_object(group);
}

Draft aggregated(const Catalog& catalog, bool core) {
  Draft list = Draft::object({{"kind", "APIGroupDiscoveryList"}, {"apiVersion", "apidiscovery.k8s.io/v2"}, {"metadata", Draft::object()}});
  list["items"] = Draft::array();
  for (const Group& group : groups_of(catalog)) {
    if (group.name.empty() != core) continue;
    Draft one = Draft::object();
    one["metadata"] =
        core ? Draft::object({{"creationTimestamp", nullptr}}) : Draft::object({{"name", group.name}, {"creationTimestamp", nullptr}});
    for (std::string_view version : group.versions) one["versions"].push_back(aggregated_version(catalog, group.name, version));
    list["items"].push_back(std::move(one));
  }
  return list;
}

Draft version_object() {
  Draft out = Draft::object();
  out["major"] = "1";
  out["minor"] = "36";
  out["gitVersion"] = server_version();
  out["gitCommit"] = "";
  out["gitTreeState"] = "clean";
  out["buildDate"] = "2026-01-01T00:00:00Z";
  out["goVersion"] = "none";
  out["compiler"] = "gcc";
  out["platform"] = "linux/amd64";
  return out;
}

}  // namespace

std::string_view server_version() { return "v1.36.0"; }

std::optional<net::Response> Discovery::answer(const net::Request& request, std::string_view path) const {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  if (path.starts_with("/openapi/"))
    return openapi_answer(catalog_, request, path, external_ ? external_() : std::vector<ExternalVersion>());
  auto accepted = negotiate(request.headers.get("accept"), false, path == "/api" || path == "/apis");
  // Groups that others serve; one of ours with the same name is theirs.
  const auto others = external_ && path.starts_with("/apis") ? by_group(external_()) : std::vector<std::vector<ExternalVersion>>();
  auto taken = [&](std::string_view group) {
    return std::any_of(others.begin(), others.end(), [&](const auto& o) { return o.front().group == group; });
  };
  Draft out;
  auto parts = split(path.empty() ? path : path.substr(1), '/');
  if (path == "/version") {
    out = version_object();
  } else if (path == "/") {
    Draft paths = Draft::array({"/api", "/api/v1", "/apis"});
    for (const Group& group : groups_of(catalog_)) {
      if (group.name.empty()) continue;
      paths.push_back(fmt::format("/apis/{}", group.name));
      for (std::string_view version : group.versions) paths.push_back(fmt::format("/apis/{}/{}", group.name, version));
    }
    for (std::string_view more : {"/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"})
      paths.push_back(more);
    out = Draft::object({{"paths", std::move(paths)}});
  } else if (path == "/api" || path == "/apis") {
    bool core = path == "/api";
    if (accepted && accepted->shape == Shape::discovery) {
      out = aggregated(catalog_, core);
      std::erase_if(out["items"].items(), [&](Draft& item) { return !core && taken(item["metadata"]["name"].as_string()); });
      for (const auto& versions : others) {
        if (core) continue;
        Draft one = Draft::object();
        one["metadata"] = Draft::object({{"name", versions.front().group}, {"creationTimestamp", nullptr}});
        for (const ExternalVersion& version : versions) one["versions"].push_back(external_version(version));
        out["items"].push_back(std::move(one));
      }
    } else if (core) {
      out = Draft::object({{"kind", "APIVersions"}, {"versions", Draft::array({"v1"})}});
      out["serverAddressByClientCIDRs"].push_back(
          Draft::object({{"clientCIDR", "0.0.0.0/0"}, {"serverAddress", request.headers.get("host")}}));
    } else {
      out = Draft::object({{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", Draft::array()}});
      for (const Group& group : groups_of(catalog_))
        if (!group.name.empty() && !taken(group.name)) out["groups"].push_back(group_object(group));
      for (const auto& versions : others) out["groups"].push_back(external_group(versions));
    }
  } else if (parts.size() == 2 && parts[0] == "api" && parts[1] == "v1") {
    out = resource_list(catalog_, "", "v1");
  } else if (parts.size() >= 2 && parts[0] == "apis") {
    auto groups = groups_of(catalog_);
    for (const auto& versions : others) {
      if (parts.size() != 2 || versions.front().group != parts[1]) continue;
      Draft about = external_group(versions);
      out = Draft::object({{"kind", "APIGroup"}, {"apiVersion", "v1"}});
      for (const Draft::Field& f : about.fields()) out[f.key] = f.value;
    }
    auto found = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return !g.name.empty() && g.name == parts[1]; });
    const bool theirs = out.is_object();
    if (!theirs && (found == groups.end() || parts.size() > 3)) return std::nullopt;
    if (theirs) {
      // said already
    } else if (parts.size() == 2) {
      out = group_object(*found);
      Draft whole = Draft::object({{"kind", "APIGroup"}, {"apiVersion", "v1"}});
      for (const Draft::Field& f : out.fields()) whole[f.key] = f.value;
      out = std::move(whole);
    } else {
      if (std::find(found->versions.begin(), found->versions.end(), parts[2]) == found->versions.end()) return std::nullopt;
      out = resource_list(catalog_, found->name, parts[2]);
    }
  } else {
    return std::nullopt;
  }
  net::Response response;
  Accepted form = accepted.value_or(Accepted{});
  if (!accepted || path == "/version" || path == "/") form = Accepted{};
  Document frozen = out.freeze();
  if (!encode(form, frozen.root(), response.body)) {
    form.format = Format::json;
    response.body.clear();
    (void)encode(form, frozen.root(), response.body);
  }
  response.headers.set("content-type", form.content_type());
  response.headers.set("cache-control", "no-cache, private");
  if (path == "/api" || path == "/apis") response.headers.set("vary", "Accept");
  if (form.shape == Shape::discovery) {
    // Whoever has it already is told so, as of OpenAPI.
    std::string etag = fmt::format("\"{:016X}\"", std::hash<std::string>()(response.body));
    response.headers.set("etag", etag);
    response.headers.set("cache-control", "public");
    if (request.headers.get("if-none-match") == etag) response.status = 304, response.body.clear();
  }
  return response;
}

}  // namespace kybern::apiserver
