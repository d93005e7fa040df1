#include "kubelet/serve/streams.h"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "kubelet/serve/spdy.h"
#include "kubelet/serve/websocket.h"

namespace kybern::kubelet {
namespace {

using websocket::Opcode;

constexpr std::size_t most_queued_bytes = 1 << 20;  // towards a slow client, before the container's output waits
constexpr std::size_t resume_below_bytes = 256 << 10;
constexpr std::chrono::milliseconds last_input_limit{1000};
constexpr unsigned char channel_close = 255;  // v5: the next byte names the channel
constexpr std::uint16_t closed_in_peace = 1000, closed_by_protocol = 1002, closed_by_error = 1011;

void refuse(const std::shared_ptr<net::Exchange>& exchange, int status, std::string text) {
  net::Response response;
  response.status = status;
  response.headers.set("content-type", "text/plain; charset=utf-8");
  response.body = std::move(text) + "\n";
  exchange->respond(std::move(response));
}

// One session: maps WebSocket channels to SPDY streams.
class Bridge : public std::enable_shared_from_this<Bridge> {
 public:
  Bridge(std::shared_ptr<net::RawStream> client, std::shared_ptr<SpdyClient> runtime, bool can_close_channels)
      : client_(std::move(client)), runtime_(std::move(runtime)), can_close_channels_(can_close_channels) {}

  // A channel that the client may write to, one that it reads from, or both. `ends_session`: its end is the end of all.
  Result<void> add(unsigned char channel, const SpdyClient::HeaderList& headers, bool to_runtime, bool to_client) {
    auto stream = runtime_->open(headers);
    if (!stream) return std::unexpected(stream.error());
    std::lock_guard lock(mutex_);
    if (to_runtime) streams_[channel] = *stream;
    channels_[*stream] = channel;
    if (to_client) open_outputs_.insert(*stream);
    return {};
  }

  void greet(unsigned char channel, std::string_view bytes) { send(channel, bytes); }
  void tell_ends() { tells_ends_ = can_close_channels_; }  // of the runtime's streams, one by one: by closing channels

  void run() {
    auto self = shared_from_this();
    client_->on_close([self] {
      self->end_input(last_input_limit);
      self->runtime_->close();
    });
    client_->on_data([self](std::string_view bytes) { self->from_client(bytes); });
    runtime_->start({[self](std::uint32_t stream, std::string_view bytes, bool end) { self->from_runtime(stream, bytes, end); },
                     [self](const std::string& why) { self->runtime_closed(why); }});
  }

 private:
  struct Input {
    std::uint32_t stream;
    std::string bytes;
    bool end;
  };

  void send(unsigned char channel, std::string_view bytes) {
    std::string message(1, static_cast<char>(channel));
    message += bytes;
    client_->write(websocket::frame(Opcode::binary, message));
  }

  void from_client(std::string_view bytes) {
    auto messages = reader_.feed(bytes);
    if (!messages) {
      client_->write(websocket::close_frame(closed_by_protocol, messages.error().message));
      return end();
    }
    for (const websocket::Message& m : *messages) {
      if (m.opcode == Opcode::ping) client_->write(websocket::frame(Opcode::pong, m.bytes));
      if (m.opcode == Opcode::close) {
        client_->write(websocket::frame(Opcode::close, m.bytes));
        return end();
      }
      if (m.opcode == Opcode::binary || m.opcode == Opcode::text) to_runtime(m.bytes);
    }
  }

  void to_runtime(std::string_view message) {
    if (message.empty()) return;
    auto channel = static_cast<unsigned char>(message[0]);
    bool close = can_close_channels_ && channel == channel_close && message.size() >= 2;
    if (close) channel = static_cast<unsigned char>(message[1]);
    std::uint32_t stream = 0;
    {
      std::lock_guard lock(mutex_);
      auto found = streams_.find(channel);
      if (found == streams_.end()) return;
      stream = found->second;
      if (close) streams_.erase(found);
    }
    std::string_view payload = close ? std::string_view() : message.substr(1);
    if (close || !payload.empty()) put({stream, std::string(payload), close});
  }

  // What a container does not read waits in a thread of its own, not in one of the server's; it comes with the first input.
  void put(Input input) {
    std::lock_guard lock(input_mutex_);
    if (input_ended_) return;
    input_bytes_ += input.bytes.size();
    input_.push_back(std::move(input));
    if (input_bytes_ > most_queued_bytes && !std::exchange(input_paused_, true)) client_->pause_reading(true);
    if (!std::exchange(input_runs_, true)) std::thread([self = shared_from_this()] { self->send_input(); }).detach();
    input_changed_.notify_all();
  }

  void send_input() {
    std::unique_lock lock(input_mutex_);
    while (true) {
      input_changed_.wait(lock, [&] { return input_ended_ || !input_.empty(); });
      if (input_ended_) break;
      Input next = std::move(input_.front());
      input_.pop_front();
      input_sends_ = true;
      lock.unlock();
      auto wrote = runtime_->write(next.stream, next.bytes, next.end);
      lock.lock();
      input_sends_ = false;
      input_bytes_ -= next.bytes.size();
      input_ended_ = input_ended_ || !wrote;
      if (input_bytes_ <= resume_below_bytes && std::exchange(input_paused_, false)) client_->pause_reading(false);
      input_changed_.notify_all();
    }
    if (std::exchange(input_paused_, false)) client_->pause_reading(false);  // who is paused does not see its own end
  }

  // What a client sent before it left is still taken, within a time.
  void end_input(std::chrono::milliseconds limit) {
    std::unique_lock lock(input_mutex_);
    input_changed_.wait_for(lock, limit, [&] { return input_ended_ || (input_.empty() && !input_sends_); });
    input_ended_ = true;
    input_changed_.notify_all();
  }

  void from_runtime(std::uint32_t stream, std::string_view bytes, bool end_of_stream) {
    unsigned char channel;
    {
      std::lock_guard lock(mutex_);
      auto found = channels_.find(stream);
      if (found == channels_.end()) return;
      channel = found->second;
    }
    if (!bytes.empty()) {
      wait_for_room();
      send(channel, bytes);
    }
    if (!end_of_stream) return;
    bool last;
    {
      std::lock_guard lock(mutex_);
      if (tells_ends_ && open_outputs_.contains(stream)) send(channel_close, std::string(1, static_cast<char>(channel)));
      open_outputs_.erase(stream);
      last = open_outputs_.empty();
    }
    if (last) finish(closed_in_peace, "");
  }

  // Holds up the runtime's side while the client does not take what was written.
  void wait_for_room() {
    if (client_->queued_bytes() < most_queued_bytes) return;
    struct Room {
      std::mutex mutex;
      std::condition_variable changed;
      bool free = false;
    };
    auto room = std::make_shared<Room>();
    client_->on_drained(resume_below_bytes, [room] {
      std::lock_guard lock(room->mutex);
      room->free = true;
      room->changed.notify_all();
    });
    std::unique_lock lock(room->mutex);
    room->changed.wait(lock, [&] { return room->free; });
  }

  void runtime_closed(const std::string& why) { finish(why.empty() ? closed_in_peace : closed_by_error, why); }

  void finish(std::uint16_t code, std::string_view why) {
    if (finished_.exchange(true)) return;
    client_->write(websocket::close_frame(code, why));
    client_->finish();
    end_input({});
    runtime_->close();
  }

  void end() {
    if (finished_.exchange(true)) return;
    client_->finish();
    end_input(last_input_limit);
    runtime_->close();
  }

  std::shared_ptr<net::RawStream> client_;
  std::shared_ptr<SpdyClient> runtime_;
  bool can_close_channels_, tells_ends_ = false;
  websocket::Reader reader_{true};
  std::mutex mutex_;
  std::map<unsigned char, std::uint32_t> streams_;   // what the client writes to
  std::map<std::uint32_t, unsigned char> channels_;  // where a stream's bytes go
  std::set<std::uint32_t> open_outputs_;
  std::atomic<bool> finished_ = false;

  std::mutex input_mutex_;
  std::condition_variable input_changed_;
  std::deque<Input> input_;  // towards the runtime
  std::size_t input_bytes_ = 0;
  bool input_runs_ = false, input_sends_ = false, input_paused_ = false, input_ended_ = false;
};

// Shakes hands with both sides; null when the exchange has been answered with a refusal.
std::shared_ptr<Bridge> connect(const std::shared_ptr<net::Exchange>& exchange, const std::string& url,
                                const std::vector<std::string>& client_protocols, const std::vector<std::string>& runtime_protocols) {
  const net::Request& request = exchange->request();
  auto protocol = websocket::negotiate(request, client_protocols);
  if (!protocol || request.headers.get("sec-websocket-key").empty()) {
    refuse(exchange, 400, "you must specify at least 1 of stdin, stdout, stderr by a WebSocket upgrade");
    return nullptr;
  }
  auto runtime = SpdyClient::connect(url, runtime_protocols);
  if (!runtime) {
    refuse(exchange, 500, fmt::format("the container runtime refuses the stream: {}", runtime.error().message));
    return nullptr;
  }
  net::Headers headers;
  headers.set("connection", "Upgrade");
  headers.set("upgrade", "websocket");
  headers.set("sec-websocket-accept", websocket::accept_key(request.headers.get("sec-websocket-key")));
  if (!protocol->empty()) headers.set("sec-websocket-protocol", *protocol);
  auto client = exchange->upgrade(std::move(headers));
  if (!client) {
    (*runtime)->close();
    return nullptr;
  }
  return std::make_shared<Bridge>(std::move(client), std::move(*runtime), protocol->starts_with("v5."));
}

}  // namespace

void serve_exec(const std::shared_ptr<net::Exchange>& exchange, const std::string& url, const ExecChannels& channels) {
  auto bridge = connect(exchange, url, {"v5.channel.k8s.io", "v4.channel.k8s.io"}, {"v4.channel.k8s.io"});
  if (!bridge) return;
  // The runtime waits for exactly these streams, in whatever order.
  Result<void> opened = bridge->add(3, {{"streamtype", "error"}}, false, true);
  if (opened && channels.in) opened = bridge->add(0, {{"streamtype", "stdin"}}, true, false);
  if (opened && channels.out) opened = bridge->add(1, {{"streamtype", "stdout"}}, false, true);
  if (opened && channels.err && !channels.tty) opened = bridge->add(2, {{"streamtype", "stderr"}}, false, true);
  if (opened && channels.tty) opened = bridge->add(4, {{"streamtype", "resize"}}, true, false);
  if (!opened) log_warn("kubelet", "a stream to the runtime could not be opened", {{"error", opened.error().message}});
  bridge->run();
}

void serve_port_forward(const std::shared_ptr<net::Exchange>& exchange, const std::string& url, const std::vector<int>& ports) {
  auto bridge = connect(exchange, url, {"v5.channel.k8s.io", "v4.channel.k8s.io", "portforward.k8s.io"}, {"portforward.k8s.io"});
  if (!bridge) return;
  bridge->tell_ends();
  for (std::size_t i = 0; i < ports.size(); ++i) {
    auto data = static_cast<unsigned char>(2 * i), error = static_cast<unsigned char>(2 * i + 1);
    std::string port = std::to_string(ports[i]), request = std::to_string(i);
    std::string greeting = {static_cast<char>(ports[i] & 0xff), static_cast<char>(ports[i] >> 8)};
    bridge->greet(data, greeting);
    bridge->greet(error, greeting);
    Result<void> opened = bridge->add(error, {{"streamtype", "error"}, {"port", port}, {"requestid", request}}, false, true);
    if (opened) opened = bridge->add(data, {{"streamtype", "data"}, {"port", port}, {"requestid", request}}, true, true);
    if (!opened) log_warn("kubelet", "a stream to the runtime could not be opened", {{"error", opened.error().message}});
  }
  bridge->run();
}

}  // namespace kybern::kubelet
