#include "apiserver/http/quick_reads.h"

#include <array>
#include <functional>

#include "apiserver/http/gzip.h"
#include "apiserver/http/media.h"
#include "apiserver/http/observed.h"
#include "apiserver/usage/usage_api.h"
#include "machinery/validate/warnings.h"

namespace kybern::apiserver {
namespace {

// What the headers say that matters to a read. `unusual`: they say something that changes its course.
struct ReadHeaders {
  std::string_view accept, authorization, audit_id;
  bool unusual = false;
};

ReadHeaders look_at(const net::Headers& headers) {
  ReadHeaders out;
  auto first = [](std::string_view& place, std::string_view value) {
    if (place.empty()) place = value;
  };
  for (const auto& [name, value] : headers.fields()) {
    if (name == "accept") first(out.accept, value);
    else if (name == "authorization") first(out.authorization, value);
    else if (name == audit_id_header) first(out.audit_id, value);
    else if (name == "user-agent") out.unusual = out.unusual || wants_pretty("", value);
    else if (name == "upgrade" || name == "sec-websocket-protocol" || name.starts_with("impersonate-")) out.unusual = true;
  }
  return out;
}

bool same_user(const User& a, const User& b) { return a.name == b.name && a.uid == b.uid && a.groups == b.groups && a.extra == b.extra; }

struct Sitting {
  Levels& levels;
  Seat seat;
  ~Sitting() {
    if (seat) levels.leave(seat);
  }
};

}  // namespace

std::optional<ObjectPath> read_object_path(const Catalog& catalog, std::string_view path) {
  std::array<std::string_view, 7> parts;
  std::size_t count = 0;
  if (path.find('%') != std::string_view::npos) return std::nullopt;
  for (std::string_view rest = path; !rest.empty();) {
    if (rest[0] != '/' || count == parts.size()) return std::nullopt;
    rest.remove_prefix(1);
    std::string_view part = rest.substr(0, rest.find('/'));
    if (part.empty()) return std::nullopt;
    parts[count++] = part;
    rest.remove_prefix(part.size());
  }
  if (count < 4 || (parts[0] != "api" && parts[0] != "apis")) return std::nullopt;
  std::size_t at = parts[0] == "api" ? 1 : 2;
  std::string_view group = at == 2 ? parts[1] : std::string_view(), version = parts[at++];
  std::string_view ns;
  if (count == at + 4 && parts[at] == "namespaces") ns = parts[at + 1], at += 2;
  if (count != at + 2 || parts[at] == "watch") return std::nullopt;
  const ServedRef served = catalog.find(group, version, parts[at]);
  if (!served || served->custom) return std::nullopt;
  return ObjectPath{served.get(), ns, parts[at + 1]};
}

struct QuickReads::Reader {
  // Known by:
  const Served* served;
  std::string accept;
  std::string common_name, peer_uid;  // of a client's certificate
  std::vector<std::string> organizations;
  bool by_certificate = false;
  // Found out:
  Attributes attributes;  // the name is that of the last object
  Flow flow;
  RequestSeries* series = nullptr;
};

QuickReads::QuickReads(Registry& registry, const Authenticator& authenticator, const Authorizer& authorizer, FlowControl& flow)
    : registry_(registry), authenticator_(authenticator), authorizer_(authorizer), flow_(flow), readers_(places) {}
QuickReads::~QuickReads() = default;

// Null when such a read is not for this road.
std::unique_ptr<QuickReads::Reader> QuickReads::make_reader(const net::Request& request, const ObjectPath& path, std::string_view accept) {
  const Served& served = *path.served;
  // A namespace is its own namespace; what is used is asked of the nodes; other versions are made anew from the stored one.
  bool plain = served.namespaced() == !path.ns.empty() && (served.resource->verbs & schema::verb_get) && !served.from_stored &&
               !served.to_stored && served.group() != UsageApi::group && !(served.plural() == "namespaces" && served.group().empty()) &&
               deprecation_warning(*served.resource).empty();
  if (!plain) return nullptr;
  auto accepted = negotiate(accept, true);
  if (!accepted || accepted->shape != Shape::object || accepted->format != Format::json || accepted->pretty) return nullptr;
  auto user = authenticator_.authenticate(request);
  if (!user) return nullptr;
  RequestInfo info = read_request_info(request.method, request.path, Query(request.query));
  auto reader = std::make_unique<Reader>();
  reader->served = path.served;
  reader->accept = accept;
  if (request.peer && !request.headers.find("authorization")) {
    reader->by_certificate = true;
    reader->common_name = request.peer->common_name;
    reader->peer_uid = request.peer->uid;
    reader->organizations = request.peer->organizations;
  }
  reader->flow = flow_.classify(*user, info);
  reader->series = &series_of(info);
  reader->attributes = attributes_of(*user, info);
  return reader;
}

QuickReads::Reader* QuickReads::find_reader(const net::Request& request, const ObjectPath& path, std::string_view accept) {
  const bool by_token = request.headers.find("authorization").has_value();
  std::string_view known_by = by_token || !request.peer ? std::string_view() : std::string_view(request.peer->common_name);
  std::hash<std::string_view> hash;
  std::size_t place = hash(known_by) * 31 + hash(path.ns) * 7 + reinterpret_cast<std::uintptr_t>(path.served) / sizeof(Served);
  std::unique_ptr<Reader>& reader = readers_[place % places];
  auto same = [&] {
    if (!reader || reader->served != path.served || reader->attributes.ns != path.ns || reader->accept != accept) return false;
    if (!flow_.holds(reader->flow)) return false;
    if (!by_token && request.peer)
      return reader->by_certificate && reader->common_name == request.peer->common_name && reader->peer_uid == request.peer->uid &&
             reader->organizations == request.peer->organizations;
    auto user = authenticator_.authenticate(request);
    return user && same_user(*user, reader->attributes.user);
  };
  if (!same()) reader = make_reader(request, path, accept);
  return reader.get();
}

bool QuickReads::answer(net::Exchange& exchange, const ObjectPath& path) {
  const net::Request& request = exchange.request();
  World world = registry_.world();
  Instant begun = world.clock.steady();
  ReadHeaders headers = look_at(request.headers);
  if (headers.unusual) return false;
  auto entry = registry_.store().snapshot().get(path.served->key(path.ns, path.name));
  if (!entry || entry->value.memory() > HotTexts::max_text_bytes) return false;
  Reader* reader = find_reader(request, path, headers.accept);
  if (!reader) return false;
  reader->attributes.name = path.name;
  if (!authorizer_.authorize(reader->attributes).allowed) return false;
  net::Response response;
  response.body = texts_.of(entry);
  response.body += '\n';
  if (response.body.size() > gzip_min_bytes) return false;
  Sitting sitting{*flow_.levels(), {}};
  if (reader->flow.seat) {
    if (!flow_.enter_now(reader->flow)) return false;
    sitting.seat = reader->flow.seat;
  }
  response.headers.add("content-type", "application/json");
  response.headers.add("cache-control", "no-cache, private");
  response.headers.add(audit_id_header, headers.audit_id.empty() ? new_uuid(world.random) : std::string(headers.audit_id));
  if (reader->flow.seat) {
    response.headers.add(flow_schema_header, reader->flow.schema_uid);
    response.headers.add(priority_level_header, reader->flow.seat.level->uid());
  }
  const std::size_t bytes = response.body.size();
  exchange.respond(std::move(response));
  count_answer(*reader->series, 200, world.clock.steady() - begun, bytes);
  return true;
}

}  // namespace kybern::apiserver
