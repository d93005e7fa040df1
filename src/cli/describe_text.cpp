#include "cli/describe_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cli/apply_plan.h"
#include "cli/jsonpath.h"
#include "cli/table.h"
#include "machinery/duration_text.h"
#include "machinery/quantity.h"

namespace kybern::cli {
namespace {

struct Page {
  std::string text;
  Time now;

  void line(int level, std::string_view title, std::string_view value) { text += std::string(static_cast<std::size_t>(level) * 2, ' ') + std::string(title) + ":\t" + std::string(value) + "\n"; }
  void title(int level, std::string_view name) { text += std::string(static_cast<std::size_t>(level) * 2, ' ') + std::string(name) + ":\n"; }
  void raw(int level, std::string_view value) { text += std::string(static_cast<std::size_t>(level) * 2, ' ') + std::string(value) + "\n"; }

  void map(int level, std::string_view name, Value values, std::string_view joint) {
    std::vector<std::string> lines;
    for (Member m : values.members())
      if (m.key != last_applied) lines.push_back(std::string(m.key) + std::string(joint) + plain_text(m.value));
    std::sort(lines.begin(), lines.end());
    if (lines.empty()) return line(level, name, "<none>");
    for (std::size_t i = 0; i < lines.size(); ++i)
      text += (i == 0 ? std::string(static_cast<std::size_t>(level) * 2, ' ') + std::string(name) + ":" : "") + "\t" + lines[i] + "\n";
  }
  void head(Value object) {
    const Value meta = object["metadata"];
    line(0, "Name", meta["name"].as_string());
    if (meta["namespace"].exists()) line(0, "Namespace", meta["namespace"].as_string());
  }
  void labels(Value object) {
    map(0, "Labels", object["metadata"]["labels"], "=");
    map(0, "Annotations", object["metadata"]["annotations"], ": ");
  }
  std::string date(Value time) const {
    auto parsed = parse_rfc3339(time.as_string());
    if (!parsed) return "<unset>";
    const auto day = std::chrono::floor<std::chrono::days>(*parsed);
    const std::chrono::year_month_day ymd(day);
    const std::chrono::hh_mm_ss hms(std::chrono::floor<std::chrono::seconds>(*parsed - day));
    static const char* days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} +0000", days[std::chrono::weekday(day).c_encoding()], unsigned(ymd.day()), months[unsigned(ymd.month()) - 1], int(ymd.year()),
                       hms.hours().count(), hms.minutes().count(), hms.seconds().count());
  }
  void generic(int level, Value value);
  void events(const std::vector<Document>& list);
  void conditions(Value list);
  void container(Value container, Value status, int level);
  void containers(Value pod_spec, Value statuses, Value init_statuses);
  void volumes(Value pod_spec);
};

std::string spaced(std::string_view key) {  // "restartPolicy" -> "Restart Policy"
  std::string out;
  for (std::size_t i = 0; i < key.size(); ++i) {
    const bool upper = key[i] >= 'A' && key[i] <= 'Z';
    const bool after_lower = i > 0 && !(key[i - 1] >= 'A' && key[i - 1] <= 'Z');
    if (upper && after_lower) out += ' ';
    out += i == 0 && key[i] >= 'a' && key[i] <= 'z' ? static_cast<char>(key[i] - 'a' + 'A') : key[i];
  }
  return out;
}

void Page::generic(int level, Value value) {
  std::vector<Member> members;
  for (Member m : value.members()) members.push_back(m);
  std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) { return a.key < b.key; });
  for (const Member& m : members) {
    if (m.value.is_object()) {
      title(level, spaced(m.key));
      generic(level + 1, m.value);
    } else if (m.value.is_array()) {
      title(level, spaced(m.key));
      for (Value item : m.value.items()) {
        if (item.is_object()) generic(level + 1, item);
        else raw(level + 1, plain_text(item));
      }
    } else {
      line(level, spaced(m.key), plain_text(m.value));
    }
  }
}

void Page::events(const std::vector<Document>& list) {
  if (list.empty()) return line(0, "Events", "<none>");
  title(0, "Events");
  text += "  Type\tReason\tAge\tFrom\tMessage\n  ----\t------\t----\t----\t-------\n";
  const auto last = [](Value event) {
    for (Value time : {event["series"]["lastObservedTime"], event["lastTimestamp"], event["eventTime"], event["metadata"]["creationTimestamp"]})
      if (auto parsed = parse_rfc3339(time.as_string())) return *parsed;
    return Time();
  };
  std::vector<Document> ordered = list;
  std::stable_sort(ordered.begin(), ordered.end(), [&](const Document& a, const Document& b) { return last(a) < last(b); });
  for (const Document& event : ordered) {
    std::string age = human_age(last(event), now);
    const std::int64_t count = std::max(event["count"].as_int(), event["series"]["count"].as_int());
    if (count > 1) {
      auto first = parse_rfc3339(event["firstTimestamp"].as_string());
      if (!first) first = parse_rfc3339(event["eventTime"].as_string());
      age += fmt::format(" (x{} over {})", count, human_age(first.value_or(Time()), now));
    }
    std::string from = event["source"]["component"].str();
    if (from.empty()) from = event["reportingComponent"].str();
    text += fmt::format("  {}\t{}\t{}\t{}\t{}\n", event["type"].as_string(), event["reason"].as_string(), age, from, trim(event["message"].as_string()));
  }
}

void Page::conditions(Value list) {
  if (list.empty()) return;
  text += "Conditions:\n  Type\tStatus\tReason\n  ----\t------\t------\n";
  for (Value c : list.items()) text += fmt::format("  {}\t{}\t{}\n", c["type"].as_string(), c["status"].as_string(), c["reason"].as_string());
}

void state(Page& page, int level, std::string_view title, Value state) {
  for (const char* kind : {"waiting", "running", "terminated"}) {
    const Value now = state[kind];
    if (!now.exists()) continue;
    page.line(level, title, spaced(kind));
    if (!now["reason"].as_string().empty()) page.line(level + 1, "Reason", now["reason"].as_string());
    if (!now["message"].as_string().empty()) page.line(level + 1, "Message", now["message"].as_string());
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
  return fmt::format("{} delay={}s timeout={}s period={}s #success={} #failure={}", what, probe["initialDelaySeconds"].as_int(), probe["timeoutSeconds"].as_int(1), probe["periodSeconds"].as_int(10),
                     probe["successThreshold"].as_int(1), probe["failureThreshold"].as_int(3));
}

void Page::container(Value c, Value status, int level) {
  title(level, c["name"].as_string());
  const int in = level + 1;
  if (status.exists()) line(in, "Container ID", status["containerID"].as_string());
  line(in, "Image", c["image"].as_string());
  if (status.exists()) line(in, "Image ID", status["imageID"].as_string());
  std::vector<std::string> ports, host_ports;
  for (Value port : c["ports"].items()) {
    ports.push_back(fmt::format("{}/{}{}", port["containerPort"].as_int(), port["protocol"].as_string("TCP"), port["name"].exists() ? " (" + port["name"].str() + ")" : ""));
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
  for (const auto& [field, name] : {std::pair{"livenessProbe", "Liveness"}, std::pair{"readinessProbe", "Readiness"}, std::pair{"startupProbe", "Startup"}})
    if (c[field].exists()) line(in, name, probe_text(c[field]));
  if (!c["envFrom"].empty()) {
    title(in, "Environment Variables from");
    for (Value from : c["envFrom"].items())
      for (const auto& [field, kind] : {std::pair{"configMapRef", "ConfigMap"}, std::pair{"secretRef", "Secret"}})
        if (from[field].exists()) text += fmt::format("{}{}\t{}\tOptional: {}\n", std::string(static_cast<std::size_t>(in + 1) * 2, ' '), from[field]["name"].as_string(), kind, from[field]["optional"].as_bool());
  }
  if (c["env"].empty()) line(in, "Environment", "<none>");
  else title(in, "Environment");
  for (Value env : c["env"].items()) {
    const Value from = env["valueFrom"];
    std::string value = env["value"].str();
    if (from["fieldRef"].exists()) value = fmt::format(" ({}:{})", from["fieldRef"]["apiVersion"].as_string("v1"), from["fieldRef"]["fieldPath"].as_string());
    if (from["secretKeyRef"].exists()) value = fmt::format("<set to the key '{}' in secret '{}'>", from["secretKeyRef"]["key"].as_string(), from["secretKeyRef"]["name"].as_string());
    if (from["configMapKeyRef"].exists()) value = fmt::format("<set to the key '{}' of config map '{}'>", from["configMapKeyRef"]["key"].as_string(), from["configMapKeyRef"]["name"].as_string());
    if (from["resourceFieldRef"].exists()) value = fmt::format("({})", from["resourceFieldRef"]["resource"].as_string());
    line(in + 1, env["name"].as_string(), value);
  }
  if (c["volumeMounts"].empty()) return line(in, "Mounts", "<none>");
  title(in, "Mounts");
  for (Value mount : c["volumeMounts"].items())
    raw(in + 1, fmt::format("{} from {} ({}{})", mount["mountPath"].as_string(), mount["name"].as_string(), mount["readOnly"].as_bool() ? "ro" : "rw",
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
  } else if (kind == "projected") {
    page.line(2, "Type", "Projected (a volume that contains injected data from multiple sources)");
    for (Value source : v["sources"].items()) {
      if (source["serviceAccountToken"].exists()) page.line(2, "TokenExpirationSeconds", plain_text(source["serviceAccountToken"]["expirationSeconds"]));
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

void Page::volumes(Value spec) {
  if (spec["volumes"].empty()) return line(0, "Volumes", "<none>");
  text += "Volumes:\n";
  for (Value volume : spec["volumes"].items()) {
    title(1, volume["name"].as_string());
    for (Member m : volume.members()) volume_source(*this, m.key, m.value);
  }
}

void selectors_and_tolerations(Page& page, Value spec) {
  page.map(0, "Node-Selectors", spec["nodeSelector"], "=");
  std::vector<std::string> lines;
  for (Value t : spec["tolerations"].items()) {
    std::string line = t["key"].str();
    if (t["operator"].as_string() == "Exists" || t["value"].as_string().empty()) {
      if (!t["effect"].as_string().empty()) line += ":" + t["effect"].str();
      if (t["operator"].as_string() == "Exists") line += " op=Exists";
    } else {
      line += "=" + t["value"].str();
      if (!t["effect"].as_string().empty()) line += ":" + t["effect"].str();
    }
    if (t["tolerationSeconds"].exists()) line += " for " + std::to_string(t["tolerationSeconds"].as_int()) + "s";
    lines.push_back(line);
  }
  if (lines.empty()) return page.line(0, "Tolerations", "<none>");
  for (std::size_t i = 0; i < lines.size(); ++i) page.text += (i == 0 ? "Tolerations:\t" : "\t") + lines[i] + "\n";
}

void pod(Page& page, Value o) {
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
  for (Value owner : o["metadata"]["ownerReferences"].items())
    if (owner["controller"].as_bool()) page.line(0, "Controlled By", owner["kind"].str() + "/" + owner["name"].str());
  page.containers(spec, status["containerStatuses"], status["initContainerStatuses"]);
  if (!status["conditions"].empty()) {
    page.text += "Conditions:\n  Type\tStatus\n";
    for (Value c : status["conditions"].items()) page.text += fmt::format("  {}\t{} \n", c["type"].as_string(), c["status"].as_string());
  }
  page.volumes(spec);
  page.line(0, "QoS Class", status["qosClass"].as_string());
  selectors_and_tolerations(page, spec);
}

void service(Page& page, Value o, const std::vector<Document>& slices) {
  const Value spec = o["spec"];
  const auto text_list = [](Value list) {
    std::vector<std::string> out;
    for (Value item : list.items()) out.push_back(item.str());
    return out.empty() ? std::string("<none>") : join(out, ",");
  };
  page.head(o);
  page.labels(o);
  std::vector<std::string> selector;
  for (Member m : spec["selector"].members()) selector.push_back(std::string(m.key) + "=" + m.value.str());
  std::sort(selector.begin(), selector.end());
  page.line(0, "Selector", selector.empty() ? "<none>" : join(selector, ","));
  page.line(0, "Type", spec["type"].as_string());
  if (spec["ipFamilyPolicy"].exists()) page.line(0, "IP Family Policy", spec["ipFamilyPolicy"].as_string());
  if (spec["ipFamilies"].exists()) page.line(0, "IP Families", text_list(spec["ipFamilies"]));
  page.line(0, "IP", spec["clusterIP"].as_string());
  page.line(0, "IPs", text_list(spec["clusterIPs"]));
  if (spec["externalName"].exists()) page.line(0, "External Name", spec["externalName"].as_string());
  if (!spec["externalIPs"].empty()) page.line(0, "External IPs", text_list(spec["externalIPs"]));
  for (Value ingress : o["status"]["loadBalancer"]["ingress"].items()) page.line(0, "LoadBalancer Ingress", ingress["ip"].exists() ? ingress["ip"].as_string() : ingress["hostname"].as_string());
  for (Value port : spec["ports"].items()) {
    const std::string name = port["name"].as_string().empty() ? "<unset>" : port["name"].str(), protocol = port["protocol"].str();
    page.text += fmt::format("Port:\t{}\t{}/{}\n", name, port["port"].as_int(), protocol);
    page.line(0, "TargetPort", plain_text(port["targetPort"]) + "/" + protocol);
    if (port["nodePort"].as_int() != 0) page.text += fmt::format("NodePort:\t{}\t{}/{}\n", name, port["nodePort"].as_int(), protocol);
    std::vector<std::string> ends;
    for (const Document& slice : slices) {
      for (Value p : slice["ports"].items()) {
        if (p["name"].as_string() != port["name"].as_string()) continue;
        for (Value end : slice["endpoints"].items())
          if (end["conditions"]["ready"].as_bool(true))
            for (Value address : end["addresses"].items()) ends.push_back(address.str() + ":" + plain_text(p["port"]));
      }
    }
    const std::size_t all = ends.size();
    if (all > 3) ends.resize(3);
    page.line(0, "Endpoints", join(ends, ",") + (all > 3 ? fmt::format(" + {} more...", all - 3) : ""));
  }
  page.line(0, "Session Affinity", spec["sessionAffinity"].as_string());
  if (spec["externalTrafficPolicy"].exists()) page.line(0, "External Traffic Policy", spec["externalTrafficPolicy"].as_string());
  if (spec["internalTrafficPolicy"].exists()) page.line(0, "Internal Traffic Policy", spec["internalTrafficPolicy"].as_string());
}

void deployment(Page& page, Value o, const std::vector<Document>& sets) {
  const Value spec = o["spec"], status = o["status"];
  page.head(o);
  page.line(0, "CreationTimestamp", page.date(o["metadata"]["creationTimestamp"]));
  page.labels(o);
  page.line(0, "Selector", labels_text(spec["selector"]["matchLabels"]));
  page.line(0, "Replicas", fmt::format("{} desired | {} updated | {} total | {} available | {} unavailable", spec["replicas"].as_int(), status["updatedReplicas"].as_int(), status["replicas"].as_int(),
                                       status["availableReplicas"].as_int(), status["unavailableReplicas"].as_int()));
  page.line(0, "StrategyType", spec["strategy"]["type"].as_string());
  page.line(0, "MinReadySeconds", std::to_string(spec["minReadySeconds"].as_int()));
  if (const Value rolling = spec["strategy"]["rollingUpdate"]; rolling.exists())
    page.line(0, "RollingUpdateStrategy", plain_text(rolling["maxUnavailable"]) + " max unavailable, " + plain_text(rolling["maxSurge"]) + " max surge");
  page.text += pod_template_text(spec["template"]);
  page.conditions(status["conditions"]);
  const auto replicas = [](Value set) { return fmt::format("{} ({}/{} replicas created)", set["metadata"]["name"].as_string(), set["status"]["replicas"].as_int(), set["spec"]["replicas"].as_int()); };
  std::string current;
  std::vector<std::string> old;
  for (const Document& set : sets) {
    const bool newest = set["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == o["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
    if (newest) current = replicas(set);
    else old.push_back(replicas(set));
  }
  page.line(0, "OldReplicaSets", old.empty() ? "<none>" : join(old, ", "));
  page.line(0, "NewReplicaSet", current.empty() ? "<none>" : current);
}

void node(Page& page, Value o, const std::vector<Document>& pods) {
  const Value status = o["status"];
  page.line(0, "Name", o["metadata"]["name"].as_string());
  std::vector<std::string> roles;
  for (Member m : o["metadata"]["labels"].members())
    if (m.key.starts_with("node-role.kubernetes.io/")) roles.emplace_back(m.key.substr(24));
  page.line(0, "Roles", roles.empty() ? "<none>" : join(roles, ","));
  page.labels(o);
  page.line(0, "CreationTimestamp", page.date(o["metadata"]["creationTimestamp"]));
  std::vector<std::string> taints;
  for (Value t : o["spec"]["taints"].items()) taints.push_back(t["key"].str() + (t["value"].as_string().empty() ? "" : "=" + t["value"].str()) + ":" + t["effect"].str());
  page.line(0, "Taints", taints.empty() ? "<none>" : join(taints, "\n\t"));
  page.line(0, "Unschedulable", o["spec"]["unschedulable"].as_bool() ? "true" : "false");
  page.text += "Conditions:\n  Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage\n  ----\t------\t-----------------\t------------------\t------\t-------\n";
  for (Value c : status["conditions"].items())
    page.text += fmt::format("  {}\t{}\t{}\t{}\t{}\t{}\n", c["type"].as_string(), c["status"].as_string(), page.date(c["lastHeartbeatTime"]), page.date(c["lastTransitionTime"]), c["reason"].as_string(), c["message"].as_string());
  page.title(0, "Addresses");
  for (Value a : status["addresses"].items()) page.line(1, a["type"].as_string(), a["address"].as_string());
  for (const char* kind : {"capacity", "allocatable"}) {
    page.title(0, spaced(kind));
    for (Member m : status[kind].members()) page.line(1, m.key, plain_text(m.value));
  }
  page.title(0, "System Info");
  for (Member m : status["nodeInfo"].members())
    if (!m.value.is_object()) page.line(1, spaced(m.key), plain_text(m.value));
  if (o["spec"]["podCIDR"].exists()) page.line(0, "PodCIDR", o["spec"]["podCIDR"].as_string());
  Quantity totals[4];
  std::string rows;
  std::size_t running = 0;
  for (const Document& pod : pods) {
    const std::string_view phase = pod["status"]["phase"].as_string();
    if (phase == "Succeeded" || phase == "Failed") continue;
    ++running;
    Quantity sums[4];
    for (Value c : pod["spec"]["containers"].items()) {
      sums[0] += Quantity::of(c["resources"]["requests"]["cpu"]);
      sums[1] += Quantity::of(c["resources"]["limits"]["cpu"]);
      sums[2] += Quantity::of(c["resources"]["requests"]["memory"]);
      sums[3] += Quantity::of(c["resources"]["limits"]["memory"]);
    }
    for (int i = 0; i < 4; ++i) totals[i] += sums[i];
    rows += fmt::format("  {}\t{}\t\t{}\t{}\t{}\t{}\t{}\n", pod["metadata"]["namespace"].as_string(), pod["metadata"]["name"].as_string(), sums[0].str(), sums[1].str(), sums[2].str(), sums[3].str(),
                        human_age(parse_rfc3339(pod["metadata"]["creationTimestamp"].as_string()).value_or(Time()), page.now));
  }
  page.text += fmt::format("Non-terminated Pods:\t({} in total)\n  Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge\n  ---------\t----\t\t------------\t----------\t---------------\t-------------\t---\n", running) + rows;
  page.text += fmt::format("Allocated resources:\n  Resource\tRequests\tLimits\n  --------\t--------\t------\n  cpu\t{}\t{}\n  memory\t{}\t{}\n", totals[0].str(), totals[1].str(), totals[2].str(), totals[3].str());
}

void secret_or_config_map(Page& page, Value o) {
  page.head(o);
  page.labels(o);
  if (o["kind"].as_string() == "Secret") {
    page.text += "\nType:  " + o["type"].str() + "\n\nData\n====\n";
    for (Member m : o["data"].members()) page.text += std::string(m.key) + ":\t" + std::to_string(base64_decode(m.value.as_string()).value_or("").size()) + " bytes\n";
    return;
  }
  page.text += "\nData\n====\n";
  for (Member m : o["data"].members()) page.text += std::string(m.key) + ":\n----\n" + m.value.str() + "\n\n";
  page.text += "\nBinaryData\n====\n";
  for (Member m : o["binaryData"].members()) page.text += std::string(m.key) + ": " + std::to_string(base64_decode(m.value.as_string()).value_or("").size()) + " bytes\n";
  page.text += "\n";
}

void any(Page& page, Value o) {
  page.head(o);
  page.labels(o);
  page.line(0, "API Version", o["apiVersion"].as_string());
  page.line(0, "Kind", o["kind"].as_string());
  Draft rest(o);
  for (const char* key : {"apiVersion", "kind", "metadata"}) rest.erase(key);
  Draft meta(o["metadata"]);
  for (const char* key : {"name", "namespace", "labels", "annotations", "managedFields"}) meta.erase(key);
  rest["metadata"] = std::move(meta);
  const Document frozen = rest.freeze();
  page.generic(0, frozen);
}

}  // namespace

std::string pod_template_text(Value pods) {
  Page page{"Pod Template:\n", {}};
  page.map(1, "Labels", pods["metadata"]["labels"], "=");
  if (!pods["metadata"]["annotations"].empty()) page.map(1, "Annotations", pods["metadata"]["annotations"], ": ");
  Page inner{{}, {}};
  if (pods["spec"]["serviceAccountName"].exists()) inner.line(0, "Service Account", pods["spec"]["serviceAccountName"].as_string());
  inner.containers(pods["spec"], {}, {});
  inner.volumes(pods["spec"]);
  selectors_and_tolerations(inner, pods["spec"]);
  for (std::string_view line : split(trim(inner.text), '\n')) page.text += (line.starts_with('\t') ? "" : "  ") + std::string(line) + "\n";
  return page.text;
}

std::string describe(Value object, const std::vector<Document>& related, const std::vector<Document>& events, Time now) {
  Page page{{}, now};
  const std::string_view kind = object["kind"].as_string(), version = object["apiVersion"].as_string();
  if (version == "v1" && kind == "Pod") pod(page, object);
  else if (version == "v1" && kind == "Service") service(page, object, related);
  else if (version == "v1" && kind == "Node") node(page, object, related);
  else if (version == "apps/v1" && kind == "Deployment") deployment(page, object, related);
  else if (version == "v1" && (kind == "Secret" || kind == "ConfigMap")) secret_or_config_map(page, object);
  else any(page, object);
  if (!(kind == "Secret" && version == "v1")) page.events(events);
  return align_tabs(page.text, 0, 2);
}

}  // namespace kybern::cli
