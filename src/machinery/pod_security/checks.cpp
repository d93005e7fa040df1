#include "machinery/pod_security/checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "base/strings.h"

namespace kybern::pod_security {
namespace {

using Names = std::vector<std::string>;
using Sorted = std::set<std::string, std::less<>>;

std::string_view one_or(std::string_view one, std::string_view many, std::size_t count) { return count == 1 ? one : many; }
// Wrapped, not escaped: names of containers hold nothing to escape.
std::string quoted(const Names& names) { return "\"" + join(names, "\", \"") + "\""; }
std::string quoted(const Sorted& names) { return quoted(Names(names.begin(), names.end())); }
std::string containers(const Names& names) { return fmt::format("{} {}", one_or("container", "containers", names.size()), quoted(names)); }

template <class Test>
Names containers_that(const Subject& subject, Test test) {
  Names out;
  for (Value container : subject.containers)
    if (test(container)) out.push_back(container["name"].str());
  return out;
}

// `pod`, `container "a"`, `pod and containers "a", "b"`.
std::string setters(bool pod, const Names& names) {
  if (names.empty()) return "pod";
  return (pod ? "pod and " : "") + containers(names);
}

bool windows(const Subject& s) { return s.spec["os"]["name"].as_string() == "windows"; }
bool own_user_namespace(const Subject& s) { return s.spec["hostUsers"].is_bool() && !s.spec["hostUsers"].as_bool(); }
bool is_false(Value v) { return v.is_bool() && !v.as_bool(); }

// --- baseline

bool known_profile(std::string_view type) { return type == "RuntimeDefault" || type == "Localhost"; }

bool app_armor(const Subject& s, Finding& out) {
  constexpr std::string_view prefix = "container.apparmor.security.beta.kubernetes.io/";
  Sorted types;
  auto bad = [&](Value of) {
    Value profile = of["securityContext"]["appArmorProfile"];
    if (!profile.is_object() || known_profile(profile["type"].as_string())) return false;
    types.insert(profile["type"].str());
    return true;
  };
  Names who;
  if (bad(s.spec)) who.push_back("pod");
  if (Names names = containers_that(s, bad); !names.empty()) who.push_back(containers(names));
  Names values(types.begin(), types.end());
  Sorted annotations;
  for (Member m : s.metadata["annotations"].members()) {
    std::string_view value = m.value.as_string();
    if (m.key.starts_with(prefix) && !value.empty() && value != "runtime/default" && !value.starts_with("localhost/"))
      annotations.insert(fmt::format("{}={}", m.key, go_quote(value)));
  }
  if (!annotations.empty()) who.emplace_back(one_or("annotation", "annotations", annotations.size()));
  values.insert(values.end(), annotations.begin(), annotations.end());
  if (who.empty()) return false;
  out = {std::string(one_or("forbidden AppArmor profile", "forbidden AppArmor profiles", values.size())),
         fmt::format("{} must not set AppArmor profile type to {}", join(who, " and "), quoted(values))};
  return true;
}

bool added_capabilities(const Subject& s, Finding& out) {
  static constexpr auto allowed =
      std::to_array<std::string_view>({"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE",
                                       "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"});
  Sorted added;
  Names names = containers_that(s, [&](Value c) {
    bool found = false;
    for (Value capability : c["securityContext"]["capabilities"]["add"].items()) {
      if (std::ranges::find(allowed, capability.as_string()) != allowed.end()) continue;
      found = true;
      added.insert(capability.str());
    }
    return found;
  });
  out = {"non-default capabilities",
         fmt::format("{} must not include {} in securityContext.capabilities.add", containers(names), quoted(added))};
  return !names.empty();
}

bool host_namespaces(const Subject& s, Finding& out) {
  Names used;
  for (const char* field : {"hostNetwork", "hostPID", "hostIPC"})
    if (s.spec[field].as_bool()) used.push_back(fmt::format("{}=true", field));
  out = {"host namespaces", join(used, ", ")};
  return !used.empty();
}

bool host_paths(const Subject& s, Finding& out) {
  Names volumes;
  for (Value volume : s.spec["volumes"].items())
    if (volume["hostPath"].is_object()) volumes.push_back(volume["name"].str());
  out = {"hostPath volumes", fmt::format("{} {}", one_or("volume", "volumes", volumes.size()), quoted(volumes))};
  return !volumes.empty();
}

bool host_ports(const Subject& s, Finding& out) {
  Sorted ports;
  Names names = containers_that(s, [&](Value c) {
    bool found = false;
    for (Value port : c["ports"].items()) {
      if (port["hostPort"].as_int() == 0) continue;
      found = true;
      ports.insert(std::to_string(port["hostPort"].as_int()));
    }
    return found;
  });
  out = {"hostPort", fmt::format("{} {} {} {}", containers(names), one_or("uses", "use", names.size()),
                                 one_or("hostPort", "hostPorts", ports.size()), join(Names(ports.begin(), ports.end()), ", "))};
  return !names.empty();
}

bool probe_hosts(const Subject& s, Finding& out) {
  Sorted hosts, names;
  for (Value c : s.containers) {
    for (Value handler :
         {c["livenessProbe"], c["readinessProbe"], c["startupProbe"], c["lifecycle"]["postStart"], c["lifecycle"]["preStop"]}) {
      for (const char* action : {"httpGet", "tcpSocket"}) {
        if (handler[action]["host"].as_string().empty()) continue;
        hosts.insert(handler[action]["host"].str());
        names.insert(c["name"].str());
      }
    }
  }
  out = {"probe or lifecycle host",
         fmt::format("{} {} {} {} {}", one_or("container", "containers", names.size()), quoted(names), one_or("uses", "use", names.size()),
                     one_or("probe or lifecycle host", "probe or lifecycle hosts", hosts.size()), quoted(hosts))};
  return !names.empty();
}

bool privileged(const Subject& s, Finding& out) {
  Names names = containers_that(s, [](Value c) { return c["securityContext"]["privileged"].as_bool(); });
  out = {"privileged", containers(names) + " must not set securityContext.privileged=true"};
  return !names.empty();
}

bool proc_mount(const Subject& s, Finding& out) {
  Sorted types;
  Names names = containers_that(s, [&](Value c) {
    Value type = c["securityContext"]["procMount"];
    if (type.is_null() || type.as_string() == "Default") return false;
    types.insert(type.str());
    return true;
  });
  out = {"procMount", fmt::format("{} must not set securityContext.procMount to {}", containers(names), quoted(types))};
  return !names.empty();
}
bool proc_mount_but_in_user_namespaces(const Subject& s, Finding& out) { return !own_user_namespace(s) && proc_mount(s, out); }

bool selinux(const Subject& s, Finding& out, bool engine) {
  Sorted types;
  bool user = false, role = false;
  auto bad = [&](Value of) {
    Value options = of["securityContext"]["seLinuxOptions"];
    std::string_view type = options["type"].as_string();
    bool known = type.empty() || type == "container_t" || type == "container_init_t" || type == "container_kvm_t" ||
                 (engine && type == "container_engine_t");
    bool names_user = !options["user"].as_string().empty(), names_role = !options["role"].as_string().empty();
    if (!known) types.emplace(type);
    user |= names_user, role |= names_role;
    return !known || names_user || names_role;
  };
  bool pod = bad(s.spec);
  Names names = containers_that(s, bad);
  if (!pod && names.empty()) return false;
  Names what;
  if (!types.empty()) what.push_back(fmt::format("{} {}", one_or("type", "types", types.size()), quoted(types)));
  if (user) what.push_back("user may not be set");
  if (role) what.push_back("role may not be set");
  out = {"seLinuxOptions", fmt::format("{} set forbidden securityContext.seLinuxOptions: {}", setters(pod, names), join(what, "; "))};
  return true;
}
bool selinux_1_0(const Subject& s, Finding& out) { return selinux(s, out, false); }
bool selinux_1_31(const Subject& s, Finding& out) { return selinux(s, out, true); }

bool seccomp_annotations(const Subject& s, Finding& out) {
  Sorted bad;
  auto look = [&](const std::string& key) {
    Value value = s.metadata["annotations"][key];
    std::string_view text = value.as_string();
    if (value.exists() && text != "runtime/default" && text != "docker/default" && !text.starts_with("localhost/"))
      bad.insert(fmt::format("{}={}", key, go_quote(text)));
  };
  look("seccomp.security.alpha.kubernetes.io/pod");
  for (Value c : s.containers) look("container.seccomp.security.alpha.kubernetes.io/" + c["name"].str());
  out = {"seccompProfile",
         fmt::format("forbidden {} {}", one_or("annotation", "annotations", bad.size()), join(Names(bad.begin(), bad.end()), ", "))};
  return !bad.empty();
}

// Who sets a profile that is not allowed.
bool seccomp_set(const Subject& s, Finding& out) {
  Sorted types;
  auto bad = [&](Value of) {
    Value profile = of["securityContext"]["seccompProfile"];
    if (!profile.is_object() || known_profile(profile["type"].as_string())) return false;
    types.insert(profile["type"].str());
    return true;
  };
  bool pod = bad(s.spec);
  Names names = containers_that(s, bad);
  if (!pod && names.empty()) return false;
  out = {"seccompProfile", fmt::format("{} must not set securityContext.seccompProfile.type to {}", setters(pod, names), quoted(types))};
  return true;
}

bool sysctls(const Subject& s, Finding& out, int minor) {
  struct Safe {
    std::string_view name;
    int since;
  };
  static constexpr Safe safe[] = {
      {"kernel.shm_rmid_forced", 0},
      {"net.ipv4.ip_local_port_range", 0},
      {"net.ipv4.tcp_syncookies", 0},
      {"net.ipv4.ping_group_range", 0},
      {"net.ipv4.ip_unprivileged_port_start", 0},
      {"net.ipv4.ip_local_reserved_ports", 27},
      {"net.ipv4.tcp_keepalive_time", 29},
      {"net.ipv4.tcp_fin_timeout", 29},
      {"net.ipv4.tcp_keepalive_intvl", 29},
      {"net.ipv4.tcp_keepalive_probes", 29},
      {"net.ipv4.tcp_rmem", 32},
      {"net.ipv4.tcp_wmem", 32},
  };
  Names bad;
  for (Value sysctl : s.spec["securityContext"]["sysctls"].items())
    if (std::ranges::none_of(safe, [&](const Safe& row) { return row.name == sysctl["name"].as_string() && row.since <= minor; }))
      bad.push_back(sysctl["name"].str());
  out = {"forbidden sysctls", join(bad, ", ")};
  return !bad.empty();
}
template <int minor>
bool sysctls_since(const Subject& s, Finding& out) {
  return sysctls(s, out, minor);
}

bool host_process(const Subject& s, Finding& out) {
  auto bad = [](Value of) { return of["securityContext"]["windowsOptions"]["hostProcess"].as_bool(); };
  bool pod = bad(s.spec);
  Names names = containers_that(s, bad);
  out = {"hostProcess", setters(pod, names) + " must not set securityContext.windowsOptions.hostProcess=true"};
  return pod || !names.empty();
}

// --- restricted

bool escalation(const Subject& s, Finding& out) {
  Names names = containers_that(s, [](Value c) { return !is_false(c["securityContext"]["allowPrivilegeEscalation"]); });
  out = {"allowPrivilegeEscalation != false", containers(names) + " must set securityContext.allowPrivilegeEscalation=false"};
  return !names.empty();
}
bool escalation_but_windows(const Subject& s, Finding& out) { return !windows(s) && escalation(s, out); }

bool kept_capabilities(const Subject& s, Finding& out) {
  Sorted added;
  Names keep = containers_that(s, [](Value c) {
    for (Value capability : c["securityContext"]["capabilities"]["drop"].items())
      if (capability.as_string() == "ALL") return false;
    return true;
  });
  Names add = containers_that(s, [&](Value c) {
    bool found = false;
    for (Value capability : c["securityContext"]["capabilities"]["add"].items()) {
      if (capability.as_string() == "NET_BIND_SERVICE") continue;
      found = true;
      added.insert(capability.str());
    }
    return found;
  });
  Names details;
  if (!keep.empty()) details.push_back(containers(keep) + " must set securityContext.capabilities.drop=[\"ALL\"]");
  if (!add.empty())
    details.push_back(fmt::format("{} must not include {} in securityContext.capabilities.add", containers(add), quoted(added)));
  out = {"unrestricted capabilities", join(details, "; ")};
  return !details.empty();
}
bool kept_capabilities_but_windows(const Subject& s, Finding& out) { return !windows(s) && kept_capabilities(s, out); }

bool volume_types(const Subject& s, Finding& out) {
  static constexpr auto allowed = std::to_array<const char*>(
      {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"});
  static constexpr auto known = std::to_array<const char*>({"hostPath",
                                                            "gcePersistentDisk",
                                                            "awsElasticBlockStore",
                                                            "gitRepo",
                                                            "nfs",
                                                            "iscsi",
                                                            "glusterfs",
                                                            "rbd",
                                                            "flexVolume",
                                                            "cinder",
                                                            "cephfs",
                                                            "flocker",
                                                            "fc",
                                                            "azureFile",
                                                            "vsphereVolume",
                                                            "quobyte",
                                                            "azureDisk",
                                                            "photonPersistentDisk",
                                                            "portworxVolume",
                                                            "scaleIO",
                                                            "storageos"});
  Names volumes;
  Sorted types;
  for (Value volume : s.spec["volumes"].items()) {
    auto set = [&](const char* type) { return volume[type].is_object(); };
    if (std::ranges::any_of(allowed, set)) continue;
    auto type = std::ranges::find_if(known, set);
    types.insert(type == known.end() ? "unknown" : *type);
    volumes.push_back(volume["name"].str());
  }
  out = {"restricted volume types",
         fmt::format("{} {} {} {} {}", one_or("volume", "volumes", volumes.size()), quoted(volumes), one_or("uses", "use", volumes.size()),
                     one_or("restricted volume type", "restricted volume types", types.size()), quoted(types))};
  return !volumes.empty();
}

bool runs_as_root(const Subject& s, Finding& out) {
  Value whole = s.spec["securityContext"]["runAsNonRoot"];
  Names bad = containers_that(s, [](Value c) { return is_false(c["securityContext"]["runAsNonRoot"]); });
  Names silent = containers_that(s, [&](Value c) { return !c["securityContext"]["runAsNonRoot"].is_bool() && !whole.as_bool(); });
  if (is_false(whole) || !bad.empty()) {
    out = {"runAsNonRoot != true", setters(is_false(whole), bad) + " must not set securityContext.runAsNonRoot=false"};
    return true;
  }
  out = {"runAsNonRoot != true", fmt::format("pod or {} must set securityContext.runAsNonRoot=true", containers(silent))};
  return !silent.empty();
}
bool runs_as_root_but_in_user_namespaces(const Subject& s, Finding& out) { return !own_user_namespace(s) && runs_as_root(s, out); }

bool root_user(const Subject& s, Finding& out) {
  auto bad = [](Value of) { return of["securityContext"]["runAsUser"].as_int(-1) == 0; };
  bool pod = bad(s.spec);
  Names names = containers_that(s, bad);
  out = {"runAsUser=0", setters(pod, names) + " must not set runAsUser=0"};
  return pod || !names.empty();
}
bool root_user_but_in_user_namespaces(const Subject& s, Finding& out) { return !own_user_namespace(s) && root_user(s, out); }

bool seccomp_missing(const Subject& s, Finding& out) {
  if (seccomp_set(s, out)) return true;
  bool whole = s.spec["securityContext"]["seccompProfile"].is_object();  // and a known one, as just seen
  Names names = containers_that(s, [&](Value c) { return !whole && !c["securityContext"]["seccompProfile"].is_object(); });
  out = {"seccompProfile",
         fmt::format("pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"", containers(names))};
  return !names.empty();
}
bool seccomp_missing_but_windows(const Subject& s, Finding& out) { return !windows(s) && seccomp_missing(s, out); }

constexpr int always = latest + 1;
constexpr Check table[] = {
    {"appArmorProfile", Level::baseline, 0, always, "", app_armor},
    {"capabilities_baseline", Level::baseline, 0, always, "", added_capabilities},
    {"hostNamespaces", Level::baseline, 0, always, "", host_namespaces},
    {"hostPathVolumes", Level::baseline, 0, always, "", host_paths},
    {"hostPorts", Level::baseline, 0, always, "", host_ports},
    {"hostProbesAndHostLifecycle", Level::baseline, 34, always, "", probe_hosts},
    {"privileged", Level::baseline, 0, always, "", privileged},
    {"procMount", Level::baseline, 0, 35, "", proc_mount},
    {"procMount", Level::baseline, 35, always, "", proc_mount_but_in_user_namespaces},
    {"seLinuxOptions", Level::baseline, 0, 31, "", selinux_1_0},
    {"seLinuxOptions", Level::baseline, 31, always, "", selinux_1_31},
    {"seccompProfile_baseline", Level::baseline, 0, 19, "", seccomp_annotations},
    {"seccompProfile_baseline", Level::baseline, 19, always, "", seccomp_set},
    {"sysctls", Level::baseline, 0, 27, "", sysctls_since<0>},
    {"sysctls", Level::baseline, 27, 29, "", sysctls_since<27>},
    {"sysctls", Level::baseline, 29, 32, "", sysctls_since<29>},
    {"sysctls", Level::baseline, 32, always, "", sysctls_since<32>},
    {"windowsHostProcess", Level::baseline, 0, always, "", host_process},
    {"allowPrivilegeEscalation", Level::restricted, 8, 25, "", escalation},
    {"allowPrivilegeEscalation", Level::restricted, 25, always, "", escalation_but_windows},
    {"capabilities_restricted", Level::restricted, 22, 25, "capabilities_baseline", kept_capabilities},
    {"capabilities_restricted", Level::restricted, 25, always, "capabilities_baseline", kept_capabilities_but_windows},
    {"procMount_restricted", Level::restricted, 35, always, "procMount", proc_mount},
    {"restrictedVolumes", Level::restricted, 0, always, "hostPathVolumes", volume_types},
    {"runAsNonRoot", Level::restricted, 0, 35, "", runs_as_root},
    {"runAsNonRoot", Level::restricted, 35, always, "", runs_as_root_but_in_user_namespaces},
    {"runAsUser", Level::restricted, 23, 35, "", root_user},
    {"runAsUser", Level::restricted, 35, always, "", root_user_but_in_user_namespaces},
    {"seccompProfile_restricted", Level::restricted, 19, 25, "seccompProfile_baseline", seccomp_missing},
    {"seccompProfile_restricted", Level::restricted, 25, always, "seccompProfile_baseline", seccomp_missing_but_windows},
};

}  // namespace

std::span<const Check> checks() { return table; }

}  // namespace kybern::pod_security
