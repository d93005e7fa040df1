#include "cli/discovery.h"

#include <algorithm>

#include "base/strings.h"

namespace kybern::cli {
namespace {

std::vector<std::string> texts(Value list) {
  std::vector<std::string> out;
  for (Value item : list.items()) out.push_back(item.str());
  return out;
}

bool contains(const std::vector<std::string>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

}  // namespace

std::string ApiResource::api_version() const { return group.empty() ? version : group + "/" + version; }
std::string ApiResource::full_plural() const { return group.empty() ? plural : plural + "." + group; }
std::string ApiResource::shown_kind() const { return group.empty() ? to_lower(kind) : to_lower(kind) + "." + group; }
bool ApiResource::can(std::string_view verb) const { return contains(verbs, verb); }
bool ApiResource::has(std::string_view subresource) const { return contains(subresources, subresource); }

std::string ApiResource::path(std::string_view ns, std::string_view name, std::string_view subresource) const {
  std::string out = group.empty() ? "/api/" + version : "/apis/" + group + "/" + version;
  if (namespaced && !ns.empty()) out += "/namespaces/" + url_encode(ns);
  out += "/" + plural;
  if (!name.empty()) out += "/" + url_encode(name);
  if (!subresource.empty()) out += "/" + std::string(subresource);
  return out;
}

void Discovery::add_groups(Value list) {
  for (Value group : list["items"].items()) {
    for (Value version : group["versions"].items()) {
      for (Value item : version["resources"].items()) {
        ApiResource out;
        out.group = group["metadata"]["name"].str();
        out.version = version["version"].str();
        out.plural = item["resource"].str();
        out.singular = item["singularResource"].str();
        out.kind = item["responseKind"]["kind"].str();
        out.namespaced = item["scope"].as_string() == "Namespaced";
        out.short_names = texts(item["shortNames"]);
        out.categories = texts(item["categories"]);
        out.verbs = texts(item["verbs"]);
        for (Value sub : item["subresources"].items()) out.subresources.push_back(sub["subresource"].str());
        resources_.push_back(std::move(out));
      }
    }
  }
}

void Discovery::add_resources(Value list) {
  const std::string_view group_version = list["groupVersion"].as_string();
  const std::size_t slash = group_version.find('/');
  const std::string group(slash == std::string_view::npos ? std::string_view() : group_version.substr(0, slash));
  const std::string version(slash == std::string_view::npos ? group_version : group_version.substr(slash + 1));
  for (Value item : list["resources"].items()) {
    const std::string_view name = item["name"].as_string();
    if (const std::size_t at = name.find('/'); at != std::string_view::npos) {
      for (ApiResource& resource : resources_)
        if (resource.group == group && resource.version == version && resource.plural == name.substr(0, at))
          resource.subresources.emplace_back(name.substr(at + 1));
      continue;
    }
    ApiResource out;
    out.group = group;
    out.version = version;
    out.plural = std::string(name);
    out.singular = item["singularName"].str();
    out.kind = item["kind"].str();
    out.namespaced = item["namespaced"].as_bool();
    out.short_names = texts(item["shortNames"]);
    out.categories = texts(item["categories"]);
    out.verbs = texts(item["verbs"]);
    resources_.push_back(std::move(out));
  }
}

std::vector<ApiResource> Discovery::preferred() const {
  std::vector<ApiResource> out;
  for (const ApiResource& resource : resources_) {
    const bool known =
        std::any_of(out.begin(), out.end(), [&](const ApiResource& o) { return o.group == resource.group && o.plural == resource.plural; });
    if (!known) out.push_back(resource);
  }
  return out;
}

std::vector<const ApiResource*> Discovery::category(std::string_view name) const {
  std::vector<const ApiResource*> out;
  for (const ApiResource& resource : resources_) {
    if (!contains(resource.categories, name)) continue;
    const bool known = std::any_of(out.begin(), out.end(),
                                   [&](const ApiResource* o) { return o->group == resource.group && o->plural == resource.plural; });
    if (!known) out.push_back(&resource);
  }
  return out;
}

const ApiResource* Discovery::match(std::string_view name, std::string_view group, std::string_view version) const {
  const auto fits = [&](const ApiResource& r) {
    if (!version.empty() && r.version != version) return false;
    return group.empty() || r.group == group ||
           (r.group.starts_with(group) && r.group.size() > group.size() && r.group[group.size()] == '.');
  };
  for (const ApiResource& r : resources_)
    if (fits(r) && r.plural == name) return &r;
  for (const ApiResource& r : resources_)
    if (fits(r) && (r.singular == name || equals_ignore_case(r.kind, name))) return &r;
  for (const ApiResource& r : resources_)
    if (fits(r) && contains(r.short_names, name)) return &r;
  return nullptr;
}

Result<const ApiResource*> Discovery::find(std::string_view word) const {
  const std::string low = to_lower(word);
  const std::size_t dot = low.find('.');
  if (dot == std::string::npos) {
    if (const ApiResource* found = match(low, {}, {})) return found;
  } else {
    const std::string_view name = std::string_view(low).substr(0, dot), rest = std::string_view(low).substr(dot + 1);
    if (const ApiResource* found = match(name, rest, {})) return found;
    const std::size_t second = rest.find('.');
    const std::string_view group = second == std::string_view::npos ? std::string_view() : rest.substr(second + 1);
    if (const ApiResource* found = match(name, group, rest.substr(0, second)); found && (found->group == group || !group.empty()))
      return found;
  }
  return fail(Code::not_found, "error: the server doesn't have a resource type " + go_quote(std::string_view(word).substr(0, dot)));
}

const ApiResource* Discovery::find_kind(std::string_view api_version, std::string_view kind) const {
  for (const ApiResource& r : resources_)
    if (r.kind == kind && r.api_version() == api_version) return &r;
  return nullptr;
}

}  // namespace kybern::cli
