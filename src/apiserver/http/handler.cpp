#include "apiserver/http/handler.h"

#include <fmt/format.h>

#include "apiserver/aggregation/aggregator.h"
#include "apiserver/hooks/waiting_room.h"
#include "apiserver/http/answers.h"
#include "apiserver/http/connect.h"
#include "apiserver/tokens.h"
#include "apiserver/usage/usage_api.h"
#include "base/debug.h"
#include "base/strings.h"
#include "schema/convert.h"

namespace kybern::apiserver {
namespace {

constexpr std::size_t at_once_max_bytes = 64 << 10;  // of an object that is read
// Requests that are worked on at once, those of exempt levels not counted: less than the server has threads, so that a
// full level leaves threads to the others.
constexpr std::size_t most_seats = 120;

}  // namespace

Handler::Handler(Registry& registry, Authenticator& authenticator, Authorizer& authorizer, Discovery& discovery, Connector& connector,
                 std::size_t max_requests)
    : registry_(registry),
      authenticator_(authenticator),
      authorizer_(authorizer),
      impersonation_(authorizer),
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
  TokenFindings findings;
  auto user = authenticator_.authenticate(request, &findings);
  net::Headers warnings;
  add_warnings(warnings, findings.warnings);
  for (const auto& [name, text] : warnings.fields()) exchange.add_header("warning", text);
  if (!user) {
    if (auditor_) auditor_->refused(info, request, exchange.audit_id(), user.error().code, findings.annotations);
    return user;
  }
  authenticator_.strip(request);
  if (auditor_) {
    bool kept = true;
    exchange.observation().audited(auditor_->begin(*user, info, request, exchange.audit_id(), kept, findings.annotations));
    if (!kept) return fail(internal_error("failed to store audit event"));
  }
  auto as = impersonation_.resolve(request, std::move(*user), info);
  if (!as) return fail(std::move(as.error()));
  if (audit::Record* record = exchange.observation().record(); record && as->another) record->impersonated(as->user, as->constraint);
  return std::move(as->user);
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
  if (!flow.seat) return proceed(std::move(exchange), user, std::move(info), std::move(query), post, std::move(decision));
  exchange->add_header(flow_schema_header, flow.schema_uid);
  exchange->add_header(priority_level_header, flow.seat.level->uid());
  flow_.measure(flow, info, query);
  auto make_later = [&]() -> FlowControl::Later {
    return [this, exchange, user, info, query, post, decision, flow](std::optional<Seat> seat) {
      if (!seat) return respond_busy(*exchange, flow_.retry_after(flow));
      exchange->observation().take_seat(flow_.levels(), std::move(*seat));
      post([this, exchange, user, info, query, post, decision] {
        if (!exchange->canceled()) proceed(exchange, user, info, query, post, decision);  // else nobody waits any more
      });
    };
  };
  switch (flow_.enter(flow, {user, info}, std::ref(make_later))) {
    case Levels::Entry::queued: return;
    case Levels::Entry::refused: return respond_busy(*exchange, flow_.retry_after(flow));
    case Levels::Entry::go: break;
  }
  exchange->observation().take_seat(flow_.levels(), std::move(flow.seat));
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
    if (auto dump = flow_dump(*flow_.levels(), info.path, query)) return respond_text(*exchange, 200, std::move(*dump));
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

Document Handler::served_elsewhere(const RequestInfo& info) const {
  if (!aggregator_) return {};
  std::string_view path = info.path;
  if (path.starts_with("/openapi/v3/apis/")) return aggregator_->registration(path.substr(11));
  if (!path.starts_with("/apis/")) return {};
  // Of the groups that are built in only this one may be another's.
  if (info.is_resource && info.group != UsageApi::group)
    if (const ServedRef served = registry_.catalog().find(info.group, info.version, info.resource); served && !served->custom) return {};
  return aggregator_->registration(path);
}

}  // namespace kybern::apiserver
