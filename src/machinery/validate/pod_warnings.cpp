// What a pod, or a template of pods, is accepted with and yet worth a word.
#include <fmt/format.h>

#include <map>
#include <set>

#include "base/strings.h"
#include "machinery/names.h"
#include "machinery/quantity.h"
#include "machinery/validate/rules.h"
#include "machinery/validate/sayer.h"

namespace kybern::warnings {

void Sayer::at(const Path& path, std::string_view text) { out.push_back(fmt::format("{}: {}", path.str(), text)); }

void Sayer::ip(const Path& path, std::string_view text) {
  std::string canonical = names::canonical_ip(text);
  if (canonical.empty() || canonical == text) return;
  bool four = canonical.find(':') == std::string::npos;
  if (four)
    at(path, fmt::format("non-standard IP address {} will be considered invalid in a future Kubernetes release: use {}", go_quote(text),
                         go_quote(canonical)));
  else at(path, fmt::format("IPv6 address {} should be in RFC 5952 canonical format ({})", go_quote(text), go_quote(canonical)));
}

void Sayer::cidr(const Path& path, std::string_view text) {
  std::string network = names::canonical_cidr(text);
  auto slash = text.rfind('/');
  if (network.empty() || slash == std::string_view::npos) return;
  std::string_view written = text.substr(0, slash), bits = text.substr(slash + 1);
  std::string address = names::canonical_ip(written);
  bool four = address.find(':') == std::string::npos, zero = bits.size() > 1 && bits[0] == '0';
  bool ambiguous = network.substr(0, network.rfind('/')) != address;
  if (ambiguous)
    at(path, fmt::format("CIDR value {} is ambiguous in this context (should be {} or {}?)", go_quote(text), go_quote(network),
                         go_quote(fmt::format("{}/{}", address, four ? 32 : 128))));
  if (zero || (four && address != written))
    at(path, fmt::format("non-standard CIDR value {} will be considered invalid in a future Kubernetes release: use {}", go_quote(text),
                         go_quote(network)));
  else if (!ambiguous && address != written)
    at(path, fmt::format("IPv6 CIDR value {} should be in RFC 5952 canonical format ({})", go_quote(text),
                         go_quote(fmt::format("{}/{}", address, bits))));
}

void Sayer::whole_bytes(const Path& amounts, Value values, std::initializer_list<std::string_view> names) {
  for (std::string_view name : names) {
    if (!values[name].exists()) continue;
    Quantity amount = Quantity::of(values[name]);
    if (amount.milli_value() % 1000 == 0) continue;
    at(amounts.key(name), fmt::format("fractional byte value {} is invalid, must be an integer", go_quote(amount.str())));
  }
}

void Sayer::label_name(std::string_view name, std::string_view used) {
  names::Messages messages = names::dns1123_label(name);
  if (messages.empty()) return;
  say(fmt::format("metadata.name: this is used in {}, which can result in surprising behavior; a DNS label is recommended: [{}]", used,
                  join(messages, " ")));
}

void Sayer::node_term(Value term, bool values, const Path& path) {
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

void Sayer::claim_spec(Value spec, const Path& path) {
  Path resources = path.child("resources"), requests = resources.child("requests"), limits = resources.child("limits");
  whole_bytes(requests, spec["resources"]["requests"], {"storage"});
  whole_bytes(limits, spec["resources"]["limits"], {"storage"});
}

namespace {

constexpr Word old_pod_annotations[] = {
    {"scheduler.alpha.kubernetes.io/critical-pod", R"(non-functional in v1.16+; use the "priorityClassName" field instead)"},
    {"security.alpha.kubernetes.io/sysctls", R"(non-functional in v1.11+; use the "sysctls" field instead)"},
    {"security.alpha.kubernetes.io/unsafe-sysctls", R"(non-functional in v1.11+; use the "sysctls" field instead)"},
};
constexpr std::string_view prefer_fields = R"(non-functional in v1.27+; use the "seccompProfile" field instead)";
constexpr std::string_view no_selector = "a null labelSelector results in matching no pod";

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

}  // namespace

Warnings of_template(Value pod, const Path& path) {
  PodSayer sayer(pod, path, true);
  sayer.run();
  return std::move(sayer.out);
}

Warnings of_pod(Value pod, bool is_new) {
  Path none;
  PodSayer sayer(pod, none, false);
  if (is_new) sayer.label_name(pod["metadata"]["name"].as_string(), "the Pod's hostname");
  sayer.run();
  return std::move(sayer.out);
}

}  // namespace kybern::warnings
