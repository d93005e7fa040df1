#include "dns/serve/feed.h"

#include <mutex>
#include <unordered_set>

#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "client/mirror.h"

namespace kybern::dns {
namespace {

using api::discovery_v1::EndpointSlice;

constexpr std::string_view service_index = "service";
constexpr Duration first_sync_poll{std::chrono::milliseconds(50)};

std::string service_of(Value object) {
  EndpointSlice slice(object);
  const std::string_view name = slice.metadata().labels()["kubernetes.io/service-name"];
  if (name.empty()) return {};
  return std::string(slice.metadata().namespace_()) + "/" + std::string(name);
}

struct Mirrors {
  explicit Mirrors(client::Transport& transport)
      : services(transport, "/api/v1/services"),
        slices(transport, "/apis/discovery.k8s.io/v1/endpointslices"),
        namespaces(transport, "/api/v1/namespaces") {}
  bool synced() const { return services.synced() && slices.synced() && namespaces.synced(); }
  client::Mirror<api::core_v1::Service> services;
  client::Mirror<EndpointSlice> slices;
  client::Mirror<api::core_v1::Namespace> namespaces;
};

}  // namespace

struct Feed::State : std::enable_shared_from_this<State> {
  State(client::Transport& transport, World w, Duration c, std::function<void(std::shared_ptr<const Index>)> p)
      : world(w), coalesce(c), publish(std::move(p)), mirrors(std::make_unique<Mirrors>(transport)) {}

  World world;
  const Duration coalesce;
  std::function<void(std::shared_ptr<const Index>)> publish;

  std::mutex work;  // held by the one task that works
  std::shared_ptr<const Index> index = std::make_shared<const Index>();
  bool loaded = false;  // the index holds all services and namespaces

  std::mutex mutex;
  std::unordered_set<std::string> dirty_services, dirty_namespaces;
  bool scheduled = false, stopping = false;
  TimerId timer = 0;
  std::unique_ptr<Mirrors> mirrors;  // gone after stop(): a task that ends late may outlive the transport

  void start() {
    mirrors->slices.core().add_index(std::string(service_index), [](Value object) {
      std::string key = service_of(object);
      return key.empty() ? std::vector<std::string>() : std::vector<std::string>{std::move(key)};
    });
    mirrors->services.core().add_handler(
        [this](const Document& before, const Document& now) { touch(dirty_services, client::key_of(now ? now.root() : before.root())); });
    mirrors->slices.core().add_handler([this](const Document& before, const Document& now) {
      if (before) touch(dirty_services, service_of(before.root()));
      if (now) touch(dirty_services, service_of(now.root()));
    });
    mirrors->namespaces.core().add_handler([this](const Document& before, const Document& now) {
      if (!before || !now) touch(dirty_namespaces, client::key_of(now ? now.root() : before.root()));
    });
    mirrors->services.start();
    mirrors->slices.start();
    mirrors->namespaces.start();
    std::lock_guard lock(mutex);
    schedule(Duration(0));
  }

  void touch(std::unordered_set<std::string>& dirty, std::string key) {
    if (key.empty()) return;
    std::lock_guard lock(mutex);
    dirty.insert(std::move(key));
    schedule(coalesce);
  }

  void schedule(Duration delay) {  // under the lock
    if (scheduled || stopping) return;
    scheduled = true;
    timer = world.executor.post_after(delay, [self = shared_from_this()] { self->run(); });
  }

  void run() {
    std::lock_guard hold(work);
    std::unordered_set<std::string> services, namespaces;
    {
      std::lock_guard lock(mutex);
      scheduled = false;
      if (stopping) return;
      if (!mirrors->synced()) {
        schedule(first_sync_poll);
        return;
      }
      services.swap(dirty_services);
      namespaces.swap(dirty_namespaces);
    }
    if (!loaded) {  // a mirror has its list before it has told of all that is in it
      for (const Document& service : mirrors->services.core().list()) services.insert(client::key_of(service.root()));
      for (const Document& ns : mirrors->namespaces.core().list()) namespaces.insert(client::key_of(ns.root()));
      loaded = true;
    }
    IndexWriter writer(*index);
    for (const std::string& key : services) writer.put_service(key, read(key));
    for (const std::string& name : namespaces) writer.put_namespace(name, static_cast<bool>(mirrors->namespaces.get(name)));
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(world.clock.now().time_since_epoch()).count();
    index = writer.finish(true, static_cast<std::uint32_t>(seconds));
    publish(index);
  }

  std::shared_ptr<const Service> read(const std::string& key) const {
    const auto service = mirrors->services.get(key);
    if (!service) return nullptr;
    const auto found = mirrors->slices.by_index(service_index, key);
    std::vector<EndpointSlice> slices;
    slices.reserve(found.size());
    for (const auto& slice : found) slices.push_back(slice.view());
    return read_service(*service, slices);
  }

  void stop() {
    {
      std::lock_guard lock(mutex);
      stopping = true;
      world.executor.cancel(timer);
    }
    { std::lock_guard hold(work); }  // a task under way ends first
    mirrors.reset();
  }
};

Feed::Feed(client::Transport& transport, World world, Duration coalesce, std::function<void(std::shared_ptr<const Index>)> publish)
    : state_(std::make_shared<State>(transport, world, coalesce, std::move(publish))) {
  state_->start();
}
Feed::~Feed() { stop(); }
void Feed::stop() { state_->stop(); }

}  // namespace kybern::dns
