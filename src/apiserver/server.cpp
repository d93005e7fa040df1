#include "apiserver/server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "apiserver/admission/webhooks.h"
#include "apiserver/aggregation/aggregator.h"
#include "apiserver/authn/authenticator.h"
#include "apiserver/authn/legacy_tokens.h"
#include "apiserver/authn/token_tracking.h"
#include "apiserver/authn/trust_map.h"
#include "apiserver/authz/authorizer.h"
#include "apiserver/bootstrap.h"
#include "apiserver/custom/custom.h"
#include "apiserver/custom/resources.h"
#include "apiserver/discovery/discovery.h"
#include "apiserver/encryption/encryption.h"
#include "apiserver/flow/keeper.h"
#include "apiserver/http/connect.h"
#include "apiserver/http/handler.h"
#include "apiserver/http/open_streams.h"
#include "apiserver/outside/config_follower.h"
#include "apiserver/pki.h"
#include "apiserver/registry/services.h"
#include "apiserver/tokens.h"
#include "apiserver/usage/usage_api.h"
#include "base/files.h"
#include "base/log.h"
#include "document/json.h"
#include "net/certificates.h"

namespace kybern::apiserver {
namespace {

constexpr Duration certificate_check_interval = std::chrono::hours(12);
constexpr std::size_t changes_per_turn = 1024;
constexpr int most_local_waiting = 16;

// The address that this machine has towards others: that of the first interface that is up and not loopback.
std::string find_advertise_address() {
  ifaddrs* list = nullptr;
  std::string out;
  if (::getifaddrs(&list) != 0) return out;
  for (ifaddrs* i = list; i && out.empty(); i = i->ifa_next) {
    if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || (i->ifa_flags & IFF_LOOPBACK) || !(i->ifa_flags & IFF_UP)) continue;
    std::string_view name = i->ifa_name;
    if (name.starts_with("cni") || name.starts_with("veth") || name.starts_with("docker")) continue;
    char text[INET_ADDRSTRLEN];
    if (::inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(i->ifa_addr)->sin_addr, text, sizeof text)) out = text;
  }
  ::freeifaddrs(list);
  return out;
}

// How a call from this process looks from outside.
net::Request local_request(std::string_view method, std::string_view path, std::string_view query) {
  net::Request out;
  out.method = method;
  out.path = path;
  out.query = query;
  out.remote_address = "127.0.0.1:0";
  return out;
}

// A watch by a component in this process: the store's own documents, without any encoding.
class Subscription : public LocalWatch, public std::enable_shared_from_this<Subscription> {
 public:
  Subscription(Registry& registry, ServedRef served, std::string ns, ListOptions options, User user,
               std::function<void(std::vector<Document>, std::uint64_t)> replaced,
               std::function<void(std::vector<LocalEvent>, std::uint64_t)> changed)
      : registry_(registry),
        held_(std::move(served)),
        served_(*held_),
        ns_(std::move(ns)),
        options_(std::move(options)),
        user_(std::move(user)),
        replaced_(std::move(replaced)),
        changed_(std::move(changed)) {}

  void begin() { schedule(); }

  // No callback runs after this; one that runs in another thread is waited for.
  void stop() {
    std::unique_ptr<store::Watch> watch;
    {
      std::unique_lock lock(mutex_);
      stopped_ = true;
      if (running_ && runner_ != std::this_thread::get_id()) idle_.wait(lock, [&] { return !running_; });
      if (!running_) watch = std::move(watch_);
    }
  }

 private:
  void schedule() {
    {
      std::lock_guard lock(mutex_);
      if (stopped_) return;
      again_ = true;
      if (running_ || posted_) return;
      posted_ = true;
    }
    registry_.world().executor.post([self = shared_from_this()] { self->run(); });
  }

  void run() {
    std::unique_ptr<store::Watch> watch;  // goes after the lock: a callback of its own that wants the lock is waited for
    std::unique_lock lock(mutex_);
    posted_ = false;
    if (stopped_ || running_) return;
    running_ = true;
    runner_ = std::this_thread::get_id();
    while (!stopped_ && again_) {
      again_ = false;
      lock.unlock();
      bool more = watch_ ? follow() : relist();
      lock.lock();
      again_ = again_ || more;
    }
    running_ = false;
    runner_ = {};
    if (stopped_) watch = std::move(watch_);
    idle_.notify_all();
  }

  bool relist() {
    Work work{.registry = registry_, .world = registry_.world(), .user = user_, .served = held_, .ns = ns_};
    ListOptions options = options_;
    options.watch = true;
    options.resource_version.clear();
    auto plan = registry_.watch(work, options);
    if (!plan) return retry_later(plan.error().message);
    matches_ = plan->matches;
    std::vector<Document> objects;
    plan->initial->unconverted = true;
    while (Document object = plan->initial->next()) objects.push_back(std::move(object));
    std::weak_ptr<Subscription> weak = weak_from_this();
    auto watch = registry_.store().watch(plan->prefix, plan->after, [weak] {
      if (auto self = weak.lock()) self->schedule();
    });
    if (!watch) return watch.error().code == Code::expired ? true : retry_later(watch.error().message);
    replaced_(std::move(objects), static_cast<std::uint64_t>(plan->after));
    watch_ = std::move(*watch);
    return true;
  }

  bool retry_later(const std::string& why) {
    log_warn("apiserver", "a local watch is begun again", {{"resource", std::string(served_.plural())}, {"why", why}});
    std::weak_ptr<Subscription> weak = weak_from_this();
    registry_.world().executor.post_after(std::chrono::seconds(1), [weak] {
      if (auto self = weak.lock()) self->schedule();
    });
    return false;
  }

  bool follow() {
    std::vector<store::ChangePtr> changes;
    auto taken = watch_->take(changes, changes_per_turn);
    if (!taken) {
      watch_.reset();
      return true;
    }
    std::vector<LocalEvent> events;
    for (const store::ChangePtr& change : changes) {
      auto matched = [&](const store::EntryPtr& e) { return e && (!matches_ || matches_(e->value.root())); };
      if (matched(change->now)) events.push_back({false, form(change->now->value.root())});
      else if (matched(change->before)) events.push_back({true, form(change->before->value.root())});
    }
    if (!changes.empty()) changed_(std::move(events), static_cast<std::uint64_t>(watch_->position()));
    return changes.size() == changes_per_turn;
  }

  // Components look at the metadata of custom objects only: no webhook is asked for the rest.
  Document form(Value stored) const {
    return served_.custom && served_.custom->converts() ? served_.custom->renamed(stored) : registry_.in_served_form(served_, stored);
  }

  Registry& registry_;
  const ServedRef held_;
  const Served& served_;
  std::string ns_;
  ListOptions options_;
  User user_;
  std::function<void(std::vector<Document>, std::uint64_t)> replaced_;
  std::function<void(std::vector<LocalEvent>, std::uint64_t)> changed_;
  std::function<bool(Value)> matches_;
  std::unique_ptr<store::Watch> watch_;
  std::mutex mutex_;
  std::condition_variable idle_;
  std::thread::id runner_;
  bool running_ = false, posted_ = false, again_ = false, stopped_ = false;
};

class LocalWatchHandle : public LocalWatch {
 public:
  LocalWatchHandle(std::shared_ptr<Subscription> subscription, std::shared_ptr<audit::Record> record, const Served& served,
                   const User& user, Instant now)
      : record_(std::move(record)),
        subscription_(std::move(subscription)),
        open_("WATCH", served.group(), served.plural(), user.name, true, now) {}
  ~LocalWatchHandle() override { subscription_->stop(); }

 private:
  std::shared_ptr<audit::Record> record_;  // its trail ends with it
  std::shared_ptr<Subscription> subscription_;
  OpenStream open_;
};

// Who sends a request, before anybody has checked it: by what it is checked by.
std::uint64_t flow_of(const net::Request& request) {
  std::hash<std::string_view> hash;
  std::uint64_t out = 0;
  auto add = [&](std::string_view text) { out = (out ^ hash(text)) * 0x9e3779b97f4a7c15u; };
  if (request.peer) add(request.peer->der_sha256_hex);
  for (const auto& [name, value] : request.headers.fields())
    if (name == "authorization" || name == "impersonate-user") add(value);
  return out >> 16;
}

class ApiServerImpl : public ApiServer {
 public:
  ApiServerImpl(ServerOptions options, World world) : options_(std::move(options)), world_(world) {}
  ~ApiServerImpl() override { stop(std::chrono::milliseconds(0)); }

  Result<void> start() {
    if (options_.advertise_address.empty())
      options_.advertise_address = options_.bind_address != "0.0.0.0" ? options_.bind_address : find_advertise_address();
    std::error_code error;
    std::filesystem::create_directories(options_.data_dir, error);
    if (error)
      return fail(Code::unavailable,
                  fmt::format("{}: {}; run as root or choose another folder with --data-dir", options_.data_dir, error.message()));
    store::StoreOptions store_options;
    store_options.path = options_.data_dir + "/kybern.db";
    if (!options_.listen) store_options.world = &world_;
    if (!options_.encryption_config.empty()) {
      auto encryption = encryption::Encryption::open(options_.encryption_config, world_);
      if (!encryption) return std::unexpected(encryption.error());
      encryption_ = std::move(*encryption);
      store_options.sealer = encryption_.get();
      if (options_.encryption_reload) encryption_->follow(options_.follow_interval);
    }
    auto opened = store::Store::open(std::move(store_options));
    if (!opened) return std::unexpected(opened.error());
    store_ = std::move(*opened);
    RegistryOptions registry_options{options_.service_cidr, options_.node_port_low, options_.node_port_high, options_.listen};
    registry_ = std::make_unique<Registry>(*store_, world_, registry_options);
    auto credentials = ensure_pki(options_, registry_->services().first_ip(), options_.advertise_address, world_.clock.now());
    if (!credentials) return std::unexpected(credentials.error());
    credentials_ = std::move(*credentials);
    if (auto ok = settle_front_proxy(); !ok) return ok;
    AccountOptions& accounts = options_.accounts;
    auto keys = settle_accounts(accounts, "https://kubernetes.default.svc." + options_.cluster_domain, credentials_.service_account_key);
    if (!keys) return std::unexpected(keys.error());
    if (!accounts.signing_key_file.empty()) credentials_.service_account_key = accounts.signing_key_file;
    issuer_ = std::make_unique<TokenIssuer>(accounts, *keys);
    registry_->set_token_issuer(issuer_.get());
    token_use_ = std::make_unique<TokenUse>(*registry_);
    AuthenticationOptions authentication{options_.token_file,
                                         keys->verifying_pem,
                                         accounts.issuers,
                                         accounts.audiences,
                                         options_.anonymous,
                                         options_.bootstrap_tokens,
                                         options_.token_webhook,
                                         options_.oidc,
                                         options_.authentication_config,
                                         options_.front_proxy,
                                         [this](const Document& secret) { token_use_->note(secret); }};
    const std::string issuers_text = options_.authentication_config.empty() ? "" : file_text(options_.authentication_config);
    auto authenticator = Authenticator::make(std::move(authentication), *registry_);
    if (!authenticator) return std::unexpected(authenticator.error());
    authenticator_ = std::move(*authenticator);
    follow_issuers(issuers_text);
    authorizer_ = std::make_unique<Authorizer>(*registry_);
    if (auto ok = set_authorities(); !ok) return ok;
    registry_->set_access(authenticator_.get(), authorizer_.get());
    registry_->customs().load();
    discovery_ = std::make_unique<Discovery>(registry_->catalog());
    ConnectorOptions connector_options{credentials_.kubelet_client_certificate, credentials_.kubelet_client_key, credentials_.ca_file};
    auto connector = Connector::make(std::move(connector_options), *registry_);
    if (!connector) return std::unexpected(connector.error());
    connector_ = std::move(*connector);
    handler_ = std::make_unique<Handler>(*registry_, *authenticator_, *authorizer_, *discovery_, *connector_, options_.max_requests);
    if (encryption_) handler_->set_health_checks([this] { return key_service_checks(); });
    auto auditor = audit::Auditor::make(options_.audit, world_);
    if (!auditor) return std::unexpected(auditor.error());
    handler_->set_auditor(std::move(*auditor));
    aggregator_ = std::make_unique<Aggregator>(AggregatorOptions{options_.proxy_client_certificate, options_.proxy_client_key}, *registry_);
    usage_ = std::make_unique<UsageApi>(*registry_, [this](const std::string& node) { return connector_->summary(node); });
    handler_->set_neighbours(aggregator_.get(), usage_.get());
    discovery_->set_external([this] { return aggregator_->versions(); });
    if (options_.listen)
      if (auto ok = listen(); !ok) return ok;
    if (auto ok = bootstrap_objects(*registry_, world_, options_.advertise_address, port()); !ok) return ok;
    if (options_.listen) flow_keeper_ = std::make_unique<FlowKeeper>(*registry_, world_);
    if (auto ok = tell_extension_servers(); !ok) return ok;
    if (auto ok = tell_joining_nodes(); !ok) return ok;
    if (auto ok = write_admin_kubeconfig(); !ok) return ok;
    handler_->set_ready(true);
    if (options_.listen) aggregator_->start();
    arm_renewal();
    return {};
  }

  Result<void> listen() {
    net::ServerOptions server_options;
    server_options.bind_address = options_.bind_address;
    server_options.port = options_.secure_port;
    server_options.tls =
        net::TlsFiles{credentials_.server_certificate, credentials_.server_key, credentials_.ca_file, options_.front_proxy.client_ca_file};
    server_options.at_once = [this](const std::shared_ptr<net::Exchange>& exchange) {
      net::Server* live = live_.load();
      if (!live) return false;
      return handler_->answer_at_once(
          exchange, [live, flow = flow_of(exchange->request())](std::function<void()> task) { live->post(std::move(task), flow); });
    };
    server_options.flow_of = flow_of;
    auto server = net::Server::start(std::move(server_options), [this](std::shared_ptr<net::Exchange> exchange) {
      net::Server* live = live_.load();
      if (!live) return exchange->respond({503, {{"retry-after", "1"}}, "the server is starting\n"});
      const std::uint64_t flow = flow_of(exchange->request());
      handler_->handle(std::move(exchange), [live, flow](std::function<void()> task) { live->post(std::move(task), flow); });
    });
    if (!server) return std::unexpected(server.error());
    server_ = std::move(*server);
    live_ = server_.get();
    return {};
  }

  int port() const override { return server_ ? server_->port() : options_.secure_port; }
  const Credentials& credentials() const override { return credentials_; }
  std::string advertise_address() const override { return options_.advertise_address; }
  std::string dns_service_ip() const override { return registry_->services().dns_ip(); }
  store::Store& store() override { return *store_; }

  void stop(std::chrono::milliseconds grace) override {
    {
      std::lock_guard lock(timers_->mutex);
      timers_->ended = true;
      world_.executor.cancel(renewal_);
    }
    authorities_.reset();
    issuers_.reset();
    tracking_.reset();
    flow_keeper_.reset();
    trust_.reset();
    if (aggregator_) aggregator_->stop();
    if (registry_) registry_->customs().stop();
    if (server_) server_->stop(grace);
    if (registry_) registry_->waiting_room().stop();  // its tasks use what ends before the registry
  }

  ApiResult<Document> call(const User& user, std::string_view method, std::string_view path, std::string_view query, Document body,
                           std::string_view patch_type) override {
    Query parsed(query);
    RequestInfo info = read_request_info(method, path, parsed);
    Observation observation(world_);
    observation.describe(info, info.is_resource && registry_->catalog().find(info.group, info.version, info.resource),
                         parsed.get("dryRun") == "All", patch_type == "apply" ? "application/apply-patch+yaml" : "");
    if (audit::Auditor* auditor = handler_->auditor()) {
      bool kept = true;
      observation.audited(auditor->begin(user, info, local_request(method, path, query), new_uuid(world_.random), kept));
      if (!kept) return fail(internal_error("failed to store audit event"));
    }
    auto answer = answer_call(user, info, method, path, std::move(parsed), std::move(body), patch_type, observation.record());
    if (audit::Record* record = observation.record()) {
      if (!answer) record->answered(answer.error().document());
      else if (record->keeps_answers()) record->answered(*answer);
    }
    observation.answered(answer ? info.verb == "create" ? 201 : 200 : answer.error().code);
    return answer;
  }

  ApiResult<Document> answer_call(const User& user, const RequestInfo& info, std::string_view method, std::string_view path, Query parsed,
                                  Document body, std::string_view patch_type, audit::Record* record) {
    if (auto ok = handler_->authorize(user, info, record); !ok) return fail(std::move(ok.error()));
    if (!info.is_resource) return discover(method, path);
    auto work = begin_work(*registry_, user, info, std::move(parsed));
    if (!work) return fail(std::move(work.error()));
    if (info.verb == "list") return list(*work);
    PatchKind kind = patch_type == "json"    ? PatchKind::json
                     : patch_type == "merge" ? PatchKind::merge
                     : patch_type == "apply" ? PatchKind::apply
                                             : PatchKind::strategic;
    if (record) record->asked(body);
    // A component's threads are few, and it does without a webhook's answer better than without them.
    struct Turn {
      std::atomic<int>* count = nullptr;
      ~Turn() {
        if (count) --*count;
      }
    } turn;
    if (registry_->webhooks().concerns(*work)) {
      turn.count = &local_waiting_;
      if (++local_waiting_ > most_local_waiting)
        return fail(too_many_requests("too many requests wait for webhooks, please try again later", 1));
    }
    auto answer = run_object_request(*work, info.verb, std::move(body), kind);
    if (record) record->annotate(work->audit_annotations);
    if (!answer) return fail(std::move(answer.error()));
    return std::move(answer->object);
  }

  ApiResult<std::unique_ptr<LocalWatch>> subscribe(const User& user, std::string path, std::string query,
                                                   std::function<void(std::vector<Document>, std::uint64_t)> replaced,
                                                   std::function<void(std::vector<LocalEvent>, std::uint64_t)> changed) override {
    Query parsed(query);
    RequestInfo info = read_request_info("GET", path, parsed);
    for (std::string_view verb : {"list", "watch"}) {
      info.verb = verb;
      if (auto ok = handler_->authorize(user, info); !ok) return fail(std::move(ok.error()));
    }
    auto work = begin_work(*registry_, user, info, std::move(parsed));
    if (!work) return fail(std::move(work.error()));
    auto options = read_list_options(*work->served, work->query);
    if (!options) return fail(std::move(options.error()));
    auto subscription = std::make_shared<Subscription>(*registry_, work->served, work->ns, std::move(*options), user, std::move(replaced),
                                                       std::move(changed));
    subscription->begin();
    std::shared_ptr<audit::Record> record;
    bool kept = true;
    if (audit::Auditor* auditor = handler_->auditor())
      record = auditor->begin(user, info, local_request("GET", path, query), new_uuid(world_.random), kept);
    if (record) record->responded(200, true);
    return std::make_unique<LocalWatchHandle>(std::move(subscription), std::move(record), *work->served, user, world_.clock.steady());
  }

 private:
  // Garbage collection and the deletion of namespaces ask which resources there are.
  ApiResult<Document> discover(std::string_view method, std::string_view path) {
    net::Request request;
    request.method = method;
    request.path = path;
    request.headers.set("accept", "application/json");
    auto answer = discovery_->answer(request, path);
    if (!answer) return fail(generic_not_found());
    auto document = parse_json(answer->body);
    if (!document) return fail(internal_error(document.error().message));
    return std::move(*document);
  }

  ApiResult<Document> list(Work& work) {
    auto options = read_list_options(*work.served, work.query);
    if (!options) return fail(std::move(options.error()));
    auto listing = registry_->list(work, *options);
    if (!listing) return fail(std::move(listing.error()));
    if (auto ok = listing->prefetch(); !ok) return fail(std::move(ok.error()));
    Draft out = Draft::object({{"kind", std::string(work.served->kind()) + "List"}, {"apiVersion", work.served->api_version}});
    Draft items = Draft::array();
    while (Document object = listing->next()) items.push_back(Draft(object));
    out["metadata"]["resourceVersion"] = listing->resource_version;
    if (std::string token = listing->continue_token(); !token.empty()) out["metadata"]["continue"] = token;
    out["items"] = std::move(items);
    return out.freeze();
  }

  // One for each key service; where the file may change, one for all of them.
  std::vector<std::pair<std::string, bool>> key_service_checks() {
    std::vector<std::pair<std::string, bool>> out;
    bool all = true;
    for (const Result<void>& service : encryption_->services()) {
      all = all && service.has_value();
      if (!options_.encryption_reload) out.emplace_back(fmt::format("kms-provider-{}", out.size()), service.has_value());
    }
    if (options_.encryption_reload) out.emplace_back("kms-providers", all);
    return out;
  }

  Result<void> set_authorities() {
    const std::string& file = options_.authorization.config_file;
    const std::string text = file.empty() ? "" : file_text(file);
    auto chain = authorization_chain(options_.authorization, world_);
    if (!chain) return std::unexpected(chain.error());
    authorizer_->ask(std::move(*chain));
    if (file.empty()) return {};
    auto take = [this](const std::string& now) -> Result<void> {
      auto read = read_authorization_configuration(now, world_);
      if (!read) return fail(Code::invalid, read.error().message);
      authorizer_->ask(std::move(*read));
      return {};
    };
    authorities_ =
        std::make_unique<ConfigFollower>(ConfigFollower::Options{"authorization", file, text, options_.follow_interval, take}, world_);
    return {};
  }
  // Issuers are asked for their keys before they are believed: in the waiting room, as that may take a while.
  void follow_issuers(const std::string& text) {
    if (options_.authentication_config.empty()) return;
    issuers_ = std::make_unique<ConfigFollower>(
        ConfigFollower::Options{"authentication", options_.authentication_config, text, options_.follow_interval,
                                [this](const std::string& now) { return authenticator_->reload(now); },
                                [this](std::function<void()> task) { return registry_->waiting_room().post(std::move(task)); }},
        world_);
  }

  // What a server behind this one should believe. Without a listener there is none behind it, and a simulated cluster's
  // objects must not hold what no seed gives.
  Result<void> tell_extension_servers() {
    if (!options_.listen) return {};
    trust_ = std::make_unique<TrustMap>(*registry_, [this] {
      auto list = [](const std::vector<std::string>& texts) {
        Draft out = Draft::array();
        for (const std::string& text : texts) out.push_back(text);
        return to_json(out);
      };
      const FrontProxyOptions& proxy = options_.front_proxy;
      return Draft::object({{"client-ca-file", file_text(credentials_.ca_file)},
                            {"requestheader-client-ca-file", file_text(proxy.client_ca_file)},
                            {"requestheader-allowed-names", list(proxy.allowed_names)},
                            {"requestheader-extra-headers-prefix", list(proxy.extra_prefixes)},
                            {"requestheader-group-headers", list(proxy.group_headers)},
                            {"requestheader-uid-headers", list(proxy.uid_headers)},
                            {"requestheader-username-headers", list(proxy.username_headers)}});
    });
    tracking_ = std::make_unique<TokenTracking>(*registry_);
    tracking_->begin();
    return trust_->begin();
  }

  Result<void> tell_joining_nodes() {
    if (!options_.bootstrap_tokens) return {};
    const std::string& host = options_.advertise_address.empty() ? options_.bind_address : options_.advertise_address;
    return ensure_cluster_info(*registry_, world_, fmt::format("https://{}:{}", host, port()), file_text(credentials_.ca_file));
  }

  // Without other files the own authority vouches for front proxies, and for this server as one.
  Result<void> settle_front_proxy() {
    FrontProxyOptions& proxy = options_.front_proxy;
    if (proxy.client_ca_file.empty()) {
      proxy.client_ca_file = credentials_.front_proxy_ca_file;
      if (proxy.allowed_names.empty()) proxy.allowed_names = {"front-proxy-client"};
    }
    if (options_.proxy_client_certificate.empty() != options_.proxy_client_key.empty())
      return fail(Code::invalid, "--proxy-client-cert-file and --proxy-client-key-file go together");
    if (options_.proxy_client_certificate.empty()) {
      options_.proxy_client_certificate = credentials_.front_proxy_certificate;
      options_.proxy_client_key = credentials_.front_proxy_key;
    }
    return {};
  }

  Result<void> write_admin_kubeconfig() {
    std::string host = options_.bind_address == "0.0.0.0" ? "127.0.0.1" : options_.bind_address;
    auto text = make_kubeconfig(options_.data_dir, fmt::format("https://{}:{}", host, port()), "kubernetes-admin", {"system:masters"},
                                world_.clock.now());
    if (!text) return std::unexpected(text.error());
    if (file_text(credentials_.admin_kubeconfig) == *text) return {};
    return write_private_file(credentials_.admin_kubeconfig, *text);
  }

  // The listener reads its files again when they change: a renewed certificate needs no restart.
  void arm_renewal() {
    renewal_ = world_.executor.post_after(certificate_check_interval, [this, timers = timers_] {
      std::lock_guard lock(timers->mutex);
      if (timers->ended) return;
      auto renewed = ensure_pki(options_, registry_->services().first_ip(), options_.advertise_address, world_.clock.now());
      if (!renewed) log_error("apiserver", "certificates could not be renewed", {{"why", renewed.error().message}});
      else if (auto ok = write_admin_kubeconfig(); !ok)
        log_error("apiserver", "kubeconfig could not be written", {{"why", ok.error().message}});
      else if (ok = tell_joining_nodes(); !ok)
        log_error("apiserver", "joining nodes could not be told of the authority", {{"why", ok.error().message}});
      else if (ok = trust_ ? trust_->write() : ok; !ok)
        log_error("apiserver", "extension servers could not be told of the authority", {{"why", ok.error().message}});
      arm_renewal();
    });
  }

  ServerOptions options_;
  World world_;
  Credentials credentials_;
  std::unique_ptr<encryption::Encryption> encryption_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<TokenIssuer> issuer_;
  std::unique_ptr<TokenUse> token_use_;
  std::unique_ptr<Authenticator> authenticator_;
  std::unique_ptr<Authorizer> authorizer_;
  std::unique_ptr<Discovery> discovery_;
  std::unique_ptr<Connector> connector_;
  std::unique_ptr<Aggregator> aggregator_;
  std::unique_ptr<UsageApi> usage_;
  std::unique_ptr<Handler> handler_;
  std::unique_ptr<FlowKeeper> flow_keeper_;
  std::unique_ptr<TrustMap> trust_;
  std::unique_ptr<TokenTracking> tracking_;
  std::unique_ptr<ConfigFollower> issuers_, authorities_;
  std::unique_ptr<net::Server> server_;
  std::atomic<net::Server*> live_{nullptr};  // set once the listener is ours to use
  struct Timers {                            // an executor may begin a timer's task while the server ends
    std::mutex mutex;
    bool ended = false;
  };
  const std::shared_ptr<Timers> timers_ = std::make_shared<Timers>();
  TimerId renewal_ = 0;
  std::atomic<int> local_waiting_{0};  // requests from inside that wait for webhooks
};

}  // namespace

Result<std::unique_ptr<ApiServer>> ApiServer::start(ServerOptions options, World world) {
  auto server = std::make_unique<ApiServerImpl>(std::move(options), world);
  if (auto ok = server->start(); !ok) return std::unexpected(ok.error());
  return server;
}

}  // namespace kybern::apiserver
