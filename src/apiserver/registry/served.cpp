#include "apiserver/registry/served.h"

#include <fmt/format.h>

#include <algorithm>

#include "apiserver/custom/custom.h"
#include "apiserver/registry/views.h"
#include "base/strings.h"
#include "schema/convert.h"

namespace kybern::apiserver {

const schema::Subresource* Served::subresource(std::string_view name) const {
  for (const auto& s : resource->subresources)
    if (s.name == name) return &s;
  return nullptr;
}

std::string Served::key(std::string_view ns, std::string_view name) const {
  std::string out = prefix;
  if (namespaced()) {
    out += ns;
    out += '/';
  }
  out += name;
  return out;
}

ServedVersions::ServedVersions(std::vector<std::unique_ptr<Served>> owned) : owned_(std::move(owned)) {
  for (const auto& one : owned_) all_.push_back(one.get());
  for (const auto& one : owned_) one->versions = all_;
}

Catalog::Catalog() {
  for (const schema::Resource& resource : schema::resources()) {
    auto served = std::make_unique<Served>();
    served->resource = &resource;
    served->stored = served.get();
    served->prefix =
        resource.group.empty() ? fmt::format("/{}/", resource.plural) : fmt::format("/{}/{}/", resource.group, resource.plural);
    served->api_version = resource.group.empty() ? std::string(resource.version) : fmt::format("{}/{}", resource.group, resource.version);
    served->traits = &traits_of(resource.group, resource.plural);
    const schema::Field* status = resource.type->find("status");
    if (status && status->type && !status->pointer)
      if (auto empty = schema::to_typed(*status->type, Draft::object().freeze().root())) served->empty_status = *empty;
    if (auto empty = schema::to_typed(*resource.type, Draft::object().freeze().root())) served->empty_object = *empty;
    built_in_[resource.plural].push_back(served.get());
    served_.push_back(std::move(served));
  }
  for (const View& view : views()) {
    auto* served = const_cast<Served*>(find(view.group, view.version, view.plural).get());
    const Served* stored = find(view.stored_group, view.stored_version, view.plural).get();
    if (!served || !stored) continue;
    served->stored = stored;
    served->prefix = stored->prefix;
    served->from_stored = view.from_stored;
    served->to_stored = view.to_stored;
  }
  for (const auto& s : served_) same_objects_[s->prefix].push_back(s.get());
  for (const auto& s : served_) s->versions = same_objects_.find(s->prefix)->second;
}

ServedRef Catalog::find(std::string_view group, std::string_view version, std::string_view plural) const {
  if (auto found = built_in_.find(plural); found != built_in_.end())
    for (const Served* s : found->second)
      if (s->resource->group == group && s->resource->version == version) return ServedRef::borrowed(*s);
  std::lock_guard lock(mutex_);
  auto in_group = custom_.find(group);
  if (in_group == custom_.end()) return nullptr;
  auto definition = in_group->second.find(plural);
  if (definition == in_group->second.end()) return nullptr;
  for (const Served* s : definition->second->all())
    if (s->resource->version == version) return {definition->second, s};
  return nullptr;
}

ServedRef Catalog::find_kind(std::string_view group, std::string_view version, std::string_view kind) const {
  for (const auto& s : served_)
    if (s->resource->kind == kind && s->resource->group == group && s->resource->version == version) return ServedRef::borrowed(*s);
  std::lock_guard lock(mutex_);
  auto in_group = custom_.find(group);
  if (in_group == custom_.end()) return nullptr;
  for (const auto& [plural, versions] : in_group->second)
    for (const Served* s : versions->all())
      if (s->resource->kind == kind && s->resource->version == version) return {versions, s};
  return nullptr;
}

// Made anew after a change when somebody asks, so that a thousand definitions in a row do not each pay for those before.
Catalog::All Catalog::all() const {
  std::lock_guard lock(mutex_);
  if (!all_) {
    auto list = std::make_shared<All::List>();
    for (const auto& s : served_) list->served.push_back(s.get());
    for (const auto& [group, by_plural] : custom_) {
      for (const auto& [plural, versions] : by_plural) {
        list->served.insert(list->served.end(), versions->all().begin(), versions->all().end());
        list->kept.push_back(versions);
      }
    }
    all_ = std::move(list);
  }
  return All(all_);
}

Catalog::All Catalog::of_group(std::string_view group) const {
  auto list = std::make_shared<All::List>();
  for (const auto& s : served_)
    if (s->resource->group == group) list->served.push_back(s.get());
  std::lock_guard lock(mutex_);
  if (auto in_group = custom_.find(group); in_group != custom_.end()) {
    for (const auto& [plural, versions] : in_group->second) {
      list->served.insert(list->served.end(), versions->all().begin(), versions->all().end());
      list->kept.push_back(versions);
    }
  }
  return All(std::move(list));
}

void Catalog::replace_custom(std::string_view definition, std::vector<std::unique_ptr<Served>> versions) {
  const std::string_view plural = definition.substr(0, definition.find('.')),
                         group = definition.substr(std::min(plural.size() + 1, definition.size()));
  std::shared_ptr<const ServedVersions> fresh, before;  // what went is taken apart without the lock
  std::shared_ptr<const All::List> all_before;
  if (!versions.empty()) fresh = std::make_shared<const ServedVersions>(std::move(versions));
  std::lock_guard lock(mutex_);
  all_before = std::move(all_);
  all_.reset();
  auto in_group = custom_.find(group);
  if (fresh) {
    if (in_group == custom_.end()) in_group = custom_.emplace(std::string(group), ByPlural()).first;
    auto at = in_group->second.find(plural);
    if (at == in_group->second.end()) in_group->second.emplace(std::string(plural), std::move(fresh));
    else before = std::exchange(at->second, std::move(fresh));
    return;
  }
  if (in_group == custom_.end()) return;
  if (auto at = in_group->second.find(plural); at != in_group->second.end()) {
    before = std::move(at->second);
    in_group->second.erase(at);
  }
  if (in_group->second.empty()) custom_.erase(in_group);
}

namespace {

using Names = std::span<const std::string_view>;
struct SelectableRow {
  std::string_view group, plural;
  Names names;
};

constexpr std::string_view of_pods[] = {"spec.nodeName",           "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
                                        "spec.hostNetwork",        "status.phase",       "status.podIP",       "status.podIPs",
                                        "status.nominatedNodeName"};
constexpr std::string_view of_nodes[] = {"spec.unschedulable"};
constexpr std::string_view of_events[] = {"involvedObject.kind",
                                          "involvedObject.namespace",
                                          "involvedObject.name",
                                          "involvedObject.uid",
                                          "involvedObject.apiVersion",
                                          "involvedObject.resourceVersion",
                                          "involvedObject.fieldPath",
                                          "reason",
                                          "reportingComponent",
                                          "source",
                                          "type"};
constexpr std::string_view of_new_events[] = {"regarding.kind",       "regarding.namespace",
                                              "regarding.name",       "regarding.uid",
                                              "regarding.apiVersion", "regarding.resourceVersion",
                                              "regarding.fieldPath",  "reason",
                                              "reportingController",  "type"};
constexpr std::string_view of_namespaces[] = {"status.phase"};
constexpr std::string_view of_secrets[] = {"type"};
constexpr std::string_view of_services[] = {"spec.clusterIP", "spec.type"};
constexpr std::string_view of_replicas[] = {"status.replicas"};
constexpr std::string_view of_jobs[] = {"status.successful"};
constexpr std::string_view of_requests[] = {"spec.signerName"};
constexpr SelectableRow selectable_rows[] = {
    {"", "pods", of_pods},
    {"", "nodes", of_nodes},
    {"", "events", of_events},
    {"events.k8s.io", "events", of_new_events},
    {"", "namespaces", of_namespaces},
    {"", "secrets", of_secrets},
    {"", "services", of_services},
    {"", "replicationcontrollers", of_replicas},
    {"apps", "replicasets", of_replicas},
    {"batch", "jobs", of_jobs},
    {"certificates.k8s.io", "certificatesigningrequests", of_requests},
};

std::string text_of(Value v) {
  switch (v.kind()) {
    case Kind::string: return v.str();
    case Kind::boolean: return v.as_bool() ? "true" : "false";
    case Kind::integer: return std::to_string(v.as_int());
    default: return "";
  }
}

}  // namespace

std::string SelectableFields::get(Value object, std::string_view field) const {
  if (field == "status.podIPs") field = "status.podIP";
  if (field == "source") {
    Value source = object["source"]["component"];
    return source.as_string().empty() ? object["reportingComponent"].str() : source.str();
  }
  if (field == "status.successful") field = "status.succeeded";
  if (field == "spec.unschedulable" || field == "spec.hostNetwork" || field == "status.replicas" || field == "status.succeeded") {
    auto dot = field.find('.');
    std::string found = text_of(object[field.substr(0, dot)][field.substr(dot + 1)]);
    if (!found.empty()) return found;
    return field.starts_with("spec.") ? "false" : "0";
  }
  Value at = object;
  for (std::string_view part : split(field, '.')) at = at[part];
  return text_of(at);
}

SelectableFields selectable_fields(const Served& served) {
  if (served.custom) return {served.custom->selectable()};
  for (const SelectableRow& row : selectable_rows)
    if (row.group == served.group() && row.plural == served.plural()) return {row.names};
  return {};
}

ApiResult<void> check_field_names(const Served& served, const std::vector<std::string>& names) {
  SelectableFields fields = selectable_fields(served);
  for (const std::string& name : names) {
    if (name == "metadata.name" || name == "metadata.namespace") continue;
    if (std::find(fields.names.begin(), fields.names.end(), name) != fields.names.end()) continue;
    if (fields.names.empty())
      return fail(bad_request(fmt::format("\"{}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"", name)));
    return fail(bad_request("field label not supported: " + name));
  }
  return {};
}

}  // namespace kybern::apiserver
