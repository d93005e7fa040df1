#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "base/time.h"
#include "document/json.h"
#include "kubelet/testing/memory_api.h"
#include "machinery/patch/patch.h"
#include "schema/schema.h"

namespace kybern::kubelet::testing {

namespace {

std::string parent(const std::string& path) { return path.substr(0, path.rfind('/')); }

// "/api/v1/namespaces/x/pods" is watched by "/api/v1/pods" too.
std::string without_namespace(const std::string& collection) {
  std::vector<std::string_view> p = split(collection, '/');
  for (std::size_t i = 0; i + 2 < p.size(); ++i) {
    if (p[i] != "namespaces") continue;
    std::string out;
    for (std::size_t j = 1; j < p.size(); ++j) {
      if (j != i && j != i + 1) out += fmt::format("/{}", p[j]);
    }
    return out;
  }
  return collection;
}

Status missing(const std::string& path) {
  Status s;
  s.code = 404;
  s.reason = "NotFound";
  s.message = fmt::format("{} not found", path);
  return s;
}

}  // namespace

struct MemoryApi::Watch : client::Subscription {
  MemoryApi* api;
  std::string collection, field, value;
  client::Listener listener;

  bool selects(const Document& object) const {
    if (!object) return false;
    if (field.empty()) return true;
    Value at = object.root();
    for (std::string_view piece : split(field, '.')) at = at[piece];
    return at.as_string() == value;
  }
  bool covers(const std::string& path) const { return parent(path) == collection || without_namespace(parent(path)) == collection; }
  ~Watch() override {
    std::lock_guard lock(api->mutex_);
    std::erase(api->watches_, this);
  }
};

std::unique_ptr<client::Subscription> MemoryApi::subscribe(std::string path, std::string query, client::Listener listener) {
  auto watch = std::make_unique<Watch>();
  watch->api = this;
  watch->collection = std::move(path);
  watch->listener = std::move(listener);
  if (query.starts_with("fieldSelector=")) {
    std::string selector = url_decode(query.substr(14), true);
    watch->field = selector.substr(0, selector.find('='));
    watch->value = selector.substr(selector.find('=') + 1);
  }
  std::lock_guard lock(mutex_);
  std::vector<Document> state;
  for (const auto& [at, object] : objects_) {
    if (watch->covers(at) && watch->selects(object)) state.push_back(object);
  }
  watch->listener.replaced(std::move(state));
  watches_.push_back(watch.get());
  return watch;
}

void MemoryApi::tell(const std::string& path, const Document& before, const Document& now) {
  std::vector<Watch*> watches = watches_;
  for (Watch* w : watches) {
    if (!w->covers(path)) continue;
    if (w->selects(now)) w->listener.changed({client::Event{client::Event::Type::put, now}});
    else if (w->selects(before)) w->listener.changed({client::Event{client::Event::Type::erased, before}});
  }
}

Document MemoryApi::stamp(Draft object) {
  Draft& meta = object["metadata"];
  ++version_;
  if (meta.find("uid") == nullptr) meta["uid"] = fmt::format("{0:08x}-0000-4000-8000-{0:012x}", version_);
  if (meta.find("creationTimestamp") == nullptr) meta["creationTimestamp"] = "2026-01-01T00:00:00Z";
  meta["resourceVersion"] = std::to_string(++version_);
  return object.freeze();
}

ApiResult<Document> MemoryApi::call(client::Call call) {
  std::lock_guard lock(mutex_);
  std::string path = call.path;
  if (call.method == "POST" && path.ends_with("/token")) {
    ++tokens_made;
    Time end = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()) + parse_duration(token_life).value();
    return Draft::object(
               {{"status", Draft::object({{"token", fmt::format("token-{}", tokens_made)}, {"expirationTimestamp", format_rfc3339(end)}})}})
        .freeze();
  }
  if (call.method == "POST") {
    std::string ns = call.body["metadata"]["namespace"].str();
    std::string name = call.body["metadata"]["name"].str();
    if (name.empty()) name = fmt::format("{}{}", call.body["metadata"]["generateName"].as_string(), ++version_);
    path += "/" + name;
    if (objects_.contains(path)) {
      Status s;
      s.code = 409;
      s.reason = "AlreadyExists";
      return fail(s);
    }
    Document made = stamp(Draft(call.body));
    objects_[path] = made;
    tell(path, Document(), made);
    return made;
  }
  std::string sub;
  if (path.ends_with("/status")) {
    sub = "status";
    path = parent(path);
  }
  auto found = objects_.find(path);
  if (found == objects_.end()) return fail(missing(path));
  if (call.method == "GET") return found->second;
  Document before = found->second;
  if (std::string uid = call.body["preconditions"]["uid"].str() + (call.method == "PATCH" ? call.body["metadata"]["uid"].str() : "");
      !uid.empty() && uid != before["metadata"]["uid"].as_string()) {
    Status s;
    s.code = 409;
    s.reason = "Conflict";
    return fail(s);
  }
  if (call.method == "DELETE") {
    objects_.erase(found);
    tell(path, before, Document());
    return before;
  }
  Draft next(call.body);
  if (call.method == "PATCH") {
    const schema::Type* type = schema::find_type(before["apiVersion"].as_string(), before["kind"].as_string());
    auto patched = call.patch == client::PatchType::strategic && type != nullptr ? strategic_merge(before.root(), call.body.root(), *type)
                                                                                 : merge_patch(before.root(), call.body.root());
    if (!patched) return fail(patched.error());
    next = std::move(*patched);
  }
  Document now = stamp(std::move(next));
  objects_[path] = now;
  tell(path, before, now);
  return now;
}

Document MemoryApi::get(const std::string& path) {
  std::lock_guard lock(mutex_);
  auto found = objects_.find(path);
  return found == objects_.end() ? Document() : found->second;
}

Document MemoryApi::put(const std::string& collection, const std::string& json) {
  auto parsed = parse_json(json);
  if (!parsed) throw std::runtime_error(parsed.error().message);
  std::lock_guard lock(mutex_);
  Document object = stamp(Draft(*parsed));
  std::string path = fmt::format("{}/{}", collection, object["metadata"]["name"].as_string());
  Document before = objects_[path];
  objects_[path] = object;
  tell(path, before, object);
  return object;
}

void MemoryApi::change(const std::string& path, const std::function<void(Draft&)>& edit) {
  std::lock_guard lock(mutex_);
  Document before = objects_.at(path);
  Draft next(before);
  edit(next);
  Document now = stamp(std::move(next));
  objects_[path] = now;
  tell(path, before, now);
}

void MemoryApi::erase(const std::string& path) {
  std::lock_guard lock(mutex_);
  Document before = objects_[path];
  objects_.erase(path);
  if (before) tell(path, before, Document());
}

void MemoryApi::mark_deleted(const std::string& path, std::int64_t grace_s) {
  change(path, [&](Draft& pod) {
    Time end = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()) + std::chrono::seconds(grace_s);
    pod["metadata"]["deletionTimestamp"] = format_rfc3339(end);
    pod["metadata"]["deletionGracePeriodSeconds"] = grace_s;
  });
}

std::vector<Document> MemoryApi::list(const std::string& collection) {
  std::lock_guard lock(mutex_);
  std::vector<Document> out;
  for (const auto& [path, object] : objects_) {
    if (object && (parent(path) == collection || without_namespace(parent(path)) == collection)) out.push_back(object);
  }
  return out;
}

std::vector<std::string> MemoryApi::events_of(const std::string& name) {
  std::vector<Document> events = list("/api/v1/events");
  std::sort(events.begin(), events.end(), [](const Document& a, const Document& b) {
    return parse_int(a["metadata"]["resourceVersion"].as_string()) < parse_int(b["metadata"]["resourceVersion"].as_string());
  });
  std::vector<std::string> out;
  for (const Document& e : events) {
    if (e["involvedObject"]["name"].as_string() == name)
      out.push_back(fmt::format("{} {}: {}", e["type"].as_string(), e["reason"].as_string(), e["message"].as_string()));
  }
  return out;
}

}  // namespace kybern::kubelet::testing
