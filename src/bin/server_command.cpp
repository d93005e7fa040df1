// `kybern server` and `kybern apiserver`.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <map>

#include "apiserver/server.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/world.h"
#include "bin/cluster_dns.h"
#include "bin/commands.h"
#include "bin/flags.h"
#include "bin/local_transport.h"
#include "bin/security_flags.h"
#include "bin/signing_flags.h"
#include "controllers/controllers.h"
#include "dns/dns.h"
#include "kubelet/kubelet.h"
#include "proxy/proxy.h"
#include "scheduler/scheduler.h"

namespace kybern::bin {
namespace {

constexpr auto stop_grace = std::chrono::seconds(3);

std::string host_name() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  return to_lower(name);
}

struct ApiFlags {
  apiserver::ServerOptions options;
  std::string node_ports = "30000-32767";

  void add_to(Flags& flags) {
    options.data_dir = "/var/lib/kybern";
    flags.section("API server");
    flags.add("data-dir", &options.data_dir, "where everything is kept: database, certificates, kubeconfig, containers, logs");
    flags.add("bind-address", &options.bind_address, "the address to listen on");
    flags.add("secure-port", &options.secure_port, "the port of the API, HTTPS");
    flags.add("advertise-address", &options.advertise_address,
              "the address that pods and nodes reach the API at; found by itself when empty");
    flags.add("tls-san", &options.extra_names, "further names or addresses for the serving certificate");
    flags.add("service-cidr", &options.service_cidr, "the range of cluster IPs");
    flags.add("service-node-port-range", &node_ports, "the range of node ports");
    flags.add("cluster-domain", &options.cluster_domain, "the DNS domain of the cluster");
    flags.add("token-auth-file", &options.token_file, "static tokens, one a line: token,user,uid,\"group1,group2\"");
    add_security_flags(flags, options);
    flags.add("anonymous-auth", &options.anonymous, "whether requests without credentials are user system:anonymous");
  }

  Result<void> check() {
    auto dash = node_ports.find('-');
    auto low = parse_int(std::string_view(node_ports).substr(0, dash));
    auto high = dash == std::string::npos ? low : parse_int(std::string_view(node_ports).substr(dash + 1));
    if (!low || !high || *low < 1 || *high > 65535 || *low > *high)
      return fail(Code::invalid,
                  fmt::format("--service-node-port-range: {} is no range of ports such as 30000-32767", go_quote(node_ports)));
    options.node_port_low = static_cast<int>(*low);
    options.node_port_high = static_cast<int>(*high);
    auto slash = options.service_cidr.find('/');
    auto bits = slash == std::string::npos ? std::nullopt : parse_int(std::string_view(options.service_cidr).substr(slash + 1));
    if (!bits || *bits < 8 || *bits > 30)
      return fail(Code::invalid, fmt::format("--service-cidr: {} is no IPv4 range between /8 and /30, such as 10.96.0.0/12",
                                             go_quote(options.service_cidr)));
    return {};
  }
};

// Identities of components in this process, made when first asked for.
class Identities {
 public:
  explicit Identities(apiserver::ApiServer& server) : server_(server) {}
  client::Transport& of(const std::string& name) {
    std::lock_guard lock(mutex_);
    auto& transport = transports_[name];
    if (!transport) transport = local_transport(server_, component_user(name));
    return *transport;
  }

 private:
  apiserver::ApiServer& server_;
  std::mutex mutex_;
  std::map<std::string, std::unique_ptr<client::Transport>> transports_;
};

// Which address the node has: the one that the API server tells others, or else loopback.
struct NodeFlags {
  kubelet::KubeletOptions options;
  std::string node_ip, pod_cidr = "10.244.0.0/24", cluster_cidr = "10.244.0.0/16";
  bool agent = true, proxy = true, dns = true;
  int grace_s = 50, dns_port = 10053;
  SigningFlags signing;

  void add_to(Flags& flags) {
    options.node_name = host_name();
    flags.section("Controllers");
    signing.add_to(flags);
    flags.section("Node");
    flags.add("agent", &agent, "run pods on this machine");
    flags.add("proxy", &proxy, "route services on this machine");
    flags.add("dns", &dns, "answer DNS for the cluster");
    flags.add("dns-port", &dns_port, "the port on which it does, behind port 53 of its virtual IP");
    flags.add("node-name", &options.node_name, "the node's name");
    flags.add("node-ip", &node_ip, "the node's address; found by itself when empty");
    flags.add("container-runtime-endpoint", &options.runtime_endpoint,
              "a CRI socket such as unix:///run/containerd/containerd.sock; empty: a containerd of its own");
    flags.add("pod-cidr", &pod_cidr, "the addresses of this node's pods");
    flags.add("cluster-cidr", &cluster_cidr, "the addresses of all pods");
    flags.add("image-archives", &options.image_archives, "OCI archives to import into the own containerd");
    flags.add("static-pod-path", &options.static_pod_path, "a folder of pod manifests that this node runs by itself");
    flags.add("cgroup-root", &options.cgroup_base, "the cgroup below which the pods' cgroups are made; empty: the root");
    flags.add("container-log-max-size", &options.container_log_max_bytes, "a container's log is rotated when it has grown to this");
    flags.add("container-log-max-files", &options.container_log_max_files, "how many files of one container's log are kept, at least 2");
    flags.add("node-monitor-grace-period", &grace_s, "seconds without a sign after which a node is unknown");
    flags.add("kubelet-port", &options.port, "the port of the node agent's API");
    flags.add("resolv-conf", &options.resolv_conf, "the resolver that pods with dnsPolicy Default and the cluster's DNS use");
  }
};

}  // namespace

int run_apiserver(const std::vector<std::string>& arguments) {
  Flags flags("kybern apiserver",
              "The API server alone, with its own store. Makes CA, certificates and an admin kubeconfig on its first start.");
  ApiFlags api;
  api.add_to(flags);
  bool help = false;
  if (auto ok = flags.parse(arguments, help); !ok) return complain(ok.error().message);
  if (help) return fmt::print("{}", flags.help()), 0;
  if (auto ok = api.check(); !ok) return complain(ok.error().message);
  auto server = apiserver::ApiServer::start(api.options, real_world());
  if (!server) return complain(server.error().message);
  log_info("apiserver", "ready", {{"port", std::to_string((*server)->port())}, {"kubeconfig", (*server)->credentials().admin_kubeconfig}});
  wait_for_stop();
  (*server)->stop(stop_grace);
  stop_real_world();
  return 0;
}

int run_server(const std::vector<std::string>& arguments) {
  Flags flags("kybern server", "A whole cluster in one process.");
  ApiFlags api;
  NodeFlags node;
  api.add_to(flags);
  node.add_to(flags);
  bool help = false;
  if (auto ok = flags.parse(arguments, help); !ok) return complain(ok.error().message);
  if (help) return fmt::print("{}", flags.help()), 0;
  if (auto ok = api.check(); !ok) return complain(ok.error().message);
  if (node.agent && ::geteuid() != 0)
    return complain("running pods needs root: run as root, or with --agent=false --proxy=false for the control plane alone");
  World world = real_world();
  if (node.agent) {
    api.options.node_name = node.options.node_name;
    api.options.node_ip = node.node_ip;
  }
  auto started = apiserver::ApiServer::start(api.options, world);
  if (!started) return complain(started.error().message);
  apiserver::ApiServer& server = **started;
  log_info("server", "API ready", {{"port", std::to_string(server.port())}, {"kubeconfig", server.credentials().admin_kubeconfig}});
  Identities identities(server);

  controllers::Options controller_options;
  controller_options.node_grace = std::chrono::seconds(node.grace_s);
  controller_options.for_identity = [&](const std::string& name) -> client::Transport& { return identities.of(name); };
  controller_options.ca_bundle = [file = server.credentials().ca_file] { return file_text(file); };
  controller_options.account_key_pem = [file = server.credentials().service_account_key] { return file_text(file); };
  if (auto ok = node.signing.apply(controller_options, server.credentials().ca_file, server.credentials().ca_key); !ok)
    return complain(ok.error().message);
  controllers::ControllerManager controllers(world, std::move(controller_options));
  controllers.start();

  auto scheduler = scheduler::Scheduler::start(identities.of("system:kube-scheduler"), world, {});
  if (!scheduler) return complain("scheduler: " + scheduler.error().message);

  std::string address = node.node_ip.empty() ? server.advertise_address() : node.node_ip;
  if (address.empty()) address = "127.0.0.1";
  std::unique_ptr<proxy::Proxy> proxy;
  std::unique_ptr<dns::DnsServer> dns;
  std::unique_ptr<kubelet::Kubelet> kubelet;
  auto installer = local_transport(server, {"system:kybern", "", {"system:masters", "system:authenticated"}, {}});
  // The DNS service is made before the first pod, so that no pod starts without a resolver.
  if (node.dns) {
    auto made = start_cluster_dns(*installer, identities.of("system:kube-dns"), world,
                                  {address, server.dns_service_ip(), api.options.cluster_domain, node.options.resolv_conf, node.dns_port});
    if (!made) return complain("dns: " + made.error().message);
    dns = std::move(*made);
    node.options.cluster_dns = {server.dns_service_ip()};
  }
  if (node.proxy) {
    proxy::ProxyOptions options;
    options.node_name = node.options.node_name;
    options.node_ips = {address};
    options.pod_cidr = node.cluster_cidr;
    auto made = proxy::Proxy::start(identities.of("system:kube-proxy"), world, std::move(options));
    if (!made) return complain("proxy: " + made.error().message);
    proxy = std::move(*made);
  }
  if (node.agent) {
    kubelet::KubeletOptions& options = node.options;
    options.node_ips = {address};
    options.data_dir = api.options.data_dir;
    options.pod_cidrs = {node.pod_cidr};
    options.cluster_domain = api.options.cluster_domain;
    options.tls_certificate_file = options.data_dir + "/pki/kubelet.crt";
    options.tls_key_file = options.data_dir + "/pki/kubelet.key";
    options.client_ca_file = server.credentials().ca_file;
    auto made = kubelet::Kubelet::start(identities.of("system:node:" + options.node_name), world, options);
    if (!made) return complain("kubelet: " + made.error().message);
    kubelet = std::move(*made);
  }
  log_info("server", "cluster running", {{"node", node.options.node_name}});
  wait_for_stop();
  log_info("server", "stopping; pods go on");
  if (kubelet) kubelet->stop();
  if (proxy) proxy->stop(false);
  if (dns) dns->stop();
  (*scheduler)->stop();
  controllers.stop();
  server.stop(stop_grace);
  stop_real_world();
  return 0;
}

}  // namespace kybern::bin
