#include "apiserver/http/watch_stream.h"

#include <fmt/format.h>

#include <array>
#include <mutex>

#include "apiserver/custom/converter.h"
#include "apiserver/custom/custom.h"
#include "apiserver/discovery/discovery.h"
#include "base/metrics.h"
#include "document/json.h"
#include "schema/protobuf.h"

namespace kybern::apiserver {
namespace {

constexpr std::size_t queued_bytes_high = 1 << 20;  // no more is encoded for a reader that has this much waiting
constexpr std::size_t queued_bytes_low = 64 << 10;
constexpr std::size_t changes_per_turn = 256;  // of what is there when a watch begins
constexpr std::size_t changes_per_take = 16;   // encoded before it is asked how much waits for the reader
constexpr Duration bookmark_interval = std::chrono::seconds(60);
constexpr std::int64_t min_timeout_seconds = 1800;

metrics::CounterFamily watch_events("apiserver_watch_events_total", "Number of events sent in watch clients.",
                                    {"group", "version", "resource"});

std::string_view type_text(WatchEvent::Type type) {
  static constexpr std::string_view texts[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"};
  return texts[static_cast<int>(type)];
}

// The JSON of objects just changed, shared by all who watch them: 100 watchers do not encode a pod 100 times.
class EncodedObjects {
 public:
  std::shared_ptr<const std::string> json(store::Revision revision, const Document& object) {
    Slot& slot = slots_[static_cast<std::size_t>(revision) % slots_.size()];
    std::lock_guard lock(slot.mutex);
    if (slot.text && slot.object.same_block(object)) return slot.text;
    auto text = std::make_shared<std::string>();
    write_json(object.root(), *text);
    slot.object = object;
    slot.text = text;
    return text;
  }

 private:
  struct Slot {
    std::mutex mutex;
    Document object;
    std::shared_ptr<const std::string> text;
  };
  std::array<Slot, 128> slots_;
};
EncodedObjects& encoded_objects() {
  static EncodedObjects objects;
  return objects;
}

class WatchStream : public std::enable_shared_from_this<WatchStream> {
 public:
  WatchStream(Registry& registry, ServedRef served, WatchPlan plan, WatchSettings settings, std::function<void(std::function<void()>)> post)
      : registry_(registry),
        held_(std::move(served)),
        served_(*held_),
        prefix_(std::move(plan.prefix)),
        matches_(std::move(plan.matches)),
        initial_bookmark_(plan.initial_bookmark),
        after_(plan.after),
        settings_(std::move(settings)),
        post_(std::move(post)),
        events_(watch_events.with({served_.group(), served_.resource->version, served_.plural()})) {
    if (plan.initial) initial_ = std::make_unique<Listing>(std::move(*plan.initial));
  }

  // Opens the cursor before anything is sent, so that a failure is an answer and no broken stream.
  ApiResult<void> open() {
    std::weak_ptr<WatchStream> weak = weak_from_this();
    auto watch = registry_.store().watch(prefix_, after_, [weak] {
      if (auto self = weak.lock()) self->schedule();
    });
    if (!watch) {
      if (watch.error().code == Code::expired)
        return fail(gone(fmt::format("too old resource version: {} ({})", after_, registry_.store().oldest_watchable(prefix_))));
      return fail(internal_error(watch.error().message));
    }
    watch_ = std::move(*watch);
    return {};
  }

  // An answer of one event: what cannot be watched from here on. Clients take only an event's word that they must list again.
  void tell(const std::shared_ptr<net::Exchange>& exchange, const Status& status) {
    begin(exchange);
    fail_stream(status);
  }

  void run(const std::shared_ptr<net::Exchange>& exchange) {
    begin(exchange);
    auto self = shared_from_this();
    // A server that stops ends its watches in order: a client that sees the stream break off tells of an error.
    stream_->on_close([self] { self->finish(); });
    std::int64_t seconds = settings_.timeout_seconds;
    if (seconds <= 0) seconds = min_timeout_seconds + static_cast<std::int64_t>(registry_.world().random.next() % min_timeout_seconds);
    // The timers hold the stream weakly: an ended watch costs nothing until they are due.
    std::weak_ptr<WatchStream> weak = self;
    World world = registry_.world();
    TimerId timeout = world.executor.post_after(std::chrono::seconds(seconds), [weak] {
      if (auto s = weak.lock()) s->finish();
    });
    {
      std::lock_guard lock(mutex_);
      timeout_ = timeout;
    }
    if (settings_.bookmarks || served_.custom) arm_bookmark();
    schedule();
  }

 private:
  void begin(const std::shared_ptr<net::Exchange>& exchange) {
    net::Headers headers{{"content-type", settings_.accepted.stream_content_type()}, {"cache-control", "no-cache, private"}};
    add_warnings(headers, settings_.warnings);
    stream_ = exchange->respond_stream(200, std::move(headers));
  }

  void fail_stream(const Status& status) {
    std::string out;
    append({WatchEvent::Type::error, status.document(), nullptr}, out);
    stream_->write(std::move(out));
    finish();
  }

  void finish() {
    stream_->finish();
    end();
  }

  // A definition that changed is served by another Served, whose schema knows fields that this one would cut out of events.
  // An object that has them was written after the change, so it is told of nowhere but in the client's next watch.
  bool replaced() const {
    return served_.custom && registry_.catalog().find(served_.group(), served_.resource->version, served_.plural()).get() != &served_;
  }

  void schedule() {
    {
      std::lock_guard lock(mutex_);
      if (ended_) return;
      again_ = true;
      if (running_) return;
      running_ = true;
    }
    post_([self = shared_from_this()] { self->pump(); });
  }

  void arm_bookmark() {
    std::weak_ptr<WatchStream> weak = weak_from_this();
    TimerId timer = registry_.world().executor.post_after(bookmark_interval, [weak] {
      auto s = weak.lock();
      if (!s) return;
      {
        std::lock_guard lock(s->mutex_);
        if (s->ended_) return;
        s->bookmark_due_ = s->settings_.bookmarks;
      }
      s->schedule();
      s->arm_bookmark();
    });
    std::lock_guard lock(mutex_);
    bookmark_ = timer;
  }

  // One turn at a time. Stops when nothing is new, or when the reader has enough waiting.
  void pump() {
    while (true) {
      bool bookmark;
      {
        std::lock_guard lock(mutex_);
        again_ = false;
        bookmark = std::exchange(bookmark_due_, false);
      }
      bool more = turn(bookmark);
      std::unique_lock lock(mutex_);
      if (ended_ || (!more && !again_)) {
        running_ = false;
        if (ended_) {
          lock.unlock();
          watch_.reset();
        }
        return;
      }
      if (stream_->queued_bytes() > queued_bytes_high) {
        running_ = false;
        lock.unlock();
        stream_->on_drained(queued_bytes_low, [self = shared_from_this()] { self->schedule(); });
        return;
      }
    }
  }

  bool turn(bool bookmark) {
    std::string out;
    if (initial_) {
      if (replaced()) return finish(), false;
      for (std::size_t i = 0; i < changes_per_turn && out.size() < queued_bytes_high; ++i) {
        Document object = initial_->next();
        if (!object) {
          initial_.reset();
          if (initial_bookmark_) append_bookmark(after_, true, out);
          break;
        }
        append({WatchEvent::Type::added, object, nullptr}, out);
      }
      if (!out.empty()) stream_->write(std::move(out));
      return true;
    }
    std::vector<store::ChangePtr> changes;
    auto taken = watch_->take(changes, changes_per_take);
    if (!taken) {
      fail_stream(gone(fmt::format("too old resource version: {} ({})", watch_->position(), registry_.store().oldest_watchable(prefix_))));
      return false;
    }
    if (replaced()) return finish(), false;
    for (const store::ChangePtr& change : changes) append_change(change, out);
    const bool more = changes.size() == changes_per_take;
    if (bookmark && !more) append_bookmark(watch_->position(), false, out);
    if (!out.empty()) stream_->write(std::move(out));
    if (bookmark && more) {
      std::lock_guard lock(mutex_);
      bookmark_due_ = true;
    }
    return more;
  }

  // An object that begins to match is added, one that ceases to is deleted: the selector's view, not the store's.
  void append_change(const store::ChangePtr& change, std::string& out) {
    auto matched = [&](const store::EntryPtr& entry) { return entry && (!matches_ || matches_(entry->value.root())); };
    bool before = matched(change->before), now = matched(change->now);
    if (!before && !now) return;
    if (now) {
      Document object = served_.from_stored ? served_.from_stored(change->now->value.root()) : change->now->value;
      if (served_.custom && conversion_failure(object.root())) return append({WatchEvent::Type::error, std::move(object), nullptr}, out);
      append({before ? WatchEvent::Type::modified : WatchEvent::Type::added, std::move(object), served_.from_stored ? nullptr : change},
             out);
      return;
    }
    // The last state, with the version of what took it away.
    Document gone = registry_.in_served_form(served_, change->before->value.root());
    if (served_.custom && conversion_failure(gone.root())) return append({WatchEvent::Type::error, std::move(gone), nullptr}, out);
    Draft last(gone);
    last["metadata"]["resourceVersion"] = std::to_string(change->revision);
    append({WatchEvent::Type::deleted, last.freeze(), nullptr}, out);
  }

  void append_bookmark(store::Revision revision, bool initial_end, std::string& out) {
    Draft object = Draft::object();
    object["kind"] = served_.kind();
    object["apiVersion"] = served_.api_version;
    object["metadata"]["resourceVersion"] = std::to_string(revision);
    object["metadata"]["creationTimestamp"] = nullptr;
    if (initial_end) object["metadata"]["annotations"]["k8s.io/initial-events-end"] = "true";
    append({WatchEvent::Type::bookmark, object.freeze(), nullptr}, out);
  }

  Document shaped(const WatchEvent& event) {
    const Accepted& a = settings_.accepted;
    if (a.shape == Shape::object || event.type == WatchEvent::Type::error) return event.object;
    if (a.shape == Shape::table) {
      TableOptions options{settings_.include_full_object, settings_.include_none, registry_.world().clock.now(), a.meta_version()};
      Draft table = Draft::object({{"kind", "Table"}, {"apiVersion", a.meta_version()}});
      table["metadata"]["resourceVersion"] = event.object["metadata"]["resourceVersion"];
      // A bookmark is a row too: what it says beyond its version (the end of the initial events) is in the row's object.
      table["columnDefinitions"] = std::exchange(table_begun_, true) ? Draft(nullptr) : table_columns(served_);
      table["rows"] = Draft::array({table_row(served_, event.object.root(), options)});
      return table.freeze();
    }
    return partial_metadata(event.object.root(), a.meta_version()).freeze();
  }

  void append(const WatchEvent& event, std::string& out) {
    events_.add();
    const Accepted& a = settings_.accepted;
    if (a.format == Format::json) {
      out += "{\"type\":\"";
      out += type_text(event.type);
      out += "\",\"object\":";
      if (event.change && a.shape == Shape::object) out += *encoded_objects().json(event.change->revision, event.object);
      else write_json(shaped(event).root(), out);
      out += "}\n";
      return;
    }
    Document object = shaped(event);
    if (a.format == Format::yaml) {
      Draft whole = Draft::object({{"type", type_text(event.type)}, {"object", object}});
      std::string body;
      (void)encode(a, whole.freeze().root(), body);
      out += "---\n" + body;
      return;
    }
    auto frame = schema::encode_watch_event(type_text(event.type), object.root());
    if (!frame) return;
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(frame->size() >> shift & 255);
    out += *frame;
  }

  void end() {
    TimerId timeout, bookmark;
    std::unique_ptr<store::Watch> watch;
    {
      std::lock_guard lock(mutex_);
      if (ended_) return;
      ended_ = true;
      timeout = timeout_;
      bookmark = bookmark_;
      if (!running_) watch = std::move(watch_);  // otherwise pump() drops it
    }
    registry_.world().executor.cancel(timeout);
    registry_.world().executor.cancel(bookmark);
  }

  Registry& registry_;
  const ServedRef held_;
  const Served& served_;
  std::string prefix_;
  std::function<bool(Value)> matches_;
  std::unique_ptr<Listing> initial_;
  bool initial_bookmark_, table_begun_ = false;
  store::Revision after_;
  WatchSettings settings_;
  std::function<void(std::function<void()>)> post_;
  metrics::Counter& events_;
  std::unique_ptr<store::Watch> watch_;
  std::shared_ptr<net::BodyStream> stream_;
  std::mutex mutex_;
  bool running_ = false, again_ = false, ended_ = false, bookmark_due_ = false;
  TimerId timeout_ = 0, bookmark_ = 0;
};

}  // namespace

void start_watch(Registry& registry, ServedRef served, WatchPlan plan, WatchSettings settings, std::shared_ptr<net::Exchange> exchange,
                 std::function<void(std::function<void()>)> post, const Status* refused) {
  Accepted accepted = settings.accepted;
  auto stream = std::make_shared<WatchStream>(registry, std::move(served), std::move(plan), std::move(settings), std::move(post));
  if (refused) return stream->tell(exchange, *refused);
  if (auto opened = stream->open(); !opened) {
    if (opened.error().code == 410) return stream->tell(exchange, opened.error());
    net::Response response;
    response.status = opened.error().code;
    Accepted plain = accepted;
    plain.shape = Shape::object;
    response.headers.set("content-type", plain.content_type());
    (void)encode(plain, opened.error().document().root(), response.body);
    exchange->respond(std::move(response));
    return;
  }
  stream->run(exchange);
}

}  // namespace kybern::apiserver
