// The end of the road, for what is a resource: its body is read, the registry asked, and the answer put into the form that the
// client takes.
#include <fmt/format.h>

#include <algorithm>

#include "apiserver/admission/admission.h"
#include "apiserver/admission/webhooks.h"
#include "apiserver/custom/custom.h"
#include "apiserver/flow/width.h"
#include "apiserver/hooks/waiting_room.h"
#include "apiserver/http/answers.h"
#include "apiserver/http/connect.h"
#include "apiserver/http/handler.h"
#include "apiserver/http/list_writer.h"
#include "apiserver/http/watch_stream.h"
#include "apiserver/registry/continue.h"
#include "apiserver/usage/usage_api.h"
#include "base/strings.h"
#include "document/json.h"
#include "document/yaml.h"

namespace kybern::apiserver {
namespace {

constexpr std::size_t whole_list_max_bytes = 256 << 10;  // a list within this is sent at once, with its length

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
  bool replaced = false;  // which JSON takes, and YAML does not
  if (begin.starts_with('{'))
    if (auto document = parse_json(body, {.duplicates = &work.duplicates, .replaced = &replaced});
        document && work.duplicates.empty() && !replaced)
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

// Schemas of flows are shown in the order in which requests are matched with them.
bool comes_first(Value a, Value b) {
  std::int64_t ours = a["spec"]["matchingPrecedence"].as_int(), others = b["spec"]["matchingPrecedence"].as_int();
  return ours != others ? ours < others : a["metadata"]["name"].as_string() < b["metadata"]["name"].as_string();
}

// What upstream calls the type of an object: *core.PodList.
std::string go_type_of(const Served& served, std::string_view suffix) {
  if (served.custom) return fmt::format("*unstructured.Unstructured{}", suffix);
  std::string_view group = served.group();
  std::string_view package = group.empty() || group == "events.k8s.io" ? "core" : group.substr(0, group.find('.'));
  return fmt::format("*{}.{}{}", package, served.kind(), suffix);
}

}  // namespace

void Handler::serve_resource(std::shared_ptr<ObservedExchange> exchange, const User& user, RequestInfo info, Query query,
                             const std::function<void(std::function<void()>)>& post) {
  net::Request& request = exchange->request();
  exchange->may_compress();
  // What a known group does not hold is a Status; an unknown group is nobody's.
  const ServedRef served = registry_.catalog().find(info.group, info.version, info.resource);
  if (!served) {
    const auto group = registry_.catalog().of_group(info.group);
    bool known = info.group.empty() || std::any_of(group.begin(), group.end(), [](const auto& s) { return !s->custom; });
    if (known) return respond_status(*exchange, generic_not_found());
    return respond_text(*exchange, 404, "404 page not found\n");
  }
  auto accepted = negotiate(request.headers.get("accept"), true);
  // A watch of one object by its path is a watch of its collection, for that name.
  RequestInfo target = info;
  bool is_watch = info.verb == "watch" && info.subresource.empty();
  if (is_watch) target.name.clear();
  auto work = begin_work(registry_, user, target, std::move(query));
  if (!work && work.error().code == 404 && info.subresource.empty() && served->custom)
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
  // A version that is to come is waited for by clients, who take an event's word for it.
  if (!plan && plan.error().code == 504) {
    WatchSettings settings{accepted, false, false, false, 0, work.warnings};
    return start_watch(registry_, work.served, {}, std::move(settings), std::move(exchange), std::move(post), &plan.error());
  }
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
  if (!hears_of_few(work.served->group(), work.served->plural(), options->fields))
    settings.counted = flow_.count_watch(work.served->prefix);
  start_watch(registry_, work.served, std::move(*plan), std::move(settings), std::move(exchange), std::move(post));
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
    const bool scale = object["kind"].as_string() == "Scale" && object["apiVersion"].as_string() == "autoscaling/v1";
    table["columnDefinitions"] = scale ? scale_columns(*work.served) : table_columns(*work.served);
    table["rows"] = Draft::array({scale ? scale_row(object, options) : table_row(*work.served, object, options)});
    return respond_object(exchange, accepted, answer->code, table.freeze(), work.warnings);
  }
  if (shaped && accepted.shape == Shape::partial)
    return respond_object(exchange, accepted, answer->code, partial_metadata(object, accepted.meta_version()).freeze(), work.warnings);
  respond_object(exchange, accepted, answer->code, object, work.warnings, std::move(answer->json));
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
  if (accepted.shape == Shape::table && work.is("flowcontrol.apiserver.k8s.io", "flowschemas")) listing->sort(comes_first);
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
