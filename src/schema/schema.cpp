#include "schema/schema.h"

#include <algorithm>

#include "document/names.h"
#include "schema/registry.h"

namespace kybern::schema {

namespace {

// The options that a request carries in its query or body are kinds of every group-version, and share meta's types.
constexpr std::string_view shared_kinds[] = {"CreateOptions", "DeleteOptions", "GetOptions",
                                             "ListOptions",   "PatchOptions",  "UpdateOptions"};
// The rest of meta/v1 belongs to the nameless group's v1, apart from what is only ever asked for as meta.k8s.io/v1.
constexpr std::string_view core_kinds[] = {"APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "List", "Status"};

bool contains(std::span<const std::string_view> words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

const Type* kind_in(std::string_view group, std::string_view version, std::string_view kind) {
  std::span entries(tables::all_kinds, tables::kind_count);
  auto key = [](const tables::KindEntry& entry) { return std::tuple(entry.group, entry.version, entry.kind); };
  auto at = std::ranges::lower_bound(entries, std::tuple(group, version, kind), {}, key);
  return at != entries.end() && key(*at) == std::tuple(group, version, kind) ? at->type : nullptr;
}

bool known_version(std::string_view group, std::string_view version) {
  std::span entries(tables::all_kinds, tables::kind_count);
  auto key = [](const tables::KindEntry& entry) { return std::pair(entry.group, entry.version); };
  auto at = std::ranges::lower_bound(entries, std::pair(group, version), {}, key);
  return at != entries.end() && key(*at) == std::pair(group, version);
}

std::pair<std::string_view, std::string_view> split_api_version(std::string_view text) {
  std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) { return {{}, text}; }
  return {text.substr(0, slash), text.substr(slash + 1)};
}

}  // namespace

const Field* Type::find(Name name) const {
  auto at = std::ranges::lower_bound(by_name, name.id, {}, &std::pair<std::uint32_t, std::uint16_t>::first);
  return at != by_name.end() && at->first == name.id ? &fields[at->second] : nullptr;
}

const Field* Type::find(std::string_view name) const {
  std::optional<Name> known = find_name(name);
  return known ? find(*known) : nullptr;
}

std::span<const Resource> resources() { return {tables::all_resources, tables::resource_count}; }

std::span<const Type* const> types() { return {tables::all_types, tables::type_count}; }

const Resource* find_resource(std::string_view group, std::string_view version, std::string_view plural) {
  auto key = [](const Resource& resource) { return std::tuple(resource.group, resource.version, resource.plural); };
  auto at = std::ranges::lower_bound(resources(), std::tuple(group, version, plural), {}, key);
  return at != resources().end() && key(*at) == std::tuple(group, version, plural) ? &*at : nullptr;
}

const Resource* find_kind(std::string_view group, std::string_view version, std::string_view kind) {
  auto key = [](const Resource& resource) { return std::pair(resource.group, resource.version); };
  for (const Resource& resource : std::ranges::equal_range(resources(), std::pair(group, version), {}, key)) {
    if (resource.kind == kind) { return &resource; }
  }
  return nullptr;
}

const Type* find_type(std::string_view api_version, std::string_view kind) {
  auto [group, version] = split_api_version(api_version);
  if (const Type* type = kind_in(group, version, kind)) { return type; }
  bool shared = contains(shared_kinds, kind) && known_version(group, version);
  bool core = group.empty() && version == "v1" && contains(core_kinds, kind);
  return shared || core ? kind_in("meta.k8s.io", "v1", kind) : nullptr;
}

const Type* find_type_named(std::string_view short_name) {
  auto at = std::ranges::lower_bound(types(), short_name, {}, &Type::short_name);
  return at != types().end() && (*at)->short_name == short_name ? *at : nullptr;
}

}  // namespace kybern::schema
