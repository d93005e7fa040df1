#include "apiserver/http/spdy_bridge.h"

#include <array>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "apiserver/http/outbox.h"
#include "base/log.h"
#include "base/strings.h"
#include "net/spdy_session.h"
#include "net/websocket_stream.h"

namespace kybern::apiserver {
namespace {

using net::SpdyStream;
using net::WebSocketOpcode;

constexpr std::string_view tunnelled_port_forward = "SPDY/3.1+portforward.k8s.io";
constexpr std::array<std::string_view, 5> channel_names = {"stdin", "stdout", "stderr", "error", "resize"};  // by number of the channel
constexpr std::size_t bridge_bytes_high = 1 << 20;
constexpr unsigned char close_channel = 255;  // v5: the next byte names the channel that its sender has finished

struct Far {  // a WebSocket to the kubelet, with the client that it lives on
  std::unique_ptr<net::HttpClient> http;
  std::unique_ptr<net::WebSocketClient> socket;
};

std::shared_ptr<Outbox> outbox_to(const std::shared_ptr<Far>& far, const std::shared_ptr<SpdyStream>& from) {
  return std::make_shared<Outbox>(
      [far](const std::string& message) { return far->socket->write(WebSocketOpcode::binary, message).has_value(); },
      [weak = std::weak_ptr(from)](bool paused) {
        if (auto stream = weak.lock()) stream->pause_reading(paused);
      });
}
const std::string stdin_ends("\xff\0", 2);  // v5: channel 0 is finished

Result<std::shared_ptr<Far>> dial(const TunnelTarget& target, const std::string& more_query, const std::vector<std::string>& protocols) {
  auto far = std::make_shared<Far>();
  auto http = net::HttpClient::make(target.options);
  if (!http) return std::unexpected(http.error());
  far->http = std::move(*http);
  net::ClientRequest request;
  request.method = "GET";
  request.target = target.request.target;
  if (!more_query.empty()) request.target += (request.target.find('?') == std::string::npos ? "?" : "&") + more_query;
  request.timeout = std::chrono::seconds(30);
  auto socket = net::WebSocketClient::connect(*far->http, std::move(request), protocols, {.max_message_bytes = 4 << 20});
  if (!socket) return std::unexpected(socket.error());
  far->socket = std::move(*socket);
  return far;
}

std::string channel_message(std::size_t channel, std::string_view bytes) {
  std::string out(1, static_cast<char>(channel));
  out += bytes;
  return out;
}

// Waits while the client has much to take. False when it is gone.
bool wait_for_room(const std::shared_ptr<net::SpdySession>& session, const std::shared_ptr<std::atomic<bool>>& closed) {
  if (session->queued_bytes() < bridge_bytes_high) return !*closed;
  struct Waiting {
    std::mutex mutex;
    std::condition_variable changed;
    bool writable = false;
  };
  auto waiting = std::make_shared<Waiting>();
  session->on_writable([waiting] {
    std::lock_guard lock(waiting->mutex);
    waiting->writable = true;
    waiting->changed.notify_all();
  });
  std::unique_lock lock(waiting->mutex);
  while (!waiting->writable && !*closed) waiting->changed.wait_for(lock, std::chrono::milliseconds(500));
  return !*closed;
}

// --- exec and attach: five named streams on one WebSocket

class ExecBridge : public std::enable_shared_from_this<ExecBridge> {
 public:
  explicit ExecBridge(std::shared_ptr<Far> far) : far_(std::move(far)) {}

  bool take(const std::shared_ptr<SpdyStream>& stream) {
    std::string_view type = stream->headers().get("streamtype");
    for (std::size_t channel = 0; channel < channel_names.size(); ++channel) {
      if (channel_names[channel] != type) continue;
      {
        std::lock_guard lock(mutex_);
        streams_[channel] = stream;
        arrived_.notify_all();
      }
      auto self = shared_from_this();
      if (channel == 0 || channel == 4) {
        auto outbox = outbox_to(far_, stream);
        if (channel == 0) {
          std::lock_guard lock(mutex_);
          input_ = outbox;
        }
        stream->on_data([outbox, channel](std::string_view bytes) { outbox->put(channel_message(channel, bytes)); });
        if (channel == 0)
          stream->on_end([self, outbox] {
            if (self->far_->socket->protocol() == "v5.channel.k8s.io") outbox->put(stdin_ends);
          });
      }
      return true;
    }
    return false;
  }

  void closed() {
    std::shared_ptr<Outbox> input;
    {
      std::lock_guard lock(mutex_);
      input = input_;
    }
    if (input) input->drain(Outbox::last_limit);
    *closed_ = true;
    arrived_.notify_all();
    far_->socket->close();
  }

  void run(const std::shared_ptr<net::SpdySession>& session) {
    while (wait_for_room(session, closed_)) {
      auto message = far_->socket->read();
      if (!message || message->opcode == WebSocketOpcode::close) break;
      if (message->payload.empty()) continue;
      auto channel = static_cast<unsigned char>(message->payload[0]);
      std::string_view bytes = std::string_view(message->payload).substr(1);
      if (channel == close_channel) {
        if (!bytes.empty())
          if (auto stream = find(static_cast<unsigned char>(bytes[0]))) stream->finish();
        continue;
      }
      if (bytes.empty()) continue;
      if (auto stream = find(channel)) stream->write(bytes);
    }
    std::array<std::shared_ptr<SpdyStream>, 5> streams;
    {
      std::lock_guard lock(mutex_);
      streams = streams_;
    }
    for (auto& stream : streams)
      if (stream) stream->finish();
    session->close();
    far_->socket->close();
  }

 private:
  // A stream that the client is about to open is waited for: the kubelet may be quicker.
  std::shared_ptr<SpdyStream> find(std::size_t channel) {
    if (channel >= channel_names.size()) return nullptr;
    std::unique_lock lock(mutex_);
    arrived_.wait_for(lock, std::chrono::seconds(10), [&] { return streams_[channel] || *closed_; });
    return streams_[channel];
  }

  std::shared_ptr<Far> far_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::array<std::shared_ptr<SpdyStream>, 5> streams_;
  std::shared_ptr<Outbox> input_;
  std::shared_ptr<std::atomic<bool>> closed_ = std::make_shared<std::atomic<bool>>(false);
};

// --- port-forward: pairs of streams (error, data) by request id, each pair a WebSocket of its own

class PortForwardBridge : public std::enable_shared_from_this<PortForwardBridge> {
 public:
  explicit PortForwardBridge(TunnelTarget target) : target_(std::move(target)) {}
  void attach(const std::shared_ptr<net::SpdySession>& session) {
    session_ = session;
    attached_.set_value();
  }
  void closed() { *closed_ = true; }

  bool take(const std::shared_ptr<SpdyStream>& stream) {
    std::string id(stream->headers().get("requestid")), port(stream->headers().get("port"));
    std::string_view type = stream->headers().get("streamtype");
    auto number = parse_int(port);
    if (!number || *number < 1 || *number > 65535 || (type != "data" && type != "error")) return false;
    Pair pair;
    {
      std::lock_guard lock(mutex_);
      Pair& waiting = pairs_[id];
      (type == "data" ? waiting.data : waiting.error) = stream;
      if (!waiting.data || !waiting.error) return true;
      pair = waiting;
      pairs_.erase(id);
    }
    std::thread([self = shared_from_this(), pair, port] { self->run(pair, port); }).detach();
    return true;
  }

 private:
  struct Pair {
    std::shared_ptr<SpdyStream> data, error;
  };

  void run(const Pair& pair, const std::string& port) {
    // v5 is ours alone here: either side can say that it has no more to send.
    auto far = dial(target_, "port=" + port, {"v5.channel.k8s.io", "v4.channel.k8s.io", "portforward.k8s.io"});
    attached_future_.wait();  // the first stream may be quicker than the one who made the session
    auto session = session_.lock();
    if (!far || !session) {
      if (!far) pair.error->write("error forwarding port " + port + ": " + far.error().message);
      pair.error->finish();
      pair.data->reset();
      return;
    }
    std::shared_ptr<Far> held = *far;
    auto outbox = outbox_to(held, pair.data);
    pair.data->on_data([outbox](std::string_view bytes) { outbox->put(channel_message(0, bytes)); });
    if (held->socket->protocol() == "v5.channel.k8s.io") pair.data->on_end([outbox] { outbox->put(stdin_ends); });
    // A client resets the data when it has come to its end, and waits for the error's end then.
    auto data_ended = std::make_shared<std::atomic<bool>>(false);
    pair.data->on_gone([held, data_ended, outbox] {
      if (*data_ended) return;
      outbox->drain(Outbox::last_limit);
      held->socket->close();
    });
    bool begun[2] = {false, false};  // the first message of a channel says its port
    while (wait_for_room(session, closed_)) {
      auto message = held->socket->read();
      if (!message || message->opcode == WebSocketOpcode::close) break;
      if (message->payload.empty()) continue;
      auto channel = static_cast<unsigned char>(message->payload[0]);
      std::string_view bytes = std::string_view(message->payload).substr(1);
      if (channel == close_channel && bytes.size() == 1 && (bytes[0] == 0 || bytes[0] == 1)) {
        if (bytes[0] == 0) *data_ended = true;
        (bytes[0] == 0 ? pair.data : pair.error)->finish();
      }
      if (channel > 1) continue;
      if (!begun[channel]) {
        begun[channel] = true;
        bytes.remove_prefix(std::min<std::size_t>(2, bytes.size()));
      }
      if (!bytes.empty()) (channel == 0 ? pair.data : pair.error)->write(bytes);
    }
    pair.data->finish();
    pair.error->finish();
    held->socket->close();
  }

  TunnelTarget target_;
  std::weak_ptr<net::SpdySession> session_;
  std::promise<void> attached_;
  std::shared_future<void> attached_future_{attached_.get_future()};
  std::mutex mutex_;
  std::map<std::string, Pair> pairs_;
  std::shared_ptr<std::atomic<bool>> closed_ = std::make_shared<std::atomic<bool>>(false);
};

// The session inside a WebSocket: its bytes are the binary messages.
std::shared_ptr<net::SpdySession> serve_tunnelled(net::Exchange& exchange, net::SpdySession::OnStream on_stream,
                                                  std::function<void()> on_close) {
  auto answer = net::accept_websocket(exchange.request(), tunnelled_port_forward);
  if (!answer) return nullptr;
  auto raw = exchange.upgrade(*answer);
  if (!raw) return nullptr;
  struct Ends {
    std::shared_ptr<net::WebSocket> socket;
    std::shared_ptr<net::SpdySession> session;
    std::mutex mutex;
    std::string early;  // what came before the session was there
  };
  auto ends = std::make_shared<Ends>();
  auto socket = net::WebSocket::start(
      raw, {},
      [ends](net::WebSocketMessage message) {
        std::unique_lock lock(ends->mutex);
        if (!ends->session) {
          ends->early += message.payload;
          return;
        }
        auto session = ends->session;
        lock.unlock();
        session->feed(message.payload);
      },
      [ends](std::uint16_t, const std::string&) {
        std::unique_lock lock(ends->mutex);
        auto session = std::move(ends->session);
        lock.unlock();
        if (session) session->transport_closed();
      });
  net::SpdyTransport transport;
  transport.write = [socket](std::string bytes) { return socket->send(WebSocketOpcode::binary, bytes); };
  transport.finish = [socket] { socket->close(net::websocket_normal); };
  transport.pause_reading = [socket](bool paused) { socket->pause_reading(paused); };
  transport.queued_bytes = [socket] { return socket->queued_bytes(); };
  transport.on_drained = [socket](std::size_t low, std::function<void()> callback) { socket->on_drained(low, std::move(callback)); };
  auto session = net::SpdySession::make(true, std::move(transport), std::move(on_stream), [ends, on_close] {
    on_close();
    std::lock_guard lock(ends->mutex);
    ends->session.reset();
  });
  std::string early;
  {
    std::lock_guard lock(ends->mutex);
    early = std::move(ends->early);
    ends->session = session;
  }
  if (!early.empty()) session->feed(early);
  return session;
}

std::string chosen_protocol(const net::Request& request, std::initializer_list<std::string_view> known) {
  for (std::string_view header : request.headers.all("x-stream-protocol-version"))
    for (std::string_view offered : split(header, ','))
      for (std::string_view k : known)
        if (trim(offered) == k) return std::string(k);
  return std::string(*known.begin());
}

bool tunnelled(const net::Request& request) {
  return request.headers.get("sec-websocket-protocol").find(tunnelled_port_forward) != std::string_view::npos;
}

void refuse(net::Exchange& exchange, int status, const std::string& why) {
  exchange.respond({status, {{"content-type", "text/plain; charset=utf-8"}}, why + "\n"});
}

}  // namespace

bool wants_spdy(const net::Request& request) {
  return is_upgrade(request) && (equals_ignore_case(request.headers.get("upgrade"), "SPDY/3.1") || tunnelled(request));
}

void bridge_spdy(TunnelTarget target, std::string what, bool port_forward, std::shared_ptr<net::Exchange> exchange) {
  const net::Request& request = exchange->request();
  if (port_forward) {
    auto bridge = std::make_shared<PortForwardBridge>(std::move(target));
    auto on_stream = [bridge](std::shared_ptr<SpdyStream> stream) { return bridge->take(stream); };
    auto on_close = [bridge] { bridge->closed(); };
    std::shared_ptr<net::SpdySession> session;
    if (tunnelled(request)) {
      session = serve_tunnelled(*exchange, on_stream, on_close);
    } else if (auto raw = exchange->upgrade({{"upgrade", "SPDY/3.1"},
                                             {"connection", "Upgrade"},
                                             {"x-stream-protocol-version", chosen_protocol(request, {"portforward.k8s.io"})}})) {
      session = net::SpdySession::serve(raw, on_stream, on_close);
    }
    if (!session) return refuse(*exchange, 400, "unable to upgrade the connection");
    bridge->attach(session);
    return;
  }
  std::thread([target = std::move(target), what = std::move(what), exchange = std::move(exchange)] {
    auto far = dial(target, "", {"v5.channel.k8s.io", "v4.channel.k8s.io"});
    if (!far) return refuse_upgrade(*exchange, far.error().message, what);
    std::string protocol = chosen_protocol(exchange->request(), {"v4.channel.k8s.io"});
    auto raw = exchange->upgrade({{"upgrade", "SPDY/3.1"}, {"connection", "Upgrade"}, {"x-stream-protocol-version", protocol}});
    if (!raw) return refuse(*exchange, 400, "unable to upgrade the connection");
    auto bridge = std::make_shared<ExecBridge>(*far);
    auto session = net::SpdySession::serve(
        raw, [bridge](std::shared_ptr<SpdyStream> stream) { return bridge->take(stream); }, [bridge] { bridge->closed(); });
    bridge->run(session);
  }).detach();
}

}  // namespace kybern::apiserver
