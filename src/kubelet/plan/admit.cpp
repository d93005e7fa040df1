#include "kubelet/plan/admit.h"

#include <fmt/format.h>

#include <algorithm>

#include "machinery/labels.h"

namespace kybern::kubelet {
namespace {

std::optional<LabelOperator> operator_of(std::string_view name) {
  if (name == "In") return LabelOperator::in;
  if (name == "NotIn") return LabelOperator::not_in;
  if (name == "Exists") return LabelOperator::exists;
  if (name == "DoesNotExist") return LabelOperator::does_not_exist;
  if (name == "Gt") return LabelOperator::greater;
  if (name == "Lt") return LabelOperator::less;
  return std::nullopt;
}

LabelRequirement requirement_of(Value expression, LabelOperator op) {
  LabelRequirement r{expression["key"].str(), op, {}};
  for (Value v : expression["values"].items()) r.values.push_back(v.str());
  return r;
}

// All expressions of a term must hold; a term without any selects nothing.
bool term_selects(Value term, const Document& node) {
  if (term["matchExpressions"].empty() && term["matchFields"].empty()) return false;
  for (Value e : term["matchExpressions"].items()) {
    auto op = operator_of(e["operator"].as_string());
    if (!op || !requirement_of(e, *op).matches(node["metadata"]["labels"])) return false;
  }
  for (Value e : term["matchFields"].items()) {
    auto op = operator_of(e["operator"].as_string());
    if (!op || !requirement_of(e, *op).matches(std::optional(node["metadata"]["name"].as_string()))) return false;
  }
  return true;
}

// Amounts in a resource's own unit: cpu in thousandths.
std::int64_t amount(const Quantity& q, std::string_view name) { return name == "cpu" ? q.milli_value() : q.value(); }

Ending rejected(std::string reason, std::string_view why) { return Ending{std::move(reason), fmt::format("Pod was rejected: {}", why), 0}; }

// Kernel settings that a pod may set without endangering others (those that are namespaced and harmless).
constexpr std::string_view safe_sysctls[] = {"kernel.shm_rmid_forced",
                                             "net.ipv4.ip_local_port_range",
                                             "net.ipv4.ip_local_reserved_ports",
                                             "net.ipv4.tcp_syncookies",
                                             "net.ipv4.ping_group_range",
                                             "net.ipv4.ip_unprivileged_port_start",
                                             "net.ipv4.tcp_keepalive_time",
                                             "net.ipv4.tcp_fin_timeout",
                                             "net.ipv4.tcp_keepalive_intvl",
                                             "net.ipv4.tcp_keepalive_probes",
                                             "net.ipv4.tcp_rmem",
                                             "net.ipv4.tcp_wmem"};

std::optional<Ending> refuse_sysctls(const PodView& pod) {
  for (Value s : pod.spec()["securityContext"]["sysctls"].items()) {
    std::string name = s["name"].str();
    std::replace(name.begin(), name.end(), '/', '.');
    bool of_network = name.starts_with("net."), of_ipc = name.starts_with("kernel.shm") || name.starts_with("kernel.msg") ||
                                                         name.starts_with("kernel.sem") || name.starts_with("fs.mqueue.");
    std::string why;
    if (of_network && pod.host_network) why = fmt::format("{} not allowed with host net enabled", name);
    else if (of_ipc && pod.spec()["hostIPC"].as_bool()) why = fmt::format("{} not allowed with host ipc enabled", name);
    else if (std::find(std::begin(safe_sysctls), std::end(safe_sysctls), name) == std::end(safe_sysctls))
      why = fmt::format("\"{}\" not allowlisted", name);
    if (!why.empty()) return rejected("SysctlForbidden", fmt::format("forbidden sysctl: {}", why));
  }
  return std::nullopt;
}

struct HostPort {
  std::int64_t port;
  std::string protocol, ip;  // "" : all of the node's
};

std::vector<HostPort> host_ports(const PodView& pod) {
  std::vector<HostPort> out;
  for (const ContainerView& c : pod.containers) {
    if (c.role != ContainerView::Role::regular && c.role != ContainerView::Role::sidecar) continue;
    for (Value p : c.spec["ports"].items()) {
      std::string ip = p["hostIP"].str();
      if (ip == "0.0.0.0") ip.clear();
      if (std::int64_t port = p["hostPort"].as_int(); port > 0) out.push_back({port, std::string(p["protocol"].as_string("TCP")), ip});
    }
  }
  return out;
}

bool share_a_port(const PodView& a, const PodView& b) {
  std::vector<HostPort> theirs = host_ports(b);
  for (const HostPort& p : host_ports(a)) {
    for (const HostPort& q : theirs) {
      if (p.port == q.port && p.protocol == q.protocol && (p.ip == q.ip || p.ip.empty() || q.ip.empty())) return true;
    }
  }
  return false;
}

}  // namespace

bool selects_node(const PodView& pod, const Document& node) {
  for (Member m : pod.spec()["nodeSelector"].members()) {
    if (!(node["metadata"]["labels"][m.key] == m.value)) return false;
  }
  Value terms = pod.spec()["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
  if (!terms.is_array()) return true;
  for (Value term : terms.items()) {
    if (term_selects(term, node)) return true;
  }
  return false;
}

bool tolerates(const PodView& pod, Value taint) {
  for (Value t : pod.spec()["tolerations"].items()) {
    std::string_view effect = t["effect"].as_string(), key = t["key"].as_string();
    if (!effect.empty() && effect != taint["effect"].as_string()) continue;
    bool exists = t["operator"].as_string() == "Exists";
    if (key.empty() && exists) return true;
    if (key != taint["key"].as_string()) continue;
    if (exists || t["value"].as_string() == taint["value"].as_string()) return true;
  }
  return false;
}

std::optional<Problem> refuse_resize(const PodView& wanted, const std::vector<PodView>& others, const Amounts& allocatable) {
  Amounts used;
  for (const PodView& other : others) {
    for (const auto& [name, q] : pod_requests(other)) used[name] += q;
  }
  for (const auto& [name, q] : pod_requests(wanted)) {
    auto there = allocatable.find(name);
    if (there == allocatable.end()) continue;
    if (q > there->second) {
      return Problem{"Infeasible",
                     fmt::format("Node didn't have enough capacity: {}, requested: {}, capacity: {}", name, amount(q, name),
                                 amount(there->second, name)),
                     {},
                     {}};
    }
    if (used[name] + q > there->second) {
      return Problem{"Deferred",
                     fmt::format("Node didn't have enough resource: {}, requested: {}, used: {}, capacity: {}", name, amount(q, name),
                                 amount(used[name], name), amount(there->second, name)),
                     {},
                     {}};
    }
  }
  return std::nullopt;
}

std::optional<Ending> refuse_pod(const PodView& pod, const std::vector<PodView>& others, const Amounts& allocatable, const Document& node) {
  if (std::string os = pod.spec()["os"]["name"].str(); !os.empty() && os != "linux") {
    return Ending{"PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS", 0};
  }
  if (auto refused = refuse_sysctls(pod)) return refused;
  if (node && !selects_node(pod, node))
    return rejected("NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector");
  if (std::any_of(others.begin(), others.end(), [&](const PodView& other) { return share_a_port(pod, other); }))
    return rejected("NodePorts", "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports");
  for (Value taint : node["spec"]["taints"].items()) {
    if (taint["effect"].as_string() != "NoExecute" || pod.is_static || tolerates(pod, taint)) continue;
    return rejected("TaintToleration", fmt::format("Predicate TaintToleration failed: node(s) had untolerated taint {{{}: {}}}",
                                                   taint["key"].as_string(), taint["value"].as_string()));
  }
  Amounts used;
  for (const PodView& other : others) {
    for (const auto& [name, q] : pod_requests(other)) used[name] += q;
  }
  auto most_pods = allocatable.find("pods");
  auto refused = [](std::string_view name, std::int64_t requested, std::int64_t taken, std::int64_t capacity) {
    return rejected(fmt::format("OutOf{}", name), fmt::format("Node didn't have enough resource: {}, requested: {}, used: {}, capacity: {}",
                                                              name, requested, taken, capacity));
  };
  if (most_pods != allocatable.end() && static_cast<std::int64_t>(others.size()) + 1 > most_pods->second.value()) {
    return refused("pods", 1, static_cast<std::int64_t>(others.size()), most_pods->second.value());
  }
  for (const auto& [name, wanted] : pod_requests(pod)) {
    auto there = allocatable.find(name);
    bool extended = name.find('/') != std::string::npos;
    if (wanted.is_zero() || (there == allocatable.end() && extended)) continue;  // a resource that only the scheduler knows
    Quantity capacity = there == allocatable.end() ? Quantity() : there->second;
    if (used[name] + wanted <= capacity) continue;
    return refused(name, amount(wanted, name), amount(used[name], name), amount(capacity, name));
  }
  return std::nullopt;
}

}  // namespace kybern::kubelet
