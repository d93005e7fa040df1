#include "apiserver/http/handler.h"

#include <fmt/format.h>

#include "apiserver/admission/admission.h"
#include "apiserver/admission/webhooks.h"
#include "apiserver/aggregation/aggregator.h"
#include "apiserver/custom/custom.h"
#include "apiserver/hooks/waiting_room.h"
#include "apiserver/http/connect.h"
#include "apiserver/http/list_writer.h"
#include "apiserver/http/watch_stream.h"
#include "apiserver/registry/continue.h"
#include "apiserver/tokens.h"
#include "apiserver/usage/usage_api.h"
#include "base/debug.h"
#include "base/log.h"
#include "base/strings.h"
#include "document/json.h"
#include "document/yaml.h"
#include "schema/convert.h"

namespace kybern::apiserver {
namespace {

constexpr std::size_t whole_list_max_bytes = 256 << 10;  // a list within this is sent at once, with its length
constexpr std::size_t at_once_max_bytes = 64 << 10;      // of an object that is read
// Requests that are worked on at once, those of exempt levels not counted: less than the server has threads, so that a
// full level leaves threads to the others.
constexpr std::size_t most_seats = 120;

// What is answered, for those who keep a trail of it.
void note_answer(net::Exchange& exchange, Value object) {
  auto* observed = dynamic_cast<ObservedExchange*>(&exchange);
  if (audit::Record* record = observed ? observed->observation().record() : nullptr) record->answered(object);
}

// `json`: of the object, when that is at hand.
void respond_object(net::Exchange& exchange, const Accepted& accepted, int code, Value object,
                    const std::vector<std::string>& warnings = {}, std::string json = {}) {
  note_answer(exchange, object);
  net::Response response;
  response.status = code;
  Accepted used = accepted;
  if (!json.empty()) {
    response.body = std::move(json);
    response.body += '\n';
  } else if (auto ok = encode(used, object, response.body); !ok) {
    used = Accepted{};
    response.status = ok.error().code;
    response.body.clear();
    (void)encode(used, ok.error().document().root(), response.body);
  }
  response.headers.set("content-type", used.content_type());
  response.headers.set("cache-control", "no-cache, private");
  add_warnings(response.headers, warnings);
  exchange.respond(std::move(response));
}

// The form of a Status: one that the client takes, else JSON that a person can read.
Accepted status_form(const net::Request& request) {
  auto accepted = negotiate(request.headers.get("accept"), false);
  Accepted form = accepted.value_or(Accepted{});
  form.pretty = form.pretty || !accepted || wants_pretty(Query(request.query).get("pretty"), request.headers.get("user-agent"));
  return form;
}

void respond_status(net::Exchange& exchange, const Status& status, const std::vector<std::string>& warnings = {}) {
  net::Response response;
  Accepted form = status_form(exchange.request());
  response.status = status.code;
  Document document = status.document();
  note_answer(exchange, document);
  (void)encode(form, document.root(), response.body);
  response.headers.set("content-type", form.content_type());
  response.headers.set("cache-control", "no-cache, private");
  if (status.retry_after_seconds > 0) response.headers.set("retry-after", std::to_string(status.retry_after_seconds));
  add_warnings(response.headers, warnings);
  exchange.respond(std::move(response));
}

void respond_text(net::Exchange& exchange, int code, std::string text) {
  net::Response response;
  response.status = code;
  response.headers.set("content-type", "text/plain; charset=utf-8");
  response.headers.set("x-content-type-options", "nosniff");
  response.body = std::move(text);
  exchange.respond(std::move(response));
}

void respond_busy(net::Exchange& exchange) {
  net::Response response;
  response.status = 429;
  response.headers.set("content-type", "text/plain; charset=utf-8");
  response.headers.set("x-content-type-options", "nosniff");
  response.headers.set("retry-after", "1");
  response.body = "Too many requests, please try again later.\n";
  exchange.respond(std::move(response));
}

ApiResult<PatchKind> patch_kind(std::string_view content_type) {
  std::string type = to_lower(trim(split(content_type, ';')[0]));
  if (type == "application/json-patch+json") return PatchKind::json;
  if (type == "application/merge-patch+json") return PatchKind::merge;
  if (type == "application/strategic-merge-patch+json") return PatchKind::strategic;
  if (type == "application/apply-patch+yaml") return PatchKind::apply;
  Status status = unsupported_media_type("415: Unsupported Media Type");
  status.empty_details = true;
  return fail(std::move(status));
}

// The configuration of an apply. JSON is YAML too, and read faster as what it is.
ApiResult<Document> decode_config(std::string_view body, Work& work) {
  std::string_view begin = trim(body.substr(0, 64));
  if (begin.starts_with('{'))
    if (auto document = parse_json(body, {.duplicates = &work.duplicates}); document && work.duplicates.empty())
      return std::move(*document);
  work.duplicates.clear();
  auto documents = parse_yaml(body, {.first_only = true, .duplicates = &work.duplicates});
  if (!documents) return fail(bad_request("error decoding YAML: error converting YAML to JSON: " + documents.error().message));
  if (documents->empty() || documents->front().root().is_null()) return Draft::object().freeze();
  if (documents->front().root().is_object()) return documents->front();
  static constexpr std::string_view kinds[] = {"null", "bool", "number", "number", "string", "array", "object"};
  return fail(bad_request(
      fmt::format("error decoding YAML: error unmarshaling JSON: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                  kinds[static_cast<int>(documents->front().root().kind())])));
}

// A deletion's options may come in a body of any of the served types; no body means none.
bool has_body(std::string_view verb) { return verb == "create" || verb == "update" || verb == "patch"; }

// What upstream calls the type of an object: *core.PodList.
std::string go_type_of(const Served& served, std::string_view suffix) {
  if (served.custom) return fmt::format("*unstructured.Unstructured{}", suffix);
  std::string_view group = served.group();
  std::string_view package = group.empty() || group == "events.k8s.io" ? "core" : group.substr(0, group.find('.'));
  return fmt::format("*{}.{}{}", package, served.kind(), suffix);
}

}  // namespace

Handler::Handler(Registry& registry, Authenticator& authenticator, Authorizer& authorizer, Discovery& discovery, Connector& connector,
                 std::size_t max_requests)
    : registry_(registry),
      authenticator_(authenticator),
      authorizer_(authorizer),
      discovery_(discovery),
      connector_(connector),
      flow_(registry, static_cast<int>(std::min(max_requests, most_seats))),
      quick_reads_(registry, authenticator, authorizer, flow_),
      store_metrics_([this](std::string& out) { write_store_metrics(out); }),
      debug_pages_(registry, flow_) {}

ApiResult<void> Handler::authorize(const User& user, const RequestInfo& info, audit::Record* record) const {
  Attributes attributes = attributes_of(user, info);
  Decision decision = authorizer_.authorize(attributes);
  if (record) {
    record->annotate("authorization.k8s.io/decision", decision.allowed ? "allow" : "forbid");
    record->annotate("authorization.k8s.io/reason", decision.reason);
  }
  if (decision.allowed) return {};
  if (!decision.denied && !decision.error.empty()) return fail(internal_error(decision.error));
  return fail(denied(attributes, decision));
}

bool Handler::answer_at_once(const std::shared_ptr<net::Exchange>& exchange, const std::function<void(std::function<void()>)>& post) {
  const net::Request& request = exchange->request();
  if (auditor_ || authorizer_.may_wait() || request.method != "GET" || !request.query.empty() || !request.body.empty()) return false;
  // Whose request it is may hang on more than what readers are known by.
  if (request.proxy || (request.peer && request.headers.find("authorization"))) return false;
  auto path = read_object_path(registry_.catalog(), request.path);
  if (!path || path->served->group() == UsageApi::group) return false;  // kubelets are asked what is used
  // What a node may read is looked up in a graph, which takes in first what has changed since.
  if (request.peer && request.peer->common_name.starts_with("system:node:")) return false;
  if (request.headers.find("upgrade") || !authenticator_.answers_at_once(request)) return false;
  if (quick_reads_.answer(*exchange, *path)) return true;
  // To encode and compress a large one takes milliseconds, which the thread of all connections may not be held up for.
  auto entry = registry_.store().snapshot().get(path->served->key(path->ns, path->name));
  if (entry && entry->value.memory() > at_once_max_bytes) return false;
  handle(exchange, post);
  return true;
}

void Handler::handle(std::shared_ptr<net::Exchange> received, const std::function<void(std::function<void()>)>& post) {
  auto exchange = std::make_shared<ObservedExchange>(std::move(received), registry_.world());
  route(std::move(exchange), post);
}

ApiResult<User> Handler::impersonated(const net::Request& request, User user) const {
  std::string_view name = request.headers.get("impersonate-user");
  auto groups = request.headers.all("impersonate-group");
  std::string_view uid = request.headers.get("impersonate-uid");
  bool extra = false;
  for (const auto& [header, value] : request.headers.fields()) extra = extra || header.starts_with("impersonate-extra-");
  if (name.empty() && groups.empty() && uid.empty() && !extra) return user;
  if (name.empty()) return fail(internal_error(fmt::format("requested []v1.ObjectReference{{}} without impersonating a user")));
  auto check = [&](std::string group, std::string resource, std::string ns, std::string what,
                   std::string subresource = "") -> ApiResult<void> {
    Attributes a{user, "impersonate", std::move(group), "v1", std::move(resource), std::move(subresource), std::move(what), std::move(ns),
                 "",   true};
    Decision decision = authorizer_.authorize(a);
    if (decision.allowed) return {};
    if (!decision.denied && !decision.error.empty()) return fail(internal_error(decision.error));
    return fail(denied(a, decision));
  };
  User out;
  out.name = name;
  constexpr std::string_view account = "system:serviceaccount:";
  if (name.starts_with(account) && std::count(name.begin(), name.end(), ':') == 3) {
    auto parts = split(name.substr(account.size()), ':');
    if (auto ok = check("", "serviceaccounts", std::string(parts[0]), std::string(parts[1])); !ok) return fail(std::move(ok.error()));
    if (groups.empty()) out.groups = {"system:serviceaccounts", "system:serviceaccounts:" + std::string(parts[0])};
  } else if (auto ok = check("", "users", "", std::string(name)); !ok) {
    return fail(std::move(ok.error()));
  }
  for (std::string_view group : groups) {
    if (auto ok = check("", "groups", "", std::string(group)); !ok) return fail(std::move(ok.error()));
    out.groups.emplace_back(group);
  }
  if (!uid.empty()) {
    if (auto ok = check("authentication.k8s.io", "uids", "", std::string(uid)); !ok) return fail(std::move(ok.error()));
    out.uid = uid;
  }
  for (const auto& [header, value] : request.headers.fields()) {
    if (!header.starts_with("impersonate-extra-")) continue;
    std::string key = url_decode(std::string_view(header).substr(18), false);
    if (auto ok = check("authentication.k8s.io", "userextras", "", value, key); !ok) return fail(std::move(ok.error()));
    auto found = std::find_if(out.extra.begin(), out.extra.end(), [&](const auto& e) { return e.first == key; });
    if (found == out.extra.end()) out.extra.push_back({key, {value}});
    else found->second.push_back(value);
  }
  if (out.name == "system:anonymous") {
    if (!out.in_group("system:unauthenticated")) out.groups.push_back("system:unauthenticated");
  } else if (!out.in_group("system:authenticated") && !out.in_group("system:unauthenticated")) {
    out.groups.push_back("system:authenticated");
  }
  return out;
}

bool Handler::serve_health(net::Exchange& exchange, const RequestInfo& info, const Query& query) {
  std::string_view path = info.path;
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  std::string_view root;
  for (std::string_view known : {"/healthz", "/livez", "/readyz"})
    if (path == known || (path.starts_with(known) && path[known.size()] == '/')) root = known;
  if (root.empty()) return false;
  std::string_view one = path.substr(root.size());
  if (!one.empty()) one.remove_prefix(1);
  struct Check {
    std::string name;
    bool ok;
  };
  bool storage = registry_.store().check_writable().has_value();
  std::vector<Check> checks{{"ping", true}, {"log", true}, {"etcd", storage}};
  if (root != "/livez") checks.push_back({"poststarthook/rbac/bootstrap-roles", ready_});
  if (root == "/readyz") checks.push_back({"informer-sync", ready_});
  if (health_checks_)
    for (auto& [name, ok] : health_checks_()) checks.push_back({std::move(name), ok});
  std::string report;
  bool all = true, found = one.empty();
  for (const Check& check : checks) {
    if (!one.empty() && check.name != one) continue;
    found = true;
    auto excluded = query.all("exclude");
    if (std::find(excluded.begin(), excluded.end(), check.name) != excluded.end()) {
      report += fmt::format("[+]{} excluded: ok\n", check.name);
      continue;
    }
    all = all && check.ok;
    report += check.ok ? fmt::format("[+]{} ok\n", check.name) : fmt::format("[-]{} failed: reason withheld\n", check.name);
  }
  if (!found) return false;
  std::string name(root.substr(1));
  if (!all) respond_text(exchange, 500, report + name + " check failed\n");
  else if (query.has("verbose")) respond_text(exchange, 200, report + name + " check passed\n");
  else respond_text(exchange, 200, "ok");
  return true;
}

// What lies in the store, counted when it is asked for.
void Handler::write_store_metrics(std::string& out) const {
  store::Snapshot snapshot = registry_.store().snapshot();
  std::string old_form;  // the name before 1.34
  metrics::write_header(out, "apiserver_resource_objects", "Number of stored objects by resource.", metrics::Type::gauge);
  metrics::write_header(old_form, "apiserver_storage_objects", "Number of stored objects by resource.", metrics::Type::gauge);
  for (const auto& served : registry_.catalog().all()) {
    if (served->stored != &*served) continue;
    double count = static_cast<double>(snapshot.count(served->prefix));
    metrics::write_sample(out, "apiserver_resource_objects", {{"group", served->group()}, {"resource", served->plural()}}, count);
    std::string name(served->plural());
    if (!served->group().empty()) name += "." + std::string(served->group());
    metrics::write_sample(old_form, "apiserver_storage_objects", {{"resource", name}}, count);
  }
  out += old_form;
  store::Store::Stats stats = registry_.store().stats();
  metrics::write_header(out, "apiserver_storage_size_bytes", "Size of the storage database file physically allocated in bytes.",
                        metrics::Type::gauge);
  metrics::write_sample(out, "apiserver_storage_size_bytes", {{"storage_cluster_id", "0"}}, static_cast<double>(stats.file_bytes));
  metrics::write_header(out, "apiserver_watch_cache_bytes", "Bytes that the objects in memory take.", metrics::Type::gauge);
  metrics::write_sample(out, "apiserver_watch_cache_bytes", {}, static_cast<double>(stats.bytes));
  metrics::write_header(out, "kubernetes_build_info", "What this program is.", metrics::Type::gauge);
  metrics::write_sample(out, "kubernetes_build_info",
                        {{"major", "1"}, {"minor", "36"}, {"git_version", "v1.36.0"}, {"platform", "linux/amd64"}}, 1);
}

void Handler::wait_for(const std::shared_ptr<ObservedExchange>& exchange, const Post& post, std::function<std::function<void()>()> ask) {
  if (!registry_.waiting_room().post([post, ask = std::move(ask)] { post(ask()); })) respond_busy(*exchange);
}

void Handler::route(std::shared_ptr<ObservedExchange> exchange, const Post& post) {
  const net::Request& request = exchange->request();
  Query query(request.query);
  RequestInfo info = read_request_info(request.method, request.path, query);
  bool known = info.is_resource && registry_.catalog().find(info.group, info.version, info.resource);
  exchange->observation().describe(info, known, query.get("dryRun") == "All", request.headers.get("content-type"));
  if (std::string timeout = query.get("timeout"); !timeout.empty() && !exchange->observation().long_running())
    if (std::string why = schema::duration_error(timeout); !why.empty())
      return respond_status(*exchange, bad_request("invalid timeout specified in the request URL - " + why));
  const bool asks = authenticator_.may_wait(request) || (authorizer_.may_wait() && request.headers.find("impersonate-user"));
  auto go_on = [this, exchange, info, query, post](ApiResult<User> user) {
    if (!user) return respond_status(*exchange, user.error());
    enter(exchange, *user, info, query, post);
  };
  if (!asks) return go_on(identify(*exchange, info));
  wait_for(exchange, post,
           [this, exchange, info, go_on]() -> std::function<void()> { return [go_on, user = identify(*exchange, info)] { go_on(user); }; });
}

ApiResult<User> Handler::identify(ObservedExchange& exchange, const RequestInfo& info) {
  net::Request& request = exchange.request();
  auto user = authenticator_.authenticate(request);
  if (!user) {
    if (auditor_) auditor_->refused(info, request, exchange.audit_id(), user.error().code);
    return user;
  }
  authenticator_.strip(request);
  if (auditor_) {
    bool kept = true;
    exchange.observation().audited(auditor_->begin(*user, info, request, exchange.audit_id(), kept));
    if (!kept) return fail(internal_error("failed to store audit event"));
  }
  user = impersonated(request, std::move(*user));
  audit::Record* record = exchange.observation().record();
  if (user && record && !request.headers.get("impersonate-user").empty()) record->impersonated(*user);
  return user;
}

// Whom a webhook judges takes no seat meanwhile.
void Handler::enter(std::shared_ptr<ObservedExchange> exchange, const User& user, RequestInfo info, Query query, const Post& post) {
  if (!authorizer_.may_wait()) return seat(std::move(exchange), user, std::move(info), std::move(query), post, std::nullopt);
  Attributes attributes = attributes_of(user, info);
  if (auto decision = authorizer_.authorize_at_once(attributes))
    return seat(std::move(exchange), user, std::move(info), std::move(query), post, std::move(decision));
  wait_for(exchange, post, [this, exchange, user, info, query, post, attributes]() -> std::function<void()> {
    return [this, exchange, user, info, query, post, decision = authorizer_.authorize(attributes)] {
      seat(exchange, user, info, query, post, decision);
    };
  });
}

void Handler::seat(std::shared_ptr<ObservedExchange> exchange, const User& user, RequestInfo info, Query query, const Post& post,
                   std::optional<Decision> decision) {
  bool exempt = exchange->observation().long_running() && info.verb != "watch";  // streams to pods take no seat
  Flow flow = exempt ? Flow() : flow_.classify(user, info);
  if (!flow.level) return proceed(std::move(exchange), user, std::move(info), std::move(query), post, std::move(decision));
  exchange->add_header(flow_schema_header, flow.schema_uid);
  exchange->add_header(priority_level_header, flow.level->uid());
  auto make_later = [&]() -> std::function<void(bool)> {
    return [this, exchange, user, info, query, post, decision, level = flow.level](bool turn) {
      if (!turn) return respond_busy(*exchange);
      exchange->observation().take_seat(flow_.levels(), level);
      post([this, exchange, user, info, query, post, decision] { proceed(exchange, user, info, query, post, decision); });
    };
  };
  switch (flow_.enter(flow, std::ref(make_later))) {
    case Levels::Entry::queued: return;
    case Levels::Entry::refused: return respond_busy(*exchange);
    case Levels::Entry::go: break;
  }
  exchange->observation().take_seat(flow_.levels(), flow.level);
  proceed(std::move(exchange), user, std::move(info), std::move(query), post, std::move(decision));
}

void Handler::proceed(std::shared_ptr<ObservedExchange> exchange, const User& user, RequestInfo info, Query query, const Post& post,
                      std::optional<Decision> known) {
  const net::Request& request = exchange->request();
  const Attributes attributes = attributes_of(user, info);
  const Decision decision = known ? std::move(*known) : authorizer_.authorize(attributes);
  const bool unknown = !decision.allowed && !decision.denied && !decision.error.empty();
  if (audit::Record* record = exchange->observation().record()) {
    record->annotate("authorization.k8s.io/decision", decision.allowed ? "allow" : "forbid");
    record->annotate("authorization.k8s.io/reason", unknown ? "internal error" : decision.reason);
  }
  if (unknown) return respond_text(*exchange, 500, fmt::format("Internal Server Error: {}: {}\n", go_quote(request.path), decision.error));
  if (!decision.allowed) return respond_status(*exchange, denied(attributes, decision));
  if (exchange->observation().long_running()) exchange->observation().opened_by(user.name);
  if (Document elsewhere = served_elsewhere(info)) return aggregator_->proxy(user, std::move(elsewhere), std::move(exchange));
  // A path below /apis that is not a resource's may still be discovery.
  if (info.is_resource) return serve_resource(std::move(exchange), user, std::move(info), std::move(query), post);
  if (request.method != "GET" && request.method != "HEAD") {
    bool served = discovery_.answer(request, info.path).has_value();
    return respond_status(*exchange, served ? generic_method_not_allowed() : generic_not_found());
  }
  if (serve_health(*exchange, info, query)) return;
  if (info.path == "/metrics") {
    net::Response response;
    response.headers.set("content-type", metrics::content_type);
    response.body = metrics::expose();
    exchange->may_compress();
    return exchange->respond(std::move(response));
  }
  if (std::string_view(info.path).starts_with("/debug")) {
    auto reply = [exchange](debug::Reply text) {
      net::Response response;
      response.status = text.status;
      response.headers.set("content-type", text.content_type);
      response.headers.set("x-content-type-options", "nosniff");
      response.body = std::move(text.body);
      exchange->may_compress();
      exchange->respond(std::move(response));
    };
    if (debug::serve(registry_.world().executor, info.path, request.query, reply)) return;
  }
  if (auto response = discovery_.answer(request, info.path)) return exchange->respond(std::move(*response));
  if (auto about = registry_.token_issuer() ? registry_.token_issuer()->about(info.path, request.headers.get("host")) : std::nullopt) {
    exchange->may_compress();
    return exchange->respond(
        {200, {{"content-type", about->content_type}, {"cache-control", "public, max-age=3600"}}, std::move(about->body)});
  }
  if (!info.path.starts_with("/api/")) return respond_text(*exchange, 404, "404 page not found\n");
  respond_status(*exchange, generic_not_found());
}

void Handler::serve_resource(std::shared_ptr<ObservedExchange> exchange, const User& user, RequestInfo info, Query query,
                             const std::function<void(std::function<void()>)>& post) {
  net::Request& request = exchange->request();
  exchange->may_compress();
  // What a known group does not hold is a Status; an unknown group is nobody's.
  if (!registry_.catalog().find(info.group, info.version, info.resource)) {
    const auto& all = registry_.catalog().all();
    bool known =
        info.group.empty() || std::any_of(all.begin(), all.end(), [&](const auto& s) { return s->group() == info.group && !s->custom; });
    if (known) return respond_status(*exchange, generic_not_found());
    return respond_text(*exchange, 404, "404 page not found\n");
  }
  auto accepted = negotiate(request.headers.get("accept"), true);
  // A watch of one object by its path is a watch of its collection, for that name.
  RequestInfo target = info;
  bool is_watch = info.verb == "watch" && info.subresource.empty();
  if (is_watch) target.name.clear();
  auto work = begin_work(registry_, user, target, std::move(query));
  if (!work && work.error().code == 404 && info.subresource.empty() &&
      registry_.catalog().find(info.group, info.version, info.resource)->custom)
    return respond_text(*exchange, 404, "404 page not found\n");
  if (!work) return respond_status(*exchange, work.error());
  if (is_watch) work->name = info.name;
  if (connector_.connects(*work)) return serve_connect(std::move(exchange), std::move(*work));
  if (!accepted) return respond_status(*exchange, accepted.error());
  if (accepted->shape == Shape::table) {
    std::string include = work->query.get("includeObject");
    if (!include.empty() && include != "None" && include != "Metadata" && include != "Object")
      return respond_status(*exchange,
                            bad_request(fmt::format(
                                "Unable to convert to Table as requested: includeObject: Invalid value: {}: must be 'Metadata', 'Object', "
                                "'None', or empty",
                                go_quote(include))));
  }
  bool many = info.verb == "list" || is_watch;
  if (usage_ && UsageApi::serves(*work)) return serve_usage(*exchange, *work, *accepted);
  if (is_watch && accepted->format == Format::yaml)
    return respond_status(*exchange, not_acceptable("only the following media types are accepted: " + std::string(streamed_types)));
  if (is_watch && work->served->custom && accepted->format == Format::protobuf && accepted->shape == Shape::object)
    return respond_status(*exchange,
                          not_acceptable("object *unstructured.Unstructured does not implement the protobuf marshalling interface "
                                         "and cannot be encoded to a protobuf message"));
  if (!is_watch && accepted->format == Format::json)
    accepted->pretty = accepted->pretty || wants_pretty(work->query.get("pretty"), request.headers.get("user-agent"));
  if (accepted->shape == Shape::partial_list && !many)
    return respond_status(*exchange,
                          not_acceptable(fmt::format("you requested PartialObjectMetadataList, but the requested object is not a "
                                                     "list ({})",
                                                     go_type_of(*work->served, ""))));
  if (many) {
    auto held = std::make_shared<Work>(std::move(*work));
    return unless_it_waits(exchange, *held, [this, exchange, held, form = *accepted, is_watch, post] {
      if (is_watch) serve_watch(exchange, *held, form, post);
      else serve_list(exchange, *held, form);
    });
  }
  work->user_agent = request.headers.get("user-agent");
  Document body;
  PatchKind kind = PatchKind::strategic;
  std::string_view content_type = request.headers.get("content-type");
  if (has_body(info.verb) || !request.body.empty()) {
    ApiResult<Document> decoded = fail(generic_not_found());
    if (info.verb == "patch") {
      auto patch = patch_kind(content_type);
      if (!patch) return respond_status(*exchange, patch.error());
      kind = *patch;
      decoded = kind == PatchKind::apply ? decode_config(request.body, *work) : decode_body("application/json", request.body);
    } else {
      decoded = decode_body(content_type, request.body, &work->duplicates);
    }
    if (!decoded) return respond_status(*exchange, decoded.error());
    body = std::move(*decoded);
    std::string().swap(request.body);  // the document is what is worked on; a slow write need not hold both
  }
  auto held = std::make_shared<Work>(std::move(*work));
  Accepted form = *accepted;
  unless_it_waits(exchange, *held,
                  [this, exchange, held, form, verb = info.verb, body, kind] { answer_object(*exchange, *held, form, verb, body, kind); });
}

void Handler::serve_watch(std::shared_ptr<ObservedExchange> exchange, Work& work, const Accepted& accepted,
                          std::function<void(std::function<void()>)> post) {
  auto options = read_list_options(*work.served, work.query);
  if (!options) return respond_status(*exchange, options.error());
  options->watch = true;
  auto plan = registry_.watch(work, *options);
  if (!plan) return respond_status(*exchange, plan.error());
  if (work.served->custom && work.served->custom->converts()) {
    if (plan->initial)
      if (auto ok = plan->initial->prefetch(); !ok) return respond_status(*exchange, ok.error());
    // Each event may have to wait for the conversion.
    post = [this, pool = std::move(post)](std::function<void()> task) {
      if (!registry_.waiting_room().post(task)) pool(std::move(task));
    };
  }
  std::string include = work.query.get("includeObject");
  WatchSettings settings{accepted, options->bookmarks, include == "Object", include == "None", options->timeout_seconds, work.warnings};
  start_watch(registry_, *work.served, std::move(*plan), std::move(settings), std::move(exchange), std::move(post));
}

// Reviews ask who somebody is or what he may, and a write may ask what else its user may: to escalate, to approve, and
// whatever an admission policy asks the authorizer.
bool Handler::asks_outside(const Work& work) const {
  if (work.is("authentication.k8s.io", "tokenreviews")) return authenticator_.asks_outside();
  return authorizer_.may_wait() && work.verb != "get" && work.verb != "list" && work.verb != "watch";
}

// Webhooks are waited for where nobody else waits: not on the handlers' threads, and without a seat.
void Handler::unless_it_waits(const std::shared_ptr<ObservedExchange>& exchange, Work& work, std::function<void()> go_on) {
  bool converts = work.served->custom && work.served->custom->converts();
  if (!converts && !asks_outside(work) && !registry_.webhooks().concerns(work)) return go_on();
  exchange->observation().settle();
  if (!registry_.waiting_room().post(std::move(go_on)))
    respond_status(*exchange, too_many_requests("too many requests wait for webhooks, please try again later", 1));
}

void Handler::serve_connect(std::shared_ptr<ObservedExchange> exchange, Work work) {
  auto held = std::make_shared<Work>(std::move(work));
  unless_it_waits(exchange, *held, [this, exchange, held]() mutable {
    auto ok = admit_connect(*held);
    if (audit::Record* record = exchange->observation().record()) record->annotate(held->audit_annotations);
    if (!ok) return respond_status(*exchange, ok.error(), held->warnings);
    connector_.connect(std::move(*held), std::move(exchange));
  });
}

void Handler::answer_object(ObservedExchange& exchange, Work& work, const Accepted& accepted, std::string_view verb, Document body,
                            PatchKind kind) {
  audit::Record* record = exchange.observation().record();
  if (record) record->asked(body);
  if (accepted.shape == Shape::table && find_review(work.served->group(), work.served->plural()))
    return respond_status(
        exchange,
        not_acceptable(
            "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"));
  work.wants_json = accepted.shape == Shape::object && accepted.format == Format::json && !accepted.pretty;
  auto answer = run_object_request(work, verb, std::move(body), kind);
  if (record) record->annotate(work.audit_annotations);
  if (!answer) return respond_status(exchange, answer.error(), work.warnings);
  Value object = answer->object.root();
  bool shaped = accepted.shape != Shape::object && object["kind"].as_string() != "Status";
  if (shaped && accepted.shape == Shape::table) {
    TableOptions options{work.query.get("includeObject") == "Object", work.query.get("includeObject") == "None",
                         registry_.world().clock.now(), accepted.meta_version()};
    Draft table = Draft::object({{"kind", "Table"}, {"apiVersion", accepted.meta_version()}});
    table["metadata"]["resourceVersion"] = object["metadata"]["resourceVersion"];
    table["columnDefinitions"] = table_columns(*work.served);
    table["rows"] = Draft::array({table_row(*work.served, object, options)});
    return respond_object(exchange, accepted, answer->code, table.freeze(), work.warnings);
  }
  if (shaped && accepted.shape == Shape::partial)
    return respond_object(exchange, accepted, answer->code, partial_metadata(object, accepted.meta_version()).freeze(), work.warnings);
  respond_object(exchange, accepted, answer->code, object, work.warnings, std::move(answer->json));
}

Document Handler::served_elsewhere(const RequestInfo& info) const {
  if (!aggregator_) return {};
  std::string_view path = info.path;
  if (path.starts_with("/openapi/v3/apis/")) return aggregator_->registration(path.substr(11));
  if (!path.starts_with("/apis/")) return {};
  // Of the groups that are built in only this one may be another's.
  if (info.is_resource && info.group != UsageApi::group)
    if (const Served* served = registry_.catalog().find(info.group, info.version, info.resource); served && !served->custom) return {};
  return aggregator_->registration(path);
}

void Handler::serve_usage(net::Exchange& exchange, Work& work, const Accepted& accepted) {
  auto answer = usage_->answer(work);
  if (!answer) return respond_status(exchange, answer.error());
  Value object = answer->root();
  if (accepted.shape == Shape::object) return respond_object(exchange, accepted, 200, object);
  const bool list = object["items"].exists(), table = accepted.shape == Shape::table;
  std::string include = work.query.get("includeObject");
  TableOptions options{include == "Object", include == "None", registry_.world().clock.now(), accepted.meta_version()};
  Draft rows = Draft::array();
  auto add = [&](Value one) {
    rows.push_back(table ? table_row(*work.served, one, options) : partial_metadata(one, accepted.meta_version()));
  };
  if (list)
    for (Value one : object["items"].items()) add(one);
  else add(object);
  if (!table && !list) return respond_object(exchange, accepted, 200, rows.items()[0].freeze());
  Draft out = Draft::object(
      {{"kind", table ? "Table" : "PartialObjectMetadataList"}, {"apiVersion", accepted.meta_version()}, {"metadata", Draft::object()}});
  if (table) out["columnDefinitions"] = table_columns(*work.served);
  out[table ? "rows" : "items"] = std::move(rows);
  respond_object(exchange, accepted, 200, out.freeze());
}

void Handler::serve_list(std::shared_ptr<ObservedExchange> exchange, Work& work, const Accepted& accepted) {
  auto options = read_list_options(*work.served, work.query);
  if (!options) return respond_status(*exchange, options.error());
  auto listing = registry_.list(work, *options);
  if (!listing && listing.error().code == 410 && !options->continue_token.empty()) {
    Accepted plain = accepted;
    plain.shape = Shape::object;
    return respond_object(*exchange, plain, 410, expired_continue(listing.error(), options->continue_token).root());
  }
  if (!listing) return respond_status(*exchange, listing.error());
  if (auto ok = listing->prefetch(); !ok) return respond_status(*exchange, ok.error());
  std::string include = work.query.get("includeObject");
  TableOptions table{include == "Object", include == "None", registry_.world().clock.now(), accepted.meta_version()};
  if (accepted.shape == Shape::partial)
    return respond_status(*exchange,
                          not_acceptable(fmt::format("you requested PartialObjectMetadata, but the requested object is a list ({})",
                                                     go_type_of(*work.served, "List"))));
  audit::Record* record = exchange->observation().record();
  const bool direct =
      accepted.format == Format::json || (accepted.format == Format::protobuf && accepted.shape != Shape::table && !work.served->custom);
  if (!direct || (record && record->keeps_answers())) {
    // YAML needs the whole, and so does a trail that keeps what is answered.
    ListWriter writer(std::move(*listing), accepted, table);
    std::string text;
    while (writer.produce(text, SIZE_MAX)) {}
    auto whole = parse_json(text);
    if (!whole) return respond_status(*exchange, internal_error(whole.error().message));
    return respond_object(*exchange, accepted, 200, whole->root(), work.warnings);
  }
  std::function<bool(std::string&, std::size_t)> produce;
  if (accepted.format == Format::protobuf) {
    produce = [writer = std::make_shared<ProtobufListWriter>(std::move(*listing), accepted)](std::string& out, std::size_t limit) {
      return writer->produce(out, limit);
    };
  } else {
    produce = [writer = std::make_shared<ListWriter>(std::move(*listing), accepted, table)](std::string& out, std::size_t limit) {
      return writer->produce(out, limit);
    };
  }
  net::Headers headers{{"content-type", accepted.content_type()}, {"cache-control", "no-cache, private"}};
  add_warnings(headers, work.warnings);
  std::string head;
  if (!produce(head, whole_list_max_bytes)) return exchange->respond({200, std::move(headers), std::move(head)});
  exchange->respond_pulled(200, std::move(headers), [produce = std::move(produce), head = std::move(head)](std::string& out) mutable {
    if (!head.empty()) {
      out = std::move(head);
      head.clear();
      return true;
    }
    return produce(out, list_chunk_bytes);
  });
}

}  // namespace kybern::apiserver
