// /api, /apis and below: which groups, versions and resources there are, in the old form and the aggregated one.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "apiserver/bootstrap.h"
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

Draft verbs_of(std::uint16_t verbs) {
  Draft out = Draft::array();
  for (auto [bit, name] : verb_names)
    if (verbs & bit) out.push_back(name);
  return out;
}

struct Version {
  std::string_view name;
  std::int64_t priority;
  std::vector<const Served*> about;
  const ExternalVersion* external = nullptr;  // another server's
};
struct Group {
  std::string_view name;
  std::int64_t priority;
  std::vector<Version> versions;  // the preferred one first
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

// By priority, and those of the same by name: what kubectl prefers when a short name is ambiguous. A group may be served by us
// and by another server, each version by one: by the other server when it is registered for it.
std::vector<Group> groups_of(const Catalog::All& all, const std::vector<ExternalVersion>& others) {
  constexpr std::int64_t of_definitions = 1000, version_of_definitions = 100;
  std::vector<Group> out;
  std::unordered_map<std::string_view, std::size_t> at;
  auto group = [&](std::string_view name, std::int64_t priority) -> Group& {
    auto [found, fresh] = at.try_emplace(name, out.size());
    if (fresh) out.push_back({name, priority, {}});
    return out[found->second];
  };
  auto version = [](Group& g, std::string_view name, std::int64_t priority) -> Version& {
    for (Version& v : g.versions)
      if (v.name == name) return v;
    return g.versions.emplace_back(Version{name, priority, {}, nullptr});
  };
  for (const Served* s : all) {
    const std::int64_t priority = s->custom ? of_definitions : local_group_priority(s->group());
    version(group(s->group(), priority), s->resource->version, s->custom ? version_of_definitions : 0).about.push_back(s);
  }
  for (const ExternalVersion& other : others) {
    Group& g = group(other.group, other.group_priority);
    g.priority = std::max(g.priority, other.group_priority);
    Version& v = version(g, other.version, other.version_priority);
    v = {other.version, other.version_priority, {}, &other};
  }
  std::sort(out.begin(), out.end(),
            [](const Group& a, const Group& b) { return a.priority != b.priority ? a.priority > b.priority : a.name < b.name; });
  for (Group& g : out)
    std::sort(g.versions.begin(), g.versions.end(), [](const Version& a, const Version& b) {
      return a.priority != b.priority ? a.priority > b.priority : comes_before(a.name, b.name);
    });
  return out;
}

Draft group_object(const Group& group) {
  Draft out = Draft::object({{"name", group.name}});
  for (const Version& version : group.versions)
    out["versions"].push_back(Draft::object({{"groupVersion", fmt::format("{}/{}", group.name, version.name)}, {"version", version.name}}));
  out["preferredVersion"] = out["versions"].items()[0];
  return out;
}

Draft kind_ref(std::string_view group, std::string_view version, std::string_view kind) {
  return Draft::object({{"group", group}, {"version", version}, {"kind", kind}});
}

void add_names(Draft& out, std::string_view key, std::span<const std::string_view> names) {
  for (std::string_view name : names) out[key].push_back(name);
}

Draft resource_list(std::span<const Served* const> about, std::string_view group, std::string_view version) {
  Draft list = Draft::object({{"kind", "APIResourceList"}});
  if (!group.empty()) list["apiVersion"] = "v1";
  list["groupVersion"] = group.empty() ? std::string(version) : fmt::format("{}/{}", group, version);
  list["resources"] = Draft::array();
  for (const Served* s : about) {
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

Draft aggregated_version(std::span<const Served* const> about, std::string_view group, std::string_view version) {
  Draft out = Draft::object({{"version", version}, {"freshness", "Current"}});
  out["resources"] = Draft::array();
  for (const Served* s : about) {
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

Draft aggregated(const std::vector<Group>& groups, bool core) {
  Draft list = Draft::object({{"kind", "APIGroupDiscoveryList"}, {"apiVersion", "apidiscovery.k8s.io/v2"}, {"metadata", Draft::object()}});
  list["items"] = Draft::array();
  for (const Group& group : groups) {
    if (group.name.empty() != core) continue;
    Draft one = Draft::object();
    one["metadata"] =
        core ? Draft::object({{"creationTimestamp", nullptr}}) : Draft::object({{"name", group.name}, {"creationTimestamp", nullptr}});
    for (const Version& version : group.versions)
      one["versions"].push_back(version.external ? external_version(*version.external)
                                                 : aggregated_version(version.about, group.name, version.name));
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
  auto parts = split(path.empty() ? path : path.substr(1), '/');
  const bool one_group = parts.size() >= 2 && (parts[0] == "api" || parts[0] == "apis");
  if (path != "/version" && path != "/" && path != "/api" && path != "/apis" && !one_group) return std::nullopt;
  // Held while the groups refer to them.
  const Catalog::All all = one_group ? catalog_.of_group(parts[0] == "api" ? std::string_view() : parts[1]) : catalog_.all();
  std::vector<ExternalVersion> others;
  if (external_ && (path.starts_with("/apis") || path == "/")) others = external_();
  if (one_group) std::erase_if(others, [&](const ExternalVersion& o) { return o.group != parts[1]; });
  const std::vector<Group> groups = groups_of(all, others);
  Draft out;
  if (path == "/version") {
    out = version_object();
  } else if (path == "/") {
    Draft paths = Draft::array({"/api", "/api/v1", "/apis"});
    for (const Group& group : groups) {
      if (group.name.empty()) continue;
      paths.push_back(fmt::format("/apis/{}", group.name));
      for (const Version& version : group.versions) paths.push_back(fmt::format("/apis/{}/{}", group.name, version.name));
    }
    for (std::string_view more : {"/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"})
      paths.push_back(more);
    out = Draft::object({{"paths", std::move(paths)}});
  } else if (path == "/api" || path == "/apis") {
    bool core = path == "/api";
    if (accepted && accepted->shape == Shape::discovery) {
      out = aggregated(groups, core);
    } else if (core) {
      out = Draft::object({{"kind", "APIVersions"}, {"versions", Draft::array({"v1"})}});
      out["serverAddressByClientCIDRs"].push_back(
          Draft::object({{"clientCIDR", "0.0.0.0/0"}, {"serverAddress", request.headers.get("host")}}));
    } else {
      out = Draft::object({{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", Draft::array()}});
      for (const Group& group : groups)
        if (!group.name.empty()) out["groups"].push_back(group_object(group));
    }
  } else if (groups.empty() || (parts[0] == "api") != groups.front().name.empty() || parts.size() > 3) {
    return std::nullopt;
  } else if (parts.size() == 2 && parts[0] == "apis") {
    Draft about = group_object(groups.front());
    out = Draft::object({{"kind", "APIGroup"}, {"apiVersion", "v1"}});
    for (const Draft::Field& f : about.fields()) out[f.key] = f.value;
  } else if ((parts[0] == "api") == (parts.size() == 2)) {
    const auto& versions = groups.front().versions;
    auto found = std::find_if(versions.begin(), versions.end(), [&](const Version& v) { return v.name == parts.back(); });
    if (found == versions.end() || found->external) return std::nullopt;
    out = resource_list(found->about, groups.front().name, found->name);
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
