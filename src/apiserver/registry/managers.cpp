#include "apiserver/registry/managers.h"

#include <fmt/format.h>

#include "apiserver/authz/authorizer.h"
#include "apiserver/custom/custom.h"
#include "apiserver/registry/registry.h"
#include "base/strings.h"

namespace kybern::apiserver {
namespace {

// The versions of one resource: views of the same stored objects.
class VersionsOf : public apply::Versions {
 public:
  explicit VersionsOf(const Served& served) : served_(served) {}
  bool has(std::string_view version) const override { return find(version) != nullptr; }
  apply::Place root(std::string_view version) const override {
    const Served& served = *find(version);
    return served.custom ? served.custom->place() : apply::Place::of(*served.resource->type);
  }
  Document convert(Value object, std::string_view from, std::string_view to) const override {
    const Served *source = find(from), *target = find(to);
    Document stored = source->to_stored ? source->to_stored(object) : object.document();
    return target->from_stored ? target->from_stored(stored.root()) : stored;
  }

 private:
  const Served* find(std::string_view version) const {
    if (version == served_.api_version) return &served_;
    for (const Served* other : served_.versions)
      if (other->api_version == version) return other;
    return nullptr;
  }
  const Served& served_;
};

class ScaleVersion : public apply::Versions {
 public:
  static constexpr std::string_view version = "autoscaling/v1";
  bool has(std::string_view v) const override { return v == version; }
  apply::Place root(std::string_view) const override { return apply::Place::of(*schema::find_type(version, "Scale")); }
  Document convert(Value object, std::string_view, std::string_view) const override { return object.document(); }
};

apply::FieldSet fields(std::initializer_list<std::initializer_list<std::string_view>> paths) {
  apply::FieldSet set;
  for (auto path : paths) set.insert(path);
  return set;
}

// What a write cannot change, as its kind's rules put it back.
const apply::FieldSet& reset_fields(const Work& work) {
  static const apply::FieldSet none,
      status = fields({{"f:status"}}), spec = fields({{"f:spec"}}), of_deployments = fields({{"f:spec"}, {"f:metadata", "f:labels"}}),
      of_pods = fields({{"f:spec"}, {"f:metadata", "f:deletionTimestamp"}, {"f:metadata", "f:ownerReferences"}}),
      of_custom = fields({{"f:spec"}, {"f:metadata"}});
  if (work.subresource.empty()) return work.served->subresource("status") ? status : none;
  if (work.subresource != "status") return none;
  if (work.served->custom) return of_custom;
  if (work.is("apps", "deployments")) return of_deployments;
  return work.is("", "pods") ? of_pods : spec;
}

// Components in this process have no User-Agent; upstream's controllers are one program.
std::string component_name(std::string_view user) {
  if (user.starts_with("system:serviceaccount:kube-system:")) return "kube-controller-manager";
  if (user.starts_with("system:node:")) return "kubelet";
  if (user == "system:apiserver") return "kube-apiserver";
  if (user.starts_with("system:")) user.remove_prefix(7);
  return std::string(user);
}

std::string manager_of(const Work& work) {
  if (!work.field_manager.empty()) return work.field_manager;
  return work.user_agent ? apply::manager_of_user_agent(*work.user_agent) : component_name(work.user.name);
}

// Keys that the configuration has twice: the parser's lines, said once.
ApiResult<void> judge_duplicates(Work& work) {
  std::vector<std::string> found = std::exchange(work.duplicates, {});
  if (found.empty() || work.field_validation == FieldValidation::ignore) return {};
  std::string text = "error converting YAML to JSON: yaml: unmarshal errors:\n  " + join(found, "\n  ");
  if (work.field_validation == FieldValidation::strict) return fail(bad_request("error strict decoding YAML: " + text));
  work.warnings.push_back(std::move(text));
  return {};
}

const std::string& subresource_of(const Work& work) { return work.managed_as.empty() ? work.subresource : work.managed_as; }

}  // namespace

void set_managers(Work& work, Value before, Draft& object, Value frozen) {
  Value stored = before["metadata"]["managedFields"];
  Draft& m = object["metadata"];
  Document managed;
  if (work.untracked) {
    if (stored.exists()) managed = stored.document();
  } else if (work.managed) {
    managed = *work.managed;
  } else {
    Document now = frozen.exists() ? frozen.document() : object.freeze(), reset;
    Value given = now["metadata"]["managedFields"];
    if (work.forget_managers && !given.exists()) {
      reset = Draft::array().freeze();
      given = reset.root();
    }
    VersionsOf versions(*work.served);
    std::string manager = manager_of(work), time = format_rfc3339(work.world.clock.now());
    apply::Write write{versions,
                       work.served->api_version,
                       manager,
                       subresource_of(work),
                       time,
                       reset_fields(work),
                       work.served->empty_object.root(),
                       work.served->custom ? nullptr : work.served->resource};
    managed = apply::track(write, before, now.root(), given);
  }
  if (managed) m["managedFields"] = managed;
  else m.erase("managedFields");
}

ApiResult<Document> apply_config(Work& work, Value live, Value config) {
  const Served& served = *work.served;
  std::string_view version = config["apiVersion"].as_string(), kind = config["kind"].as_string();
  if (version != served.api_version || kind != served.kind())
    return fail(bad_request(
        fmt::format("invalid object type: {}{}, Kind={}", version.find('/') == std::string_view::npos ? "/" : "", version, kind)));
  VersionsOf versions(served);
  std::string time = format_rfc3339(work.world.clock.now());
  apply::Write write{versions, served.api_version, work.field_manager,        subresource_of(work),
                     time,     reset_fields(work), served.empty_object.root()};
  auto applied = apply::apply(write, live, config, work.query.flag("force"));
  if (!applied) return fail(std::move(applied.error()));
  if (auto ok = judge_duplicates(work); !ok) return fail(std::move(ok.error()));
  work.managed = std::move(applied->managed);
  return std::move(applied->object);
}

ApiResult<Document> apply_scale_config(Work& work, Value live_object, Value live_scale, Value config) {
  std::string_view version = config["apiVersion"].as_string(), kind = config["kind"].as_string();
  if (version != ScaleVersion::version || kind != "Scale")
    return fail(bad_request(
        fmt::format("invalid object type: {}{}, Kind={}", version.find('/') == std::string_view::npos ? "/" : "", version, kind)));
  const std::string& parent_version = work.served->api_version;
  Value parent = live_object["metadata"]["managedFields"];
  // Where the number lies in the object: a custom resource's definition says it, of the others it is spec.replicas.
  std::vector<std::string> names;
  std::string_view path = work.served->custom ? work.served->custom->scale()["specReplicasPath"].as_string() : ".spec.replicas";
  for (std::string_view key : split(path.substr(1), '.')) names.push_back("f:" + std::string(key));
  const std::vector<std::string_view> replicas(names.begin(), names.end());
  Draft live(live_scale);
  if (Document managers = apply::scale_managers(parent, parent_version, replicas)) live["metadata"]["managedFields"] = managers;
  Document scale = live.freeze();
  ScaleVersion versions;
  std::string time = format_rfc3339(work.world.clock.now());
  apply::FieldSet reset = fields({{"f:status"}});
  apply::Write write{versions, ScaleVersion::version, work.field_manager, "scale", time, reset, {}};
  auto applied = apply::apply(write, scale.root(), config, work.query.flag("force"));
  if (!applied) return fail(std::move(applied.error()));
  work.managed = apply::parent_managers(parent, applied->managed.root(), parent_version, replicas);
  Draft out(applied->object);
  out["metadata"].erase("managedFields");
  return out.freeze();
}

bool only_times_differ(Value before, Value now) {
  auto equal_but = [](Value a, Value b, std::string_view but) {
    auto has_all = [&](Value x, Value y) {
      for (Member m : x.members())
        if (m.key != but && !(y[m.key].exists() && y[m.key] == m.value)) return false;
      return true;
    };
    return has_all(a, b) && has_all(b, a);
  };
  Value a = before["metadata"], b = now["metadata"];
  return equal_but(before, now, "metadata") && equal_but(a, b, "managedFields") &&
         apply::same_but_times(a["managedFields"], b["managedFields"]);
}

ApiResult<void> check_create_by_apply(const Work& work, Value object) {
  Value m = object["metadata"];
  const Served& served = *work.served;
  if (std::string_view uid = m["uid"].as_string(); !uid.empty())
    return fail(conflict(served.group(), served.plural(), work.name,
                         fmt::format("uid mismatch: the provided object specified uid {}, and no existing object was found", uid)));
  if (std::string_view name = m["name"].as_string(); name != work.name) {
    if (name.empty()) return fail(bad_request("the name of the object (based on URL) was undeterminable: name must be provided"));
    return fail(bad_request(fmt::format("the name of the object ({}) does not match the name on the URL ({})", name, work.name)));
  }
  const Authorizer* authorizer = work.registry.authorizer();
  if (!authorizer) return {};
  Attributes attributes{work.user,
                        "create",
                        std::string(served.group()),
                        std::string(served.resource->version),
                        std::string(served.plural()),
                        "",
                        work.name,
                        work.ns,
                        "",
                        true};
  Decision decision = authorizer->authorize(attributes);
  if (decision.allowed) return {};
  return fail(denied(attributes, decision));
}

}  // namespace kybern::apiserver
