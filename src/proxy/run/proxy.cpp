#include "proxy/proxy.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <unordered_set>

#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "base/log.h"
#include "base/strings.h"
#include "client/mirror.h"
#include "proxy/apply/sysctl.h"
#include "proxy/rules/ruleset.h"
#include "proxy/run/applier.h"
#include "proxy/run/health.h"

namespace kybern::proxy {
namespace {

using api::core_v1::Service;
using api::discovery_v1::EndpointSlice;

constexpr std::string_view service_index = "service";
constexpr Duration first_sync_poll{std::chrono::milliseconds(50)};
constexpr Duration first_retry{std::chrono::seconds(1)}, last_retry{std::chrono::seconds(30)};

std::vector<std::string> slice_index(Value object) {
  EndpointSlice slice(object);
  if (!is_proxied(slice)) return {};
  return {service_of(slice)};
}

Result<NodeInfo> node_info(const ProxyOptions& options) {
  NodeInfo out;
  out.name = options.node_name;
  out.masquerade_all = options.masquerade_all;
  for (const std::string& text : options.node_ips) {
    std::optional<Address> address = parse_address(text);
    if (!address) return fail(Code::invalid, "node address " + go_quote(text) + " is not an IP address");
    out.addresses.push_back(*address);
  }
  if (options.pod_cidr.empty()) return out;
  for (std::string_view text : split(options.pod_cidr, ',')) {
    std::optional<Prefix> prefix = parse_prefix(text);
    if (!prefix) return fail(Code::invalid, "pod CIDR " + go_quote(text) + " is not a network prefix");
    out.pod_cidrs.push_back(*prefix);
  }
  return out;
}

std::unexpected<Error> with_advice(Error error) {
  if (error.code == Code::forbidden) error.message += ": the service proxy needs root; run as root, or leave it out (--proxy=false)";
  return std::unexpected(std::move(error));
}

bool has_ipv6(const NodeInfo& node) {
  return std::ranges::any_of(node.addresses, &Address::v6) ||
         std::ranges::any_of(node.pod_cidrs, [](const Prefix& prefix) { return prefix.base.v6; });
}

struct Mirrors {
  Mirrors(client::Transport& transport, const std::string& node_name)
      : services(transport, "/api/v1/services"),
        slices(transport, "/apis/discovery.k8s.io/v1/endpointslices"),
        nodes(transport, "/api/v1/nodes", "fieldSelector=metadata.name%3D" + url_encode(node_name)) {}
  bool synced() const { return services.synced() && slices.synced() && nodes.synced(); }

  client::Mirror<Service> services;
  client::Mirror<EndpointSlice> slices;
  client::Mirror<api::core_v1::Node> nodes;
};

}  // namespace

struct Proxy::Core : std::enable_shared_from_this<Core> {
  Core(client::Transport& transport, World w, ProxyOptions o, NodeInfo n, Applier a)
      : world(w),
        options(std::move(o)),
        applier(std::move(a)),
        node(std::move(n)),
        ruleset(node),
        health(options.health_address),
        mirrors(std::make_unique<Mirrors>(transport, options.node_name)) {}

  World world;
  const ProxyOptions options;

  // Of the one task that works at a time (`working`), which holds `work` meanwhile.
  std::mutex work;
  Applier applier;
  NodeInfo node;
  Ruleset ruleset;
  HealthServers health;
  bool loaded = false;  // the ruleset holds all services
  bool needs_full = true;
  Duration retry = first_retry;

  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  std::unordered_set<std::string> dirty;
  bool everything_dirty = false;
  bool scheduled = false, stopping = false;
  TimerId timer = 0, check_timer = 0;
  ProxyStatus now;

  // Used by start() and by the task; gone after stop(), because a task that ends late may outlive the transport.
  std::unique_ptr<Mirrors> mirrors;

  void start() {
    mirrors->slices.core().add_index(std::string(service_index), slice_index);
    mirrors->services.core().add_handler(
        [this](const Document& before, const Document& after) { touch(client::key_of(after ? after.root() : before.root())); });
    mirrors->slices.core().add_handler([this](const Document& before, const Document& after) {
      if (before) touch(service_of(EndpointSlice(before)));
      if (after) touch(service_of(EndpointSlice(after)));
    });
    mirrors->nodes.core().add_handler([this](const Document&, const Document& after) {
      if (after && client::key_of(after.root()) == options.node_name)
        set_zone(std::string(api::core_v1::Node(after).metadata().labels()["topology.kubernetes.io/zone"]));
    });
    mirrors->services.start();
    mirrors->slices.start();
    mirrors->nodes.start();
    schedule(Duration(0));
    if (options.check_interval > Duration(0)) schedule_check();
  }

  void touch(std::string service) {
    if (service.empty()) return;
    std::lock_guard lock(mutex);
    dirty.insert(std::move(service));
    schedule_locked(options.coalesce);
  }

  void set_zone(std::string zone) {
    {
      std::lock_guard hold(work);
      if (node.zone == zone) return;
      node.zone = std::move(zone);
    }
    std::lock_guard lock(mutex);
    everything_dirty = true;
    schedule_locked(options.coalesce);
  }

  void schedule(Duration delay) {
    std::lock_guard lock(mutex);
    schedule_locked(delay);
  }

  // One task at most is under way or waits; what becomes dirty while it works makes it wait again.
  void schedule_locked(Duration delay) {
    if (scheduled || stopping) return;
    scheduled = true;
    timer = world.executor.post_after(delay, [self = shared_from_this()] { self->run(); });
  }

  void run() {
    std::lock_guard hold(work);
    std::unordered_set<std::string> keys;
    bool all = false;
    {
      std::lock_guard lock(mutex);
      scheduled = false;
      if (stopping) return;
      if (!mirrors->synced()) {
        schedule_locked(first_sync_poll);
        return;
      }
      keys.swap(dirty);
      all = std::exchange(everything_dirty, false) || !loaded;
    }
    if (all) {
      for (const Document& service : mirrors->services.core().list()) keys.insert(client::key_of(service.root()));
      loaded = true;
    }
    for (const std::string& key : keys) update(key);
    health.retry();  // a port that one service gave up after another one wanted it
    carry_out();
  }

  void update(const std::string& key) {
    const client::Object<Service> service = mirrors->services.get(key);
    ServiceRules rules;
    if (service) {
      const std::vector<client::Object<EndpointSlice>> found = mirrors->slices.by_index(service_index, key);
      std::vector<EndpointSlice> views;
      views.reserve(found.size());
      for (const auto& slice : found) views.push_back(slice.view());
      rules = rules_of(*service, views, node);
    }
    health.set(key, rules.health_check_port, rules.local_ready);
    ruleset.set_service(key, std::move(rules));
  }

  void carry_out() {
    const Transaction transaction = needs_full ? ruleset.full() : ruleset.changes();
    if (transaction.empty()) return;
    if (apply(transaction) || transaction.full) return;
    // The kernel is not in the state that the changes started from; a whole load does not depend on it.
    apply(ruleset.full());
  }

  bool apply(const Transaction& transaction) {
    const Instant begin = world.clock.steady();
    const Result<void> done = applier.apply(transaction, ruleset);
    const Duration took = world.clock.steady() - begin;
    needs_full = !done;
    health.set_healthy(done.has_value());
    if (!done) log_error("proxy", "rules cannot be loaded", {{"error", done.error().message}});
    else if (transaction.full)
      log_info("proxy", "rules loaded", {{"services", std::to_string(ruleset.services())}, {"took", format_duration(took)}});
    std::lock_guard lock(mutex);
    now.last_apply = took;
    now.services = ruleset.services();
    now.frontends = ruleset.frontends();
    ++now.transactions;
    if (transaction.full) ++now.full_loads;
    if (done) {
      retry = first_retry;
      now.synced = true;
      now.last_error.clear();
    } else {
      ++now.failures;
      now.last_error = done.error().message;
      if (transaction.full) {
        schedule_locked(retry);
        retry = std::min(retry * 2, last_retry);
      }
    }
    changed.notify_all();
    return done.has_value();
  }

  // Somebody may have flushed all rules (a restart of the distribution's nftables service does): they come back by a full load.
  // A health check node port that was taken may be free now.
  void check() {
    {
      std::lock_guard hold(work);
      {
        std::lock_guard lock(mutex);
        if (stopping) return;
      }
      health.retry();
      if (!needs_full) {
        const Result<bool> present = applier.tables_present();
        if (present && !*present) {
          log_warn("proxy", "the tables are gone; loading them again");
          needs_full = true;
          carry_out();
        }
      }
    }
    schedule_check();
  }

  void schedule_check() {
    std::lock_guard lock(mutex);
    if (stopping) return;
    check_timer = world.executor.post_after(options.check_interval, [self = shared_from_this()] { self->check(); });
  }

  void stop(bool remove_rules) {
    {
      std::lock_guard lock(mutex);
      stopping = true;
      world.executor.cancel(timer);
      world.executor.cancel(check_timer);
    }
    { std::lock_guard hold(work); }  // a task under way ends first
    mirrors.reset();                 // without locks: a callback may wait for them
    if (!remove_rules) return;
    std::lock_guard hold(work);
    if (Result<void> done = applier.remove_tables(); !done)
      log_warn("proxy", "tables cannot be removed", {{"error", done.error().message}});
  }
};

Result<std::unique_ptr<Proxy>> Proxy::start(client::Transport& transport, World world, ProxyOptions options) {
  Result<NodeInfo> node = node_info(options);
  if (!node) return std::unexpected(node.error());
  if (options.set_sysctls) {
    std::vector<std::string> warnings;
    if (Result<void> done = prepare_kernel(has_ipv6(*node), warnings); !done) return with_advice(done.error());
    for (const std::string& warning : warnings) log_warn("proxy", warning);
  }
  Result<Applier> applier = Applier::open(options.flush_udp);
  if (!applier) return with_advice(applier.error());
  auto core = std::make_shared<Core>(transport, world, std::move(options), std::move(*node), std::move(*applier));
  core->start();
  return std::unique_ptr<Proxy>(new Proxy(std::move(core)));
}

Proxy::Proxy(std::shared_ptr<Core> core) : core_(std::move(core)) {}
Proxy::~Proxy() { stop(false); }
void Proxy::stop(bool remove_rules) { core_->stop(remove_rules); }

ProxyStatus Proxy::status() const {
  std::lock_guard lock(core_->mutex);
  return core_->now;
}

bool Proxy::wait_synced(std::chrono::milliseconds limit) const {
  std::unique_lock lock(core_->mutex);
  return core_->changed.wait_for(lock, limit, [&] { return core_->now.synced; });
}

}  // namespace kybern::proxy
