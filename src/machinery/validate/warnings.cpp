#include "machinery/validate/warnings.h"

#include <fmt/format.h>

#include <set>

#include "base/strings.h"
#include "machinery/names.h"
#include "machinery/validate/sayer.h"

namespace kybern {
namespace {

using warnings::of_template;
using warnings::old_node_labels;
using warnings::old_volumes;
using warnings::Sayer;
using warnings::shown_volume;
using warnings::text_for;
using warnings::Warnings;

constexpr std::string_view mount_options_annotation = "volume.beta.kubernetes.io/mount-options";
constexpr std::string_view storage_class_annotation = "volume.beta.kubernetes.io/storage-class";

void append(Warnings& out, Warnings more) {
  for (std::string& one : more) out.push_back(std::move(one));
}

Warnings of_service(Value service) {
  Sayer say;
  Value spec = service["spec"];
  Path path("spec"), cluster_ips = path.child("clusterIPs"), external_ips = path.child("externalIPs"),
                     ranges = path.child("loadBalancerSourceRanges");
  std::string_view type = spec["type"].as_string(), cluster_ip = spec["clusterIP"].as_string();
  bool headless = type == "ClusterIP" && cluster_ip == "None", external = type == "ExternalName", outside = spec["externalIPs"].size() > 0;
  if (service["metadata"]["annotations"]["service.kubernetes.io/topology-aware-hints"].exists())
    say.say("annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead");
  if (!cluster_ip.empty() && cluster_ip != "None")
    for (std::size_t i = 0; i < spec["clusterIPs"].size(); ++i) say.ip(cluster_ips.index(i), spec["clusterIPs"][i].as_string());
  if (headless) {
    if (!spec["loadBalancerIP"].as_string().empty()) say.say("spec.loadBalancerIP is ignored for headless services");
    if (outside) say.say("spec.externalIPs is ignored for headless services");
    if (spec["sessionAffinity"].as_string() != "None") say.say("spec.SessionAffinity is ignored for headless services");
  }
  for (std::size_t i = 0; i < spec["externalIPs"].size(); ++i) say.ip(external_ips.index(i), spec["externalIPs"][i].as_string());
  if (outside && !headless && !external) say.say("spec.externalIPs is deprecated and may no longer be implemented in some clusters");
  if (!spec["loadBalancerIP"].as_string().empty()) say.ip(path.child("loadBalancerIP"), spec["loadBalancerIP"].as_string());
  for (std::size_t i = 0; i < spec["loadBalancerSourceRanges"].size(); ++i)
    say.cidr(ranges.index(i), spec["loadBalancerSourceRanges"][i].as_string());
  if (external && outside) say.say(R"(spec.externalIPs is ignored when spec.type is "ExternalName")");
  if (!external && !spec["externalName"].as_string().empty())
    say.say(R"(spec.externalName is ignored when spec.type is not "ExternalName")");
  if (spec["trafficDistribution"].as_string() == "PreferClose")
    say.say(R"(spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone")");
  return std::move(say.out);
}

void of_class_annotation(Sayer& say, Value object) {
  Path metadata("metadata"), annotations = metadata.child("annotations");
  if (object["metadata"]["annotations"][storage_class_annotation].exists())
    say.at(annotations.key(storage_class_annotation), "deprecated since v1.8; use \"storageClassName\" attribute instead");
}

Warnings of_persistent_volume(Value volume) {
  Sayer say;
  Path spec("spec"), metadata("metadata");
  Path annotations = metadata.child("annotations"), affinity = spec.child("nodeAffinity"), required = affinity.child("required"),
       terms = required.child("nodeSelectorTerms");
  of_class_annotation(say, volume);
  if (volume["metadata"]["annotations"][mount_options_annotation].exists())
    say.at(annotations.key(mount_options_annotation), "deprecated since v1.31; use \"mountOptions\" attribute instead");
  if (volume["spec"]["persistentVolumeReclaimPolicy"].as_string() == "Recycle")
    say.at(spec.child("persistentVolumeReclaimPolicy"),
           "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.");
  Value wanted = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"];
  for (std::size_t i = 0; i < wanted.size(); ++i) say.node_term(wanted[i], false, terms.index(i));
  for (std::string_view old : {"cephfs", "photonPersistentDisk", "scaleIO", "storageos", "glusterfs", "rbd"})
    if (volume["spec"][old].exists()) say.at(spec.child(shown_volume(old)), text_for(old_volumes, old));
  return std::move(say.out);
}

Warnings of_claim(Value claim) {
  Sayer say;
  Path spec("spec");
  of_class_annotation(say, claim);
  say.claim_spec(claim["spec"], spec);
  return std::move(say.out);
}

Warnings of_node(Value node) {
  Sayer say;
  Path spec("spec"), cidrs = spec.child("podCIDRs");
  if (node["spec"]["configSource"].exists()) say.at(spec.child("configSource"), "the feature is no longer supported");
  if (!node["spec"]["externalID"].as_string().empty())
    say.at(spec.child("externalID"), "this field is deprecated, and is unused by Kubernetes");
  for (std::size_t i = 0; i < node["spec"]["podCIDRs"].size(); ++i) say.cidr(cidrs.index(i), node["spec"]["podCIDRs"][i].as_string());
  return std::move(say.out);
}

Warnings of_network_policy(Value policy) {
  Sayer say;
  Path spec("spec");
  for (auto [rules, peers] : {std::pair("ingress", "from"), std::pair("egress", "to")}) {
    Path list = spec.child(rules);
    for (std::size_t i = 0; i < policy["spec"][rules].size(); ++i) {
      Path rule = list.index(i), ends = rule.child(peers);
      Value all = policy["spec"][rules][i][peers];
      for (std::size_t k = 0; k < all.size(); ++k) {
        Path end = ends.index(k), block = end.child("ipBlock"), except = block.child("except");
        Value found = all[k]["ipBlock"];
        if (!found.exists()) continue;
        say.cidr(block.child("cidr"), found["cidr"].as_string());
        for (std::size_t n = 0; n < found["except"].size(); ++n) say.cidr(except.index(n), found["except"][n].as_string());
      }
    }
  }
  return std::move(say.out);
}

Warnings of_storage_class(Value object) {
  Sayer say;
  Path terms("allowedTopologies");
  for (std::size_t i = 0; i < object["allowedTopologies"].size(); ++i) {
    Path term = terms.index(i), labels = term.child("matchLabelExpressions");
    Value all = object["allowedTopologies"][i]["matchLabelExpressions"];
    for (std::size_t k = 0; k < all.size(); ++k) {
      std::string_view key = all[k]["key"].as_string();
      if (std::string_view text = text_for(old_node_labels, key); !text.empty()) say.at(labels.index(k, "key"), text);
    }
  }
  return std::move(say.out);
}

Warnings of_storage_capacity(Value object) {
  Sayer say;
  Path topology("nodeTopology"), labels = topology.child("matchLabels");
  say.node_term(object["nodeTopology"], false, topology);
  for (Member m : object["nodeTopology"]["matchLabels"].members())
    if (std::string_view text = text_for(old_node_labels, m.key); !text.empty()) say.at(labels.child(m.key), text);
  return std::move(say.out);
}

Warnings of_endpoint_slice(Value slice) {
  Sayer say;
  Path spec("spec"), endpoints("endpoints");
  if (slice["addressType"].as_string() == "FQDN") say.at(spec.child("addressType"), "FQDN endpoints are deprecated");
  if (slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"].as_string() == "endpointslice-controller.k8s.io")
    return std::move(say.out);  // it writes what is right
  for (std::size_t i = 0; i < slice["endpoints"].size(); ++i) {
    Path endpoint = endpoints.index(i), addresses = endpoint.child("addresses");
    Value list = slice["endpoints"][i]["addresses"];
    for (std::size_t k = 0; k < list.size(); ++k) say.ip(addresses.index(k), list[k].as_string());
  }
  return std::move(say.out);
}

Warnings of_endpoints(Value object) {
  Sayer say;
  Value labels = object["metadata"]["labels"];
  bool ours = labels["endpoints.kubernetes.io/managed-by"].as_string() == "endpoint-controller" ||
              labels["endpointslice.kubernetes.io/skip-mirror"].as_string() == "true";
  if (ours) return {};
  Path subsets("subsets");
  for (std::size_t i = 0; i < object["subsets"].size(); ++i) {
    Path subset = subsets.index(i);
    for (std::string_view kind : {"addresses", "notReadyAddresses"}) {
      Path addresses = subset.child(kind);
      Value list = object["subsets"][i][kind];
      for (std::size_t k = 0; k < list.size(); ++k) say.ip(addresses.index(k, "ip"), list[k]["ip"].as_string());
    }
  }
  return std::move(say.out);
}

Warnings of_job(Value spec, const Path& path) {
  Sayer say;
  constexpr std::int64_t many_completions = 100'000, many_at_once = 10'000;
  if (spec["completionMode"].as_string() == "Indexed" && spec["completions"].as_int() > many_completions &&
      spec["parallelism"].as_int() > many_at_once)
    say.at(path,
           "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able "
           "to track completedIndexes when a big number of indexes fail");
  append(say.out, of_template(spec["template"], path.child("template")));
  return std::move(say.out);
}

// The kinds that make pods, whose names go on into those of the pods.
bool of_workload(const schema::Resource& resource, Value object, Value before, Warnings& out) {
  std::string_view kind = resource.plural;
  bool workload = kind == "deployments" || kind == "replicasets" || kind == "replicationcontrollers" || kind == "jobs" ||
                  kind == "cronjobs" || kind == "daemonsets" || kind == "statefulsets" || kind == "podtemplates";
  if (!workload) return false;
  Path spec("spec"), job_template = spec.child("jobTemplate"), job = job_template.child("spec");
  if (!before.exists() && kind != "daemonsets" && kind != "statefulsets" && kind != "podtemplates") {
    Sayer say;
    say.label_name(object["metadata"]["name"].as_string(), "Pod names and hostnames");
    append(out, std::move(say.out));
  }
  if (before.exists() && before["spec"] == object["spec"] && before["template"] == object["template"]) return true;
  if (kind == "podtemplates") append(out, of_template(object["template"], Path("template")));
  else if (kind == "jobs") append(out, of_job(object["spec"], spec));
  else if (kind == "cronjobs") {
    append(out, of_job(object["spec"]["jobTemplate"]["spec"], job));
    if (object["spec"]["schedule"].as_string().find("TZ") != std::string_view::npos)
      out.push_back(
          "CRON_TZ or TZ used in spec.schedule is not officially supported, see "
          "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details");
  } else {
    append(out, of_template(object["spec"]["template"], spec.child("template")));
  }
  if (kind == "statefulsets" && object["spec"]["revisionHistoryLimit"].as_int() < 0)
    out.push_back("spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended");
  return true;
}

}  // namespace

std::vector<std::string> write_warnings(const schema::Resource& resource, Value object, Value before) {
  Warnings out;
  std::string_view kind = resource.plural;
  if (of_workload(resource, object, before, out)) return out;
  if (resource.group.empty() && kind == "pods") return warnings::of_pod(object, !before.exists());
  if (resource.group.empty() && kind == "services") return of_service(object);
  if (kind == "persistentvolumes") return of_persistent_volume(object);
  if (kind == "persistentvolumeclaims") return of_claim(object);
  if (resource.group.empty() && kind == "nodes") return of_node(object);
  if (kind == "networkpolicies") return of_network_policy(object);
  if (kind == "storageclasses") return of_storage_class(object);
  if (kind == "csistoragecapacities") return of_storage_capacity(object);
  if (kind == "endpointslices") return of_endpoint_slice(object);
  if (resource.group.empty() && kind == "endpoints") return of_endpoints(object);
  if (kind == "runtimeclasses") {
    Sayer say;
    Path scheduling("scheduling"), selector = scheduling.child("nodeSelector");
    for (Member m : object["scheduling"]["nodeSelector"].members())
      if (std::string_view text = text_for(old_node_labels, m.key); !text.empty()) say.at(selector, text);
    return std::move(say.out);
  }
  if (kind == "ingresses" && object["metadata"]["annotations"]["kubernetes.io/ingress.class"].exists() && !before.exists())
    out.push_back(R"(annotation "kubernetes.io/ingress.class" is deprecated, please use 'spec.ingressClassName' instead)");
  if (kind == "serviceaccounts" && object["metadata"]["annotations"]["kubernetes.io/enforce-mountable-secrets"].exists() &&
      !before["metadata"]["annotations"]["kubernetes.io/enforce-mountable-secrets"].exists())
    out.push_back(
        "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate namespaces to isolate "
        "access to mounted secrets");
  return out;
}

std::string_view deprecation_warning(const schema::Resource& resource) {
  if (!resource.group.empty() || resource.version != "v1") return {};
  if (resource.plural == "endpoints") return "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";
  if (resource.plural == "componentstatuses") return "v1 ComponentStatus is deprecated in v1.19+";
  return {};
}

std::vector<std::string> finalizer_warnings(Value metadata, Value before) {
  std::set<std::string_view> old, added;
  for (Value one : before["finalizers"].items()) old.insert(one.as_string());
  for (Value one : metadata["finalizers"].items())
    if (!old.contains(one.as_string())) added.insert(one.as_string());
  Warnings out;
  for (std::string_view one : added) {
    for (const std::string& message : names::qualified_name(one))
      out.push_back(fmt::format("metadata.finalizers: {}: {}", go_quote(one), message));
    bool standard = one == "kubernetes" || one == "orphan" || one == "foregroundDeletion";
    if (one.find('/') == std::string_view::npos && !standard)
      out.push_back(
          fmt::format("metadata.finalizers: {}: prefer a domain-qualified finalizer name including a path (/) to avoid accidental "
                      "conflicts with other finalizer writers",
                      go_quote(one)));
  }
  return out;
}

}  // namespace kybern
