#include "kubelet/plan/cri_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "kubelet/plan/resources.h"

namespace kybern::kubelet {
namespace {

using Role = ContainerView::Role;

enum NamespaceMode { namespace_pod = 0, namespace_container = 1, namespace_node = 2, namespace_target = 3 };
enum ProfileType { profile_runtime_default = 0, profile_unconfined = 1, profile_localhost = 2 };

// What a container may not see or write below /proc and /sys unless procMount is Unmasked (as OCI runtimes have it).
constexpr std::string_view masked_paths[] = {
    "/proc/asound",      "/proc/acpi",        "/proc/kcore", "/proc/keys",    "/proc/latency_stats",          "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",  "/sys/firmware", "/sys/devices/virtual/powercap"};
constexpr std::string_view readonly_paths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

// Of two security contexts the container's wins, field by field.
struct SecurityContext {
  Value container, pod;
  Value get(const char* field) const { return container[field].exists() ? container[field] : pod[field]; }
};

Draft profile(Value spec) {
  std::string_view type = spec["type"].as_string();
  Draft out = Draft::object();
  out["profile_type"] = type == "Localhost" ? profile_localhost : type == "RuntimeDefault" ? profile_runtime_default : profile_unconfined;
  if (type == "Localhost") out["localhost_ref"] = spec["localhostProfile"].str();
  return out;
}

Draft int_value(std::int64_t value) { return Draft::object({{"value", value}}); }

Draft namespaces(const PodView& pod) {
  Value spec = pod.spec();
  int pid = spec["hostPID"].as_bool() ? namespace_node : spec["shareProcessNamespace"].as_bool() ? namespace_pod : namespace_container;
  return Draft::object({{"network", spec["hostNetwork"].as_bool() ? namespace_node : namespace_pod},
                        {"pid", pid},
                        {"ipc", spec["hostIPC"].as_bool() ? namespace_node : namespace_pod}});
}

Draft supplemental_groups(const PodView& pod) {
  Value context = pod.spec()["securityContext"];
  Draft out = Draft::array();
  for (Value g : context["supplementalGroups"].items()) out.push_back(g.as_int());
  if (context["fsGroup"].is_int()) out.push_back(context["fsGroup"].as_int());
  return out;
}

int groups_policy(const PodView& pod) { return pod.spec()["securityContext"]["supplementalGroupsPolicy"].as_string() == "Strict" ? 1 : 0; }

void put_selinux(Draft& to, Value options) {
  if (!options.is_object()) return;
  Draft out = Draft::object();
  for (const char* key : {"user", "role", "type", "level"}) out[key] = options[key].str();
  to["selinux_options"] = std::move(out);
}

Draft labels_of_pod(const PodView& pod, bool with_own) {
  Draft out = Draft::object();
  if (with_own) {
    for (Member m : pod.meta()["labels"].members()) out[m.key] = m.value;
  }
  out["io.kubernetes.pod.name"] = pod.name;
  out["io.kubernetes.pod.namespace"] = pod.ns;
  out["io.kubernetes.pod.uid"] = pod.uid;
  return out;
}

Draft sandbox_security(const PodView& pod) {
  Value context = pod.spec()["securityContext"];
  Draft s = Draft::object({{"namespace_options", namespaces(pod)}});
  if (context["runAsUser"].is_int()) s["run_as_user"] = int_value(context["runAsUser"].as_int());
  if (context["runAsGroup"].is_int()) s["run_as_group"] = int_value(context["runAsGroup"].as_int());
  s["supplemental_groups"] = supplemental_groups(pod);
  s["supplemental_groups_policy"] = groups_policy(pod);
  s["privileged"] = std::any_of(pod.containers.begin(), pod.containers.end(),
                                [](const ContainerView& c) { return c.spec["securityContext"]["privileged"].as_bool(); });
  s["seccomp"] = Draft::object({{"profile_type", profile_runtime_default}});
  put_selinux(s, context["seLinuxOptions"]);
  return s;
}

Draft figures_draft(const CgroupFigures& f) {
  Draft out = Draft::object();
  if (f.cpu_shares) out["cpu_shares"] = *f.cpu_shares;
  if (f.cpu_quota_us) out["cpu_quota"] = *f.cpu_quota_us;
  if (f.cpu_period_us) out["cpu_period"] = *f.cpu_period_us;
  if (f.memory_bytes) out["memory_limit_in_bytes"] = *f.memory_bytes;
  return out;
}

int protocol_number(std::string_view name) { return name == "UDP" ? 1 : name == "SCTP" ? 2 : 0; }

Draft port_mappings(const PodView& pod) {
  Draft out = Draft::array();
  for (const ContainerView& c : pod.containers) {
    if (c.role == Role::ephemeral || c.role == Role::init) continue;
    for (Value p : c.spec["ports"].items()) {
      if (p["hostPort"].as_int() <= 0 || pod.host_network) continue;
      out.push_back(Draft::object({{"protocol", protocol_number(p["protocol"].as_string())},
                                   {"container_port", p["containerPort"].as_int()},
                                   {"host_port", p["hostPort"].as_int()},
                                   {"host_ip", p["hostIP"].str()}}));
    }
  }
  return out;
}

// Which user the container runs as; fails when that is root although it must not be.
Result<void> put_user(Draft& s, const PodView& pod, const ContainerView& c, const SecurityContext& context, const ContainerFacts& facts) {
  Value user = context.get("runAsUser"), group = context.get("runAsGroup");
  std::string where = fmt::format("(pod: \"{}\", container: {})", pod.full_name(), c.name);
  if (context.get("runAsNonRoot").as_bool()) {
    if (user.is_int() && user.as_int() == 0)
      return fail(Code::invalid, fmt::format("container's runAsUser breaks non-root policy {}", where));
    if (!user.is_int() && facts.image_uid && *facts.image_uid == 0) {
      return fail(Code::invalid, fmt::format("container has runAsNonRoot and image will run as root {}", where));
    }
    if (!user.is_int() && !facts.image_uid && !facts.image_username.empty()) {
      return fail(Code::invalid,
                  fmt::format("container has runAsNonRoot and image has non-numeric user ({}), cannot verify user is non-root {}",
                              facts.image_username, where));
    }
  }
  if (user.is_int()) s["run_as_user"] = int_value(user.as_int());
  else if (!facts.image_username.empty()) s["run_as_username"] = facts.image_username;
  else if (facts.image_uid) s["run_as_user"] = int_value(*facts.image_uid);
  if (group.is_int()) s["run_as_group"] = int_value(group.as_int());
  return {};
}

Result<Draft> container_security(const PodView& pod, const ContainerView& c, const ContainerFacts& facts) {
  SecurityContext context{c.spec["securityContext"], pod.spec()["securityContext"]};
  Draft s = Draft::object();
  bool privileged = context.container["privileged"].as_bool();
  s["privileged"] = privileged;
  Draft ns = namespaces(pod);
  if (!facts.target_container_id.empty()) {
    ns["pid"] = namespace_target;
    ns["target_id"] = facts.target_container_id;
  }
  s["namespace_options"] = std::move(ns);
  if (Value caps = context.container["capabilities"]; caps.is_object()) {
    Draft out = Draft::object();
    for (auto [from, to] : {std::pair("add", "add_capabilities"), std::pair("drop", "drop_capabilities")}) {
      Draft list = Draft::array();
      for (Value v : caps[from].items()) list.push_back(v);
      out[to] = std::move(list);
    }
    s["capabilities"] = std::move(out);
  }
  if (auto put = put_user(s, pod, c, context, facts); !put) return std::unexpected(put.error());
  s["readonly_rootfs"] = context.container["readOnlyRootFilesystem"].as_bool();
  s["supplemental_groups"] = supplemental_groups(pod);
  s["supplemental_groups_policy"] = groups_policy(pod);
  Value escalation = context.container["allowPrivilegeEscalation"];
  s["no_new_privs"] = escalation.is_bool() && !escalation.as_bool();
  if (context.container["procMount"].as_string() != "Unmasked" && !privileged) {
    for (std::string_view path : masked_paths) s["masked_paths"].push_back(path);
    for (std::string_view path : readonly_paths) s["readonly_paths"].push_back(path);
  }
  s["seccomp"] = privileged ? Draft::object({{"profile_type", profile_unconfined}}) : profile(context.get("seccompProfile"));
  if (Value apparmor = context.get("appArmorProfile"); apparmor.is_object()) s["apparmor"] = profile(apparmor);
  put_selinux(s, context.get("seLinuxOptions"));
  return s;
}

Draft annotations_of(const PodView& pod, const ContainerView& c, std::uint32_t attempt) {
  Draft out = Draft::object();
  out["io.kubernetes.container.hash"] = c.hash;
  out["io.kubernetes.container.restartCount"] = std::to_string(attempt);
  out["io.kubernetes.container.terminationMessagePath"] = c.spec["terminationMessagePath"].as_string("/dev/termination-log");
  out["io.kubernetes.container.terminationMessagePolicy"] = c.spec["terminationMessagePolicy"].as_string("File");
  out["io.kubernetes.pod.terminationGracePeriod"] = std::to_string(pod.grace_s);
  return out;
}

Draft mounts_of(const std::vector<MountSpec>& mounts) {
  Draft out = Draft::array();
  for (const MountSpec& m : mounts) {
    out.push_back(Draft::object({{"container_path", m.container_path},
                                 {"host_path", m.host_path},
                                 {"readonly", m.read_only},
                                 {"propagation", m.propagation},
                                 {"recursive_read_only", m.recursive_read_only}}));
  }
  return out;
}

}  // namespace

std::string pod_log_folder(const PodView& pod) { return fmt::format("{}_{}_{}", pod.ns, pod.name, pod.uid); }
std::string container_log_path(std::string_view container, std::uint32_t attempt) { return fmt::format("{}/{}.log", container, attempt); }

Document linux_resources(const PodView& pod, const ContainerView& c, std::int64_t node_memory_bytes, bool cgroup_v2) {
  CgroupFigures figures = container_figures(c);
  Draft out = figures_draft(figures);
  out["oom_score_adj"] = oom_score_adj(pod, c, node_memory_bytes);
  if (cgroup_v2) {  // a container out of memory ends as a whole
    if (figures.memory_bytes) out["unified"] = Draft::object({{"memory.oom.group", "1"}});
    out["memory_swap_limit_in_bytes"] = figures.memory_bytes.value_or(0);
  }
  return out.freeze();
}

Document sandbox_config(const PodView& pod, const SandboxFacts& facts) {
  Draft config = Draft::object();
  config["metadata"] = Draft::object({{"name", pod.name}, {"uid", pod.uid}, {"namespace", pod.ns}, {"attempt", facts.attempt}});
  config["hostname"] = facts.host.name;
  config["log_directory"] = facts.log_directory;
  config["dns_config"] = Draft::object({{"servers", Draft::strings(facts.resolver.servers)},
                                        {"searches", Draft::strings(facts.resolver.searches)},
                                        {"options", Draft::strings(facts.resolver.options)}});
  config["port_mappings"] = port_mappings(pod);
  config["labels"] = labels_of_pod(pod, true);
  Draft annotations = Draft::object();
  for (Member m : pod.meta()["annotations"].members()) annotations[m.key] = m.value;
  config["annotations"] = std::move(annotations);
  Draft linux_part = Draft::object({{"cgroup_parent", facts.cgroup_parent}, {"security_context", sandbox_security(pod)}});
  for (Value s : pod.spec()["securityContext"]["sysctls"].items()) linux_part["sysctls"][s["name"].as_string()] = s["value"];
  config["linux"] = std::move(linux_part);
  return config.freeze();
}

Result<Document> container_config(const PodView& pod, const ContainerView& c, const ContainerFacts& facts) {
  auto security = container_security(pod, c, facts);
  if (!security) return std::unexpected(security.error());
  Draft config = Draft::object();
  config["metadata"] = Draft::object({{"name", c.name}, {"attempt", facts.attempt}});
  config["image"] = Draft::object({{"image", facts.image_ref}, {"user_specified_image", c.image}});
  config["command"] = Draft::strings(expand_all(c.spec["command"], facts.environment));
  config["args"] = Draft::strings(expand_all(c.spec["args"], facts.environment));
  config["working_dir"] = c.spec["workingDir"].str();
  Draft envs = Draft::array();
  for (const auto& [key, value] : facts.environment) envs.push_back(Draft::object({{"key", key}, {"value", value}}));
  config["envs"] = std::move(envs);
  config["mounts"] = mounts_of(facts.mounts);
  Draft labels = labels_of_pod(pod, false);
  labels["io.kubernetes.container.name"] = c.name;
  config["labels"] = std::move(labels);
  config["annotations"] = annotations_of(pod, c, facts.attempt);
  config["log_path"] = container_log_path(c.name, facts.attempt);
  config["stdin"] = c.spec["stdin"].as_bool();
  config["stdin_once"] = c.spec["stdinOnce"].as_bool();
  config["tty"] = c.spec["tty"].as_bool();
  config["linux"] = Draft::object(
      {{"resources", linux_resources(pod, c, facts.node_memory_bytes, facts.cgroup_v2)}, {"security_context", std::move(*security)}});
  return config.freeze();
}

}  // namespace kybern::kubelet
