// Pods and pod templates.
#include <fmt/format.h>

#include <limits>
#include <map>

#include "base/strings.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {

void containers_of_pod(Findings& f, Value spec, const Path& path);

namespace {

constexpr std::size_t dns_servers_max = 3, dns_searches_max = 32, dns_search_bytes_max = 2048, hostname_max_bytes = 64;
constexpr std::int64_t deadline_max_s = std::numeric_limits<std::int32_t>::max();

void resource_claims(Findings& f, Value list, const PodContext& context, const Path& path) {
  bool fixed = context.is_pod && context.meta["annotations"]["kubernetes.io/config.mirror"].exists();
  std::set<std::string, std::less<>> seen;
  std::size_t i = 0;
  for (Value claim : list.items()) {
    Path at = path.index(i++);
    if (fixed) {
      f.forbidden(Path(), "static pods do not support resource claims");
      continue;
    }
    std::string_view name = text(claim, "name");
    if (name.empty()) f.required(at.child("name"));
    else if (!seen.emplace(name).second) f.duplicate(at.child("name"), name);
    else dns_label(f, name, at.child("name"));
    bool direct = set(claim, "resourceClaimName"), by_template = set(claim, "resourceClaimTemplateName");
    if (direct && by_template) f.invalid(at, claim, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified");
    if (!direct && !by_template) f.invalid(at, claim, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
    for (const char* key : {"resourceClaimName", "resourceClaimTemplateName"}) {
      if (set(claim, key)) dns_subdomain(f, text(claim, key), at.child(key));
    }
  }
}

// Pods must say the host's port where they use the host's network; templates may leave it out.
void host_network(Findings& f, Value spec, bool is_pod, const Path& path) {
  if (!spec["hostNetwork"].as_bool()) return;
  Path containers = path.child("containers");
  std::size_t i = 0;
  for (Value container : spec["containers"].items()) {
    Path at = containers.index(i++), ports = at.child("ports");
    std::size_t j = 0;
    for (Value port : container["ports"].items()) {
      Path one = ports.index(j++);
      std::int64_t host = port["hostPort"].as_int();
      if ((is_pod || host != 0) && host != port["containerPort"].as_int())
        f.invalid(one.child("hostPort"), host, "must match `containerPort` when `hostNetwork` is true");
    }
  }
}

void dns_config(Findings& f, Value spec, const Path& path) {
  Value config = spec["dnsConfig"], servers = config["nameservers"], searches = config["searches"];
  if (text(spec, "dnsPolicy") == "None") {
    if (config.is_null()) return f.required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
    if (servers.empty()) return f.required(path.child("nameservers"), "must provide at least one DNS nameserver when `dnsPolicy` is None");
  }
  Path server_path = path.child("nameservers"), search_path = path.child("searches"), options = path.child("options");
  if (servers.size() > dns_servers_max)
    f.invalid(server_path, servers, fmt::format("must not have more than {} nameservers", dns_servers_max));
  for (std::size_t i = 0; i < servers.size(); ++i) ip_address(f, servers[i].as_string(), server_path.index(i));
  if (searches.size() > dns_searches_max)
    f.invalid(search_path, searches, fmt::format("must not have more than {} search paths", dns_searches_max));
  std::size_t bytes = searches.empty() ? 0 : searches.size() - 1;  // the spaces between them
  for (Value search : searches.items()) bytes += search.as_string().size();
  if (bytes > dns_search_bytes_max) {
    f.invalid(search_path, searches,
              fmt::format("must not have more than {} characters (including spaces) in the search list", dns_search_bytes_max));
  }
  for (std::size_t i = 0; i < searches.size(); ++i) {
    std::string_view search = searches[i].as_string();
    if (search == ".") continue;
    if (search.ends_with('.')) search.remove_suffix(1);
    f.say(search_path.index(i), search, names::dns1123_subdomain_with_underscore(search));
  }
  std::size_t i = 0;
  for (Value option : config["options"].items()) {
    Path at = options.index(i++);
    if (text(option, "name").empty()) f.required(at, "must not be empty");
  }
}

void gates(Findings& f, Value spec, const Path& path) {
  Path readiness = path.child("readinessGates"), scheduling = path.child("schedulingGates");
  std::size_t i = 0;
  for (Value gate : spec["readinessGates"].items()) qualified(f, text(gate, "conditionType"), readiness.index(i++, "conditionType"));
  std::set<std::string, std::less<>> seen;
  i = 0;
  for (Value gate : spec["schedulingGates"].items()) {
    Path at = scheduling.index(i++);
    qualified(f, text(gate, "name"), at);
    if (!seen.emplace(text(gate, "name")).second) f.duplicate(at, text(gate, "name"));
  }
}

bool has_devices(Value spec) {
  for (const char* list : {"initContainers", "containers", "ephemeralContainers"}) {
    for (Value container : spec[list].items()) {
      if (!container["volumeDevices"].empty()) return true;
    }
  }
  return false;
}

void host_users(Findings& f, Value spec, Value before, const Path& path) {
  if (spec["hostUsers"].as_bool(true)) return;
  constexpr const char* why = "when `hostUsers` is false";
  if (spec["hostNetwork"].as_bool()) f.forbidden(path.child("hostNetwork"), why);
  if (spec["hostPID"].as_bool()) f.forbidden(path.child("HostPID"), why);
  if (spec["hostIPC"].as_bool()) f.forbidden(path.child("HostIPC"), why);
  if (!before["hostUsers"].as_bool(true) && has_devices(before)) return;  // which never ran, but may be changed
  each_container(spec, path, [&](Value container, const Path& at) {
    if (!container["volumeDevices"].empty()) f.forbidden(at.child("volumeDevices"), why);
  });
}

void hostname_override(Findings& f, Value spec, const Path& path) {
  if (!set(spec, "hostnameOverride")) return;
  std::string_view name = text(spec, "hostnameOverride");
  Path at = path.child("hostnameOverride");
  if (spec["setHostnameAsFQDN"].as_bool()) f.forbidden(at, "may not be specified when setHostnameAsFQDN is true");
  if (spec["hostNetwork"].as_bool()) f.forbidden(at, "may not be specified when hostNetwork is true");
  if (name.size() > hostname_max_bytes) f.too_long(at, hostname_max_bytes);
  dns_subdomain(f, name, at);
}

void host_aliases(Findings& f, Value list, const Path& path) {
  std::size_t i = 0;
  for (Value alias : list.items()) {
    Path at = path.index(i++), hostnames = at.child("hostnames");
    ip_address(f, text(alias, "ip"), at.child("ip"));
    std::size_t j = 0;
    for (Value name : alias["hostnames"].items()) dns_subdomain(f, name.as_string(), hostnames.index(j++));
  }
}

// Names and numbers that stand alone, in the order in which upstream looks at them.
void simple_fields(Findings& f, Value spec, const Path& path) {
  for (const char* key : {"serviceAccountName", "nodeName"}) {
    if (!text(spec, key).empty()) dns_subdomain(f, text(spec, key), path.child(key));
  }
  if (Value deadline = spec["activeDeadlineSeconds"]; !deadline.is_null()) {
    f.say(path.child("activeDeadlineSeconds"), deadline.as_int(), names::in_range(deadline.as_int(), 1, deadline_max_s));
  }
  for (const char* key : {"hostname", "subdomain"}) {
    if (!text(spec, key).empty()) dns_label(f, text(spec, key), path.child(key));
  }
  tolerations(f, spec["tolerations"], path.child("tolerations"));
  host_aliases(f, spec["hostAliases"], path.child("hostAliases"));
  if (!text(spec, "priorityClassName").empty()) dns_subdomain(f, text(spec, "priorityClassName"), path.child("priorityClassName"));
  if (set(spec, "runtimeClassName")) dns_subdomain(f, text(spec, "runtimeClassName"), path.child("runtimeClassName"));
  if (set(spec, "preemptionPolicy"))
    f.one_of(path.child("preemptionPolicy"), text(spec, "preemptionPolicy"), {"PreemptLowerPriority", "Never"});
}

void overhead(Findings& f, Value amounts, const Path& path) {
  Path limits = path.child("limits");
  for (Member amount : amounts.members()) {
    container_resource_name(f, amount.key, limits.key(amount.key));
    resource_amount(f, amount.key, amount.value, limits.key(amount.key));
  }
}

// What the containers ask for together: sidecars run beside the rest, other init containers one by one before it.
std::map<std::string, Quantity, std::less<>> of_all_containers(Value spec, const char* which) {
  std::map<std::string, Quantity, std::less<>> running, beginning;
  for (Value container : spec["containers"].items()) {
    for (Member amount : container["resources"][which].members()) running[std::string(amount.key)] += Quantity::of(amount.value);
  }
  std::map<std::string, Quantity, std::less<>> sidecars;
  for (Value container : spec["initContainers"].items()) {
    bool sidecar = text(container, "restartPolicy") == "Always";
    for (Member amount : container["resources"][which].members()) {
      std::string name(amount.key);
      if (sidecar) running[name] += Quantity::of(amount.value), sidecars[name] += Quantity::of(amount.value);
      Quantity now = sidecars[name];
      if (!sidecar) now += Quantity::of(amount.value);
      if (now > beginning[name]) beginning[name] = now;
    }
  }
  for (const auto& [name, amount] : beginning) {
    if (amount > running[name]) running[name] = amount;
  }
  return running;
}

// The pod has at least what its containers ask for together, and none of them may use more than the pod.
void within_the_pod(Findings& f, Value spec, const Path& path) {
  Path requests = path.child("requests"), limits = path.child("limits"), list = path.child("containers");
  for (const auto& [name, amount] : of_all_containers(spec, "requests")) {
    Value asked = spec["resources"]["requests"][name];
    if (!asked.exists()) continue;
    Quantity of_pod = Quantity::of(asked);
    if (amount > of_pod)
      f.invalid(requests.key(name), of_pod.str(),
                fmt::format("must be greater than or equal to aggregate container requests of {}", amount.str()));
  }
  // Of huge pages there are not more than were asked for, so their limits add up too.
  for (const auto& [name, amount] : of_all_containers(spec, "limits")) {
    Value most = spec["resources"]["limits"][name];
    if (!is_hugepage(name) || !most.exists() || amount <= Quantity::of(most)) continue;
    f.invalid(limits.key(name), Quantity::of(most).str(),
              fmt::format("must be greater than or equal to aggregate container limits of {}", amount.str()));
  }
  std::size_t i = 0;
  for (Value container : spec["containers"].items()) {
    Path at = list.index(i++);
    for (Member limit : container["resources"]["limits"].members()) {
      Value most = spec["resources"]["limits"][limit.key];
      if (!most.exists() || Quantity::of(limit.value) <= Quantity::of(most)) continue;
      f.invalid(at.key(limit.key, "limits"), Quantity::of(limit.value).str(),
                fmt::format("must be less than or equal to pod limits of {}", Quantity::of(most).str()));
    }
  }
}

void pod_resource_name(Findings& f, std::string_view name, const Path& path) {
  std::size_t before = f.size();
  resource_name(f, name, path);
  if (f.size() == before && name != "cpu" && name != "memory" && !is_hugepage(name)) f.not_supported(path, name, {"cpu", "memory"});
}

void pod_resources(Findings& f, Value spec, const Path& path) {
  Value resources = spec["resources"];
  if (resources.is_null()) return;
  Path at = path.child("resources");
  if (text(spec["os"], "name") == "windows") return f.forbidden(at, "may not be set for a windows pod");
  if (!resources["claims"].empty()) f.forbidden(at.child("claims"), "claims may not be set for Resources at pod-level");
  std::set<std::string, std::less<>> claims;
  for (Value claim : spec["resourceClaims"].items()) claims.emplace(text(claim, "name"));
  resource_requirements(f, resources, claims, at, pod_resource_name);
  within_the_pod(f, spec, at);
}

// Variables are read from files of volumes that live and die with the pod.
void file_variables(Findings& f, Value spec, const Path& path) {
  bool any = false;
  each_container(spec, path, [&](Value container, const Path&) {
    for (Value variable : container["env"].items()) any = any || set(variable["valueFrom"], "fileKeyRef");
  });
  if (!any) return;
  std::map<std::string_view, bool> in_empty_dir;
  for (Value volume : spec["volumes"].items()) in_empty_dir[text(volume, "name")] = set(volume, "emptyDir");
  each_container(spec, path, [&](Value container, const Path& at) {
    Path env = at.child("env");
    std::size_t i = 0;
    for (Value variable : container["env"].items()) {
      Path one = env.index(i++);
      Value file = variable["valueFrom"]["fileKeyRef"];
      std::string_view name = text(file, "volumeName");
      if (file.is_null()) continue;
      Path volume = one.child("valueFrom.fileKeyRef.volumeName");
      auto found = in_empty_dir.find(name);
      if (found == in_empty_dir.end()) f.not_found(volume, name);
      else if (!found->second) f.invalid(volume, name, "referenced volume must be of type emptyDir");
    }
  });
}

void seccomp_profile(Findings& f, std::string_view profile, const Path& path) {
  constexpr std::string_view local = "localhost/";
  if (profile == "runtime/default" || profile == "docker/default" || profile == "unconfined") return;
  if (profile.starts_with(local)) descending_path(f, profile.substr(local.size()), path);
  else f.invalid(path, profile, "must be a valid seccomp profile");
}

// Profiles as annotations told them before there were fields.
void profile_annotations(Findings& f, Value annotations, Value spec, const Path& path) {
  bool any = false;
  for (Member annotation : annotations.members())
    any = any || annotation.key == seccomp_pod || annotation.key.starts_with(seccomp_prefix) || annotation.key.starts_with(apparmor_prefix);
  if (!any) return;
  std::set<std::string_view> names;
  for (const char* list : {"initContainers", "containers", "ephemeralContainers"}) {
    for (Value container : spec[list].items()) names.insert(text(container, "name"));
  }
  for (Member annotation : annotations.members()) {
    std::string_view profile = annotation.value.as_string();
    if (annotation.key == seccomp_pod || annotation.key.starts_with(seccomp_prefix)) {
      seccomp_profile(f, profile, path.child(annotation.key));
    } else if (annotation.key.starts_with(apparmor_prefix)) {
      std::string_view container = annotation.key.substr(apparmor_prefix.size());
      if (!names.contains(container)) f.invalid(path.key(annotation.key), container, "container not found");
      bool known = profile.empty() || profile == "runtime/default" || profile == "unconfined" || profile.starts_with("localhost/");
      if (!known) f.invalid(path.key(annotation.key), profile, fmt::format("invalid AppArmor profile name: {}", go_quote(profile)));
    }
  }
}

}  // namespace

void pod_annotations(Findings& f, Value annotations, Value spec, const Path& path) {
  Value mirror = annotations["kubernetes.io/config.mirror"];
  if (mirror.exists() && text(spec, "nodeName").empty()) {
    f.invalid(path.key("kubernetes.io/config.mirror"), mirror.as_string(), "must set spec.nodeName if mirror pod annotation is set");
  }
  Value cost = annotations["controller.kubernetes.io/pod-deletion-cost"];
  if (cost.exists()) {
    auto number = parse_int(cost.as_string());
    bool plain =
        number && *number >= std::numeric_limits<std::int32_t>::min() && *number <= deadline_max_s && !cost.as_string().starts_with('+');
    if (!plain) f.invalid(path.key("controller.kubernetes.io/pod-deletion-cost"), cost.as_string(), "must be a 32bit integer");
  }
  profile_annotations(f, annotations, spec, path);
}

void pod_spec(Findings& f, Value spec, const PodContext& context, const Path& path) {
  if (!set(spec, "terminationGracePeriodSeconds")) f.required(path.child("terminationGracePeriodSeconds"));
  Volumes known = volumes(f, spec["volumes"], context.pod_name, path.child("volumes"));
  resource_claims(f, spec["resourceClaims"], context, path.child("resourceClaims"));
  containers(f, spec, known, context, path);
  pod_resources(f, spec, path);
  host_network(f, spec, context.is_pod, path);
  f.one_of(path.child("restartPolicy"), text(spec, "restartPolicy"), {"Always", "OnFailure", "Never"});
  f.one_of(path.child("dnsPolicy"), text(spec, "dnsPolicy"), {"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"});
  f.add(validate_labels(spec["nodeSelector"], path.child("nodeSelector")));
  pod_security_context(f, spec, path);
  affinity(f, spec["affinity"], context.before["affinity"], path.child("affinity"));
  dns_config(f, spec, path.child("dnsConfig"));
  gates(f, spec, path);
  topology_spread(f, spec["topologySpreadConstraints"], path.child("topologySpreadConstraints"));
  windows_host_process(f, spec, path);
  host_users(f, spec, context.before, path);
  hostname_override(f, spec, path);
  simple_fields(f, spec, path);
  if (set(spec, "overhead")) overhead(f, spec["overhead"], path.child("overhead"));
  if (set(spec, "os")) pod_os(f, spec, path);
  file_variables(f, spec, path);
}

void pod_template(Findings& f, Value object, const Path& path, Value before) {
  Value meta = object["metadata"], spec = object["spec"];
  Path spec_path = path.child("spec");
  f.add(validate_labels(meta["labels"], path.child("labels")));
  f.add(validate_annotations(meta["annotations"], path.child("annotations")));
  pod_annotations(f, meta["annotations"], spec, path.child("annotations"));
  pod_spec(f, spec, PodContext{false, {}, meta, before["spec"]}, spec_path);
  seccomp_annotations(f, meta, spec, spec_path);
  apparmor_annotations(f, meta, spec, spec_path);
  if (!spec["ephemeralContainers"].empty())
    f.forbidden(path.child("spec.ephemeralContainers"), "ephemeral containers not allowed in pod template");
}

namespace {

void tokens_without_account(Findings& f, Value spec, const Path& path) {
  if (!text(spec, "serviceAccountName").empty()) return;
  Path list = path.child("volumes");
  std::size_t i = 0;
  for (Value volume : spec["volumes"].items()) {
    Path at = list.index(i++), sources = at.child("projected.sources");
    std::size_t j = 0;
    for (Value source : volume["projected"]["sources"].items()) {
      Path one = sources.index(j++);
      if (set(source, "serviceAccountToken"))
        f.forbidden(one.child("serviceAccountToken"), "must not be specified when serviceAccountName is not set");
    }
  }
}

}  // namespace

void pod_metadata_and_spec(Findings& f, Value object, Value before) {
  const Path meta_path("metadata"), spec_path("spec");
  Value meta = object["metadata"], spec = object["spec"];
  object_meta(f, object, true, name_is_subdomain);
  pod_annotations(f, meta["annotations"], spec, meta_path.child("annotations"));
  pod_spec(f, spec, PodContext{true, text(meta, "name"), meta, before["spec"]}, spec_path);
  tokens_without_account(f, spec, spec_path);
  containers_of_pod(f, spec, spec_path);
}

void pod_create(Findings& f, Value object) {
  pod_metadata_and_spec(f, object, {});
  Value spec = object["spec"];
  const Path path("spec");
  if (!spec["ephemeralContainers"].empty()) f.forbidden(path.child("ephemeralContainers"), "cannot be set on create");
  if (!text(spec, "nodeName").empty() && !spec["schedulingGates"].empty()) {
    f.forbidden(path.child("nodeName"), "cannot be set until all schedulingGates have been cleared");
  }
  seccomp_annotations(f, object["metadata"], spec, path);
  apparmor_annotations(f, object["metadata"], spec, path);
}

void pod_template_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  pod_template(f, object["template"], Path("template"));
}

void pod_template_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  pod_template(f, object["template"], Path("template"), old["template"]);
}

}  // namespace kybern::rules
