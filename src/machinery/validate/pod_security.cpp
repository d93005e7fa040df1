// Security contexts of pods and containers, on Linux and on Windows.
#include <fmt/format.h>
#include <re2/re2.h>

#include "base/strings.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

constexpr std::size_t sysctl_max = 253, gmsa_spec_max_kib = 64, user_domain_max = 256, user_name_max = 104, apparmor_path_max = 4095;
constexpr const char* sysctl_pattern = "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

void seccomp(Findings& f, Value profile, const Path& path) {
  if (profile.is_null()) return;
  std::string_view type = text(profile, "type");
  if (type.empty()) f.required(path.child("type"), "type is required when seccompProfile is set");
  else f.enumerated(path.child("type"), type, {"Localhost", "RuntimeDefault", "Unconfined"});
  if (type == "Localhost") {
    if (!set(profile, "localhostProfile")) f.required(path.child("localhostProfile"), "must be set when seccomp type is Localhost");
    else descending_path(f, text(profile, "localhostProfile"), path.child("localhostProfile"));
  } else if (set(profile, "localhostProfile")) {
    f.invalid(path.child("localhostProfile"), profile, "can only be set when seccomp type is Localhost");
  }
}

void apparmor(Findings& f, Value profile, const Path& path) {
  if (profile.is_null()) return;
  constexpr const char* missing = "must be set when AppArmor type is Localhost";
  std::string_view type = text(profile, "type"), name = text(profile, "localhostProfile");
  Path local = path.child("localhostProfile");
  if (type == "Localhost") {
    if (!set(profile, "localhostProfile")) return f.required(local, missing);
    if (trim(name).size() != name.size()) f.invalid(local, name, "must not be padded with whitespace");
    else if (name.empty()) f.required(local, missing);
    if (name.size() > apparmor_path_max) f.too_long(local, apparmor_path_max);
  } else if (type == "RuntimeDefault" || type == "Unconfined") {
    if (set(profile, "localhostProfile")) f.invalid(local, name, "can only be set when AppArmor type is Localhost");
  } else if (type.empty()) {
    f.required(path.child("type"), "type is required when appArmorProfile is set");
  } else {
    f.not_supported(path.child("type"), type, {"Localhost", "RuntimeDefault", "Unconfined"});
  }
}

void run_as_user_name(Findings& f, std::string_view name, const Path& path) {
  static const RE2 control("[[:cntrl:]]+"), netbios(R"(^[^\\/:\*\?"<>|\.][^\\/:\*\?"<>|]{0,14}$)"),
      dns(R"(^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$)"), dots(R"(^[\. ]+$)"),
      specials(R"(["/\\:;|=,\+\*\?<>@\[\]])");
  std::string whole(name);
  if (name.empty()) return f.invalid(path, name, "runAsUserName cannot be an empty string");
  if (RE2::PartialMatch(whole, control)) return f.invalid(path, name, "runAsUserName cannot contain control characters");
  std::vector<std::string_view> parts = split(name, '\\');
  if (parts.size() > 2) return f.invalid(path, name, "runAsUserName cannot contain more than one backslash");
  std::string domain(parts.size() == 2 ? parts[0] : ""), user(parts.back());
  if (domain.size() >= user_domain_max)
    f.invalid(path, name, fmt::format("runAsUserName's Domain length must be under {} characters", user_domain_max));
  if (parts.size() == 2 && !RE2::PartialMatch(domain, netbios) && !RE2::PartialMatch(domain, dns)) {
    f.invalid(path, name, "runAsUserName's Domain doesn't match the NetBios nor the DNS format");
  }
  if (user.empty()) f.invalid(path, name, "runAsUserName's User cannot be empty");
  else if (user.size() > user_name_max)
    f.invalid(path, name, fmt::format("runAsUserName's User length must not be longer than {} characters", user_name_max));
  if (RE2::PartialMatch(user, dots)) f.invalid(path, name, "runAsUserName's User cannot contain only periods or spaces");
  if (RE2::PartialMatch(user, specials))
    f.invalid(path, name, "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
}

void windows_options(Findings& f, Value options, const Path& path) {
  if (set(options, "gmsaCredentialSpecName"))
    dns_subdomain(f, text(options, "gmsaCredentialSpecName"), path.child("gmsaCredentialSpecName"));
  if (set(options, "gmsaCredentialSpec")) {
    std::string_view spec = text(options, "gmsaCredentialSpec");
    if (spec.empty()) f.invalid(path.child("gmsaCredentialSpec"), spec, "gmsaCredentialSpec cannot be an empty string");
    else if (spec.size() > gmsa_spec_max_kib * 1024)
      f.invalid(path.child("gmsaCredentialSpec"), spec, fmt::format("gmsaCredentialSpec size must be under {} KiB", gmsa_spec_max_kib));
  }
  if (set(options, "runAsUserName")) run_as_user_name(f, text(options, "runAsUserName"), path.child("runAsUserName"));
}

// Which namespace of the kernel a setting belongs to.
enum class Sysctl { other, ipc, net };

Sysctl sysctl_kind(std::string_view name) {
  std::string dotted(name);
  std::size_t first = dotted.find_first_of("./");
  if (first != std::string::npos && dotted[first] == '/') {
    for (char& c : dotted) c = c == '/' ? '.' : c == '.' ? '/' : c;
  }
  if (dotted.starts_with("net.")) return Sysctl::net;
  bool ipc =
      dotted == "kernel.sem" || dotted.starts_with("kernel.shm") || dotted.starts_with("kernel.msg") || dotted.starts_with("fs.mqueue.");
  return ipc ? Sysctl::ipc : Sysctl::other;
}

void sysctls(Findings& f, Value spec, const Path& path) {
  static const RE2 grammar(sysctl_pattern);
  std::set<std::string, std::less<>> seen;
  std::size_t i = 0;
  for (Value sysctl : spec["securityContext"]["sysctls"].items()) {
    Path at = path.index(i++), name_path = at.child("name");
    std::string_view name = text(sysctl, "name");
    if (name.empty()) f.required(name_path);
    else if (name.size() > sysctl_max || !RE2::PartialMatch(std::string(name), grammar)) {
      f.invalid(name_path, name, fmt::format("must have at most {} characters and match regex {}", sysctl_max, sysctl_pattern));
    } else if (seen.contains(name)) {
      f.duplicate(name_path, name);
    }
    Sysctl kind = sysctl_kind(name);
    if (kind == Sysctl::net && spec["hostNetwork"].as_bool()) f.invalid(name_path, name, "may not be specified when 'hostNetwork' is true");
    else if (kind == Sysctl::ipc && spec["hostIPC"].as_bool()) f.invalid(name_path, name, "may not be specified when 'hostIPC' is true");
    seen.emplace(name);
  }
}

void users_and_groups(Findings& f, Value context, std::initializer_list<const char*> keys, const Path& path) {
  for (const char* key : keys) {
    if (set(context, key)) f.say(path.child(key), context[key].as_int(), names::user_id(context[key].as_int()));
  }
}

void apparmor_matches(Findings& f, Value profile, std::string_view annotation, const Path& path) {
  constexpr const char* types_differ = "apparmor type in annotation and field must match";
  constexpr std::string_view localhost = "localhost/";
  std::string_view type = text(profile, "type");
  bool same_type = (type == "Unconfined" && annotation == "unconfined") || (type == "RuntimeDefault" && annotation == "runtime/default") ||
                   (type == "Localhost" && annotation.starts_with(localhost));
  if (!same_type) return f.forbidden(path.child("type"), types_differ);
  if (type == "Localhost" && annotation.substr(localhost.size()) != text(profile, "localhostProfile")) {
    f.forbidden(path.child("localhostProfile"), "apparmor profile in annotation and field must match");
  }
}

void seccomp_matches(Findings& f, Value profile, std::string_view annotation, const Path& path) {
  constexpr const char* types_differ = "seccomp type in annotation and field must match";
  constexpr std::string_view localhost = "localhost/";
  std::string_view type = text(profile, "type");
  if (type == "Unconfined" && annotation != "unconfined") return f.forbidden(path.child("type"), types_differ);
  if (type == "RuntimeDefault" && annotation != "runtime/default" && annotation != "docker/default")
    return f.forbidden(path.child("type"), types_differ);
  if (type != "Localhost") return;
  if (!annotation.starts_with(localhost)) return f.forbidden(path.child("type"), types_differ);
  if (!set(profile, "localhostProfile") || annotation.substr(localhost.size()) != text(profile, "localhostProfile"))
    f.forbidden(path.child("localhostProfile"), "seccomp profile in annotation and field must match");
}

constexpr const char* not_on_windows = "cannot be set for a windows pod";

void not_set(Findings& f, Value object, std::initializer_list<const char*> keys, const Path& path) {
  for (const char* key : keys) {
    Value value = object[key];
    bool unset = value.is_null() ||
                 (value.is_bool() && !value.as_bool() && (std::string_view(key) == "hostPID" || std::string_view(key) == "hostIPC")) ||
                 (value.is_array() && value.empty());
    if (!unset) f.forbidden(path.child(key), not_on_windows);
  }
}

}  // namespace

void seccomp_annotations(Findings& f, Value meta, Value spec, const Path& path) {
  Value of_pod = spec["securityContext"]["seccompProfile"], annotations = meta["annotations"];
  if (annotations.empty()) return;
  if (!of_pod.is_null() && annotations[seccomp_pod].exists())
    seccomp_matches(f, of_pod, annotations[seccomp_pod].as_string(), path.child("securityContext.seccompProfile"));
  each_container(spec, path, [&](Value container, const Path& at) {
    Value profile = container["securityContext"]["seccompProfile"];
    Value annotation = annotations[fmt::format("{}{}", seccomp_prefix, text(container, "name"))];
    if (!profile.is_null() && annotation.exists())
      seccomp_matches(f, profile, annotation.as_string(), at.child("securityContext.seccompProfile"));
  });
}

void apparmor_annotations(Findings& f, Value meta, Value spec, const Path& path) {
  bool any = false;
  for (Member annotation : meta["annotations"].members()) any |= annotation.key.starts_with(apparmor_prefix);
  if (!any || text(spec["os"], "name") == "windows") return;
  each_container(spec, path, [&](Value container, const Path& at) {
    Value profile = container["securityContext"]["appArmorProfile"];
    if (profile.is_null()) profile = spec["securityContext"]["appArmorProfile"];
    Value annotation = meta["annotations"][fmt::format("{}{}", apparmor_prefix, text(container, "name"))];
    if (!profile.is_null() && annotation.exists())
      apparmor_matches(f, profile, annotation.as_string(), at.child("securityContext.appArmorProfile"));
  });
}

void pod_security_context(Findings& f, Value spec, const Path& spec_path) {
  Value context = spec["securityContext"];
  Path path = spec_path.child("securityContext");
  users_and_groups(f, context, {"fsGroup", "runAsUser", "runAsGroup"}, path);
  Path groups = path.child("supplementalGroups");
  std::size_t i = 0;
  for (Value group : context["supplementalGroups"].items()) f.say(groups.index(i++), group.as_int(), names::group_id(group.as_int()));
  if (spec["shareProcessNamespace"].as_bool() && spec["hostPID"].as_bool()) {
    f.invalid(path.child("shareProcessNamespace"), spec["shareProcessNamespace"],
              "ShareProcessNamespace and HostPID cannot both be enabled");
  }
  sysctls(f, spec, path.child("sysctls"));
  if (set(context, "fsGroupChangePolicy"))
    f.enumerated(path.child("fsGroupChangePolicy"), text(context, "fsGroupChangePolicy"), {"Always", "OnRootMismatch"});
  seccomp(f, context["seccompProfile"], path.child("seccompProfile"));
  windows_options(f, context["windowsOptions"], path.child("windowsOptions"));
  apparmor(f, context["appArmorProfile"], path.child("appArmorProfile"));
  if (set(context, "supplementalGroupsPolicy"))
    f.enumerated(path.child("supplementalGroupsPolicy"), text(context, "supplementalGroupsPolicy"), {"Merge", "Strict"});
  // MountOption needs SELinuxMount, which is off in 1.36.
  if (set(context, "seLinuxChangePolicy"))
    f.enumerated(path.child("seLinuxChangePolicy"), text(context, "seLinuxChangePolicy"), {"Recursive"});
}

void security_context(Findings& f, Value context, bool host_users, const Path& path) {
  if (context.is_null()) return;
  users_and_groups(f, context, {"runAsUser", "runAsGroup"}, path);
  if (set(context, "procMount")) {
    std::string_view mount = text(context, "procMount");
    f.enumerated(path.child("procMount"), mount, {"Default", "Unmasked"});
    if (host_users && mount == "Unmasked") f.invalid(path.child("procMount"), mount, "`hostUsers` must be false to use `Unmasked`");
  }
  seccomp(f, context["seccompProfile"], path.child("seccompProfile"));
  if (!context["allowPrivilegeEscalation"].as_bool(true)) {
    if (context["privileged"].as_bool())
      f.invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
    for (Value capability : context["capabilities"]["add"].items()) {
      if (capability.as_string() == "CAP_SYS_ADMIN")
        f.invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
    }
  }
  windows_options(f, context["windowsOptions"], path.child("windowsOptions"));
  apparmor(f, context["appArmorProfile"], path.child("appArmorProfile"));
}

void windows_host_process(Findings& f, Value spec, const Path& path) {
  Value of_pod = spec["securityContext"]["windowsOptions"]["hostProcess"];
  int all = 0, host = 0;
  each_container(spec, path, [&](Value container, const Path& at) {
    ++all;
    Value own = container["securityContext"]["windowsOptions"]["hostProcess"];
    if (!of_pod.is_null() && !own.is_null() && of_pod.as_bool() != own.as_bool()) {
      f.invalid(at.child("securityContext.windowsOptions.hostProcess"), own,
                fmt::format("pod hostProcess value must be identical if both are specified, was {}", of_pod.as_bool()));
    }
    if (own.is_null() ? of_pod.as_bool() : own.as_bool()) ++host;
  });
  if (host == 0) return;
  if (host != all) f.invalid(path, "", "If pod contains any hostProcess containers then all containers must be HostProcess containers");
  if (!spec["hostNetwork"].as_bool()) {
    FieldError error = field::invalid(path.child("hostNetwork"), "", "hostNetwork must be true if pod contains any hostProcess containers");
    error.value = "false";
    f.add(std::move(error));
  }
}

void pod_os(Findings& f, Value spec, const Path& path) {
  std::string_view name = text(spec["os"], "name");
  if (name.empty()) return f.required(path.child("os.name"), "cannot be empty");
  if (name != "linux" && name != "windows") return f.not_supported(path.child("os"), name, {"linux", "windows"});
  Value context = spec["securityContext"];
  Path context_path = path.child("securityContext");
  if (name == "linux") {
    constexpr const char* why = "windows options cannot be set for a linux pod";
    if (set(context, "windowsOptions")) f.forbidden(context_path.child("windowsOptions"), why);
    each_container(spec, path, [&](Value container, const Path& at) {
      if (set(container["securityContext"], "windowsOptions")) f.forbidden(at.child("securityContext.windowsOptions"), why);
    });
    return;
  }
  not_set(f, context, {"appArmorProfile", "seLinuxOptions"}, context_path);
  not_set(f, spec, {"hostUsers", "hostPID", "hostIPC"}, path);
  not_set(f, context, {"seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls"}, context_path);
  not_set(f, spec, {"shareProcessNamespace"}, path);
  not_set(f, context, {"runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy"}, context_path);
  each_container(spec, path, [&](Value container, const Path& at) {
    not_set(f, container["securityContext"],
            {"appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged",
             "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup"},
            at.child("securityContext"));
  });
}

}  // namespace kybern::rules
