#include "kubelet/plan/network_files.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"

namespace kybern::kubelet {
namespace {

constexpr std::size_t most_servers = 3, most_searches = 32, most_search_characters = 2048;
constexpr std::size_t longest_host_name = 63;

std::vector<std::string> words(std::string_view line) {
  std::vector<std::string> out;
  std::string word;
  for (char c : line) {
    if (c == ' ' || c == '\t' || c == '\r') {
      if (!word.empty()) out.push_back(std::move(word));
      word.clear();
    } else {
      word.push_back(c);
    }
  }
  if (!word.empty()) out.push_back(std::move(word));
  return out;
}

void add_unique(std::vector<std::string>& to, const std::vector<std::string>& more) {
  for (const std::string& s : more) {
    if (std::find(to.begin(), to.end(), s) == to.end()) to.push_back(s);
  }
}

std::vector<std::string> texts(Value list) {
  std::vector<std::string> out;
  for (Value v : list.items()) out.push_back(v.str());
  return out;
}

// An option of the pod's dnsConfig replaces one of the same name.
void merge_options(std::vector<std::string>& options, Value extra) {
  for (Value o : extra.items()) {
    std::string name = o["name"].str(), whole = o["value"].is_string() ? fmt::format("{}:{}", name, o["value"].as_string()) : name;
    std::erase_if(options, [&](const std::string& old) { return old == name || old.starts_with(name + ":"); });
    options.push_back(whole);
  }
}

bool limit(ResolverConfig& r) {
  bool cut = false;
  if (r.servers.size() > most_servers) {
    r.servers.resize(most_servers);
    cut = true;
  }
  if (r.searches.size() > most_searches) {
    r.searches.resize(most_searches);
    cut = true;
  }
  while (join(r.searches, " ").size() > most_search_characters) {
    r.searches.pop_back();
    cut = true;
  }
  return cut;
}

constexpr std::string_view hosts_head =
    "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\n"
    "fe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";

std::string aliases(const PodView& pod) {
  std::string out;
  for (Value alias : pod.spec()["hostAliases"].items()) {
    if (out.empty()) out = "\n# Entries added by HostAliases.\n";
    out += fmt::format("{}\t{}\n", alias["ip"].as_string(), join(texts(alias["hostnames"]), "\t"));
  }
  return out;
}

}  // namespace

ResolverConfig parse_resolv_conf(std::string_view text) {
  ResolverConfig out;
  for (std::string_view line : split(text, '\n')) {
    std::vector<std::string> w = words(line.substr(0, line.find_first_of("#;")));
    if (w.size() < 2) continue;
    if (w[0] == "nameserver") out.servers.push_back(w[1]);
    else if (w[0] == "search") out.searches.assign(w.begin() + 1, w.end());
    else if (w[0] == "options") out.options.assign(w.begin() + 1, w.end());
  }
  std::erase(out.searches, ".");
  return out;
}

ResolverConfig pod_resolver(const PodView& pod, const DnsFacts& facts, bool* cut) {
  std::string policy = pod.spec()["dnsPolicy"].str();
  bool cluster = policy == "ClusterFirstWithHostNet" || ((policy.empty() || policy == "ClusterFirst") && !pod.host_network);
  ResolverConfig r;
  if (policy != "None") {
    r = facts.node;
    if (cluster && !facts.cluster_servers.empty()) {
      r.servers = facts.cluster_servers;
      r.options = {"ndots:5"};
      const std::string& domain = facts.cluster_domain;
      std::vector<std::string> own = {fmt::format("{}.svc.{}", pod.ns, domain), fmt::format("svc.{}", domain), domain};
      add_unique(own, r.searches);
      r.searches = std::move(own);
    }
  }
  Value extra = pod.spec()["dnsConfig"];
  add_unique(r.servers, texts(extra["nameservers"]));
  add_unique(r.searches, texts(extra["searches"]));
  merge_options(r.options, extra["options"]);
  bool was_cut = limit(r);
  if (cut != nullptr) *cut = was_cut;
  return r;
}

HostName pod_host_name(const PodView& pod, std::string_view cluster_domain) {
  HostName out;
  if (pod.host_network) return out;
  Value spec = pod.spec();
  if (std::string forced = spec["hostnameOverride"].str(); !forced.empty()) return {forced, ""};
  out.name = spec["hostname"].str().empty() ? pod.name : spec["hostname"].str();
  out.name = out.name.substr(0, longest_host_name);
  while (out.name.ends_with('-') || out.name.ends_with('.')) out.name.pop_back();
  if (std::string sub = spec["subdomain"].str(); !sub.empty()) {
    out.domain = fmt::format("{}.{}.svc.{}", sub, pod.ns, cluster_domain);
    if (spec["setHostnameAsFQDN"].as_bool()) out.name = fmt::format("{}.{}", out.name, out.domain);
  }
  return out;
}

std::string hosts_file(const PodView& pod, const std::vector<std::string>& pod_ips, const HostName& host) {
  std::string out = fmt::format("# Kubernetes-managed hosts file.\n{}", hosts_head);
  std::string_view short_name = host.name;
  if (!host.domain.empty() && short_name.ends_with("." + host.domain)) short_name.remove_suffix(host.domain.size() + 1);
  for (const std::string& ip : pod_ips) {
    if (host.domain.empty()) out += fmt::format("{}\t{}\n", ip, short_name);
    else out += fmt::format("{}\t{}.{}\t{}\n", ip, short_name, host.domain, short_name);
  }
  return out + aliases(pod);
}

std::string hosts_file_of_node(const PodView& pod, std::string_view node_hosts) {
  return fmt::format("# Kubernetes-managed hosts file (host network).\n{}{}", node_hosts, aliases(pod));
}

}  // namespace kybern::kubelet
