#include "proxy/rules/elements.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "proxy/rules/ruleset.h"

namespace kybern::proxy {
namespace {

constexpr std::size_t outside_slots = 65536;  // the first slot of outside targets
constexpr std::size_t affinity_entries = 65536;

std::size_t used(const Targets& targets) { return std::min(targets->size(), Ruleset::max_targets); }

// Where a connection goes when no affinity decides: "" when nowhere.
std::string stage(const Frontend& frontend) {
  if (frontend.split) return frontend.inside->empty() && frontend.outside->empty() ? "" : "goto split";
  return frontend.inside->empty() ? "" : fmt::format("goto pick-{}", used(frontend.inside));
}

std::string_view masquerade_verdict(Masquerade masquerade) {
  switch (masquerade) {
    case Masquerade::never: return "";
    case Masquerade::local: return "goto masquerade-local";
    case Masquerade::always: return "goto masquerade-always";
  }
  return "";
}

std::string sticky_chain(const FrontendKey& key) { return key.ip.v6 ? "sticky-" + affinity_name(key) : "sticky"; }

std::string remember_chain(const FrontendKey& key, const Frontend& frontend) {
  if (!key.ip.v6) return fmt::format("remember-{}", frontend.affinity_seconds);
  return fmt::format("remember-{}-{}", affinity_name(key), frontend.affinity_seconds);
}

std::string_view table_name(bool v6) { return v6 ? "ip6 kybern" : "ip kybern"; }

// A frontend's key as a rule sees it: in a packet on its way in, and in the tracked connection on its way out. `ct
// original proto-dst` has a type only where the protocol is known, hence one rule for each.
constexpr std::string_view packet_key = "$ daddr . meta l4proto . th dport";
constexpr std::string_view original_key = "ct original $ daddr . meta l4proto . ct original proto-dst";
constexpr std::string_view protocols[] = {"tcp", "udp", "sctp"};

// '$' stands for the family ("ip", "ip6"), '%' for the type of its addresses.
std::string in_family(std::string_view text, bool v6) {
  std::string out;
  for (char c : text) {
    if (c == '$') out += v6 ? "ip6" : "ip";
    else if (c == '%') out += v6 ? "ipv6_addr" : "ipv4_addr";
    else out += c;
  }
  return out;
}

// IPv4: the shared map "affinity", keyed by client and frontend.
void remember_v4(const FrontendKey& key, const Frontend& frontend, std::vector<Object>& out) {
  Object object{false, remember_chain(key, frontend), {}};
  object.commands = fmt::format("add chain ip kybern {}\n", object.name);
  for (std::string_view protocol : protocols) {
    fmt::format_to(std::back_inserter(object.commands),
                   "add rule ip kybern {} meta l4proto {} update @affinity {{ ip saddr . {} timeout {}s : ip daddr . th dport }}\n",
                   object.name, protocol, in_family(original_key, false), frontend.affinity_seconds);
  }
  out.push_back(std::move(object));
}

// IPv6: two maps of the frontend's own, from the client to the target's address and to its port.
void affinity_v6(const FrontendKey& key, const Frontend& frontend, std::vector<Object>& out) {
  const std::string name = affinity_name(key);
  Object sticky{true, sticky_chain(key), {}};
  sticky.commands = fmt::format(
      "add map ip6 kybern address-{0} {{ type ipv6_addr : ipv6_addr; size {1}; flags dynamic,timeout; }}\n"
      "add map ip6 kybern port-{0} {{ type ipv6_addr : inet_service; size {1}; flags dynamic,timeout; }}\n"
      "add chain ip6 kybern {2}\n"
      "add rule ip6 kybern {2} meta l4proto {3} dnat ip6 to ip6 saddr map @address-{0} : ip6 saddr map @port-{0}\n"
      "add rule ip6 kybern {2} {4} vmap @fresh\n",
      name, affinity_entries, sticky.name, protocol_name(key.protocol), in_family(packet_key, true));
  out.push_back(std::move(sticky));
  Object remember{true, remember_chain(key, frontend), {}};
  remember.commands = fmt::format(
      "add chain ip6 kybern {0}\n"
      "add rule ip6 kybern {0} update @address-{1} {{ ip6 saddr timeout {2}s : ip6 daddr }}\n"
      "add rule ip6 kybern {0} meta l4proto {3} update @port-{1} {{ ip6 saddr timeout {2}s : th dport }}\n",
      remember.name, name, frontend.affinity_seconds, protocol_name(key.protocol));
  out.push_back(std::move(remember));
}

void target_elements(bool v6, const std::string& key, const Targets& targets, std::size_t first, std::vector<Element>& out) {
  const std::size_t count = used(targets);
  for (std::size_t i = 0; i < count; ++i) {
    const Target& target = (*targets)[i];
    Element element{SetId::endpoints, v6, std::to_string(first + i), {}};
    element.key += " . ";
    element.key += key;
    target.ip.append(element.value);
    element.value += " . ";
    element.value += std::to_string(target.port);
    out.push_back(std::move(element));
  }
}

constexpr std::string_view fixed_sets = R"(
  map services { type % . inet_proto . inet_service : verdict; }
  map endpoints { typeof numgen random mod 2 . $ daddr . meta l4proto . th dport : $ daddr . th dport; }
  map from-inside { type % . inet_proto . inet_service : verdict; }
  map from-outside { type % . inet_proto . inet_service : verdict; }
  map fresh { type % . inet_proto . inet_service : verdict; }
  map affine { type % . inet_proto . inet_service : verdict; }
  map rewrite-source { type % . inet_proto . inet_service : verdict; }
  map no-endpoints { type % . inet_proto . inet_service : verdict; }
  set fenced { type % . inet_proto . inet_service; }
  set allowed { type % . % . inet_proto . inet_service; flags interval; }
  set hairpin { type % . %; }
  set cluster-ips { type %; }
)";

// The order of the hooks: fences before translation, translation, refusals after it, then the way out.
constexpr std::string_view fixed_chains = R"(
  chain masquerade-always { masquerade fully-random; }
  chain masquerade-local { fib saddr type local masquerade fully-random; }
  chain reject-traffic { meta l4proto tcp reject with tcp reset; reject; }
  chain split {
    $ saddr @pod-cidrs $ daddr . meta l4proto . th dport vmap @from-inside
    fib saddr type local $ daddr . meta l4proto . th dport vmap @from-inside
    $ daddr . meta l4proto . th dport vmap @from-outside
  }
  chain fence { $ daddr . meta l4proto . th dport @fenced $ saddr . $ daddr . meta l4proto . th dport != @allowed drop; }
  chain refuse { $ daddr . meta l4proto . th dport vmap @no-endpoints; }
  chain refuse-unknown { $ daddr @cluster-ips goto reject-traffic; }
  chain fence-prerouting { type filter hook prerouting priority dstnat - 10; ct state new jump fence; }
  chain fence-output { type filter hook output priority -110; ct state new jump fence; }
  chain translate { $ daddr . meta l4proto . th dport vmap @services; }
  chain nat-prerouting { type nat hook prerouting priority dstnat; jump translate; }
  chain nat-output { type nat hook output priority -100; jump translate; }
  chain refuse-input { type filter hook input priority -10; ct state new jump refuse; }
  chain refuse-forward {
    type filter hook forward priority -10
    ct state new jump refuse
    ct state new jump refuse-unknown
  }
  chain refuse-output {
    type filter hook output priority -90
    ct state new jump refuse
    ct state new jump refuse-unknown
  }
)";

// Traffic from outside the pods to a cluster IP takes this node's address, or its answers might not come back this way.
// One rule for all of them: the kernel walks every element of every map of verdicts when one of them changes, so these maps
// are kept small.
std::string_view cluster_ip_rule(const NodeInfo& node, bool v6) {
  if (node.masquerade_all) return "    ct original $ daddr @cluster-ips masquerade fully-random\n";
  const bool known = std::ranges::any_of(node.pod_cidrs, [&](const Prefix& prefix) { return prefix.base.v6 == v6; });
  return known ? "    ct original $ daddr @cluster-ips $ saddr != @pod-cidrs masquerade fully-random\n" : "";
}

std::string outgoing_chains(const NodeInfo& node, bool v6) {
  std::string out = "  chain affinity-postrouting {\n    type filter hook postrouting priority srcnat - 10\n";
  out += "    ct state != new return\n    ct status & dnat == 0 return\n";
  for (std::string_view protocol : protocols) {
    out += fmt::format("    meta l4proto {} {} vmap @affine\n", protocol, in_family(original_key, v6));
  }
  out += "  }\n  chain nat-postrouting {\n    type nat hook postrouting priority srcnat\n    ct status & dnat == 0 return\n";
  out += in_family("    $ saddr . $ daddr @hairpin masquerade fully-random\n", v6);
  out += in_family(cluster_ip_rule(node, v6), v6);
  for (std::string_view protocol : protocols) {
    out += fmt::format("    meta l4proto {} {} vmap @rewrite-source\n", protocol, in_family(original_key, v6));
  }
  return out + "  }\n";
}

void pick_chains(bool v6, std::string_view name, std::size_t up_to, std::size_t first, std::string& out) {
  const std::string offset = first == 0 ? "" : fmt::format(" offset {}", first);
  const std::string key = in_family(packet_key, v6);
  for (std::size_t count = 1; count <= up_to; ++count) {
    fmt::format_to(std::back_inserter(out), "  chain {0}-{1} {{ dnat {2} to numgen random mod {1}{3} . {4} map @endpoints; }}\n", name,
                   count, v6 ? "ip6" : "ip", offset, key);
  }
}

std::string affinity_chains() {
  return fmt::format(
      "  map affinity {{ type ipv4_addr . ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; size {}; "
      "flags dynamic,timeout; }}\n"
      "  chain sticky {{\n"
      "    meta l4proto {{ tcp, udp, sctp }} dnat ip to ip saddr . {} map @affinity\n"
      "    {} vmap @fresh\n  }}\n",
      affinity_entries, in_family(packet_key, false), in_family(packet_key, false));
}

std::string pod_cidrs(const NodeInfo& node, bool v6) {
  std::string elements;
  for (const Prefix& prefix : node.pod_cidrs) {
    if (prefix.base.v6 == v6) elements += (elements.empty() ? "" : ", ") + prefix.text();
  }
  if (!elements.empty()) elements = fmt::format(" elements = {{ {} }};", elements);
  return fmt::format("  set pod-cidrs {{ type {}; flags interval; auto-merge;{} }}\n", v6 ? "ipv6_addr" : "ipv4_addr", elements);
}

}  // namespace

std::string_view set_name(SetId id) {
  static constexpr std::string_view names[set_count] = {"services", "endpoints", "from-inside",    "from-outside",
                                                        "fresh",    "affine",    "rewrite-source", "no-endpoints",
                                                        "fenced",   "allowed",   "hairpin",        "cluster-ips"};
  return names[static_cast<std::size_t>(id)];
}

void append_key(const FrontendKey& key, std::string& out) {
  key.ip.append(out);
  out += " . ";
  out += protocol_name(key.protocol);
  out += " . ";
  out += std::to_string(key.port);
}

std::string affinity_name(const FrontendKey& key) {
  std::string out;
  for (std::uint8_t byte : key.ip.bytes) out += fmt::format("{:02x}", byte);
  return fmt::format("{}-{}-{}", out, protocol_name(key.protocol), key.port);
}

void elements_of(const FrontendKey& key, const Frontend& frontend, std::vector<Element>& out) {
  const bool v6 = key.ip.v6;
  std::string text;
  append_key(key, text);
  auto add = [&](SetId set, std::string value) {
    if (!value.empty()) out.push_back({set, v6, text, std::move(value)});
  };
  std::string stage_verdict = stage(frontend);
  if (!stage_verdict.empty()) {
    target_elements(v6, text, frontend.inside, 0, out);
    target_elements(v6, text, frontend.outside, outside_slots, out);
    if (frontend.split) {
      if (!frontend.inside->empty()) add(SetId::from_inside, fmt::format("goto pick-{}", used(frontend.inside)));
      if (!frontend.outside->empty()) add(SetId::from_outside, fmt::format("goto local-{}", used(frontend.outside)));
    }
    if (frontend.affinity_seconds > 0) {
      add(SetId::fresh, std::move(stage_verdict));
      add(SetId::affine, "goto " + remember_chain(key, frontend));
      stage_verdict = "goto " + sticky_chain(key);
    }
    add(SetId::services, std::move(stage_verdict));
    add(SetId::masquerade, std::string(masquerade_verdict(frontend.masquerade)));
  }
  if (frontend.refusal == Refusal::reject) add(SetId::no_endpoints, "goto reject-traffic");
  if (frontend.refusal == Refusal::drop) add(SetId::no_endpoints, "drop");
  if (!frontend.fenced) return;
  out.push_back({SetId::fenced, v6, text, {}});
  for (const Prefix& source : frontend.sources) out.push_back({SetId::allowed, v6, source.text() + " . " + text, {}});
}

void shared_elements_of(const FrontendKey& key, const Frontend& frontend, std::vector<Element>& out) {
  if (frontend.cluster_ip) out.push_back({SetId::cluster_ips, key.ip.v6, key.ip.text(), {}});
  for (const Targets* targets : {&frontend.inside, &frontend.outside}) {
    const std::size_t count = used(*targets);
    for (std::size_t i = 0; i < count; ++i) {
      if (!(**targets)[i].local) continue;
      const std::string ip = (**targets)[i].ip.text();
      out.push_back({SetId::hairpin, key.ip.v6, ip + " . " + ip, {}});
    }
  }
}

void need_chains(const FrontendKey& key, const Frontend& frontend, Chains& chains) {
  auto raise = [](std::size_t& have, std::size_t need) {
    if (need > have) have = std::min((need + Chains::block - 1) / Chains::block * Chains::block, Ruleset::max_targets);
  };
  raise(chains.pick[key.ip.v6 ? 1 : 0], used(frontend.inside));
  raise(chains.local[key.ip.v6 ? 1 : 0], used(frontend.outside));
}

void objects_of(const FrontendKey& key, const Frontend& frontend, std::vector<Object>& out) {
  const bool v6 = key.ip.v6;
  if (frontend.affinity_seconds <= 0) return;
  if (v6) affinity_v6(key, frontend, out);
  else remember_v4(key, frontend, out);
}

std::string tables(const NodeInfo& node, const Chains& chains) {
  std::string out;
  for (bool v6 : {false, true}) {
    // Declared first, so that the deletion never fails.
    out += fmt::format("table {0}\ndelete table {0}\ntable {0} {{", table_name(v6));
    out += in_family(fixed_sets, v6);
    out += pod_cidrs(node, v6);
    if (!v6) out += affinity_chains();
    out += in_family(fixed_chains, v6);
    out += outgoing_chains(node, v6);
    pick_chains(v6, "pick", chains.pick[v6 ? 1 : 0], 0, out);
    pick_chains(v6, "local", chains.local[v6 ? 1 : 0], outside_slots, out);
    out += "}\n";
  }
  return out;
}

}  // namespace kybern::proxy
