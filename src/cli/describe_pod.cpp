// describe: a pod, and the parts of pods that workloads show too.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cli/describe_page.h"
#include "cli/describe_text.h"
#include "cli/jsonpath.h"
#include "machinery/duration_text.h"
#include "machinery/quantity.h"

namespace kybern::cli {
namespace {

void state(Page& page, int level, std::string_view title, Value state) {
  for (const char* kind : {"waiting", "running", "terminated"}) {
    const Value now = state[kind];
    if (!now.exists()) continue;
    page.line(level, title, spaced(kind));
    if (!now["reason"].as_string().empty()) page.line(level + 1, "Reason", now["reason"].as_string());
    if (!now["message"].as_string().empty() && std::string_view(kind) == "terminated")
      page.line(level + 1, "Message", now["message"].as_string());
    if (now["exitCode"].exists()) page.line(level + 1, "Exit Code", plain_text(now["exitCode"]));
    if (now["startedAt"].exists()) page.line(level + 1, "Started", page.date(now["startedAt"]));
    if (now["finishedAt"].exists()) page.line(level + 1, "Finished", page.date(now["finishedAt"]));
    return;
  }
  if (title == "State") page.line(level, title, "Waiting");
}

std::string probe_text(Value probe) {
  std::string what = "unknown";
  if (const Value http = probe["httpGet"]; http.exists()) {
    const std::string scheme = http["scheme"].str().empty() ? "http" : to_lower(http["scheme"].as_string());
    what = fmt::format("http-get {}://{}:{}{}", scheme, http["host"].as_string(), plain_text(http["port"]), http["path"].as_string());
  } else if (const Value tcp = probe["tcpSocket"]; tcp.exists()) {
    what = fmt::format("tcp-socket {}:{}", tcp["host"].as_string(), plain_text(tcp["port"]));
  } else if (const Value grpc = probe["grpc"]; grpc.exists()) {
    what = fmt::format("grpc <pod>:{} {}", plain_text(grpc["port"]), grpc["service"].as_string());
  } else if (const Value exec = probe["exec"]; exec.exists()) {
    std::vector<std::string> words;
    for (Value word : exec["command"].items()) words.push_back(word.str());
    what = "exec [" + join(words, " ") + "]";
  }
  return fmt::format("{} delay={}s timeout={}s period={}s #success={} #failure={}", what, probe["initialDelaySeconds"].as_int(),
                     probe["timeoutSeconds"].as_int(1), probe["periodSeconds"].as_int(10), probe["successThreshold"].as_int(1),
                     probe["failureThreshold"].as_int(3));
}

// "limits.cpu" of the container in the wanted units; of a limit that is not set, what the node has: not known here.
std::string resource_value(Value c, Value reference) {
  const std::string_view field = reference["resource"].as_string();
  const std::size_t dot = field.find('.');
  const Value amount = c["resources"][field.substr(0, dot)][dot == std::string_view::npos ? "" : field.substr(dot + 1)];
  if (!amount.exists()) return field.starts_with("limits") ? "node allocatable" : "0";
  const Quantity value = Quantity::of(amount), unit = Quantity::of(reference["divisor"]);
  if (unit.value() > 1) return std::to_string((value.value() + unit.value() - 1) / unit.value());
  if (unit.milli_value() == 1) return std::to_string(value.milli_value());
  return std::to_string(value.value());
}

}  // namespace

void Page::container(Value c, Value status, int level) {
  title(level, c["name"].as_string());
  const int in = level + 1;
  if (status.exists()) line(in, "Container ID", status["containerID"].as_string());
  line(in, "Image", c["image"].as_string());
  if (status.exists()) line(in, "Image ID", status["imageID"].as_string());
  std::vector<std::string> ports, host_ports;
  for (Value port : c["ports"].items()) {
    ports.push_back(fmt::format("{}/{}{}", port["containerPort"].as_int(), port["protocol"].as_string("TCP"),
                                port["name"].exists() ? " (" + port["name"].str() + ")" : ""));
    host_ports.push_back(fmt::format("{}/{}", port["hostPort"].as_int(), port["protocol"].as_string("TCP")));
  }
  line(in, ports.size() > 1 ? "Ports" : "Port", ports.empty() ? "<none>" : join(ports, ", "));
  line(in, ports.size() > 1 ? "Host Ports" : "Host Port", ports.empty() ? "<none>" : join(host_ports, ", "));
  for (const char* words : {"command", "args"}) {
    if (c[words].empty()) continue;
    title(in, spaced(words));
    for (Value word : c[words].items()) raw(in + 1, word.as_string());
  }
  if (status.exists()) {
    state(*this, in, "State", status["state"]);
    state(*this, in, "Last State", status["lastState"]);
    line(in, "Ready", status["ready"].as_bool() ? "True" : "False");
    line(in, "Restart Count", std::to_string(status["restartCount"].as_int()));
  }
  for (const char* kind : {"limits", "requests"}) {
    if (c["resources"][kind].empty()) continue;
    title(in, spaced(kind));
    for (Member m : c["resources"][kind].members()) line(in + 1, m.key, plain_text(m.value));
  }
  for (const auto& [field, name] :
       {std::pair{"livenessProbe", "Liveness"}, std::pair{"readinessProbe", "Readiness"}, std::pair{"startupProbe", "Startup"}})
    if (c[field].exists()) line(in, name, probe_text(c[field]));
  if (!c["envFrom"].empty()) {
    title(in, "Environment Variables from");
    for (Value from : c["envFrom"].items())
      for (const auto& [field, kind] : {std::pair{"configMapRef", "ConfigMap"}, std::pair{"secretRef", "Secret"}})
        if (from[field].exists())
          text += fmt::format(
              "{}{}\t{}{}\tOptional: {}\n", std::string(static_cast<std::size_t>(in + 1) * 2, ' '), from[field]["name"].as_string(), kind,
              from["prefix"].as_string().empty() ? "" : " with prefix '" + from["prefix"].str() + "'", from[field]["optional"].as_bool());
  }
  if (c["env"].empty()) line(in, "Environment", "<none>");
  else title(in, "Environment");
  for (Value env : c["env"].items()) {
    const Value from = env["valueFrom"];
    std::string value = env["value"].str();
    if (from["fieldRef"].exists())
      value = fmt::format(" ({}:{})", from["fieldRef"]["apiVersion"].as_string("v1"), from["fieldRef"]["fieldPath"].as_string());
    if (from["secretKeyRef"].exists())
      value = fmt::format("<set to the key '{}' in secret '{}'>\tOptional: {}", from["secretKeyRef"]["key"].as_string(),
                          from["secretKeyRef"]["name"].as_string(), from["secretKeyRef"]["optional"].as_bool());
    if (from["configMapKeyRef"].exists())
      value = fmt::format("<set to the key '{}' of config map '{}'>\tOptional: {}", from["configMapKeyRef"]["key"].as_string(),
                          from["configMapKeyRef"]["name"].as_string(), from["configMapKeyRef"]["optional"].as_bool());
    if (from["resourceFieldRef"].exists())
      value = fmt::format("{} ({})", resource_value(c, from["resourceFieldRef"]), from["resourceFieldRef"]["resource"].as_string());
    line(in + 1, env["name"].as_string(), value);
  }
  if (c["volumeMounts"].empty()) return line(in, "Mounts", "<none>");
  title(in, "Mounts");
  for (Value mount : c["volumeMounts"].items())
    raw(in + 1, fmt::format("{} from {} ({}{})", mount["mountPath"].as_string(), mount["name"].as_string(),
                            mount["readOnly"].as_bool() ? "ro" : "rw",
                            mount["subPath"].exists() ? ",path=" + go_quote(mount["subPath"].as_string()) : ""));
}

void Page::containers(Value spec, Value statuses, Value init_statuses) {
  const auto status_of = [](Value list, std::string_view name) {
    for (Value status : list.items())
      if (status["name"].as_string() == name) return status;
    return Value();
  };
  if (!spec["initContainers"].empty()) {
    text += "Init Containers:\n";
    for (Value c : spec["initContainers"].items()) container(c, status_of(init_statuses, c["name"].as_string()), 1);
  }
  text += "Containers:\n";
  for (Value c : spec["containers"].items()) container(c, status_of(statuses, c["name"].as_string()), 1);
}

namespace {

void volume_source(Page& page, std::string_view kind, Value v) {
  if (kind == "name") return;
  const auto text = [&](std::string_view title, std::string_view field) { page.line(2, title, plain_text(v[field])); };
  const auto yes = [&](std::string_view title, std::string_view field) { page.line(2, title, v[field].as_bool() ? "true" : "false"); };
  if (kind == "emptyDir") {
    page.line(2, "Type", "EmptyDir (a temporary directory that shares a pod's lifetime)");
    text("Medium", "medium");
    page.line(2, "SizeLimit", v["sizeLimit"].exists() ? plain_text(v["sizeLimit"]) : "<unset>");
  } else if (kind == "hostPath") {
    page.line(2, "Type", "HostPath (bare host directory volume)");
    text("Path", "path");
    text("HostPathType", "type");
  } else if (kind == "configMap") {
    page.line(2, "Type", "ConfigMap (a volume populated by a ConfigMap)");
    text("Name", "name");
    yes("Optional", "optional");
  } else if (kind == "secret") {
    page.line(2, "Type", "Secret (a volume populated by a Secret)");
    text("SecretName", "secretName");
    yes("Optional", "optional");
  } else if (kind == "persistentVolumeClaim") {
    page.line(2, "Type", "PersistentVolumeClaim (a reference to a PersistentVolumeClaim in the same namespace)");
    text("ClaimName", "claimName");
    yes("ReadOnly", "readOnly");
  } else if (kind == "downwardAPI") {
    page.line(2, "Type", "DownwardAPI (a volume populated by information about the pod)");
    page.title(2, "Items");
    for (Value item : v["items"].items())
      page.raw(3, (item["fieldRef"].exists() ? item["fieldRef"]["fieldPath"].str() : item["resourceFieldRef"]["resource"].str()) + " -> " +
                      item["path"].str());
  } else if (kind == "projected") {
    page.line(2, "Type", "Projected (a volume that contains injected data from multiple sources)");
    for (Value source : v["sources"].items()) {
      if (source["serviceAccountToken"].exists())
        page.line(2, "TokenExpirationSeconds", plain_text(source["serviceAccountToken"]["expirationSeconds"]));
      if (source["downwardAPI"].exists()) page.line(2, "DownwardAPI", "true");
      for (const auto& [field, title] : {std::pair{"configMap", "ConfigMapName"}, std::pair{"secret", "SecretName"}}) {
        if (!source[field].exists()) continue;
        page.line(2, title, source[field]["name"].as_string());
        page.line(2, "Optional", source[field]["optional"].as_bool() ? "true" : "false");
      }
    }
  } else {
    page.line(2, "Type", spaced(kind));
    page.generic(2, v);
  }
}

}  // namespace

void Page::volumes(Value spec) {
  if (spec["volumes"].empty()) return line(0, "Volumes", "<none>");
  text += "Volumes:\n";
  for (Value volume : spec["volumes"].items()) {
    title(1, volume["name"].as_string());
    for (Member m : volume.members()) volume_source(*this, m.key, m.value);
  }
}

void tolerations(Page& page, Value spec) {
  page.map(0, "Node-Selectors", spec["nodeSelector"], "=");
  std::vector<std::string> lines;
  std::vector<Value> sorted;
  for (Value t : spec["tolerations"].items()) sorted.push_back(t);
  std::stable_sort(sorted.begin(), sorted.end(), [](Value a, Value b) { return a["key"].as_string() < b["key"].as_string(); });
  for (Value t : sorted) {
    std::string line = t["key"].str();
    if (t["operator"].as_string() == "Exists" || t["value"].as_string().empty()) {
      if (!t["effect"].as_string().empty()) line += ":" + t["effect"].str();
      if (t["operator"].as_string() == "Exists") line += " op=Exists";
    } else {
      line += "=" + t["value"].str();
      if (!t["effect"].as_string().empty()) line += ":" + t["effect"].str();
    }
    if (t["tolerationSeconds"].exists()) line += " for " + std::to_string(t["tolerationSeconds"].as_int()) + "s";
    lines.emplace_back(trim(line));
  }
  if (lines.empty()) return page.line(0, "Tolerations", "<none>");
  for (std::size_t i = 0; i < lines.size(); ++i) page.text += (i == 0 ? "Tolerations:\t" : "\t") + lines[i] + "\n";
}

void describe_pod(Page& page, Value o) {
  const Value spec = o["spec"], status = o["status"];
  page.head(o);
  page.line(0, "Priority", std::to_string(spec["priority"].as_int()));
  if (!spec["priorityClassName"].as_string().empty()) page.line(0, "Priority Class Name", spec["priorityClassName"].as_string());
  page.line(0, "Service Account", spec["serviceAccountName"].as_string());
  page.line(0, "Node", spec["nodeName"].as_string().empty() ? "<none>" : spec["nodeName"].str() + "/" + status["hostIP"].str());
  if (status["startTime"].exists()) page.line(0, "Start Time", page.date(status["startTime"]));
  page.labels(o);
  if (const Value gone = o["metadata"]["deletionTimestamp"]; gone.exists()) {
    page.line(0, "Status", fmt::format("Terminating (lasts {})", human_age(parse_rfc3339(gone.as_string()).value_or(Time()), page.now)));
    page.line(0, "Termination Grace Period", std::to_string(o["metadata"]["deletionGracePeriodSeconds"].as_int()) + "s");
  } else {
    page.line(0, "Status", status["phase"].as_string());
  }
  if (!status["reason"].as_string().empty()) page.line(0, "Reason", status["reason"].as_string());
  if (!status["message"].as_string().empty()) page.line(0, "Message", status["message"].as_string());
  page.line(0, "IP", status["podIP"].as_string());
  if (status["podIPs"].empty()) page.line(0, "IPs", "<none>");
  else page.title(0, "IPs");
  for (Value ip : status["podIPs"].items()) page.line(1, "IP", ip["ip"].as_string());
  if (const std::string owner = owner_of(o); !owner.empty()) page.line(0, "Controlled By", owner);
  page.containers(spec, status["containerStatuses"], status["initContainerStatuses"]);
  if (!status["conditions"].empty()) {
    page.text += "Conditions:\n  Type\tStatus\n";
    for (Value c : status["conditions"].items()) page.text += fmt::format("  {} \t{} \n", c["type"].as_string(), c["status"].as_string());
  }
  page.volumes(spec);
  page.line(0, "QoS Class", status["qosClass"].as_string());
  tolerations(page, spec);
}

// In a template everything is a little to the left: titles by two, names of containers and volumes by one.
std::string pod_template_text(Value pods) {
  Page page{"Pod Template:\n", {}};
  page.map(1, "Labels", pods["metadata"]["labels"], "=");
  if (!pods["metadata"]["annotations"].empty()) page.map(1, "Annotations", pods["metadata"]["annotations"], ": ");
  Page inner;
  if (pods["spec"]["serviceAccountName"].exists()) inner.line(0, "Service Account", pods["spec"]["serviceAccountName"].as_string());
  inner.containers(pods["spec"], {}, {});
  inner.volumes(pods["spec"]);
  if (const Value priority = pods["spec"]["priorityClassName"]; !priority.as_string().empty())
    inner.line(0, "Priority Class Name", priority.as_string());
  tolerations(inner, pods["spec"]);
  for (std::string_view line : split(trim(inner.text), '\n')) {
    const std::size_t indent = line.starts_with('\t') ? 4 : line.find_first_not_of(' ');
    page.text += std::string(indent == 0 ? 2 : indent == 2 ? 1 : 0, ' ') + std::string(line) + "\n";
  }
  return page.text;
}

void Page::pod_template(Value pods) { text += pod_template_text(pods); }

}  // namespace kybern::cli
