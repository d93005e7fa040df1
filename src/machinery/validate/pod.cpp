// Pods and pod templates.
#include <fmt/format.h>

#include <limits>

#include "base/strings.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {

void containers_of_pod(Findings& f, Value spec, const Path& path);

namespace {

constexpr std::size_t dns_servers_max = 3, dns_searches_max = 32, dns_search_bytes_max = 2048;
constexpr std::int64_t deadline_max_s = std::numeric_limits<std::int32_t>::max();

void resource_claims(Findings& f, Value list, const Path& path) {
  std::set<std::string, std::less<>> seen;
  std::size_t i = 0;
  for (Value claim : list.items()) {
    Path at = path.index(i++);
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

void host_users(Findings& f, Value spec, const Path& path) {
  if (spec["hostUsers"].as_bool(true)) return;
  constexpr const char* why = "when `hostUsers` is false";
  if (spec["hostNetwork"].as_bool()) f.forbidden(path.child("hostNetwork"), why);
  if (spec["hostPID"].as_bool()) f.forbidden(path.child("hostPID"), why);
  if (spec["hostIPC"].as_bool()) f.forbidden(path.child("hostIPC"), why);
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

void pod_resources(Findings& f, Value spec, const Path& path) {
  Value resources = spec["resources"];
  if (resources.is_null()) return;
  Path at = path.child("resources");
  if (!resources["claims"].empty()) f.forbidden(at.child("claims"), "claims may not be set for Resources at pod-level");
  for (const char* which : {"limits", "requests"}) {
    Path list = at.child(which);
    for (Member amount : resources[which].members()) {
      if (amount.key == "cpu" || amount.key == "memory" || is_hugepage(amount.key)) continue;
      f.not_supported(list.key(amount.key), amount.key, {"cpu", "memory"});
    }
  }
  resource_requirements(f, resources, {}, at);
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
}

void pod_spec(Findings& f, Value spec, const PodContext& context, const Path& path) {
  if (!set(spec, "terminationGracePeriodSeconds")) f.required(path.child("terminationGracePeriodSeconds"));
  Volumes known = volumes(f, spec["volumes"], context.pod_name, path.child("volumes"));
  resource_claims(f, spec["resourceClaims"], path.child("resourceClaims"));
  containers(f, spec, known, context, path);
  pod_resources(f, spec, path);
  host_network(f, spec, context.is_pod, path);
  f.one_of(path.child("restartPolicy"), text(spec, "restartPolicy"), {"Always", "OnFailure", "Never"});
  f.one_of(path.child("dnsPolicy"), text(spec, "dnsPolicy"), {"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"});
  f.add(validate_labels(spec["nodeSelector"], path.child("nodeSelector")));
  pod_security_context(f, spec, path);
  affinity(f, spec["affinity"], path.child("affinity"));
  dns_config(f, spec, path.child("dnsConfig"));
  gates(f, spec, path);
  topology_spread(f, spec["topologySpreadConstraints"], path.child("topologySpreadConstraints"));
  windows_host_process(f, spec, path);
  host_users(f, spec, path);
  simple_fields(f, spec, path);
  if (set(spec, "overhead")) overhead(f, spec["overhead"], path.child("overhead"));
  if (set(spec, "os")) pod_os(f, spec, path);
}

void pod_template(Findings& f, Value object, const Path& path) {
  Value meta = object["metadata"], spec = object["spec"];
  Path spec_path = path.child("spec");
  f.add(validate_labels(meta["labels"], path.child("labels")));
  f.add(validate_annotations(meta["annotations"], path.child("annotations")));
  pod_annotations(f, meta["annotations"], spec, path.child("annotations"));
  pod_spec(f, spec, PodContext{false, {}, meta}, spec_path);
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

void pod_metadata_and_spec(Findings& f, Value object) {
  const Path meta_path("metadata"), spec_path("spec");
  Value meta = object["metadata"], spec = object["spec"];
  object_meta(f, object, true, name_is_subdomain);
  pod_annotations(f, meta["annotations"], spec, meta_path.child("annotations"));
  pod_spec(f, spec, PodContext{true, text(meta, "name"), meta}, spec_path);
  tokens_without_account(f, spec, spec_path);
  containers_of_pod(f, spec, spec_path);
}

void pod_create(Findings& f, Value object) {
  pod_metadata_and_spec(f, object);
  Value spec = object["spec"];
  const Path path("spec");
  if (!spec["ephemeralContainers"].empty()) f.forbidden(path.child("ephemeralContainers"), "cannot be set on create");
  if (!text(spec, "nodeName").empty() && !spec["schedulingGates"].empty()) {
    f.forbidden(path.child("nodeName"), "cannot be set until all schedulingGates have been cleared");
  }
  apparmor_annotations(f, object["metadata"], spec, path);
}

void pod_template_create(Findings& f, Value object) {
  object_meta(f, object, true, name_is_subdomain);
  pod_template(f, object["template"], Path("template"));
}

void pod_template_update(Findings& f, Value object, Value old) {
  object_meta_update(f, object, old);
  pod_template(f, object["template"], Path("template"));
}

}  // namespace kybern::rules
