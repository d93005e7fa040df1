#include "kubelet/plan/environment.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"

namespace kybern::kubelet {
namespace {

std::string upper_name(std::string_view name) {
  std::string out(name);
  for (char& c : out) c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

// key="value" lines, sorted by key, values quoted as Go does.
std::string format_map(Value map) {
  std::vector<std::pair<std::string, std::string>> entries;
  for (Member m : map.members()) entries.emplace_back(std::string(m.key), m.value.str());
  std::sort(entries.begin(), entries.end());
  std::vector<std::string> lines;
  for (const auto& [key, value] : entries) lines.push_back(fmt::format("{}={}", key, go_quote(value)));
  return join(lines, "\n");
}

// metadata.labels['a'] -> ("metadata.labels", "a"); any other path has no subscript.
std::pair<std::string_view, std::string_view> split_subscript(std::string_view path) {
  std::size_t open = path.find("['");
  if (open == std::string_view::npos || !path.ends_with("']")) return {path, {}};
  return {path.substr(0, open), path.substr(open + 2, path.size() - open - 4)};
}

bool has_cluster_ip(Value service) {
  std::string_view ip = service["spec"]["clusterIP"].as_string();
  return !ip.empty() && ip != "None";
}

void add_service(Environment& env, Value service) {
  std::string prefix = upper_name(service["metadata"]["name"].as_string());
  std::string ip = service["spec"]["clusterIP"].str();
  std::string host = ip.find(':') == std::string::npos ? ip : fmt::format("[{}]", ip);
  bool first = true;
  for (Value port : service["spec"]["ports"].items()) {
    std::int64_t number = port["port"].as_int();
    std::string protocol = port["protocol"].str().empty() ? "TCP" : port["protocol"].str();
    std::string url = fmt::format("{}://{}:{}", to_lower(protocol), host, number);
    if (first) {
      env[prefix + "_SERVICE_HOST"] = ip;
      env[prefix + "_SERVICE_PORT"] = std::to_string(number);
      env[prefix + "_PORT"] = url;
    }
    first = false;
    if (std::string name = port["name"].str(); !name.empty())
      env[fmt::format("{}_SERVICE_PORT_{}", prefix, upper_name(name))] = std::to_string(number);
    std::string link = fmt::format("{}_PORT_{}_{}", prefix, number, protocol);
    env[link] = url;
    env[link + "_PROTO"] = to_lower(protocol);
    env[link + "_PORT"] = std::to_string(number);
    env[link + "_ADDR"] = ip;
  }
}

// All keys of a config map or secret under a prefix. Names that no environment could hold are left out.
Result<void> add_all(Environment& env, Value from, const EnvironmentFacts& facts) {
  bool secret = from["secretRef"].is_object();
  Value ref = secret ? from["secretRef"] : from["configMapRef"];
  if (!ref.is_object()) return {};
  auto object = secret ? facts.secret(ref["name"].as_string()) : facts.config_map(ref["name"].as_string());
  if (!object) {
    if (object.error().code == Code::not_found && ref["optional"].as_bool()) return {};
    return std::unexpected(object.error());
  }
  for (Member m : (*object)["data"].members()) {
    std::string name = fmt::format("{}{}", from["prefix"].as_string(), m.key);
    if (!valid_environment_name(name)) continue;
    env[name] = secret ? base64_decode(m.value.as_string()).value_or("") : m.value.str();
  }
  return {};
}

// The value of a reference to one key; absent when it is optional and not there.
Result<std::optional<std::string>> key_value(const PodView& pod, Value ref, bool secret, const EnvironmentFacts& facts) {
  std::string_view name = ref["name"].as_string(), key = ref["key"].as_string();
  bool optional = ref["optional"].as_bool();
  auto object = secret ? facts.secret(name) : facts.config_map(name);
  if (!object) {
    if (object.error().code == Code::not_found && optional) return std::optional<std::string>();
    return std::unexpected(object.error());
  }
  Value value = (*object)["data"][key];
  if (!value.is_string()) {
    if (optional) return std::optional<std::string>();
    return fail(Code::not_found, fmt::format("couldn't find key {} in {} {}/{}", key, secret ? "Secret" : "ConfigMap", pod.ns, name));
  }
  return std::optional(secret ? base64_decode(value.as_string()).value_or("") : value.str());
}

Result<std::optional<std::string>> referenced_value(const PodView& pod, const ContainerView& c, Value from, const EnvironmentFacts& facts) {
  if (Value field = from["fieldRef"]; field.is_object()) {
    auto value = field_value(pod, field["fieldPath"].as_string(), facts);
    if (!value) return std::unexpected(value.error());
    return std::optional(std::move(*value));
  }
  if (Value ref = from["resourceFieldRef"]; ref.is_object()) {
    const ContainerView* of = ref["containerName"].as_string().empty() ? &c : pod.find(ref["containerName"].as_string());
    if (of == nullptr) return fail(Code::not_found, fmt::format("container {} not found", ref["containerName"].as_string()));
    auto amount = resource_field(*of, ref["resource"].as_string(), Quantity::of(ref["divisor"]), facts.node_allocatable);
    if (!amount) return fail(Code::invalid, fmt::format("unsupported container resource : {}", ref["resource"].as_string()));
    return std::optional(std::to_string(*amount));
  }
  if (Value ref = from["configMapKeyRef"]; ref.is_object()) return key_value(pod, ref, false, facts);
  if (Value ref = from["secretKeyRef"]; ref.is_object()) return key_value(pod, ref, true, facts);
  return std::optional<std::string>();
}

}  // namespace

bool valid_environment_name(std::string_view name) {
  if (name.empty() || name == "." || name == "..") return false;
  return std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f && c != '='; });
}

Environment service_environment(const PodView& pod, const std::vector<Document>& services) {
  Environment env;
  bool links = pod.spec()["enableServiceLinks"].as_bool(true);
  for (bool own_namespace : {false, true}) {  // one of the pod's own namespace wins over default/kubernetes
    for (const Document& s : services) {
      Value meta = s["metadata"];
      bool master = meta["namespace"].as_string() == "default" && meta["name"].as_string() == "kubernetes";
      bool own = links && meta["namespace"].as_string() == pod.ns;
      if (has_cluster_ip(s.root()) && (own_namespace ? own : master)) add_service(env, s.root());
    }
  }
  return env;
}

std::string expand(std::string_view text, const std::function<const std::string*(std::string_view name)>& value) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$' || i + 1 == text.size()) {
      out.push_back(text[i]);
    } else if (text[i + 1] == '$') {
      out.push_back('$');
      ++i;
    } else if (std::size_t close = text[i + 1] == '(' ? text.find(')', i) : std::string_view::npos; close != std::string_view::npos) {
      if (const std::string* found = value(text.substr(i + 2, close - i - 2))) out += *found;
      else out += text.substr(i, close + 1 - i);
      i = close;
    } else {
      out.push_back('$');
    }
  }
  return out;
}

std::vector<std::string> expand_all(Value list, const Environment& environment) {
  std::vector<std::string> out;
  for (Value v : list.items()) {
    out.push_back(expand(v.as_string(), [&](std::string_view name) {
      auto found = environment.find(name);
      return found == environment.end() ? nullptr : &found->second;
    }));
  }
  return out;
}

Result<std::string> field_value(const PodView& pod, std::string_view path, const EnvironmentFacts& facts) {
  Value meta = pod.meta(), spec = pod.spec();
  auto [base, key] = split_subscript(path);
  if (base == "metadata.labels" || base == "metadata.annotations") {
    Value map = meta[base.substr(9)];
    return key.empty() ? format_map(map) : map[key].str();
  }
  auto first = [](const std::vector<std::string>& ips) { return ips.empty() ? std::string() : ips.front(); };
  if (path == "metadata.name") return pod.name;
  if (path == "metadata.namespace") return pod.ns;
  if (path == "metadata.uid") return pod.uid;
  if (path == "spec.nodeName") return facts.node_name;
  if (path == "spec.serviceAccountName") return spec["serviceAccountName"].str();
  if (path == "status.hostIP") return first(facts.host_ips);
  if (path == "status.hostIPs") return join(facts.host_ips, ",");
  if (path == "status.podIP") return first(facts.pod_ips);
  if (path == "status.podIPs") return join(facts.pod_ips, ",");
  return fail(Code::invalid, fmt::format("unsupported fieldPath: {}", path));
}

Result<Environment> make_environment(const PodView& pod, const ContainerView& c, const EnvironmentFacts& facts) {
  Environment env, services = service_environment(pod, facts.services);
  for (Value from : c.spec["envFrom"].items()) {
    if (auto added = add_all(env, from, facts); !added) return std::unexpected(added.error());
  }
  auto lookup = [&](std::string_view name) -> const std::string* {
    if (auto found = env.find(name); found != env.end()) return &found->second;
    if (auto found = services.find(name); found != services.end()) return &found->second;
    return nullptr;
  };
  for (Value entry : c.spec["env"].items()) {
    std::string name = entry["name"].str();
    if (Value from = entry["valueFrom"]; from.is_object()) {
      auto value = referenced_value(pod, c, from, facts);
      if (!value) return std::unexpected(value.error());
      if (*value) env[name] = std::move(**value);
    } else {
      std::string value = expand(entry["value"].as_string(), lookup);
      env[name] = std::move(value);
    }
  }
  env.merge(services);  // keeps what is there
  return env;
}

}  // namespace kybern::kubelet
