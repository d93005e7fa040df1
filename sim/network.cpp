#include "sim/network.h"

#include <algorithm>
#include <deque>
#include <iterator>
#include <optional>
#include <utility>

#include "bin/local_transport.h"

namespace kybern::sim {
namespace {

constexpr std::size_t parcel_events = 256;
constexpr Duration first_reconnect = std::chrono::milliseconds(800), last_reconnect = std::chrono::seconds(30);

Status unreachable() {
  Status status;
  status.code = 503;
  status.reason = "ServiceUnavailable";
  status.message = "connection refused";
  return status;
}

Status no_answer() {
  Status status;
  status.code = 504;
  status.reason = "Timeout";
  status.message = "the request timed out";
  return status;
}

// "/api/v1/namespaces/default/pods/web/status" and PATCH give "PATCH pods/status".
std::string kind_of(const client::Call& call) {
  std::string_view path = call.path;
  path.remove_prefix(1);
  auto next = [&] {
    std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), part.size() + 1));
    return part;
  };
  const bool grouped = next() == "apis";
  for (int i = grouped ? 2 : 1; i > 0; --i) next();
  std::string_view resource = next();
  if (resource == "namespaces") {
    const std::string_view name = next();
    if (!name.empty() && !path.empty()) resource = next();
  }
  next();
  const std::string_view subresource = next();
  return call.method + " " + std::string(resource) + (subresource.empty() ? "" : "/" + std::string(subresource));
}

}  // namespace

class Connection;

// One watch of one component: what the server tells waits in line until it arrives. What is told while something waits that
// arrives no earlier travels with it, as bytes of one stream do.
class WatchEnd final : public client::Subscription, public std::enable_shared_from_this<WatchEnd> {
 public:
  WatchEnd(Connection& connection, std::string path, std::string query, client::Listener listener)
      : connection_(connection), path_(std::move(path)), query_(std::move(query)), listener_(std::move(listener)) {}

  void begin();
  void end();         // by its owner: nothing is called any more
  void disconnect();  // what was under way is lost; it will begin anew
  Lane& lane() const;

 private:
  struct Parcel {
    std::uint64_t era = 0;
    std::optional<std::vector<Document>> replaced;
    std::vector<client::Event> changed;
    std::uint64_t progressed = 0;
  };
  void connect();
  void retry();
  void send(Parcel parcel);
  void open_next();

  Connection& connection_;
  const std::string path_, query_;
  client::Listener listener_;
  std::unique_ptr<client::Subscription> inner_;
  std::deque<Parcel> under_way_;
  std::uint64_t era_ = 0;  // of the connection: what was sent in an older one does not arrive
  Duration last_arrival_{};
  Duration next_try_ = first_reconnect;
  bool ended_ = false;
};

class WatchHandle final : public client::Subscription {
 public:
  explicit WatchHandle(std::shared_ptr<WatchEnd> end) : end_(std::move(end)) {}
  ~WatchHandle() override { end_->end(); }

 private:
  std::shared_ptr<WatchEnd> end_;
};

class Connection final : public client::Transport {
 public:
  Connection(Network& network, std::string user, Lane& lane) : network_(network), user_(std::move(user)), lane_(lane) {}

  ApiResult<Document> call(client::Call call) override {
    Network& n = network_;
    if (n.cut_.contains(&lane_)) return fail(unreachable());
    ++n.calls;
    ++n.calls_by_kind[kind_of(call)];
    travel();
    if (!can_reach()) return fail(unreachable());
    if (n.weather.lost_requests > 0 && n.world_.random().chance(n.weather.lost_requests)) {
      ++n.lost;
      return fail(unreachable());
    }
    const std::uint64_t incarnation = n.incarnation_;
    ApiResult<Document> answer;
    n.call_ns += n.world_.measure([&] { answer = inner()->call(call); });
    note(call, answer);
    if (n.observer) n.observer(user_, call, answer);
    const bool lost = n.weather.lost_answers > 0 && n.world_.random().chance(n.weather.lost_answers);
    if (lost) ++n.lost;
    travel();
    if (lost || !can_reach() || n.incarnation_ != incarnation) return fail(no_answer());
    return answer;
  }

  std::unique_ptr<client::Subscription> subscribe(std::string path, std::string query, client::Listener listener) override {
    auto end = std::make_shared<WatchEnd>(*this, std::move(path), std::move(query), std::move(listener));
    network_.ends_.push_back(end.get());
    end->begin();
    return std::make_unique<WatchHandle>(std::move(end));
  }

 private:
  friend class WatchEnd;
  bool can_reach() const { return network_.server_ && !network_.cut_.contains(&lane_); }

  void travel() {
    const NetworkOptions& o = network_.options_;
    if (o.longest_request > Duration::zero() && network_.world_.current())
      network_.world_.wait(network_.world_.random().between(o.shortest_request, o.longest_request));
  }

  client::Transport* inner() {
    if (!inner_ || incarnation_ != network_.incarnation_) {
      apiserver::User user = bin::component_user(user_);
      if (user_ == administrator) user.groups.push_back("system:masters");
      inner_ = bin::local_transport(*network_.server_, std::move(user));
      incarnation_ = network_.incarnation_;
    }
    return inner_.get();
  }

  void note(const client::Call& call, const ApiResult<Document>& answer) {
    Trace& trace = network_.world_.trace();
    trace.add(user_);
    trace.add(call.method);
    trace.add(call.path);
    trace.add(answer ? (*answer)["metadata"]["resourceVersion"].as_string() : std::string_view(answer.error().reason));
  }

  Network& network_;
  const std::string user_;
  Lane& lane_;
  std::unique_ptr<client::Transport> inner_;
  std::uint64_t incarnation_ = 0;
};

Lane& WatchEnd::lane() const { return connection_.lane_; }

void WatchEnd::begin() { connect(); }

void WatchEnd::connect() {
  if (ended_ || inner_) return;
  if (!connection_.can_reach()) return retry();
  next_try_ = first_reconnect;
  const std::uint64_t era = ++era_;
  const auto deliver = [weak = weak_from_this(), era](Parcel parcel) {
    auto self = weak.lock();
    if (!self || self->era_ != era || self->ended_) return;
    parcel.era = era;
    self->send(std::move(parcel));
  };
  client::Listener remote;
  remote.replaced = [deliver](std::vector<Document> objects) { deliver({.era = 0, .replaced = std::move(objects), .changed = {}}); };
  remote.changed = [deliver, &network = connection_.network_](std::vector<client::Event> events) {
    network.watch_events += events.size();
    deliver({.era = 0, .replaced = {}, .changed = std::move(events)});
  };
  if (listener_.progressed)
    remote.progressed = [deliver](std::uint64_t version) { deliver({.era = 0, .replaced = {}, .changed = {}, .progressed = version}); };
  inner_ = connection_.inner()->subscribe(path_, query_, std::move(remote));
}

void WatchEnd::retry() {
  const Duration wait = connection_.network_.world_.random().between(next_try_ / 2, next_try_);
  next_try_ = std::min(next_try_ * 2, last_reconnect);
  lane().post_after(wait, [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->connect();
  });
}

// Arrives after some time, never before what was sent earlier.
void WatchEnd::send(Parcel parcel) {
  Network& n = connection_.network_;
  Duration travel = n.world_.random().between(n.options_.shortest_delivery, n.options_.longest_delivery);
  if (n.weather.late_deliveries > Duration::zero()) travel += n.world_.random().between(Duration::zero(), n.weather.late_deliveries);
  const Duration arrival = n.world_.elapsed() + travel;
  if (!under_way_.empty() && !parcel.replaced && arrival <= last_arrival_) {
    Parcel& last = under_way_.back();
    if (last.era == parcel.era && last.changed.size() + parcel.changed.size() <= parcel_events) {
      std::move(parcel.changed.begin(), parcel.changed.end(), std::back_inserter(last.changed));
      if (parcel.progressed != 0) last.progressed = parcel.progressed;
      return;
    }
  }
  last_arrival_ = std::max(last_arrival_ + std::chrono::microseconds(50), arrival);
  under_way_.push_back(std::move(parcel));
  lane().post_after(last_arrival_ - n.world_.elapsed(), [weak = weak_from_this()] {
    if (auto self = weak.lock()) self->open_next();
  });
}

// The order is that of sending, also when the lane was stopped for a while.
void WatchEnd::open_next() {
  Parcel parcel = std::move(under_way_.front());
  under_way_.pop_front();
  const auto arrives = [&] { return parcel.era == era_ && !ended_; };
  if (parcel.replaced && arrives()) listener_.replaced(std::move(*parcel.replaced));
  if (!parcel.changed.empty() && arrives()) listener_.changed(std::move(parcel.changed));
  if (parcel.progressed != 0 && arrives()) listener_.progressed(parcel.progressed);
}

void WatchEnd::disconnect() {
  if (ended_) return;
  inner_.reset();
  ++era_;
  for (Parcel& parcel : under_way_) parcel = {};  // their timers find that nothing came
  retry();
}

void WatchEnd::end() {
  ended_ = true;
  inner_.reset();
  std::erase(connection_.network_.ends_, this);
}

void Network::set_server(apiserver::ApiServer* server) {
  if (!server)
    for (WatchEnd* end : std::vector<WatchEnd*>(ends_)) end->disconnect();
  server_ = server;
  ++incarnation_;
}

std::unique_ptr<client::Transport> Network::connect(std::string user, Lane& lane) {
  return std::make_unique<Connection>(*this, std::move(user), lane);
}

void Network::drop_watches(double part) {
  for (WatchEnd* end : std::vector<WatchEnd*>(ends_))
    if (world_.random().chance(part)) {
      ++drops;
      end->disconnect();
    }
}

}  // namespace kybern::sim
