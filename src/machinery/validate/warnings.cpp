#include "machinery/validate/warnings.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <span>

#include "base/strings.h"
#include "machinery/field.h"
#include "machinery/names.h"
#include "machinery/quantity.h"
#include "machinery/validate/rules.h"

namespace kybern {
namespace {

using Warnings = std::vector<std::string>;

struct Word {
  std::string_view name, text;
};

constexpr Word old_node_labels[] = {
    {"beta.kubernetes.io/arch", R"(deprecated since v1.14; use "kubernetes.io/arch" instead)"},
    {"beta.kubernetes.io/os", R"(deprecated since v1.14; use "kubernetes.io/os" instead)"},
    {"failure-domain.beta.kubernetes.io/region", R"(deprecated since v1.17; use "topology.kubernetes.io/region" instead)"},
    {"failure-domain.beta.kubernetes.io/zone", R"(deprecated since v1.17; use "topology.kubernetes.io/zone" instead)"},
    {"beta.kubernetes.io/instance-type", R"(deprecated since v1.17; use "node.kubernetes.io/instance-type" instead)"},
};
constexpr Word old_pod_annotations[] = {
    {"scheduler.alpha.kubernetes.io/critical-pod", R"(non-functional in v1.16+; use the "priorityClassName" field instead)"},
    {"security.alpha.kubernetes.io/sysctls", R"(non-functional in v1.11+; use the "sysctls" field instead)"},
    {"security.alpha.kubernetes.io/unsafe-sysctls", R"(non-functional in v1.11+; use the "sysctls" field instead)"},
};
constexpr Word old_volumes[] = {
    {"photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
    {"gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"},
    {"scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
    {"flocker", "deprecated in v1.22, non-functional in v1.25+"},
    {"storageos", "deprecated in v1.22, non-functional in v1.25+"},
    {"quobyte", "deprecated in v1.22, non-functional in v1.25+"},
    {"glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
    {"cephfs", "deprecated in v1.28, non-functional in v1.31+"},
    {"rbd", "deprecated in v1.28, non-functional in v1.31+"},
};
constexpr std::string_view prefer_fields = R"(non-functional in v1.27+; use the "seccompProfile" field instead)";
constexpr std::string_view no_selector = "a null labelSelector results in matching no pod";
constexpr std::string_view mount_options_annotation = "volume.beta.kubernetes.io/mount-options";
constexpr std::string_view storage_class_annotation = "volume.beta.kubernetes.io/storage-class";

std::string_view text_for(std::span<const Word> words, std::string_view name) {
  for (const Word& word : words)
    if (word.name == name) return word.text;
  return {};
}

// As warnings write it.
std::string_view shown_volume(std::string_view field) { return field == "storageos" ? std::string_view("storageOS") : field; }

class Sayer {
 public:
  void at(const Path& path, std::string_view text) { out.push_back(fmt::format("{}: {}", path.str(), text)); }
  void say(std::string text) { out.push_back(std::move(text)); }

  // An address that is read as another program would not read it.
  void ip(const Path& path, std::string_view text) {
    std::string canonical = names::canonical_ip(text);
    if (canonical.empty() || canonical == text) return;
    bool four = canonical.find(':') == std::string::npos;
    if (four)
      at(path, fmt::format("non-standard IP address {} will be considered invalid in a future Kubernetes release: use {}", go_quote(text),
                           go_quote(canonical)));
    else at(path, fmt::format("IPv6 address {} should be in RFC 5952 canonical format ({})", go_quote(text), go_quote(canonical)));
  }

  void cidr(const Path& path, std::string_view text) {
    std::string network = names::canonical_cidr(text);
    auto slash = text.rfind('/');
    if (network.empty() || slash == std::string_view::npos) return;
    std::string address = names::canonical_ip(text.substr(0, slash));
    bool four = address.find(':') == std::string::npos;
    if (network.substr(0, network.rfind('/')) != address)
      at(path, fmt::format("CIDR value {} is ambiguous in this context (should be {} or {}?)", go_quote(text), go_quote(network),
                           go_quote(fmt::format("{}/{}", address, four ? 32 : 128))));
    if (address == text.substr(0, slash)) return;
    if (four)
      at(path, fmt::format("non-standard CIDR value {} will be considered invalid in a future Kubernetes release: use {}", go_quote(text),
                           go_quote(network)));
    else
      at(path, fmt::format("IPv6 CIDR value {} should be in RFC 5952 canonical format ({})", go_quote(text),
                           go_quote(address + std::string(text.substr(slash)))));
  }

  void whole_bytes(const Path& amounts, Value values, std::initializer_list<std::string_view> names) {
    for (std::string_view name : names) {
      if (!values[name].exists()) continue;
      Quantity amount = Quantity::of(values[name]);
      if (amount.milli_value() % 1000 == 0) continue;
      at(amounts.key(name), fmt::format("fractional byte value {} is invalid, must be an integer", go_quote(amount.str())));
    }
  }

  void label_name(std::string_view name, std::string_view used) {
    names::Messages messages = names::dns1123_label(name);
    if (messages.empty()) return;
    say(fmt::format("metadata.name: this is used in {}, which can result in surprising behavior; a DNS label is recommended: [{}]", used,
                    join(messages, " ")));
  }

  // `values`: those that no label can have are told too.
  void node_term(Value term, bool values, const Path& path) {
    Path list = path.child("matchExpressions");
    for (std::size_t i = 0; i < term["matchExpressions"].size(); ++i) {
      Value one = term["matchExpressions"][i];
      Path here = list.index(i), given = here.child("values");
      std::string_view key = one["key"].as_string();
      if (std::string_view text = text_for(old_node_labels, key); !text.empty()) at(here.child("key"), fmt::format("{} is {}", key, text));
      for (std::size_t k = 0; values && k < one["values"].size(); ++k) {
        std::string_view value = one["values"][k].as_string();
        for (const std::string& message : names::label_value(value)) at(given.index(k), fmt::format("{} is invalid, {}", value, message));
      }
    }
  }

  void claim_spec(Value spec, const Path& path) {
    Path resources = path.child("resources"), requests = resources.child("requests"), limits = resources.child("limits");
    whole_bytes(requests, spec["resources"]["requests"], {"storage"});
    whole_bytes(limits, spec["resources"]["limits"], {"storage"});
  }

  Warnings out;
};

// A pod's template, or a pod, for which `root` is empty.
class PodSayer : public Sayer {
 public:
  PodSayer(Value pod, const Path& root, bool is_template)
      : pod_(pod), spec_(pod["spec"]), annotations_(pod["metadata"]["annotations"]), root_(root), template_(is_template) {}

  void run() {
    Path spec = root_.child("spec"), metadata = root_.child("metadata"), annotations = metadata.child("annotations");
    scheduling(spec);
    for (const Word& old : old_pod_annotations)
      if (annotations_[old.name].exists()) at(annotations.key(old.name), old.text);
    volumes(spec);
    lists(spec);
    whole_bytes(spec.child("overhead"), spec_["overhead"], {"memory", "ephemeral-storage"});
    if (!spec_["securityContext"]["seccompProfile"].exists() && annotations_[rules::seccomp_pod].exists())
      at(annotations.key(rules::seccomp_pod), prefer_fields);
    each_container(spec, [&](Value container, const Path& path) { one_container(container, path, annotations); });
    each_container(spec, [&](Value container, const Path& path) { ports(container, path); });
    if (spec_["terminationGracePeriodSeconds"].as_int() < 0)
      at(spec.child("terminationGracePeriodSeconds"), "must be >= 0; negative values are invalid and will be treated as 1");
    affinities(spec);
  }

 private:
  template <class Visit>
  void each_container(const Path& spec, Visit visit) {
    for (std::string_view name : {"initContainers", "containers", "ephemeralContainers"}) {
      Path list = spec.child(name);
      for (std::size_t i = 0; i < spec_[name].size(); ++i) visit(spec_[name][i], list.index(i));
    }
  }

  void scheduling(const Path& spec) {
    Path selector = spec.child("nodeSelector");
    for (Member m : spec_["nodeSelector"].members())
      if (std::string_view text = text_for(old_node_labels, m.key); !text.empty()) at(selector.key(m.key), text);
    Value nodes = spec_["affinity"]["nodeAffinity"];
    Path affinity = spec.child("affinity"), node_affinity = affinity.child("nodeAffinity");
    Path required = node_affinity.child("requiredDuringSchedulingIgnoredDuringExecution"), terms = required.child("nodeSelectorTerms");
    Value wanted = nodes["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    for (std::size_t i = 0; i < wanted.size(); ++i) node_term(wanted[i], false, terms.index(i));
    Path preferred = node_affinity.child("preferredDuringSchedulingIgnoredDuringExecution");
    Value liked = nodes["preferredDuringSchedulingIgnoredDuringExecution"];
    for (std::size_t i = 0; i < liked.size(); ++i) node_term(liked[i]["preference"], true, preferred.index(i, "preference"));
    Path spreads = spec.child("topologySpreadConstraints");
    for (std::size_t i = 0; i < spec_["topologySpreadConstraints"].size(); ++i) {
      Value spread = spec_["topologySpreadConstraints"][i];
      std::string_view key = spread["topologyKey"].as_string();
      if (std::string_view text = text_for(old_node_labels, key); !text.empty())
        at(spreads.index(i, "topologyKey"), fmt::format("{} is {}", key, text));
      if (!spread["labelSelector"].exists()) at(spreads.index(i, "labelSelector"), no_selector);
    }
  }

  void affinities(const Path& spec) {
    if (!spec_["affinity"].exists()) return;
    Path affinity = spec.child("affinity");
    for (std::string_view kind : {"podAffinity", "podAntiAffinity"}) {
      Path path = affinity.child(kind), required = path.child("requiredDuringSchedulingIgnoredDuringExecution"),
           preferred = path.child("preferredDuringSchedulingIgnoredDuringExecution");
      Value wanted = spec_["affinity"][kind]["requiredDuringSchedulingIgnoredDuringExecution"],
            liked = spec_["affinity"][kind]["preferredDuringSchedulingIgnoredDuringExecution"];
      for (std::size_t i = 0; i < wanted.size(); ++i)
        if (!wanted[i]["labelSelector"].exists()) at(required.index(i, "labelSelector"), no_selector);
      for (std::size_t i = 0; i < liked.size(); ++i) {
        Path term = preferred.index(i, "podAffinityTerm");
        if (!liked[i]["podAffinityTerm"]["labelSelector"].exists()) at(term.child("labelSelector"), no_selector);
      }
    }
  }

  void volumes(const Path& spec) {
    Path list = spec.child("volumes");
    for (std::size_t i = 0; i < spec_["volumes"].size(); ++i) {
      Value volume = spec_["volumes"][i];
      Path path = list.index(i), ephemeral = path.child("ephemeral"), claim = ephemeral.child("volumeClaimTemplate");
      for (const Word& old : old_volumes) {
        if (old.name == "cephfs" && volume["ephemeral"]["volumeClaimTemplate"].exists())
          claim_spec(volume["ephemeral"]["volumeClaimTemplate"]["spec"], claim.child("spec"));
        if (volume[old.name].exists()) at(path.child(shown_volume(old.name)), old.text);
      }
    }
    for (Value volume : spec_["volumes"].items()) overlaps(volume);
  }

  // Files of one volume that stand in each other's way: "a" and "a/b".
  void overlaps(Value volume) {
    std::string_view name = volume["name"].as_string();
    auto items = [&](Value source, std::string_view what) {
      VirtualPaths paths;
      for (Value item : source["items"].items()) overlap(name, what, paths, item["path"].as_string(), {});
    };
    auto named = [](const char* kind, std::string_view of) { return fmt::format("{} {}", kind, go_quote(of)); };
    if (Value map = volume["configMap"]; map.exists()) items(map, named("ConfigMap", map["name"].as_string()));
    if (Value secret = volume["secret"]; secret.exists()) items(secret, named("Secret", secret["secretName"].as_string()));
    if (Value api = volume["downwardAPI"]; api.exists()) items(api, "DownwardAPI");
    VirtualPaths all;
    for (Value source : volume["projected"]["sources"].items()) {
      Value map = source["configMap"], secret = source["secret"], api = source["downwardAPI"], token = source["serviceAccountToken"],
            bundle = source["clusterTrustBundle"];
      auto list = [&](Value from, const std::string& what) {
        for (Value item : from["items"].items()) overlap(name, "Projected", all, item["path"].as_string(), what);
      };
      if (source.empty()) say(fmt::format("volume {} (Projected) has no sources provided", go_quote(name)));
      else if (map["items"].exists()) list(map, named("ConfigMap", map["name"].as_string()));
      else if (secret["items"].exists()) list(secret, named("Secret", secret["name"].as_string()));
      else if (api["items"].exists()) list(api, "DownwardAPI");
      else if (token.exists()) overlap(name, "Projected", all, token["path"].as_string(), "ServiceAccountToken");
      else if (bundle.exists())
        overlap(name, "Projected", all, bundle["path"].as_string(),
                named("ClusterTrustBundle", bundle[bundle["name"].exists() ? "name" : "signerName"].as_string()));
    }
  }

  struct VirtualPath {
    std::size_t number;
    std::string source;
  };
  using VirtualPaths = std::multimap<std::string, VirtualPath, std::less<>>;

  void overlap(std::string_view volume, std::string_view what, VirtualPaths& paths, std::string_view path, const std::string& source) {
    while (path.ends_with('/')) path.remove_suffix(1);
    if (path.empty() || path.size() > path_max_bytes || out.size() >= enough) return;
    std::map<std::size_t, VirtualPaths::const_iterator> found;  // in the order in which they are written
    auto take = [&](VirtualPaths::const_iterator from, VirtualPaths::const_iterator to) {
      for (; from != to && found.size() < enough; ++from) found.emplace(from->second.number, from);
    };
    for (std::size_t end = path.find('/'); end != path.npos; end = path.find('/', end + 1)) {
      auto [from, to] = paths.equal_range(path.substr(0, end));
      take(from, to);
    }
    auto [from, to] = paths.equal_range(path);
    take(from, to);
    std::string below = std::string(path) + "/", after = std::string(path) + "0";  // 0 comes after /
    take(paths.lower_bound(below), paths.lower_bound(after));
    auto shown = [](std::string_view one, std::string_view of) {
      return of.empty() ? go_quote(one) : fmt::format("{} ({})", go_quote(one), of);
    };
    for (const auto& [number, other] : found)
      say(fmt::format("volume {} ({}): overlapping paths: {} with {}", go_quote(volume), what, shown(path, source),
                      shown(other->first, other->second.source)));
    paths.emplace(path, VirtualPath{paths.size(), source});
  }

  void lists(const Path& spec) {
    auto twice = [&](std::string_view list, std::string_view field, std::string_view word) {
      if (spec_[list].size() < 2) return;
      std::set<std::string_view> seen;
      Path path = spec.child(list);
      for (std::size_t i = 0; i < spec_[list].size(); ++i)
        if (std::string_view value = spec_[list][i][field].as_string(); !seen.insert(value).second)
          at(path.index(i, field), fmt::format("duplicate {} {}", word, go_quote(value)));
    };
    twice("hostAliases", "ip", "ip");
    twice("imagePullSecrets", "name", "name");
    Path secrets = spec.child("imagePullSecrets"), aliases = spec.child("hostAliases"), dns = spec.child("dnsConfig"),
         servers = dns.child("nameservers");
    for (std::size_t i = 0; i < spec_["imagePullSecrets"].size(); ++i)
      if (spec_["imagePullSecrets"][i]["name"].as_string().empty()) at(secrets.index(i, "name"), "invalid empty name \"\"");
    for (std::size_t i = 0; i < spec_["dnsConfig"]["nameservers"].size(); ++i)
      ip(servers.index(i), spec_["dnsConfig"]["nameservers"][i].as_string());
    for (std::size_t i = 0; i < spec_["hostAliases"].size(); ++i) ip(aliases.index(i, "ip"), spec_["hostAliases"][i]["ip"].as_string());
  }

  void one_container(Value container, const Path& path, const Path& annotations) {
    if (!annotations_.empty()) {
      std::string name = container["name"].str(), seccomp = std::string(rules::seccomp_prefix) + name,
                  app_armor = std::string(rules::apparmor_prefix) + name;
      if (!container["securityContext"]["seccompProfile"].exists() && annotations_[seccomp].exists())
        at(annotations.key(seccomp), prefer_fields);
      bool has_profile = spec_["securityContext"]["appArmorProfile"].exists() || container["securityContext"]["appArmorProfile"].exists();
      if (template_ && !has_profile && annotations_[app_armor].exists())
        at(annotations.key(app_armor), R"(deprecated since v1.30; use the "appArmorProfile" field instead)");
    }
    Path resources = path.child("resources"), limits = resources.child("limits"), requests = resources.child("requests");
    for (std::string_view amount : {"memory", "ephemeral-storage"}) {
      whole_bytes(limits, container["resources"]["limits"], {amount});
      whole_bytes(requests, container["resources"]["requests"], {amount});
    }
    if (container["env"].size() < 2) return;
    std::set<std::string_view> seen;
    Path variables = path.child("env");
    for (std::size_t i = 0; i < container["env"].size(); ++i) {
      Value variable = container["env"][i];
      std::string_view key = variable["name"].as_string(), value = variable["value"].as_string();
      if (seen.insert(key).second) continue;
      std::string itself = fmt::format("$({})", key);  // X="$(X)1" builds on the one before
      if (variable["valueFrom"].exists() || value == itself || value.find(itself) == std::string_view::npos)
        at(variables.index(i), fmt::format("hides previous definition of {}, which may be dropped when using apply", go_quote(key)));
    }
  }

  void ports(Value container, const Path& path) {
    Path list = path.child("ports");
    for (std::size_t i = 0; i < container["ports"].size(); ++i) {
      Value port = container["ports"][i];
      Path here = list.index(i);
      std::string_view host_ip = port["hostIP"].as_string();
      std::int64_t host_port = port["hostPort"].as_int();
      if (!host_ip.empty() && host_port == 0)
        at(here, fmt::format("hostIP set without hostPort: {{Name:{} HostPort:0 ContainerPort:{} Protocol:{} HostIP:{}}}",
                             port["name"].as_string(), port["containerPort"].as_int(), port["protocol"].as_string(), host_ip));
      // Of the ports before this one that may clash with it.
      auto& others = ports_[{port["containerPort"].as_int(), port["protocol"].str()}];
      for (const Port& other : others) {
        if (out.size() >= enough) break;  // the headers are cut long before
        if (other.host_ip == host_ip && other.host_port == host_port) at(here, "duplicate port definition with " + other.path);
        else if (host_port == 0 || other.host_port == 0) at(here, "overlapping port definition with " + other.path);
        else if (host_port == other.host_port && host_ip.empty() != other.host_ip.empty())
          at(here, "dangerously ambiguous port definition with " + other.path);
      }
      others.push_back({here.str(), host_ip, host_port});
      if (!host_ip.empty()) ip(here.child("hostIP"), host_ip);
    }
  }

  struct Port {
    std::string path;
    std::string_view host_ip;
    std::int64_t host_port;
  };
  static constexpr std::size_t enough = 1000, path_max_bytes = 4096;
  Value pod_, spec_, annotations_;
  const Path& root_;
  bool template_;
  std::map<std::pair<std::int64_t, std::string>, std::vector<Port>> ports_;
};

Warnings of_template(Value pod, const Path& path) {
  PodSayer sayer(pod, path, true);
  sayer.run();
  return std::move(sayer.out);
}

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

// The type of the next block of a PEM text, which is taken off it.
std::optional<std::string_view> take_pem(std::string_view& pem) {
  constexpr std::string_view begin = "-----BEGIN ", dashes = "-----";
  while (true) {
    std::size_t start = pem.find(begin);
    if (start == pem.npos) return {};
    pem.remove_prefix(start + begin.size());
    std::size_t type_end = pem.find(dashes);
    if (type_end == pem.npos || pem.find('\n') < type_end) continue;
    std::string_view type = pem.substr(0, type_end);
    std::size_t stop = pem.find(fmt::format("-----END {}-----", type));
    if (stop == pem.npos) return {};
    pem.remove_prefix(stop);
    return type;
  }
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

// A pair that no server could serve with. Only the outside of the PEM is looked at.
Warnings of_secret(Value secret) {
  if (secret["type"].as_string() != "kubernetes.io/tls") return {};
  auto fault = [&](const char* key, const char* what, std::string_view wanted) -> std::string {
    std::string pem = base64_decode(secret["data"][key].as_string()).value_or("");
    std::vector<std::string> skipped;
    std::string_view rest = pem;
    while (auto block = take_pem(rest)) {
      bool fits = wanted == "CERTIFICATE" ? *block == wanted : *block == "PRIVATE KEY" || block->ends_with(" PRIVATE KEY");
      if (fits) return {};
      skipped.emplace_back(*block);
    }
    bool key_wanted = wanted != "CERTIFICATE";
    if (skipped.empty()) return fmt::format("tls: failed to find any PEM data in {} input", what);
    if (!key_wanted && skipped.size() == 1 && skipped[0].ends_with("PRIVATE KEY"))
      return "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched";
    if (key_wanted && skipped.size() == 1 && skipped[0] == "CERTIFICATE")
      return "tls: found a certificate rather than a key in the PEM for the private key";
    if (key_wanted)
      return fmt::format(
          "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following "
          "types: [{}]",
          join(skipped, " "));
    return fmt::format(
        "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: [{}]",
        join(skipped, " "));
  };
  std::string why = fault("tls.crt", "certificate", "CERTIFICATE");
  if (why.empty()) why = fault("tls.key", "key", "PRIVATE KEY");
  return why.empty() ? Warnings{} : Warnings{why};
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
  if (resource.group.empty() && kind == "pods") {
    Path none;
    PodSayer sayer(object, none, false);
    if (!before.exists()) sayer.label_name(object["metadata"]["name"].as_string(), "the Pod's hostname");
    sayer.run();
    return std::move(sayer.out);
  }
  if (resource.group.empty() && kind == "services") return of_service(object);
  if (kind == "persistentvolumes") return of_persistent_volume(object);
  if (kind == "persistentvolumeclaims") return of_claim(object);
  if (resource.group.empty() && kind == "nodes") return of_node(object);
  if (kind == "networkpolicies") return of_network_policy(object);
  if (kind == "storageclasses") return of_storage_class(object);
  if (kind == "csistoragecapacities") return of_storage_capacity(object);
  if (kind == "endpointslices") return of_endpoint_slice(object);
  if (resource.group.empty() && kind == "endpoints") return of_endpoints(object);
  if (resource.group.empty() && kind == "secrets") return of_secret(object);
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
