// The containers of a pod: init, regular and ephemeral.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/strings.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

using Names = std::set<std::string, std::less<>>;

constexpr std::size_t restart_rules_max = 20, restart_exit_codes_max = 255;

void ports(Findings& f, Value list, const Path& path) {
  Names seen;
  std::size_t i = 0;
  for (Value port : list.items()) {
    Path at = path.index(i++);
    std::string_view name = text(port, "name");
    if (!name.empty()) {
      auto messages = names::port_name(name);
      f.say(at.child("name"), name, messages);
      if (messages.empty() && !seen.emplace(name).second) f.duplicate(at.child("name"), name);
    }
    std::int64_t number = port["containerPort"].as_int(), host = port["hostPort"].as_int();
    if (number == 0) f.required(at.child("containerPort"));
    else f.say(at.child("containerPort"), number, names::port_number(number));
    if (host != 0) f.say(at.child("hostPort"), host, names::port_number(host));
    f.one_of(at.child("protocol"), text(port, "protocol"), {"SCTP", "TCP", "UDP"});
  }
}

void key_selector(Findings& f, Value selector, const Path& path) {
  dns_subdomain(f, text(selector, "name"), path.child("name"));
  if (text(selector, "key").empty()) f.required(path.child("key"));
  else f.say(path.child("key"), text(selector, "key"), names::config_map_key(text(selector, "key")));
}

void file_key(Findings& f, Value selector, const Path& path) {
  std::string_view volume = text(selector, "volumeName"), file = text(selector, "path"), key = text(selector, "key");
  if (key.empty()) f.required(path.child("key"));
  else f.say(path.child("key"), key, names::env_var(key));
  if (volume.empty()) f.required(path.child("volumeName"));
  else dns_label(f, volume, path.child("volumeName"));
  if (file.empty()) f.required(path.child("path"));
  else no_backsteps(f, file, path.child("path"));
}

void env_source(Findings& f, Value variable, const Path& path) {
  Value from = variable["valueFrom"];
  if (from.is_null()) return;
  int sources = 0;
  if (set(from, "fieldRef")) ++sources, object_field_selector(f, from["fieldRef"], false, path.child("fieldRef"));
  if (set(from, "resourceFieldRef")) ++sources, resource_field_selector(f, from["resourceFieldRef"], false, path.child("resourceFieldRef"));
  if (set(from, "configMapKeyRef")) ++sources, key_selector(f, from["configMapKeyRef"], path.child("configMapKeyRef"));
  if (set(from, "secretKeyRef")) ++sources, key_selector(f, from["secretKeyRef"], path.child("secretKeyRef"));
  if (set(from, "fileKeyRef")) ++sources, file_key(f, from["fileKeyRef"], path.child("fileKeyRef"));
  if (sources == 0)
    f.invalid(path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`");
  else if (!text(variable, "value").empty()) f.invalid(path, "", "may not be specified when `value` is not empty");
  else if (sources > 1) f.invalid(path, "", "may not have more than one field specified at a time");
}

void environment(Findings& f, Value list, const Path& path) {
  std::size_t i = 0;
  for (Value variable : list.items()) {
    Path at = path.index(i++);
    if (text(variable, "name").empty()) f.required(at.child("name"));
    else f.say(at.child("name"), text(variable, "name"), names::env_var(text(variable, "name")));
    env_source(f, variable, at.child("valueFrom"));
  }
}

void environment_from(Findings& f, Value list, const Path& path) {
  std::size_t i = 0;
  for (Value source : list.items()) {
    Path at = path.index(i++);
    std::string_view prefix = text(source, "prefix");
    if (!prefix.empty()) f.say(at.child("prefix"), prefix, names::env_var(prefix));
    int sources = 0;
    for (const char* kind : {"configMapRef", "secretRef"}) {
      if (!set(source, kind)) continue;
      ++sources;
      Path ref = at.child(kind);
      std::string_view name = text(source[kind], "name");
      if (name.empty()) f.required(ref.child("name"));
      else f.say(ref.child("name"), name, name_is_subdomain(name, true));
    }
    if (sources == 0) f.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`");
    else if (sources > 1) f.invalid(path, "", "may not have more than one field specified at a time");
  }
}

Names all(Value list, const char* key) {
  Names out;
  for (Value item : list.items()) out.emplace(text(item, key));
  return out;
}

void mount_propagation(Findings& f, Value mount, Value container, const Path& path) {
  if (!set(mount, "mountPropagation")) return;
  std::string_view mode = text(mount, "mountPropagation");
  f.enumerated(path, mode, {"Bidirectional", "HostToContainer", "None"});
  if (mode == "Bidirectional" && !container["securityContext"]["privileged"].as_bool()) {
    f.forbidden(path, "Bidirectional mount propagation is available only to privileged containers");
  }
}

void recursive_read_only(Findings& f, Value mount, const Path& path) {
  if (!set(mount, "recursiveReadOnly")) return;
  std::string_view mode = text(mount, "recursiveReadOnly"), propagation = text(mount, "mountPropagation");
  if (mode == "Disabled") return;
  if (mode != "Enabled" && mode != "IfPossible") return f.not_supported(path, mode, {"Disabled", "Enabled", "IfPossible"});
  if (!mount["readOnly"].as_bool()) f.forbidden(path, "may only be specified when readOnly is true");
  if (set(mount, "mountPropagation") && propagation != "None")
    f.forbidden(path, "may only be specified when mountPropagation is None or not specified");
}

void mounts(Findings& f, Value container, const Volumes& volumes, const Path& path) {
  Names points, device_names = all(container["volumeDevices"], "name"), device_paths = all(container["volumeDevices"], "devicePath");
  std::size_t i = 0;
  for (Value mount : container["volumeMounts"].items()) {
    Path at = path.index(i++);
    std::string_view name = text(mount, "name"), target = text(mount, "mountPath"), sub = text(mount, "subPath"),
                     expression = text(mount, "subPathExpr");
    if (name.empty()) f.required(at.child("name"));
    if (!volumes.find(name).exists()) f.not_found(at.child("name"), name);
    if (target.empty()) f.required(at.child("mountPath"));
    if (!points.emplace(target).second) f.invalid(at.child("mountPath"), target, "must be unique");
    if (device_names.contains(name)) f.invalid(at.child("name"), name, "must not already exist in volumeDevices");
    if (device_paths.contains(target)) f.invalid(at.child("mountPath"), target, "must not already exist as a path in volumeDevices");
    // These name the list, not its element.
    if (!sub.empty()) descending_path(f, sub, path.child("subPath"));
    if (!expression.empty()) {
      if (!sub.empty()) f.invalid(at.child("subPathExpr"), expression, "subPathExpr and subPath are mutually exclusive");
      descending_path(f, expression, path.child("subPathExpr"));
    }
    mount_propagation(f, mount, container, path.child("mountPropagation"));
    recursive_read_only(f, mount, path.child("recursiveReadOnly"));
  }
}

void devices(Findings& f, Value container, const Volumes& volumes, const Path& path) {
  if (container["volumeDevices"].empty()) return;
  Names seen_names, seen_paths, mount_names = all(container["volumeMounts"], "name"),
                                mount_paths = all(container["volumeMounts"], "mountPath");
  std::size_t i = 0;
  for (Value device : container["volumeDevices"].items()) {
    Path at = path.index(i++);
    std::string_view name = text(device, "name"), target = text(device, "devicePath");
    Value volume = volumes.find(name);
    if (name.empty()) f.required(at.child("name"));
    if (seen_names.contains(name)) f.invalid(at.child("name"), name, "must be unique");
    bool claim = set(volume, "persistentVolumeClaim") || set(volume, "ephemeral");
    if (volume.exists() && !claim)
      f.invalid(at.child("name"), name, "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode");
    if (!volume.exists()) f.not_found(at.child("name"), name);
    if (target.empty()) f.required(at.child("devicePath"));
    if (seen_paths.contains(target)) f.invalid(at.child("devicePath"), target, "must be unique");
    Findings steps;
    no_backsteps(steps, target, at);
    if (!steps.empty()) f.invalid(at.child("devicePath"), target, "can not contain backsteps ('..')");
    else seen_paths.emplace(target);
    if (mount_names.contains(name)) f.invalid(at.child("name"), name, "must not already exist in volumeMounts");
    if (mount_paths.contains(target)) f.invalid(at.child("devicePath"), target, "must not already exist as a path in volumeMounts");
    if (!name.empty()) seen_names.emplace(name);
  }
}

void http_get(Findings& f, Value get, const Path& path) {
  if (text(get, "path").empty()) f.required(path.child("path"));
  port_number_or_name(f, get["port"], path.child("port"));
  f.enumerated(path.child("scheme"), text(get, "scheme"), {"HTTP", "HTTPS"});
  for (Value header : get["httpHeaders"].items())
    f.say(path.child("httpHeaders"), text(header, "name"), names::http_header(text(header, "name")));
}

void sleep_action(Findings& f, Value sleep, Value grace, const Path& path) {
  std::int64_t seconds = sleep["seconds"].as_int();
  if (seconds >= 0 && seconds <= grace.as_int()) return;
  f.invalid(path, seconds, fmt::format("must be non-negative and less than terminationGracePeriodSeconds ({})", grace.as_int()));
}

void handler(Findings& f, Value action, Value grace, const Path& path) {
  int handlers = 0;
  for (const char* kind : {"exec", "httpGet", "tcpSocket", "grpc", "sleep"}) {
    Value one = action[kind];
    if (one.is_null()) continue;
    Path at = path.child(kind);
    if (handlers++ > 0) {
      f.forbidden(at, "may not specify more than 1 handler type");
    } else if (std::string_view(kind) == "exec") {
      if (one["command"].empty()) f.required(at.child("command"));
    } else if (std::string_view(kind) == "httpGet") {
      http_get(f, one, at);
    } else if (std::string_view(kind) == "sleep") {
      sleep_action(f, one, grace, at);
    } else {
      port_number_or_name(f, one["port"], at.child("port"));
    }
  }
  if (handlers == 0) f.required(path, "must specify a handler type");
}

enum class Probe { liveness, readiness, startup };

void probe(Findings& f, Value probe, Value grace, Probe which, const Path& path) {
  if (probe.is_null()) return;
  handler(f, probe, grace, path);
  for (const char* key : {"initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"})
    f.nonnegative(path.child(key), probe[key]);
  Value own = probe["terminationGracePeriodSeconds"];
  if (!own.is_null() && own.as_int() <= 0) f.invalid(path.child("terminationGracePeriodSeconds"), own.as_int(), "must be greater than 0");
  if (which == Probe::readiness) {
    if (!own.is_null()) f.invalid(path.child("terminationGracePeriodSeconds"), own.as_int(), "must not be set for readinessProbes");
  } else if (probe["successThreshold"].as_int() != 1) {
    f.invalid(path.child("successThreshold"), probe["successThreshold"].as_int(), "must be 1");
  }
}

void lifecycle_and_probes(Findings& f, Value container, Value grace, const Path& path) {
  Value lifecycle = container["lifecycle"];
  Path at = path.child("lifecycle");
  for (const char* hook : {"postStart", "preStop"}) {
    if (set(lifecycle, hook)) handler(f, lifecycle[hook], grace, at.child(hook));
  }
  probe(f, container["livenessProbe"], grace, Probe::liveness, path.child("livenessProbe"));
  probe(f, container["readinessProbe"], grace, Probe::readiness, path.child("readinessProbe"));
  probe(f, container["startupProbe"], grace, Probe::startup, path.child("startupProbe"));
}

// One that runs to its end before the others begin is not told to begin again. Those that had it said may keep it.
void resize_once(Findings& f, Value list, const Path& path) {
  std::size_t i = 0;
  for (Value policy : list.items()) {
    Path at = path.index(i++);
    if (text(policy, "restartPolicy") == "RestartContainer")
      f.invalid(at.child("restartPolicy"), text(policy, "restartPolicy"),
                "must not be set to 'RestartContainer' for non-sidecar initContainers");
  }
}

bool resizes_once(Value spec) {
  for (Value container : spec["initContainers"].items()) {
    for (Value policy : container["resizePolicy"].items()) {
      if (text(container, "restartPolicy") != "Always" && text(policy, "restartPolicy") == "RestartContainer") return true;
    }
  }
  return false;
}

void resize_policy(Findings& f, Value list, std::string_view restart, const Path& path) {
  Names seen;
  std::size_t i = 0;
  for (Value policy : list.items()) {
    Path at = path.index(i++);
    std::string_view resource = text(policy, "resourceName"), action = text(policy, "restartPolicy");
    if (!seen.emplace(resource).second) f.duplicate(at, resource);
    f.one_of(path, resource, {"cpu", "memory"});
    f.one_of(path, action, {"NotRequired", "RestartContainer"});
    if (restart == "Never" && action != "NotRequired") f.invalid(path, action, "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
  }
}

// What containers know of their pod.
struct Pod {
  Value spec;
  const Volumes& volumes;
  Names claims;
  bool host_users;
  bool is_pod;
  bool resizes_once;  // the pod before had such an init container
};

void common(Findings& f, Value container, const Pod& pod, const Path& path) {
  if (text(container, "name").empty()) f.required(path.child("name"));
  else dns_label(f, text(container, "name"), path.child("name"));
  if (text(container, "image").empty()) f.required(path.child("image"));
  f.one_of(path.child("terminationMessagePolicy"), text(container, "terminationMessagePolicy"), {"File", "FallbackToLogsOnError"});
  ports(f, container["ports"], path.child("ports"));
  environment(f, container["env"], path.child("env"));
  environment_from(f, container["envFrom"], path.child("envFrom"));
  mounts(f, container, pod.volumes, path.child("volumeMounts"));
  devices(f, container, pod.volumes, path.child("volumeDevices"));
  f.one_of(path.child("imagePullPolicy"), text(container, "imagePullPolicy"), {"Always", "IfNotPresent", "Never"});
  resource_requirements(f, container["resources"], pod.claims, path.child("resources"));
  resize_policy(f, container["resizePolicy"], text(pod.spec, "restartPolicy"), path.child("resizePolicy"));
  security_context(f, container["securityContext"], pod.host_users, path.child("securityContext"));
}

void padded_image(Findings& f, Value container, const Path& path) {
  std::string_view image = text(container, "image");
  if (trim(image).size() != image.size()) f.invalid(path.child("image"), image, "must not have leading or trailing whitespace");
}

// When a container runs again, told by itself.
void restart_policy(Findings& f, Value container, const Path& path) {
  Value rules = container["restartPolicyRules"];
  Path policy = path.child("restartPolicy"), list = path.child("restartPolicyRules");
  if (set(container, "restartPolicy")) f.enumerated(policy, text(container, "restartPolicy"), {"Always", "Never", "OnFailure"});
  else if (!rules.empty()) f.required(policy, "must specify restartPolicy when restart rules are used");
  if (rules.size() > restart_rules_max) f.too_many(list, rules.size(), restart_rules_max);
  std::size_t i = 0;
  for (Value rule : rules.items()) {
    Path at = list.index(i++), codes = at.child("exitCodes");
    f.enumerated(at.child("action"), text(rule, "action"), {"Restart"});
    if (!set(rule, "exitCodes")) {
      f.required(codes, "must be specified");
      continue;
    }
    f.enumerated(codes.child("operator"), text(rule["exitCodes"], "operator"), {"In", "NotIn"});
    std::size_t count = rule["exitCodes"]["values"].size();
    if (count > restart_exit_codes_max) f.too_many(codes.child("values"), count, restart_exit_codes_max);
  }
}

void host_port_conflicts(Findings& f, Value container, Names& taken, const Path& path) {
  Path list = path.child("ports");
  std::size_t i = 0;
  for (Value port : container["ports"].items()) {
    Path at = list.index(i++);
    if (port["hostPort"].as_int() == 0) continue;
    std::string place = fmt::format("{}/{}/{}", text(port, "protocol"), text(port, "hostIP"), port["hostPort"].as_int());
    if (!taken.insert(place).second) f.duplicate(at.child("hostPort"), place);
  }
}

void regular(Findings& f, const Pod& pod, const Path& path) {
  Value list = pod.spec["containers"];
  if (list.empty()) return f.required(path);
  Names seen, taken;
  std::size_t i = 0;
  for (Value container : list.items()) {
    Path at = path.index(i++);
    common(f, container, pod, at);
    if (!seen.emplace(text(container, "name")).second) f.duplicate(at.child("name"), text(container, "name"));
    lifecycle_and_probes(f, container, pod.spec["terminationGracePeriodSeconds"], at);
    restart_policy(f, container, at);
  }
  i = 0;
  for (Value container : list.items()) {
    Path at = path.index(i++);
    host_port_conflicts(f, container, taken, at);
  }
}

void init(Findings& f, const Pod& pod, const Path& path) {
  Names seen;
  for (Value container : pod.spec["containers"].items()) seen.emplace(text(container, "name"));
  std::size_t i = 0;
  for (Value container : pod.spec["initContainers"].items()) {
    Path at = path.index(i++);
    common(f, container, pod, at);
    bool sidecar = text(container, "restartPolicy") == "Always";
    bool rules_alone = !set(container, "restartPolicy") && !container["restartPolicyRules"].empty();
    if (rules_alone) f.required(at.child("restartPolicy"), "must specify restartPolicy when restart rules are used");
    else restart_policy(f, container, at);
    std::string_view name = text(container, "name");
    if (seen.contains(name)) f.duplicate(at.child("name"), name);
    else if (!name.empty()) seen.emplace(name);
    // They run one by one, so each has the ports to itself. Upstream counts from the list's start here.
    Names taken;
    host_port_conflicts(f, container, taken, path.index(0));
    if (sidecar) {
      lifecycle_and_probes(f, container, pod.spec["terminationGracePeriodSeconds"], at);
    } else {
      for (const char* key : {"lifecycle", "livenessProbe", "readinessProbe", "startupProbe"}) {
        if (set(container, key)) f.forbidden(at.child(key), "may not be set for init containers without restartPolicy=Always");
      }
    }
    if (!sidecar && !pod.resizes_once) resize_once(f, container["resizePolicy"], at.child("resizePolicy"));
  }
}

void ephemeral_mounts(Findings& f, Value container, const Path& path) {
  Path mounts = path.child("volumeMounts");
  std::size_t i = 0;
  for (Value mount : container["volumeMounts"].items()) {
    Path at = mounts.index(i++);
    for (const char* key : {"subPath", "subPathExpr"}) {
      if (!text(mount, key).empty()) f.forbidden(at.child(key), "cannot be set for an Ephemeral Container");
    }
  }
}

void ephemeral(Findings& f, const Pod& pod, const Path& path) {
  Names others, all;
  for (const char* list : {"containers", "initContainers"}) {
    for (Value container : pod.spec[list].items()) others.emplace(text(container, "name"));
  }
  all = others;
  std::size_t i = 0;
  for (Value container : pod.spec["ephemeralContainers"].items()) {
    Path at = path.index(i++);
    common(f, container, pod, at);
    padded_image(f, container, at);
    if (!all.emplace(text(container, "name")).second) f.duplicate(at.child("name"), text(container, "name"));
    std::string_view target = text(container, "targetContainerName");
    if (!target.empty() && !others.contains(target)) f.not_found(at.child("targetContainerName"), target);
    for (const char* key : {"ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules", "livenessProbe", "readinessProbe",
                            "startupProbe", "lifecycle"}) {
      Value value = container[key];
      bool zero = value.is_null() || ((value.is_object() || value.is_array()) && value.empty());
      if (!zero) f.forbidden(at.child(key), "cannot be set for an Ephemeral Container");
    }
    ephemeral_mounts(f, container, at);
  }
}

}  // namespace

void containers(Findings& f, Value spec, const Volumes& volumes, const PodContext& context, const Path& path) {
  bool host_users = spec["hostUsers"].as_bool(true);
  Pod pod{spec, volumes, {}, host_users, context.is_pod, resizes_once(context.before)};
  for (Value claim : spec["resourceClaims"].items()) {
    if (!text(claim, "name").empty()) pod.claims.emplace(text(claim, "name"));
  }
  regular(f, pod, path.child("containers"));
  init(f, pod, path.child("initContainers"));
  ephemeral(f, pod, path.child("ephemeralContainers"));
}

// The rules that pods have and templates have not, for compatibility.
void containers_of_pod(Findings& f, Value spec, const Path& path) {
  for (const char* list : {"containers", "initContainers"}) {
    Path at = path.child(list);
    std::size_t i = 0;
    for (Value container : spec[list].items()) padded_image(f, container, at.index(i++));
  }
}

std::string_view qos(Value spec) {
  std::map<std::string_view, Quantity> requests, limits;
  bool guaranteed = true;
  auto positive = [](Value amount) { return Quantity::of(amount).sign() > 0; };
  for (const char* list : {"containers", "initContainers"}) {
    for (Value container : spec[list].items()) {
      Value resources = container["resources"];
      int limited = 0;
      for (const char* name : {"cpu", "memory"}) {
        if (positive(resources["requests"][name])) requests[name] += Quantity::of(resources["requests"][name]);
        if (positive(resources["limits"][name])) ++limited, limits[name] += Quantity::of(resources["limits"][name]);
      }
      if (limited != 2) guaranteed = false;
    }
  }
  if (requests.empty() && limits.empty()) return "BestEffort";
  if (guaranteed) {
    for (const auto& [name, amount] : requests) guaranteed = guaranteed && limits.contains(name) && limits[name] == amount;
  }
  return guaranteed && requests.size() == limits.size() ? "Guaranteed" : "Burstable";
}

}  // namespace kybern::rules

namespace kybern {

std::string_view pod_qos(Value pod) { return rules::qos(pod["spec"]); }

}  // namespace kybern
