// Bookmarks of a watch, by a clock that is moved by hand.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "apiserver/http/requests.h"
#include "apiserver/http/watch_stream.h"
#include "base/strings.h"
#include "document/json.h"
#include "document/yaml.h"
#include "store/store.h"

namespace kybern::apiserver {
namespace {

using std::chrono::seconds;

class HandMovedWorld final : public Clock, public Random, public Executor {
 public:
  Time now() const override { return Time(std::chrono::hours(1'000'000) / 2) + at_; }
  Instant steady() const override { return Instant(at_); }
  std::uint64_t next() override { return drawn_ += 0x9e3779b97f4a7c15u; }
  void post(Task task) override { post_after({}, std::move(task)); }
  TimerId post_after(Duration delay, Task task) override {
    timers_.emplace(std::pair(at_ + delay, ++last_), std::move(task));
    return last_;
  }
  void cancel(TimerId id) override {
    std::erase_if(timers_, [&](const auto& timer) { return timer.first.second == id; });
  }
  void wait(Duration duration) override { run_for(duration); }
  void run_for(Duration duration) {
    const Duration end = at_ + duration;
    while (!timers_.empty() && timers_.begin()->first.first <= end) {
      at_ = timers_.begin()->first.first;
      Task task = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      task();
    }
    at_ = end;
  }
  const World& world() const { return world_; }
  std::size_t timers() const { return timers_.size(); }

 private:
  const World world_{*this, *this, *this};
  Duration at_{};
  std::uint64_t drawn_ = 1;
  TimerId last_ = 0;
  std::map<std::pair<Duration, TimerId>, Task> timers_;
};

// What a client has of its watch.
struct Seen final : net::BodyStream {
  std::string text;
  bool finished = false;
  std::function<void()> closed;
  bool write(std::string bytes) override { return text += bytes, !finished; }
  std::size_t queued_bytes() const override { return 0; }
  void on_drained(std::size_t, std::function<void()> callback) override { callback(); }
  void on_close(std::function<void()> callback) override { closed = std::move(callback); }
  void finish() override { finished = true; }
  void abort() override { finished = true; }
};

struct WatchExchange final : net::Exchange {
  net::Request asked;
  std::shared_ptr<Seen> seen = std::make_shared<Seen>();
  const net::Request& request() const override { return asked; }
  net::Request& request() override { return asked; }
  void respond(net::Response) override { ADD_FAILURE() << "no stream"; }
  void respond_pulled(int, net::Headers, std::function<bool(std::string&)>) override { ADD_FAILURE() << "no stream"; }
  std::shared_ptr<net::BodyStream> respond_stream(int, net::Headers) override { return seen; }
  std::shared_ptr<net::RawStream> upgrade(net::Headers) override { return nullptr; }
};

class BookmarksTest : public ::testing::Test {
 protected:
  BookmarksTest() : store_(open_store()), registry_(*store_, time_.world(), {}) { create("namespaces", "", "d"); }
  ~BookmarksTest() override {
    if (exchange_ && exchange_->seen->closed) std::exchange(exchange_->seen->closed, nullptr)();
    run();
  }
  std::unique_ptr<store::Store> open_store() {
    store::StoreOptions options;
    options.world = &time_.world();
    return std::move(*store::Store::open(options));
  }
  Work work(std::string_view verb, std::string_view plural, std::string_view ns) {
    RequestInfo info;
    info.is_resource = true;
    info.verb = verb;
    info.version = "v1";
    info.resource = plural;
    info.ns = ns;
    return *begin_work(registry_, user_, info, Query(""));
  }
  std::int64_t create(std::string_view plural, std::string_view ns, std::string_view name) {
    Work w = work("create", plural, ns);
    auto made = run_object_request(w, "create", parse_yaml(fmt::format("metadata: {{name: {}}}", name))->front(), PatchKind::merge);
    EXPECT_TRUE(made) << made.error().message;
    return made ? *parse_revision(made->object.root()) : 0;
  }
  static std::optional<std::int64_t> parse_revision(Value object) { return parse_int(object["metadata"]["resourceVersion"].as_string()); }
  void watch(const std::string& query) {
    Work w = work("list", "configmaps", "d");
    auto options = read_list_options(*w.served, Query("watch=1&" + query));
    ASSERT_TRUE(options) << options.error().message;
    auto plan = registry_.watch(w, *options);
    ASSERT_TRUE(plan) << plan.error().message;
    WatchSettings settings{Accepted{}, options->bookmarks, false, false, options->timeout_seconds, {}};
    exchange_ = std::make_shared<WatchExchange>();
    start_watch(registry_, w.served, std::move(*plan), std::move(settings), exchange_,
                [this](std::function<void()> task) { tasks_.push_back(std::move(task)); });
  }
  void run() {
    time_.run_for({});
    while (!tasks_.empty()) {
      std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
      time_.run_for({});
    }
  }
  void pass(Duration time) {
    time_.run_for(time);
    run();
  }
  // "ADDED/a BOOKMARK@7 ..." of what has come since the last look.
  std::string events() {
    std::string out, text = std::exchange(exchange_->seen->text, {});
    for (std::size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
      Document event = *parse_json(std::string_view(text).substr(0, end));
      Value object = event["object"];
      const bool bookmark = event["type"].as_string() == "BOOKMARK";
      if (bookmark) {
        EXPECT_EQ(object["kind"].as_string(), "ConfigMap");
        EXPECT_EQ(object["apiVersion"].as_string(), "v1");
      }
      out += (out.empty() ? "" : " ") + event["type"].str() +
             (bookmark ? "@" + object["metadata"]["resourceVersion"].str() : "/" + object["metadata"]["name"].str());
      if (object["metadata"]["annotations"]["k8s.io/initial-events-end"].as_string() == "true") out += "!";
    }
    return out;
  }

  HandMovedWorld time_;
  std::unique_ptr<store::Store> store_;
  Registry registry_;
  User user_{"admin", "", {"system:masters", "system:authenticated"}, {}};
  std::shared_ptr<WatchExchange> exchange_;
  std::deque<std::function<void()>> tasks_;
};

TEST_F(BookmarksTest, ComeEachMinute) {
  watch("allowWatchBookmarks=true");
  run();
  const std::int64_t one = create("configmaps", "d", "one");
  pass(seconds(59));
  EXPECT_EQ(events(), "ADDED/one");
  pass(seconds(1));
  EXPECT_EQ(events(), fmt::format("BOOKMARK@{}", one));
  pass(seconds(60));
  EXPECT_EQ(events(), fmt::format("BOOKMARK@{}", one)) << "also when nothing happened";
  const std::int64_t two = create("configmaps", "d", "two");
  pass(seconds(60));
  EXPECT_EQ(events(), fmt::format("ADDED/two BOOKMARK@{}", two));
}

TEST_F(BookmarksTest, NobodyGetsThemUnasked) {
  watch("");
  create("configmaps", "d", "one");
  pass(seconds(600));
  EXPECT_EQ(events(), "ADDED/one");
}

TEST_F(BookmarksTest, OneThatIsDueWaitsForTheChangesBeforeIt) {
  watch("allowWatchBookmarks=true");
  run();
  std::string wanted;
  std::int64_t last = 0;
  for (int i = 10; i < 60; ++i) {  // more than are taken at once
    last = create("configmaps", "d", fmt::format("c{}", i));
    wanted += fmt::format("ADDED/c{} ", i);
  }
  time_.run_for(seconds(60));  // nobody has encoded any of it yet
  run();
  EXPECT_EQ(events(), wanted + fmt::format("BOOKMARK@{}", last));
}

TEST_F(BookmarksTest, OneEndsTheInitialEvents) {
  const std::int64_t one = create("configmaps", "d", "one");
  watch("sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true");
  run();
  EXPECT_EQ(events(), fmt::format("ADDED/one BOOKMARK@{}!", one));
  pass(seconds(60));
  EXPECT_EQ(events(), fmt::format("BOOKMARK@{}", one));
}

TEST_F(BookmarksTest, AWatchThatEndedLeavesNoTimer) {
  const std::size_t before = time_.timers();  // of the store
  watch("allowWatchBookmarks=true&timeoutSeconds=90");
  pass(seconds(89));
  EXPECT_FALSE(exchange_->seen->finished);
  pass(seconds(1));
  EXPECT_TRUE(exchange_->seen->finished);
  EXPECT_LE(time_.timers(), before);
}

}  // namespace
}  // namespace kybern::apiserver
