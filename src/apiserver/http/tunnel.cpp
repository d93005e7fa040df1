#include "apiserver/http/tunnel.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "apiserver/http/gzip.h"
#include "apiserver/http/media.h"
#include "apiserver/http/outbox.h"
#include "apiserver/http/pod_logs.h"
#include "base/strings.h"
#include "document/json.h"
#include "machinery/status.h"
#include "net/websocket_stream.h"

namespace kybern::apiserver {
namespace {

constexpr std::size_t tunnel_bytes_high = 1 << 20, tunnel_bytes_low = 128 << 10;
constexpr std::size_t log_refusal_max_bytes = 50'000;  // of what a kubelet says in place of a log
constexpr auto head_timeout = std::chrono::seconds(30);

void refuse(net::Exchange& exchange, const Status& status) {
  net::Response response;
  response.status = status.code;
  response.headers.set("content-type", "application/json");
  response.body = to_json(status.document().root()) + "\n";
  exchange.respond(std::move(response));
}

// What upstream tells with an error that is none of the API: 500, and no reason.
Status plain_error(std::string message) {
  Status status;
  status.message = std::move(message);
  return status;
}

// The answer of a server that did not switch protocols, out of HttpClient::upgrade()'s words for it:
// "unable to upgrade connection: 500 Internal Server Error: BODY".
std::optional<net::Response> refusal_in(std::string_view why) {
  constexpr std::string_view begin = "unable to upgrade connection: ";
  if (!why.starts_with(begin)) return std::nullopt;
  why.remove_prefix(begin.size());
  auto status = parse_int(why.substr(0, 3));
  if (!status || *status < 200 || *status > 599) return std::nullopt;
  const std::size_t colon = why.find(": ");
  std::string body(colon == std::string_view::npos ? "" : why.substr(colon + 2));
  const char* type = body.starts_with('{') ? "application/json" : "text/plain; charset=utf-8";
  return net::Response{static_cast<int>(*status), {{"content-type", type}}, std::move(body)};
}

constexpr std::string_view v5 = "v5.channel.k8s.io";
constexpr char error_channel = 3;

// Upstream's translator has switched protocols with such a client before it asks the kubelet.
bool hears_errors_on_a_channel(const TunnelTarget& target, const net::Request& request) {
  return target.about == TunnelTarget::About::exec && net::choose_websocket_protocol(request, {std::string(v5)});
}

void tell_on_channel(net::Exchange& exchange, const Status& status) {
  auto answer = net::accept_websocket(exchange.request(), v5);
  std::shared_ptr<net::RawStream> raw = answer ? exchange.upgrade(std::move(*answer)) : nullptr;
  if (!raw) return refuse(exchange, bad_request("Upgrade request required"));
  auto socket = net::WebSocket::start(
      raw, {}, [](net::WebSocketMessage) {}, [](std::uint16_t, const std::string&) {});
  socket->send(net::WebSocketOpcode::binary, error_channel + to_json(status.document().root()));
  socket->close(net::websocket_normal);
}

// A reader that takes nothing for long is waited for, not buffered for.
class Room {
 public:
  // False when the peer is gone.
  bool wait(net::BodyStream& stream, const std::atomic<bool>& closed) {
    if (stream.queued_bytes() <= tunnel_bytes_high) return !closed;
    auto state = state_;
    {
      std::lock_guard lock(state->mutex);
      state->drained = false;
    }
    stream.on_drained(tunnel_bytes_low, [state] {
      std::lock_guard lock(state->mutex);
      state->drained = true;
      state->changed.notify_all();
    });
    std::unique_lock lock(state->mutex);
    while (!state->drained && !closed) state->changed.wait_for(lock, std::chrono::milliseconds(500));
    return !closed;
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    bool drained = false;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

void refuse_unreachable(net::Exchange& exchange, const TunnelTarget& target, const std::string& begin, const std::string& what,
                        const std::string& why) {
  if (!target.plain_refusals) {
    const bool told = why.starts_with("dial ");  // whom
    return refuse(exchange, service_unavailable(told ? fmt::format("{}: {}", begin, why) : fmt::format("{}: {}: {}", begin, what, why)));
  }
  exchange.respond(
      {503, {{"content-type", "text/plain; charset=utf-8"}, {"x-content-type-options", "nosniff"}}, fmt::format("{}: {}\n", begin, why)});
}

template <class Source>
void pump(Source& from, const std::shared_ptr<net::BodyStream>& to, const std::shared_ptr<std::atomic<bool>>& closed) {
  Room room;
  while (room.wait(*to, *closed)) {
    auto bytes = from.read();
    if (!bytes || bytes->empty() || !to->write(std::move(*bytes))) break;
  }
  to->finish();
}

// A page whose links are changed as it passes; one that came compressed leaves so.
struct Page {
  HtmlLinks links;
  std::unique_ptr<Gunzip> unpacked;
  std::unique_ptr<Gzip> packed;

  // False when the bytes are not what was said of them, or `write` says false.
  bool pass(std::string_view bytes, bool last, const std::function<bool(std::string)>& write) {
    auto feed = [&](std::string_view html, bool end) {
      std::string text, out;
      links.feed(html, end, text);
      if (packed) packed->add(text, end, out);
      else out = std::move(text);
      return out.empty() || write(std::move(out));
    };
    if (unpacked && !unpacked->add(bytes, [&](std::string_view html) { return feed(html, false); })) return false;
    return unpacked && !last ? true : feed(unpacked ? std::string_view() : bytes, last);
  }
};

void pump_page(net::ClientStream& from, const std::shared_ptr<net::BodyStream>& to, const std::shared_ptr<std::atomic<bool>>& closed,
               Page& page) {
  Room room;
  // What is compressed may become far more than it was.
  auto write = [&](std::string out) { return room.wait(*to, *closed) && to->write(std::move(out)); };
  while (room.wait(*to, *closed)) {
    auto bytes = from.read();
    if (!bytes || !page.pass(*bytes, bytes->empty(), write)) return to->abort();  // broken off, and so is the page
    if (bytes->empty()) break;
  }
  to->finish();
}

// A redirect leads back through the proxy; so do the links of a page, unless it is compressed in a way unknown here. What it
// says of CORS was said for another origin.
std::optional<Page> rewrite_answer(const ProxyLinks& links, net::Headers& headers) {
  for (std::string_view cors :
       {"access-control-allow-credentials", "access-control-allow-headers", "access-control-allow-methods", "access-control-allow-origin"})
    headers.erase(cors);
  if (std::string location(headers.get("location")); !location.empty()) {
    headers.set("location", links.rewritten(location));
    return std::nullopt;
  }
  std::string_view type = headers.get("content-type");
  if (trim(type.substr(0, type.find(';'))) != "text/html") return std::nullopt;
  std::string_view encoding = headers.get("content-encoding");
  if (encoding.empty()) return Page{HtmlLinks(links), nullptr, nullptr};
  if (encoding != "gzip" && encoding != "deflate") return std::nullopt;
  const Packing packing = encoding == "gzip" ? Packing::gzip : Packing::deflate;
  return Page{HtmlLinks(links), std::make_unique<Gunzip>(packing), std::make_unique<Gzip>(packing)};
}

void run_upgrade(net::HttpClient& client, TunnelTarget& target, const std::string& what, net::Exchange& exchange) {
  const std::string url = target.options.url + target.request.target;
  auto opened = client.upgrade(std::move(target.request));
  if (!opened) {
    const std::string& why = opened.error().message;
    auto refusal = refusal_in(why);
    if (hears_errors_on_a_channel(target, exchange.request()))
      return tell_on_channel(exchange, internal_error(refusal ? fmt::format("unable to upgrade connection: {}", trim(refusal->body))
                                                              : fmt::format("error sending request: Post {}: {}", go_quote(url), why)));
    if (!refusal && target.plain_refusals) return refuse_unreachable(exchange, target, "error dialing backend", what, why);
    return refuse_upgrade(exchange, why, what);
  }
  std::shared_ptr<net::DuplexStream> far(std::move(*opened));
  net::Headers headers;
  for (const auto& [name, value] : far->headers().fields())
    if (name != "content-length" && name != "transfer-encoding" && name != "date") headers.add(name, value);
  std::shared_ptr<net::RawStream> near = exchange.upgrade(std::move(headers));
  if (!near) {
    far->close();
    return refuse(exchange, bad_request("Upgrade request required"));
  }
  auto closed = std::make_shared<std::atomic<bool>>(false);
  auto outbox = std::make_shared<Outbox>(
      [far](const std::string& bytes) {
        const bool sent = far->write(bytes).has_value();
        if (!sent) far->close();
        return sent;
      },
      [from = std::weak_ptr<net::RawStream>(near)](bool paused) {
        if (auto stream = from.lock()) stream->pause_reading(paused);
      });
  near->on_close([far, closed, outbox] {
    outbox->drain(Outbox::last_limit);
    *closed = true;
    far->close();
  });
  near->on_data([outbox](std::string_view bytes) { outbox->put(std::string(bytes)); });
  pump(*far, near, closed);
  outbox->end();
  far->close();
}

void run_plain(net::HttpClient& client, TunnelTarget& target, const std::string& what, net::Exchange& exchange) {
  const bool log = target.about == TunnelTarget::About::log;
  const std::string url = target.options.url + target.request.target;
  auto opened = client.stream(std::move(target.request));
  if (!opened && log) return refuse(exchange, plain_error(fmt::format("Get {}: {}", go_quote(url), opened.error().message)));
  if (!opened) return refuse_unreachable(exchange, target, "error trying to reach service", what, opened.error().message);
  std::shared_ptr<net::ClientStream> far(std::move(*opened));
  if (log && (far->status() < 200 || far->status() > 206)) {
    std::string text;
    while (text.size() < log_refusal_max_bytes) {
      auto bytes = far->read();
      if (!bytes || bytes->empty()) break;
      text += *bytes;
    }
    text.resize(std::min(text.size(), log_refusal_max_bytes));
    return refuse(exchange, log_refusal(far->status(), std::move(text), target.pod));
  }
  net::Headers headers;
  for (const auto& [name, value] : far->headers().fields())
    if (name != "connection" && name != "transfer-encoding" && name != "keep-alive" && name != "content-length" && name != "date")
      headers.add(name, value);
  std::optional<Page> page;
  if (target.links) page = rewrite_answer(*target.links, headers);
  std::shared_ptr<net::BodyStream> near = exchange.respond_stream(far->status(), std::move(headers));
  auto closed = std::make_shared<std::atomic<bool>>(false);
  near->on_close([far, closed] {
    *closed = true;
    far->close();
  });
  if (page) pump_page(*far, near, closed, *page);
  else pump(*far, near, closed);
  far->close();
}

}  // namespace

void refuse_upgrade(net::Exchange& exchange, const std::string& why, const std::string& what) {
  if (auto refusal = refusal_in(why)) return exchange.respond(std::move(*refusal));
  const bool told = why.starts_with("dial ") || what.empty();  // whom
  refuse(exchange, plain_error(told ? "error dialing backend: " + why : fmt::format("error dialing backend: {}: {}", what, why)));
}

bool is_upgrade(const net::Request& request) {
  for (std::string_view token : split(request.headers.get("connection"), ','))
    if (equals_ignore_case(trim(token), "upgrade")) return request.headers.find("upgrade").has_value();
  return false;
}

net::Headers forwarded_headers(const net::Headers& headers, bool upgrade) {
  net::Headers out;
  for (const auto& [name, value] : headers.fields()) {
    if (name == "authorization" || name == "host" || name == "content-length" || name == "transfer-encoding" || name == "keep-alive" ||
        name == "te" || name == "trailer" || name == "proxy-authorization" || name.starts_with("impersonate-"))
      continue;
    if ((name == "connection" || name == "upgrade") && !upgrade) continue;
    if (name == "sec-websocket-protocol") {
      // A token that came as a sub-protocol stays here.
      std::string kept;
      for (std::string_view offered : split(value, ',')) {
        if (trim(offered).starts_with("base64url.bearer.authorization.k8s.io.")) continue;
        kept += (kept.empty() ? "" : ", ") + std::string(trim(offered));
      }
      out.add(name, kept);
      continue;
    }
    out.add(name, value);
  }
  return out;
}

void tunnel(TunnelTarget target, std::string what, std::shared_ptr<net::Exchange> exchange) {
  bool upgrade = is_upgrade(exchange->request());
  target.request.timeout = head_timeout;
  target.options.max_idle_connections = 0;
  std::thread([target = std::move(target), what = std::move(what), exchange = std::move(exchange), upgrade]() mutable {
    auto client = net::HttpClient::make(target.options);
    if (!client) return refuse(*exchange, internal_error(client.error().message));
    if (upgrade) run_upgrade(**client, target, what, *exchange);
    else run_plain(**client, target, what, *exchange);
  }).detach();
}

}  // namespace kybern::apiserver
