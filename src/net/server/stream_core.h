// One exchange's answer, shared by its producer (a handler, on any thread) and the session that carries it (on the reactor
// thread). It outlives both as long as the other one needs it.
//
// The producer puts bytes in and schedules itself on the reactor; the session takes them out when the peer has room.
// Callbacks to the producer run on pool threads, one at a time and in order.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "net/http.h"
#include "net/server.h"
#include "net/server/output_queue.h"
#include "net/server/reactor.h"

namespace kybern::net {

class Pool;
class StreamCore;

// What the parts of a server share; lives as long as the last stream that a producer holds.
struct Runtime {
  Runtime();
  ~Runtime();
  std::unique_ptr<Reactor> reactor;
  std::unique_ptr<Pool> pool;
  std::atomic<bool> stopping = false;
};

// The session that carries a core. Reactor thread.
class StreamOwner {
 public:
  virtual void on_core_ready(StreamCore& core) = 0;

 protected:
  ~StreamOwner() = default;
};

// What of the request decides how the answer is written.
struct AnswerForm {
  bool http2 = false;
  bool head_request = false;  // no body follows
  bool http10 = false;        // no chunks: the body ends with the connection
  bool keep_alive = true;
  bool can_upgrade = false;
  std::uint64_t flow = 0;  // whose turn it is when a pool thread works on it
};

struct ResponseHead {
  int status = 200;
  Headers headers;
};

class StreamCore final : public Scheduled, public std::enable_shared_from_this<StreamCore> {
 public:
  static constexpr std::size_t max_inbox_bytes = 256 << 10;  // of an upgraded stream: then the peer is not read

  StreamCore(std::shared_ptr<Runtime> runtime, AnswerForm form);
  ~StreamCore();

  // The producer's side: any thread.
  const AnswerForm& form() const { return form_; }
  void respond(Response response);
  // A streamed body follows. Pulled: it has an end that does not depend on the reader's staying.
  void start(int status, Headers headers, bool pulled);
  bool upgrade(Headers headers);
  bool write(std::string bytes);
  std::size_t queued_bytes() const;
  void on_drained(std::size_t low_bytes, std::function<void()> callback);
  void on_close(std::function<void()> callback);
  void on_data(std::function<void(std::string_view)> callback);
  void pause_reading(bool paused);
  void finish();
  void abort();
  bool gone() const;      // nobody will read what is written
  bool canceled() const;  // gone, or the peer has said it sends no more
  Pool& pool() { return *runtime_->pool; }
  std::shared_ptr<StreamCore> closed_twin() const;  // a core that nobody reads

  // The session's side: reactor thread.
  struct State {
    bool answered = false;  // a head is there or has been taken
    bool finished = false;  // no more bytes will come
    bool aborted = false;
    bool upgraded = false;
    bool pulled = false;
    bool close_after = false;  // the connection ends with this answer
    bool held_back = false;    // the producer does not want data from the peer now
    bool empty = true;         // no bytes wait here
  };
  void attach(StreamOwner& owner) { owner_ = &owner; }
  void detach() { owner_ = nullptr; }
  State state() const;
  void take_bytes(OutputQueue& out);          // all that wait (HTTP/1: with head and framing)
  std::unique_ptr<ResponseHead> take_head();  // HTTP/2; null when there is none, or it was taken
  std::size_t read(char* out, std::size_t max_bytes, bool& at_end);
  void set_in_flight(std::size_t bytes);  // of those taken, what the kernel has not got yet
  void deliver(std::string_view bytes);   // of an upgraded stream
  void peer_ended();                      // the peer sends no more: streams are told, plain answers still go out
  void server_stops();                    // streams are told; they may still write for a while
  void close();                           // the peer is gone
  void complete();                        // everything has been sent
  void on_schedule() override;

 private:
  enum class Body : std::uint8_t { none, whole, sized, chunked, open };
  struct Callbacks;

  bool accepts_answer() const;
  void write_http1_head(int status, const Headers& headers, std::size_t body_bytes);
  void choose_body(int status, const Headers& headers);
  void schedule();
  Callbacks& callbacks();
  void check_drained();
  void call_close();
  void release_callbacks();
  void run_serially(std::move_only_function<void()> task);
  void run_serial_tasks();
  void plan_delivery();
  void deliver_inbox();
  void end(bool tell);

  const std::shared_ptr<Runtime> runtime_;
  StreamOwner* owner_ = nullptr;  // reactor thread
  mutable std::mutex mutex_;
  OutputQueue queue_;
  std::size_t in_flight_ = 0;
  std::size_t left_ = 0;  // of a body whose length was announced
  std::unique_ptr<ResponseHead> head_;
  std::unique_ptr<Callbacks> callbacks_;
  const AnswerForm form_;
  Body body_ = Body::none;
  bool answered_ : 1 = false;
  bool finished_ : 1 = false;
  bool aborted_ : 1 = false;
  bool upgraded_ : 1 = false;
  bool pulled_ : 1 = false;
  bool close_after_ : 1 = false;
  bool scheduled_ : 1 = false;
  bool closed_ : 1 = false;  // the session is done with this
  bool peer_ended_ : 1 = false;
  bool stop_told_ : 1 = false;     // server_stops() was called
  bool close_called_ : 1 = false;  // the producer's on_close has been called, or is not wanted any more
};

}  // namespace kybern::net
