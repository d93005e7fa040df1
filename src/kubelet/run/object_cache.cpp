#include "kubelet/run/object_cache.h"

#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>

#include "base/strings.h"

namespace kybern::kubelet {
namespace {

constexpr std::chrono::seconds first_state_limit{10};

void add(std::set<ObjectName>& out, bool secret, const std::string& ns, Value name) {
  if (!name.as_string().empty()) out.insert({secret, ns, name.str()});
}

void add_volume(std::set<ObjectName>& out, const std::string& ns, Value volume) {
  add(out, false, ns, volume["configMap"]["name"]);
  add(out, true, ns, volume["secret"]["secretName"]);
  for (Value source : volume["projected"]["sources"].items()) {
    add(out, false, ns, source["configMap"]["name"]);
    add(out, true, ns, source["secret"]["name"]);
  }
}

}  // namespace

std::set<ObjectName> objects_of(const PodView& pod) {
  std::set<ObjectName> out;
  for (Value volume : pod.spec()["volumes"].items()) add_volume(out, pod.ns, volume);
  for (Value secret : pod.spec()["imagePullSecrets"].items()) add(out, true, pod.ns, secret["name"]);
  for (const ContainerView& c : pod.containers) {
    for (Value from : c.spec["envFrom"].items()) {
      add(out, false, pod.ns, from["configMapRef"]["name"]);
      add(out, true, pod.ns, from["secretRef"]["name"]);
    }
    for (Value entry : c.spec["env"].items()) {
      add(out, false, pod.ns, entry["valueFrom"]["configMapKeyRef"]["name"]);
      add(out, true, pod.ns, entry["valueFrom"]["secretKeyRef"]["name"]);
    }
  }
  return out;
}

struct ObjectCache::State : std::enable_shared_from_this<ObjectCache::State> {
  struct Entry {
    std::unique_ptr<client::Subscription> subscription;
    std::set<std::string> users;
    bool known = false;  // the first state is in
    Document object;     // empty: it does not exist
  };
  client::Transport& api;
  std::function<void(const std::string& uid)> changed;
  std::mutex mutex;
  std::condition_variable first_state;
  std::map<ObjectName, std::shared_ptr<Entry>> entries;
  std::map<std::string, std::set<ObjectName>> used;

  State(client::Transport& a, std::function<void(const std::string& uid)> c) : api(a), changed(std::move(c)) {}

  void put(const std::shared_ptr<Entry>& entry, Document object) {
    std::set<std::string> users;
    {
      std::lock_guard lock(mutex);
      bool same = entry->known && (entry->object.same_block(object) || entry->object.root() == object.root());
      entry->object = std::move(object);
      if (same) return;
      if (entry->known) users = entry->users;  // the first state is what get() waits for
      entry->known = true;
    }
    first_state.notify_all();
    for (const std::string& uid : users) changed(uid);
  }

  void watch(const ObjectName& name, const std::shared_ptr<Entry>& entry) {
    client::Listener listener;
    std::weak_ptr<State> weak = weak_from_this();
    listener.replaced = [weak, entry](std::vector<Document> objects) {
      if (auto state = weak.lock()) state->put(entry, objects.empty() ? Document() : std::move(objects.front()));
    };
    listener.changed = [weak, entry](std::vector<client::Event> events) {
      auto state = weak.lock();
      if (!state || events.empty()) return;
      client::Event& last = events.back();
      state->put(entry, last.type == client::Event::Type::erased ? Document() : std::move(last.object));
    };
    auto subscription = api.subscribe(client::object_path("v1", name.secret ? "secrets" : "configmaps", name.ns, ""),
                                      fmt::format("fieldSelector={}", url_encode("metadata.name=" + name.name)), std::move(listener));
    std::unique_ptr<client::Subscription> unwanted;
    std::lock_guard lock(mutex);
    if (entry->users.empty()) unwanted = std::move(subscription);
    else entry->subscription = std::move(subscription);
  }
};

ObjectCache::ObjectCache(client::Transport& api, std::function<void(const std::string& uid)> changed)
    : state_(std::make_shared<State>(api, std::move(changed))) {}

ObjectCache::~ObjectCache() {
  std::map<ObjectName, std::shared_ptr<State::Entry>> entries;
  {
    std::lock_guard lock(state_->mutex);
    entries.swap(state_->entries);
  }
  for (auto& [name, entry] : entries) entry->subscription.reset();  // outside the lock: it waits for callbacks
}

void ObjectCache::use(const std::string& uid, const std::set<ObjectName>& objects) {
  std::vector<std::pair<ObjectName, std::shared_ptr<State::Entry>>> fresh;
  std::vector<std::unique_ptr<client::Subscription>> ended;
  {
    std::lock_guard lock(state_->mutex);
    std::set<ObjectName>& before = state_->used[uid];
    if (before == objects) return;
    for (const ObjectName& name : objects) {
      std::shared_ptr<State::Entry>& entry = state_->entries[name];
      if (!entry) {
        entry = std::make_shared<State::Entry>();
        fresh.emplace_back(name, entry);
      }
      entry->users.insert(uid);
    }
    for (const ObjectName& name : before) {
      if (objects.contains(name)) continue;
      auto found = state_->entries.find(name);
      found->second->users.erase(uid);
      if (!found->second->users.empty()) continue;
      ended.push_back(std::move(found->second->subscription));
      state_->entries.erase(found);
    }
    if (objects.empty()) state_->used.erase(uid);
    else before = objects;
  }
  for (auto& [name, entry] : fresh) state_->watch(name, entry);
}

void ObjectCache::release(const std::string& uid) { use(uid, {}); }

Result<Document> ObjectCache::get(const ObjectName& name) {
  std::unique_lock lock(state_->mutex);
  auto found = state_->entries.find(name);
  if (found == state_->entries.end()) return fail(Code::internal, fmt::format("object \"{}\"/\"{}\" not registered", name.ns, name.name));
  std::shared_ptr<State::Entry> entry = found->second;
  if (!state_->first_state.wait_for(lock, first_state_limit, [&] { return entry->known; })) {
    return fail(Code::timeout,
                fmt::format("failed to sync {} cache: timed out waiting for the condition", name.secret ? "secret" : "configmap"));
  }
  if (!entry->object) return fail(Code::not_found, fmt::format("{} \"{}\" not found", name.secret ? "secret" : "configmap", name.name));
  return entry->object;
}

}  // namespace kybern::kubelet
