#include "net/spdy_session.h"

#include <algorithm>
#include <utility>

namespace kybern::net {
namespace {
constexpr std::size_t max_write_bytes = 64 << 10;  // of one frame: streams take turns
}

// ---- a stream

bool SpdyStream::write(std::string_view bytes) {
  std::lock_guard lock(mutex_);
  if (finished_ || gone_) return false;
  while (!bytes.empty()) {
    std::string_view piece = bytes.substr(0, max_write_bytes);
    if (!session_->send(SpdyEncoder::data(id_, piece, false))) return false;
    bytes.remove_prefix(piece.size());
  }
  return true;
}

void SpdyStream::finish() {
  bool both;
  {
    std::lock_guard lock(mutex_);
    if (finished_ || gone_) return;
    finished_ = true;
    both = peer_finished_;
    session_->send(SpdyEncoder::data(id_, "", true));
  }
  if (!both) return;
  session_->forget(id_);
  deliver();
}

void SpdyStream::reset(std::uint32_t status) {
  {
    std::lock_guard lock(mutex_);
    if (gone_ || (finished_ && peer_finished_)) return;
  }
  session_->send(SpdyEncoder::rst_stream(id_, status));
  session_->forget(id_);
  go(false);
}

void SpdyStream::on_data(std::function<void(std::string_view)> callback) {
  {
    std::lock_guard lock(mutex_);
    on_data_ = std::move(callback);
  }
  deliver();
}

void SpdyStream::on_end(std::function<void()> callback) {
  {
    std::lock_guard lock(mutex_);
    on_end_ = std::move(callback);
  }
  deliver();
}

void SpdyStream::on_gone(std::function<void()> callback) {
  {
    std::lock_guard lock(mutex_);
    if (!gone_) {
      on_gone_ = std::move(callback);
      return;
    }
    if (std::exchange(gone_told_, true)) return;
  }
  callback();
}

void SpdyStream::pause_reading(bool paused) {
  {
    std::lock_guard lock(mutex_);
    paused_ = paused;
  }
  if (!paused) deliver();
}

void SpdyStream::receive(std::string bytes, bool fin) {
  bool both;
  {
    std::lock_guard lock(mutex_);
    if (gone_ || peer_finished_) return;
    session_->count_inbox(static_cast<std::ptrdiff_t>(bytes.size()));
    inbox_.append(bytes);
    peer_finished_ = fin;
    both = fin && finished_;
  }
  if (both) session_->forget(id_);
  deliver();
}

// Whoever comes while another thread delivers leaves it to that one.
void SpdyStream::deliver() {
  std::unique_lock lock(mutex_);
  if (delivering_) return;
  delivering_ = true;
  for (;;) {
    if (!inbox_.empty() && on_data_ && !paused_) {
      std::string bytes;
      bytes.swap(inbox_);
      session_->count_inbox(-static_cast<std::ptrdiff_t>(bytes.size()));
      auto callback = on_data_;
      lock.unlock();
      callback(bytes);
      callback = nullptr;
      lock.lock();
    } else if (inbox_.empty() && peer_finished_ && on_end_ && !end_told_ && !gone_) {
      end_told_ = true;
      auto callback = on_end_;
      lock.unlock();
      callback();
      callback = nullptr;
      lock.lock();
    } else {
      break;
    }
  }
  delivering_ = false;
  if (!finished_ || !peer_finished_ || !inbox_.empty() || (on_end_ && !end_told_)) return;
  // Both sides are done: the callbacks, which often own this stream, are let go of.
  auto data = std::exchange(on_data_, nullptr);
  auto end = std::exchange(on_end_, nullptr), gone = std::exchange(on_gone_, nullptr);
  lock.unlock();
}

void SpdyStream::go(bool tell) {
  std::function<void(std::string_view)> data;
  std::function<void()> end, gone;
  {
    std::lock_guard lock(mutex_);
    if (gone_) return;
    gone_ = true;
    session_->count_inbox(-static_cast<std::ptrdiff_t>(inbox_.size()));
    std::string().swap(inbox_);
    data.swap(on_data_);
    end.swap(on_end_);
    gone.swap(on_gone_);
    if (!gone || !tell) {
      gone_told_ = !tell;
      return;
    }
    gone_told_ = true;
  }
  gone();
}

// ---- the session

SpdySession::SpdySession(bool server, SpdyTransport transport, OnStream on_stream, std::function<void()> on_close)
    : server_(server),
      transport_(std::move(transport)),
      on_stream_(std::move(on_stream)),
      on_close_(std::move(on_close)),
      next_id_(server ? 2 : 1),
      next_ping_(server ? 2 : 1) {}

std::shared_ptr<SpdySession> SpdySession::make(bool server, SpdyTransport transport, OnStream on_stream, std::function<void()> on_close) {
  return std::shared_ptr<SpdySession>(new SpdySession(server, std::move(transport), std::move(on_stream), std::move(on_close)));
}

std::shared_ptr<SpdySession> SpdySession::serve(std::shared_ptr<RawStream> raw, OnStream on_stream, std::function<void()> on_close) {
  SpdyTransport transport;
  transport.write = [raw](std::string bytes) { return raw->write(std::move(bytes)); };
  transport.finish = [raw] { raw->finish(); };
  transport.pause_reading = [raw](bool paused) { raw->pause_reading(paused); };
  transport.queued_bytes = [raw] { return raw->queued_bytes(); };
  transport.on_drained = [raw](std::size_t low, std::function<void()> callback) { raw->on_drained(low, std::move(callback)); };
  auto session = make(true, std::move(transport), std::move(on_stream), std::move(on_close));
  raw->on_close([session] { session->transport_closed(); });
  raw->on_data([session](std::string_view bytes) { session->feed(bytes); });
  return session;
}

bool SpdySession::send(std::string frame) {
  std::lock_guard lock(write_mutex_);
  return transport_.write(std::move(frame));
}

std::shared_ptr<SpdyStream> SpdySession::find(std::uint32_t id) {
  std::lock_guard lock(mutex_);
  auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : found->second;
}

void SpdySession::forget(std::uint32_t id) {
  std::shared_ptr<SpdyStream> stream;
  std::lock_guard lock(mutex_);
  if (auto node = streams_.extract(id)) stream = std::move(node.mapped());
}

void SpdySession::count_inbox(std::ptrdiff_t bytes) {
  if (bytes == 0) return;
  std::lock_guard lock(mutex_);
  inbox_bytes_ = static_cast<std::size_t>(static_cast<std::ptrdiff_t>(inbox_bytes_) + bytes);
  bool pause = reading_paused_ ? inbox_bytes_ > max_inbox_bytes / 4 : inbox_bytes_ > max_inbox_bytes;
  if (pause == reading_paused_) return;
  reading_paused_ = pause;
  if (transport_.pause_reading && !closed_) transport_.pause_reading(pause);
}

void SpdySession::feed(std::string_view bytes) {
  std::vector<SpdyFrame> frames;
  bool good = decoder_.feed(bytes, frames);
  for (SpdyFrame& frame : frames) take(std::move(frame));
  if (good) return;
  close();
  transport_closed();
}

void SpdySession::take(SpdyFrame frame) {
  switch (frame.type) {
    case SpdyType::syn_stream: return take_new_stream(std::move(frame));
    case SpdyType::data: {
      auto stream = find(frame.stream_id);
      if (stream) stream->receive(std::move(frame.data), frame.fin);
      return;
    }
    case SpdyType::syn_reply:
    case SpdyType::headers: {
      auto stream = find(frame.stream_id);
      if (stream && frame.fin) stream->receive("", true);
      return;
    }
    case SpdyType::rst_stream: {
      auto stream = find(frame.stream_id);
      forget(frame.stream_id);
      if (stream) stream->go(true);
      return;
    }
    case SpdyType::ping:
      // One of ours comes back with an id of our parity.
      if ((frame.value % 2 == 0) != server_) send(SpdyEncoder::ping(frame.value));
      return;
    case SpdyType::goaway: {
      std::lock_guard lock(mutex_);
      peer_leaving_ = true;
      return;
    }
    default: return;
  }
}

void SpdySession::take_new_stream(SpdyFrame frame) {
  const std::uint32_t id = frame.stream_id;
  bool refused = false;
  OnStream on_stream;  // a copy: close() lets go of it, maybe from within the call
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    on_stream = on_stream_;
    bool right_id = (id % 2 == 1) == server_ && id > last_peer_id_;
    if (!right_id || streams_.size() >= max_streams) refused = true;
    if (right_id) last_peer_id_ = id;
    if (!right_id) frame.value = spdy_protocol_error;
    else frame.value = spdy_refused_stream;
  }
  if (refused) {
    send(SpdyEncoder::rst_stream(id, frame.value));
    return;
  }
  std::shared_ptr<SpdyStream> stream(new SpdyStream(shared_from_this(), id, std::move(frame.headers)));
  stream->finished_ = frame.unidirectional;
  {
    std::lock_guard lock(mutex_);
    streams_[id] = stream;
  }
  {
    // The reply goes out before anything that the handler writes.
    std::lock_guard lock(write_mutex_);
    transport_.write(encoder_.syn_reply(id, {}, false));
  }
  if (!on_stream || !on_stream(stream)) {
    stream->reset(spdy_refused_stream);
    return;
  }
  if (frame.fin) stream->receive("", true);
}

std::shared_ptr<SpdyStream> SpdySession::open(const Headers& headers, bool fin) {
  std::lock_guard write_lock(write_mutex_);  // ids go out in order
  std::shared_ptr<SpdyStream> stream;
  {
    std::lock_guard lock(mutex_);
    if (closed_ || peer_leaving_ || next_id_ > 0x7ffffffd || streams_.size() >= max_streams) return nullptr;
    stream.reset(new SpdyStream(shared_from_this(), next_id_, headers));
    stream->finished_ = fin;
    next_id_ += 2;
    streams_[stream->id()] = stream;
  }
  transport_.write(encoder_.syn_stream(stream->id(), headers, fin));
  return stream;
}

void SpdySession::ping() {
  std::uint32_t id;
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    id = next_ping_;
    next_ping_ += 2;
  }
  send(SpdyEncoder::ping(id));
}

void SpdySession::close() {
  std::uint32_t last;
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    last = last_peer_id_;
  }
  send(SpdyEncoder::goaway(last, 0));
  if (transport_.finish) transport_.finish();
  transport_closed();
}

void SpdySession::transport_closed() {
  std::map<std::uint32_t, std::shared_ptr<SpdyStream>> streams;
  std::vector<std::function<void()>> writable;
  std::function<void()> on_close;
  OnStream on_stream;
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(closed_, true)) return;
    on_stream.swap(on_stream_);
    streams.swap(streams_);
    writable.swap(writable_);
    on_close.swap(on_close_);
  }
  for (auto& [id, stream] : streams) stream->go(true);
  for (auto& callback : writable) callback();  // their writes fail now
  if (on_close) on_close();
}

void SpdySession::on_writable(std::function<void()> callback) {
  bool now;
  {
    std::lock_guard lock(mutex_);
    now = closed_ || !transport_.on_drained;
    if (!now) writable_.push_back(std::move(callback));
  }
  if (now) return callback();
  arm_writable();
}

void SpdySession::arm_writable() {
  {
    std::lock_guard lock(mutex_);
    if (writable_armed_ || writable_.empty()) return;
    writable_armed_ = true;
  }
  transport_.on_drained(writable_bytes, [self = shared_from_this()] {
    std::vector<std::function<void()>> ready;
    {
      std::lock_guard lock(self->mutex_);
      self->writable_armed_ = false;
      ready.swap(self->writable_);
    }
    for (auto& callback : ready) callback();
    self->arm_writable();
  });
}

}  // namespace kybern::net
