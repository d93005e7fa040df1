// The components as processes of their own: they talk HTTP to any Kubernetes API.
#include <fmt/format.h>
#include <unistd.h>

#include <mutex>
#include <stop_token>

#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/world.h"
#include "bin/commands.h"
#include "bin/diagnostics.h"
#include "bin/flags.h"
#include "bin/signing_flags.h"
#include "client/following.h"
#include "client/leader.h"
#include "client/transport.h"
#include "controllers/controllers.h"
#include "dns/dns.h"
#include "kubelet/kubelet.h"
#include "proxy/proxy.h"
#include "scheduler/scheduler.h"

namespace kybern::bin {
namespace {

std::string host_name() {
  char name[256] = {};
  ::gethostname(name, sizeof name - 1);
  return to_lower(name);
}

// How a component reaches the API: a kubeconfig, or what a pod finds about its cluster.
struct ApiClient {
  std::string kubeconfig, context;
  bool leader_elect = true;
  std::stop_source stopping;  // requested once the process is told to end: no call waits for a busy server any more
  std::unique_ptr<client::Transport> transport;
  std::string ca_pem;
  DiagnosticsOptions diagnostics;

  void add_to(Flags& flags) {
    flags.add("kubeconfig", &kubeconfig, "how to reach the API; empty: $KUBECONFIG, or what a pod finds about its cluster");
    flags.add("context", &context, "of the kubeconfig; empty: its current one");
  }
  void add_diagnostics_to(Flags& flags, int usual_port) {
    diagnostics.usual_port = usual_port;
    flags.add("bind-address", &diagnostics.bind_address, "where metrics, health and /debug are served");
    flags.add("secure-port", &diagnostics.port,
              fmt::format("on which port; -1: {}, or none when that is taken; 0: any free one", usual_port));
    flags.add("tls-cert-file", &diagnostics.certificate_file, "the certificate for it; empty: a self-signed one");
    flags.add("tls-private-key-file", &diagnostics.key_file, "and its key");
    flags.add("client-ca-file", &diagnostics.client_ca_file, "signs the certificates of those who look; others need a token of the API's");
  }
  // Null when there is none.
  Result<std::unique_ptr<Diagnostics>> diagnose(std::string_view component) {
    return Diagnostics::start(*transport, real_world(), std::string(component), diagnostics);
  }
  void add_election_to(Flags& flags) {
    flags.add("leader-elect", &leader_elect, "work only while holding the component's lease in kube-system");
  }

  void wait_for_stop() {
    bin::wait_for_stop();
    stopping.request_stop();
  }

  Result<void> connect(std::string_view component) {
    if (kubeconfig.empty())
      if (const char* file = std::getenv("KUBECONFIG")) kubeconfig = file;
    auto read = [file = kubeconfig, chosen = context, agent = fmt::format("kybern-{}/v0.1.0", component)]() -> Result<client::HttpOptions> {
      auto options = file.empty() ? client::in_cluster_options() : client::read_kubeconfig(file, chosen);
      if (options) options->user_agent = agent;
      return options;
    };
    auto options = read();
    if (!options) return std::unexpected(options.error());
    ca_pem = options->ca_pem;
    auto made = client::following_transport(std::move(read), stopping.get_token());
    if (!made) return std::unexpected(made.error());
    transport = std::move(*made);
    return {};
  }
};

// Parses and connects. Gives an exit status when there is nothing more to do.
std::optional<int> prepare(Flags& flags, ApiClient& api, std::string_view component, const std::vector<std::string>& arguments) {
  bool help = false;
  if (auto ok = flags.parse(arguments, help); !ok) return complain(ok.error().message);
  if (help) return fmt::print("{}", flags.help()), 0;
  if (auto ok = api.connect(component); !ok) return complain(fmt::format("{}: {}", component, ok.error().message));
  return std::nullopt;
}

// Runs `work` once the lease is held. A leader that loses it ends: another has taken over, and a restart is clean.
int lead(ApiClient& api, const std::string& component, const std::function<void()>& work, const std::function<void()>& stop) {
  auto diagnostics = api.diagnose(component);
  if (!diagnostics) return complain(component + ": " + diagnostics.error().message);
  if (!api.leader_elect) {
    work();
    api.wait_for_stop();
    stop();
    return 0;
  }
  World world = real_world();
  client::LeaderOptions options;
  options.name = component;
  options.identity = host_name() + "_" + new_uuid(world.random);
  // The lease may be won in the moment in which we are told to stop. It is given up after the work has stopped: the election ends last.
  std::mutex turn;
  bool over = false;
  auto won = [&] {
    std::lock_guard lock(turn);
    if (!over) work();
  };
  client::LeaderElection election(*api.transport, world, options, won, [&] {
    log_error(component, "the lease is lost to another; ending");
    ::_exit(1);
  });
  election.start();
  api.wait_for_stop();
  std::lock_guard lock(turn);
  over = true;
  stop();
  return 0;
}

}  // namespace

int run_controller_manager(const std::vector<std::string>& arguments) {
  Flags flags("kybern controller-manager", "The controllers, against any Kubernetes API.");
  ApiClient api;
  std::string root_ca;
  std::string account_key;
  int grace_s = 50;
  SigningFlags signing;
  api.add_to(flags);
  api.add_election_to(flags);
  api.add_diagnostics_to(flags, 10257);
  flags.add("root-ca-file", &root_ca, "what is published to every namespace as kube-root-ca.crt; empty: the CA of the kubeconfig");
  flags.add("node-monitor-grace-period", &grace_s, "seconds without a sign after which a node is unknown");
  signing.add_to(flags);
  flags.add("service-account-private-key-file", &account_key, "signs accounts' tokens that lie in Secrets; empty: nobody does");
  if (auto status = prepare(flags, api, "controller-manager", arguments)) return *status;
  controllers::Options options;
  if (auto ok = signing.apply(options, "", ""); !ok) return complain(ok.error().message);
  if (!account_key.empty()) {
    if (file_text(account_key).empty()) return complain(fmt::format("--service-account-private-key-file {}: cannot be read", account_key));
    options.account_key_pem = [=] { return file_text(account_key); };
  }
  options.for_identity = [&](const std::string&) -> client::Transport& { return *api.transport; };
  options.ca_bundle = [pem = api.ca_pem] { return pem; };
  options.node_grace = std::chrono::seconds(grace_s);
  if (!root_ca.empty()) {
    options.ca_bundle = [=] { return file_text(root_ca); };
    if (options.ca_bundle().empty()) return complain(fmt::format("--root-ca-file {}: cannot be read", root_ca));
  }
  controllers::ControllerManager manager(real_world(), std::move(options));
  return lead(
      api, "kube-controller-manager", [&] { manager.start(); }, [&] { manager.stop(); });
}

int run_scheduler(const std::vector<std::string>& arguments) {
  Flags flags("kybern scheduler", "The scheduler, against any Kubernetes API.");
  ApiClient api;
  scheduler::SchedulerOptions options;
  api.add_to(flags);
  api.add_election_to(flags);
  api.add_diagnostics_to(flags, 10259);
  flags.add("scheduler-name", &options.name, "serve pods with this spec.schedulerName");
  if (auto status = prepare(flags, api, "scheduler", arguments)) return *status;
  std::unique_ptr<scheduler::Scheduler> running;
  return lead(
      api, "kube-scheduler",
      [&] {
        auto made = scheduler::Scheduler::start(*api.transport, real_world(), options);
        if (!made) ::_exit(complain("scheduler: " + made.error().message));
        running = std::move(*made);
      },
      [&] { running.reset(); });
}

int run_kubelet(const std::vector<std::string>& arguments) {
  Flags flags("kybern kubelet", "The node agent: runs the pods that are bound to this node.");
  ApiClient api;
  kubelet::KubeletOptions options;
  options.data_dir = "/var/lib/kybern";
  options.node_name = host_name();
  api.add_to(flags);
  flags.add("data-dir", &options.data_dir, "where the node's state is kept");
  flags.add("node-name", &options.node_name, "the node's name");
  flags.add("node-ip", &options.node_ips, "the node's addresses, the primary one first");
  flags.add("container-runtime-endpoint", &options.runtime_endpoint, "a CRI socket; empty: a containerd of its own");
  flags.add("pod-cidr", &options.pod_cidrs, "the addresses of this node's pods");
  flags.add("image-archives", &options.image_archives, "OCI archives to import into the own containerd");
  flags.add("cluster-dns", &options.cluster_dns, "the DNS service's address");
  flags.add("cluster-domain", &options.cluster_domain, "the cluster's DNS domain");
  flags.add("resolv-conf", &options.resolv_conf, "the resolver of pods with dnsPolicy Default");
  flags.add("static-pod-path", &options.static_pod_path, "a folder of pod manifests that this node runs by itself");
  flags.add("cgroup-root", &options.cgroup_base, "the cgroup below which the pods' cgroups are made; empty: the root");
  flags.add("container-log-max-size", &options.container_log_max_bytes, "a container's log is rotated when it has grown to this");
  flags.add("container-log-max-files", &options.container_log_max_files, "how many files of one container's log are kept, at least 2");
  flags.add("bind-address", &options.bind_address, "where the node agent's API listens");
  flags.add("port", &options.port, "its port");
  flags.add("tls-cert-file", &options.tls_certificate_file, "its certificate");
  flags.add("tls-private-key-file", &options.tls_key_file, "and key");
  flags.add("client-ca-file", &options.client_ca_file, "signs those who may call it");
  if (auto status = prepare(flags, api, "kubelet", arguments)) return *status;
  if (options.node_ips.empty()) return complain("kubelet: --node-ip is needed");
  auto made = kubelet::Kubelet::start(*api.transport, real_world(), options);
  if (!made) return complain("kubelet: " + made.error().message);
  api.wait_for_stop();
  (*made)->stop();
  return 0;
}

int run_shutdown(const std::vector<std::string>& arguments) {
  Flags flags("kybern shutdown", "Ends the pods and the containerd that a stopped server or kubelet left running.");
  std::string data_dir = "/var/lib/kybern";
  flags.add("data-dir", &data_dir, "the folder of the server or kubelet");
  bool help = false;
  if (auto ok = flags.parse(arguments, help); !ok) return complain(ok.error().message);
  if (help) return fmt::print("{}", flags.help()), 0;
  if (auto ok = kubelet::Kubelet::shut_down_runtime(data_dir); !ok) return complain("shutdown: " + ok.error().message);
  return 0;
}

int run_proxy(const std::vector<std::string>& arguments) {
  Flags flags("kybern proxy", "The service proxy of one node, by nftables.");
  ApiClient api;
  proxy::ProxyOptions options;
  bool clean_up = false;
  options.node_name = host_name();
  api.add_to(flags);
  flags.add("node-name", &options.node_name, "the node's name");
  flags.add("node-ip", &options.node_ips, "the addresses on which node ports are served");
  flags.add("cluster-cidr", &options.pod_cidr, "the addresses of all pods");
  api.add_diagnostics_to(flags, 10249);
  flags.add("cleanup", &clean_up, "remove the rules when it stops");
  if (auto status = prepare(flags, api, "proxy", arguments)) return *status;
  auto diagnostics = api.diagnose("kube-proxy");
  if (!diagnostics) return complain("proxy: " + diagnostics.error().message);
  auto made = proxy::Proxy::start(*api.transport, real_world(), options);
  if (!made) return complain("proxy: " + made.error().message);
  api.wait_for_stop();
  (*made)->stop(clean_up);
  return 0;
}

int run_dns(const std::vector<std::string>& arguments) {
  Flags flags("kybern dns", "The cluster's DNS server.");
  ApiClient api;
  dns::DnsOptions options;
  options.addresses = {"127.0.0.1"};
  api.add_to(flags);
  flags.add("listen-address", &options.addresses, "addresses to listen on");
  flags.add("port", &options.port, "UDP and TCP port");
  flags.add("cluster-domain", &options.domain, "the cluster's DNS domain");
  flags.add("resolv-conf", &options.resolv_conf, "the resolver for everything else");
  api.add_diagnostics_to(flags, 9153);
  if (auto status = prepare(flags, api, "dns", arguments)) return *status;
  auto diagnostics = api.diagnose("kube-dns");
  if (!diagnostics) return complain("dns: " + diagnostics.error().message);
  auto made = dns::DnsServer::start(*api.transport, real_world(), options);
  if (!made) return complain("dns: " + made.error().message);
  api.wait_for_stop();
  (*made)->stop();
  return 0;
}

}  // namespace kybern::bin
