#include "apiserver/aggregation/aggregator.h"

#include <fmt/format.h>

#include <algorithm>

#include "apiserver/http/tunnel.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "document/json.h"
#include "store/changed_at.h"

namespace kybern::apiserver {
namespace {

constexpr std::string_view registrations = "apiservices", registration_group = "apiregistration.k8s.io";

Value available(Value registration) {
  for (Value c : registration["status"]["conditions"].items())
    if (c["type"].as_string() == "Available") return c;
  return {};
}
bool is_available(Value registration) { return available(registration)["status"].as_string() == "True"; }

// It names no server (any more), and its condition does not say so. Of those that follow our own groups whoever makes them says it.
bool became_local(Value registration) {
  if (registration["spec"]["service"].is_object()) return false;
  Value told = available(registration);
  if (!told.exists()) return !registration["metadata"]["labels"]["kube-aggregator.kubernetes.io/automanaged"].exists();
  return told["reason"].as_string() != "Local";
}

std::string bracketed(const std::string& host) { return host.find(':') == std::string::npos ? host : "[" + host + "]"; }

// Who asks, as the other server is told (request header authentication); what the client says of that is dropped.
void add_identity(net::Headers& headers, const User& user) {
  std::vector<std::string> theirs;
  for (const auto& [name, value] : headers.fields())
    if (name.starts_with("x-remote-")) theirs.push_back(name);
  for (const std::string& name : theirs) headers.erase(name);
  headers.set("x-remote-user", user.name);
  if (!user.uid.empty()) headers.set("x-remote-uid", user.uid);
  for (const std::string& group : user.groups) headers.add("x-remote-group", group);
  for (const auto& [key, values] : user.extra)
    for (const std::string& value : values) headers.add("x-remote-extra-" + url_encode(to_lower(key)), value);
}

}  // namespace

Aggregator::Aggregator(AggregatorOptions options, Registry& registry)
    : options_(std::move(options)), registry_(registry), served_(registry.catalog().find(registration_group, "v1", registrations)) {}
Aggregator::~Aggregator() { stop(); }

Document Aggregator::registration(std::string_view path) const {
  auto parts = split(path, '/');  // "", apis, group, version
  if (parts.size() < 4 || parts[1] != "apis" || parts[2].empty() || parts[3].empty()) return {};
  Document found = registry_.read(registration_group, "v1", registrations, "", fmt::format("{}.{}", parts[3], parts[2]));
  if (!found || !found["spec"]["service"].is_object()) return {};
  return found;
}

std::optional<Aggregator::Place> Aggregator::place_of(Value registration, Finding& why_not) const {
  Value reference = registration["spec"]["service"];
  const std::string ns = reference["namespace"].str(), name = reference["name"].str();
  const std::int64_t port = reference["port"].as_int(443);
  auto no = [&](std::string reason, std::string message) -> std::optional<Place> {
    why_not = Finding{"False", std::move(reason), std::move(message), {}, {}, {}, {}};
    return std::nullopt;
  };
  Document service = registry_.read("", "v1", "services", ns, name);
  if (!service) return no("ServiceNotFound", fmt::format("service/{} in \"{}\" is not present", name, ns));
  Place out{"", name + "." + ns + ".svc", port};
  if (service["spec"]["type"].as_string() == "ExternalName") {
    out.host = service["spec"]["externalName"].str();
    return out;
  }
  Value wanted;
  for (Value p : service["spec"]["ports"].items())
    if (p["port"].as_int() == port) wanted = p;
  if (!wanted.exists()) return no("ServicePortError", fmt::format("service/{} in \"{}\" is not listening on port {}", name, ns, port));
  // Straight to the pods: this machine need not route services.
  bool slices = false;
  std::vector<Place> places;
  registry_.each("discovery.k8s.io", "v1", "endpointslices", ns, [&](Value slice) {
    if (slice["metadata"]["labels"]["kubernetes.io/service-name"].as_string() != name) return true;
    slices = true;
    for (Value p : slice["ports"].items()) {
      if (p["name"].as_string() != wanted["name"].as_string()) continue;
      for (Value endpoint : slice["endpoints"].items())
        if (endpoint["conditions"]["ready"].as_bool(true))
          places.push_back({endpoint["addresses"][0].str(), out.server_name, p["port"].as_int()});
    }
    return true;
  });
  if (!slices) return no("EndpointsNotFound", fmt::format("cannot find endpointslices for service/{} in \"{}\"", name, ns));
  if (places.empty())
    return no("MissingEndpoints", fmt::format("endpoints for service/{} in \"{}\" have no addresses with port name \"{}\"", name, ns,
                                              wanted["name"].as_string()));
  return places[registry_.world().random.next() % places.size()];
}

net::ClientOptions Aggregator::client_options(Value registration, const Place& place) const {
  net::ClientOptions out;
  out.url = fmt::format("https://{}:{}", bracketed(place.host), place.port);
  out.tls.certificate_pem = file_text(options_.client_certificate_file);
  out.tls.key_pem = file_text(options_.client_key_file);
  out.tls.server_name = place.server_name;
  out.tls.insecure = registration["spec"]["insecureSkipTLSVerify"].as_bool();
  if (auto bundle = base64_decode(registration["spec"]["caBundle"].as_string())) out.tls.ca_pem = std::move(*bundle);
  return out;
}

void Aggregator::proxy(const User& user, Document registration, std::shared_ptr<net::Exchange> exchange) const {
  Finding why_not;
  auto place = is_available(registration) ? place_of(registration, why_not) : std::nullopt;
  if (!place)
    return exchange->respond(
        {503, {{"content-type", "text/plain; charset=utf-8"}, {"x-content-type-options", "nosniff"}}, "service unavailable\n"});
  const net::Request& request = exchange->request();
  TunnelTarget target;
  target.options = client_options(registration, *place);
  target.request.method = request.method;
  target.request.target = request.path + (request.query.empty() ? "" : "?" + request.query);
  target.request.headers = forwarded_headers(request.headers, is_upgrade(request));
  add_identity(target.request.headers, user);
  target.request.body = request.body;
  target.plain_refusals = true;
  tunnel(std::move(target), "", std::move(exchange));
}

Aggregator::Finding Aggregator::ask(Value registration, const Place& place, const Finding& last) const {
  const std::string path =
      fmt::format("apis/{}/{}", registration["spec"]["group"].as_string(), registration["spec"]["version"].as_string());
  const std::string url = fmt::format("https://{}:{}/{}", bracketed(place.host), place.port, path);
  auto failed = [&](const std::string& why) {
    return Finding{"False", "FailedDiscoveryCheck", fmt::format("failing or missing response from {}: {}", url, why), {}, {}, {}, {}};
  };
  auto client = net::HttpClient::make(client_options(registration, place));
  if (!client) return failed(client.error().message);
  auto get = [&](const std::string& target, const std::string& known_tag = "") {
    net::ClientRequest request;
    if (!known_tag.empty()) request.headers.set("if-none-match", known_tag);
    request.target = target;
    request.headers.set("accept", "application/json");
    request.timeout = look_timeout;
    add_identity(request.headers, {"system:kube-aggregator", "", {"system:masters"}, {}});
    return (*client)->call(std::move(request));
  };
  auto answer = get("/" + path);
  if (!answer) return failed(fmt::format("Get \"{}\": {}", url, answer.error().message));
  if (answer->status < 200 || answer->status > 299) return failed(fmt::format("bad status from {}: {}", url, answer->status));
  Finding out{"True", "Passed", "all checks passed", {}, {}, {}, {}};
  if (auto resources = parse_json(answer->body)) out.resources = std::move(*resources);
  if (auto index = get("/openapi/v3"); index && index->status == 200)
    if (auto paths = parse_json(index->body)) {
      const std::string relative = (*paths)["paths"][path]["serverRelativeURL"].str();
      if (std::size_t at = relative.find("hash="); at != std::string::npos) out.openapi_hash = relative.substr(at + 5);
    }
  auto v2 = get("/openapi/v2", last.openapi_v2_tag);
  if (v2 && v2->status == 304) {
    out.openapi_v2 = last.openapi_v2;
    out.openapi_v2_tag = last.openapi_v2_tag;
  } else if (v2 && v2->status == 200) {
    if (auto document = parse_json(v2->body)) {
      out.openapi_v2 = std::move(*document);
      out.openapi_v2_tag = v2->headers.get("etag");
      if (out.openapi_v2_tag.empty()) out.openapi_v2_tag = fmt::format("\"{:016X}\"", std::hash<std::string>()(v2->body));
    }
  }
  return out;
}

Aggregator::Finding Aggregator::look_at(Value registration, const Finding& last) const {
  Finding out;
  auto place = place_of(registration, out);
  return place ? ask(registration, *place, last) : out;
}

std::string Aggregator::write_condition(const Document& registration, const Finding& finding) const {
  Value held = available(registration);
  if (held["status"].as_string() == finding.status && held["reason"].as_string() == finding.reason &&
      held["message"].as_string() == finding.message)
    return registration["metadata"]["resourceVersion"].str();
  Draft condition = Draft::object({{"type", "Available"},
                                   {"status", finding.status},
                                   {"lastTransitionTime", format_rfc3339(registry_.world().clock.now())},
                                   {"reason", finding.reason},
                                   {"message", finding.message}});
  if (held["status"].as_string() == finding.status) condition["lastTransitionTime"] = held["lastTransitionTime"];
  Work work{.registry = registry_,
            .world = registry_.world(),
            .user = {"system:apiserver", "", {"system:masters"}, {}},
            .served = registry_.catalog().find(registration_group, "v1", registrations),
            .ns = "",
            .name = registration["metadata"]["name"].str()};
  work.subresource = "status";
  work.verb = "update";
  auto written = registry_.modify(
      work,
      [&](Value before) -> ApiResult<Draft> {
        Draft now(before), conditions = Draft::array();
        for (Value c : before["status"]["conditions"].items())
          if (c["type"].as_string() != "Available") conditions.push_back(c);
        conditions.push_back(condition);
        now["status"]["conditions"] = std::move(conditions);
        return now;
      },
      true);
  if (!written && written.error().code != 404)
    log_warn("apiserver", "the condition of an APIService could not be written", {{"name", work.name}, {"why", written.error().message}});
  // Somebody may have changed what was looked at meanwhile: that is to be looked at too.
  const bool same = written && written->object["spec"] == registration["spec"];
  return same ? written->object["metadata"]["resourceVersion"].str() : std::string();
}

void Aggregator::look_again(const Document& registration) {
  const std::string name = registration["metadata"]["name"].str();
  Finding last;
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    if (auto found = findings_.find(name); found != findings_.end()) last = found->second;
  }
  Finding finding = look_at(registration, last);
  finding.due = std::chrono::steady_clock::now() + (finding.status == "True" ? look_interval : retry_interval);
  if (finding.status != "True") {
    // What it served while it was there is still told, as stale.
    finding.resources = last.resources;
    finding.openapi_hash = last.openapi_hash;
    finding.openapi_v2 = last.openapi_v2;
    finding.openapi_v2_tag = last.openapi_v2_tag;
  }
  {
    // Before the condition says that it is available: discovery knows it by then.
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    findings_[name] = finding;
    ++found_;
    told_.reset();
  }
  finding.seen = write_condition(registration, finding);
  std::lock_guard lock(mutex_);
  findings_[name] = std::move(finding);
}

std::vector<Document> Aggregator::take_due(std::vector<Document>& local) {
  std::vector<Document> due;
  std::set<std::string> names;
  std::vector<Document> all;
  registry_.each(registration_group, "v1", registrations, "", [&](Value r) {
    if (r["spec"]["service"].is_object()) all.push_back(r.document());
    else if (became_local(r)) local.push_back(r.document());
    return true;
  });
  const auto now = std::chrono::steady_clock::now();
  std::lock_guard lock(mutex_);
  next_ = now + look_interval;
  for (const Document& one : all) {
    const std::string& name = *names.insert(one["metadata"]["name"].str()).first;
    if (looked_at_.contains(name)) continue;
    auto found = findings_.find(name);
    bool is_due =
        found == findings_.end() || found->second.due <= now || found->second.seen != one["metadata"]["resourceVersion"].as_string();
    if (!is_due) next_ = std::min(next_, found->second.due);
    else if (looked_at_.size() < looks_at_once) looked_at_.insert(name), due.push_back(one);
  }
  std::erase_if(findings_, [&](const auto& one) { return !names.contains(one.first) && !looked_at_.contains(one.first); });
  return due;
}

std::vector<ExternalVersion> Aggregator::versions() const {
  const store::Revision at = store::changed_at(registry_.store(), served_->prefix);
  std::uint64_t found_before;
  {
    std::lock_guard lock(mutex_);
    if (told_ && told_at_ == at) return *told_;
    found_before = found_;
  }
  std::vector<ExternalVersion> out;
  registry_.each(registration_group, "v1", registrations, "", [&](Value r) {
    Value spec = r["spec"];
    if (!spec["service"].is_object()) return true;
    ExternalVersion one{spec["group"].str(),
                        spec["version"].str(),
                        spec["groupPriorityMinimum"].as_int(),
                        spec["versionPriority"].as_int(),
                        is_available(r),
                        {},
                        {},
                        {},
                        {}};
    std::lock_guard lock(mutex_);
    if (auto found = findings_.find(r["metadata"]["name"].str()); found != findings_.end()) {
      one.resources = found->second.resources;
      one.openapi_hash = found->second.openapi_hash;
      one.openapi_v2 = found->second.openapi_v2;
      one.openapi_v2_tag = found->second.openapi_v2_tag;
    }
    out.push_back(std::move(one));
    return true;
  });
  std::lock_guard lock(mutex_);
  if (found_ == found_before) told_ = out, told_at_ = at;
  return out;
}

namespace {

// Whether a registration of another server came, went or changed, or became ours; else there is nothing to look after.
bool others_changed(store::Watch& watch) {
  constexpr std::size_t changes_per_take = 256;
  auto by_service = [](const store::EntryPtr& entry) { return entry && entry->value["spec"]["service"].is_object(); };
  bool out = false;
  for (std::vector<store::ChangePtr> changes;; changes.clear()) {
    if (!watch.take(changes, changes_per_take)) return true;
    if (changes.empty()) return out;
    for (const store::ChangePtr& change : changes)
      out = out || by_service(change->now) || by_service(change->before) || (change->now && became_local(change->now->value.root()));
  }
}

}  // namespace

void Aggregator::run() {
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    poked_ = false;
    const bool looked = std::exchange(looked_, false), changed = watch_ && others_changed(*watch_);
    if (looked || changed || std::chrono::steady_clock::now() >= next_) {
      lock.unlock();
      std::vector<Document> local, due = take_due(local);
      for (const Document& one : local)
        write_condition(one, Finding{"True", "Local", "Local APIServices are always available", {}, {}, {}, {}});
      for (Document& one : due) {
        std::thread([this, registration = std::move(one)] {
          look_again(registration);
          std::lock_guard own(mutex_);
          looked_at_.erase(registration["metadata"]["name"].str());
          looked_ = poked_ = true;
          changed_.notify_all();
        }).detach();
      }
      lock.lock();
    }
    changed_.wait_until(lock, next_, [&] { return stopped_ || poked_; });
  }
  changed_.wait(lock, [&] { return looked_at_.empty(); });
}

void Aggregator::start() {
  auto watch = registry_.store().watch(served_->prefix, registry_.store().revision(), [this] {
    std::lock_guard lock(mutex_);
    poked_ = true;
    changed_.notify_all();
  });
  std::lock_guard lock(mutex_);
  if (watch) watch_ = std::move(*watch);
  stopped_ = false;
  thread_ = std::thread([this] { run(); });
}

void Aggregator::stop() {
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    stopped_ = true;
    changed_.notify_all();
  }
  thread_.join();
  watch_.reset();
}

}  // namespace kybern::apiserver
