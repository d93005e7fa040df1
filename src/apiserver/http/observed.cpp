#include "apiserver/http/observed.h"

#include <array>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "apiserver/http/gzip.h"
#include "base/metrics.h"
#include "base/strings.h"

namespace kybern::apiserver {
namespace {

constexpr std::string_view component = "apiserver";

// Names, labels and bounds are upstream's.
const std::vector<double> duration_bounds{0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2,
                                          3,     4,     5,    6,   8,   10,  15,  20,  30,  45,   60};
metrics::CounterFamily request_total("apiserver_request_total",
                                     "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, "
                                     "scope, component, and HTTP response code.",
                                     {"verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component", "code"});
metrics::HistogramFamily request_seconds("apiserver_request_duration_seconds", "Response latency distribution in seconds.", duration_bounds,
                                         {"verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component"});
metrics::HistogramFamily response_sizes("apiserver_response_sizes", "Response size distribution in bytes.",
                                        metrics::exponential_bounds(1000, 10, 7),
                                        {"verb", "group", "version", "resource", "subresource", "scope", "component"});
metrics::GaugeFamily long_running_requests("apiserver_longrunning_requests", "Number of requests that run long (watches, streams to pods).",
                                           {"verb", "group", "version", "resource", "subresource", "scope", "component"});
metrics::GaugeFamily in_flight("apiserver_current_inflight_requests",
                               "Number of requests being served, by kind; those that run long are not among them.", {"request_kind"});

std::string_view verb_label(std::string_view verb, std::string_view subresource, std::string_view content_type) {
  if (verb == "get" || verb == "head")
    return subresource == "exec" || subresource == "attach" || subresource == "portforward" || subresource == "proxy" ? "CONNECT" : "GET";
  if (verb == "create" || verb == "post")
    return subresource == "exec" || subresource == "attach" || subresource == "portforward" || subresource == "proxy" ? "CONNECT" : "POST";
  if (verb == "list") return "LIST";
  if (verb == "watch") return "WATCH";
  if (verb == "update" || verb == "put") return "PUT";
  if (verb == "patch") return content_type.starts_with("application/apply-patch") ? "APPLY" : "PATCH";
  if (verb == "delete") return "DELETE";
  if (verb == "deletecollection") return "DELETECOLLECTION";
  return "other";
}

std::string_view scope_label(const RequestInfo& info) {
  return !info.name.empty() || info.verb == "create" ? "resource" : !info.ns.empty() ? "namespace" : "cluster";
}

bool is_mutating(std::string_view verb) {
  return verb == "POST" || verb == "PUT" || verb == "PATCH" || verb == "APPLY" || verb == "DELETE" || verb == "DELETECOLLECTION";
}

// Passes all on; the observation lives as long as the stream does.
template <class Interface>
class ObservedStream : public Interface {
 public:
  ObservedStream(std::shared_ptr<Interface> inner, std::shared_ptr<Observation> observation)
      : inner_(std::move(inner)), observation_(std::move(observation)) {}
  bool write(std::string bytes) override { return inner_->write(std::move(bytes)); }
  std::size_t queued_bytes() const override { return inner_->queued_bytes(); }
  void on_drained(std::size_t low_bytes, std::function<void()> callback) override { inner_->on_drained(low_bytes, std::move(callback)); }
  void on_close(std::function<void()> callback) override { inner_->on_close(std::move(callback)); }
  void finish() override { inner_->finish(); }
  void abort() override { inner_->abort(); }

 protected:
  std::shared_ptr<Interface> inner_;
  std::shared_ptr<Observation> observation_;
};

class ObservedRawStream final : public ObservedStream<net::RawStream> {
 public:
  using ObservedStream::ObservedStream;
  void on_data(std::function<void(std::string_view)> callback) override { inner_->on_data(std::move(callback)); }
  void pause_reading(bool paused) override { inner_->pause_reading(paused); }
};

}  // namespace

// What requests of one kind are counted in. Found once a request, by one key, where looking up each family's series by
// all its labels would be a good part of the work of a read.
struct RequestSeries {
  struct Labels {
    std::string_view verb, dry_run, group, version, resource, subresource, scope;
  };
  explicit RequestSeries(const Labels& l)
      : verb(l.verb),
        dry_run(l.dry_run),
        group(l.group),
        version(l.version),
        resource(l.resource),
        subresource(l.subresource),
        scope(l.scope),
        seconds(request_seconds.with({verb, dry_run, group, version, resource, subresource, scope, component})) {}

  static RequestSeries& of(const Labels& labels);

  // The codes that are common have a place of their own.
  metrics::Counter& of_code(int code) {
    constexpr int common[] = {200, 201, 404, 409};
    std::atomic<metrics::Counter*>* place = nullptr;
    for (std::size_t i = 0; i < std::size(common); ++i)
      if (common[i] == code) place = &totals[i];
    if (place)
      if (auto* known = place->load(std::memory_order_acquire)) return *known;
    char text[8];
    std::snprintf(text, sizeof text, "%d", code);
    metrics::Counter& counter = request_total.with({verb, dry_run, group, version, resource, subresource, scope, component, text});
    if (place) place->store(&counter, std::memory_order_release);
    return counter;
  }
  void observe_size(std::size_t bytes) {
    metrics::Histogram* known = sizes.load(std::memory_order_acquire);
    if (!known) {
      known = &response_sizes.with({verb, group, version, resource, subresource, scope, component});
      sizes.store(known, std::memory_order_release);
    }
    known->observe(static_cast<double>(bytes));
  }
  metrics::Gauge& running(bool long_running) {
    static metrics::Gauge& changing = in_flight.with({"mutating"});
    static metrics::Gauge& reading = in_flight.with({"readOnly"});
    if (long_running) return long_running_requests.with({verb, group, version, resource, subresource, scope, component});
    return is_mutating(verb) ? changing : reading;
  }

  const std::string verb, dry_run, group, version, resource, subresource, scope;
  metrics::Histogram& seconds;
  std::atomic<metrics::Histogram*> sizes{nullptr};
  std::array<std::atomic<metrics::Counter*>, 4> totals{};
};

RequestSeries& RequestSeries::of(const Labels& l) {
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  static std::shared_mutex mutex;
  static std::unordered_map<std::string, std::unique_ptr<RequestSeries>, Hash, std::equal_to<>> all;
  thread_local std::string key;
  key.clear();
  for (std::string_view part : {l.verb, l.dry_run, l.group, l.version, l.resource, l.subresource, l.scope}) key.append(part) += '\x1f';
  {
    std::shared_lock lock(mutex);
    if (auto found = all.find(std::string_view(key)); found != all.end()) return *found->second;
  }
  std::unique_lock lock(mutex);
  if (auto found = all.find(std::string_view(key)); found != all.end()) return *found->second;
  if (all.size() >= metrics::max_series) {  // subresources that somebody makes up
    static RequestSeries beyond(Labels{"other", "", "", "", "", "", ""});
    return beyond;
  }
  return *all.emplace(key, std::make_unique<RequestSeries>(l)).first->second;
}

RequestSeries& series_of(const RequestInfo& info) {
  return RequestSeries::of(
      {verb_label(info.verb, info.subresource, ""), "", info.group, info.version, info.resource, info.subresource, scope_label(info)});
}

void count_answer(RequestSeries& series, int code, Duration taken, std::size_t bytes) {
  series.of_code(code).add();
  series.seconds.observe(std::chrono::duration<double>(taken).count());
  if (series.verb == "GET" || series.verb == "LIST") series.observe_size(bytes);
}

Observation::Observation(World world) : world_(world), begun_(world.clock.steady()) {}

void Observation::describe(const RequestInfo& info, bool known, bool dry_run, std::string_view content_type) {
  RequestSeries::Labels labels;
  labels.dry_run = dry_run ? "All" : "";
  labels.verb = verb_label(info.verb, info.subresource, content_type);
  if (known) {
    labels.group = info.group;
    labels.version = info.version;
    labels.resource = info.resource;
    labels.subresource = info.subresource;
    labels.scope = scope_label(info);
    std::string_view s = info.subresource;
    long_running_ = info.verb == "watch" || s == "exec" || s == "attach" || s == "portforward" || s == "proxy" || s == "log";
  }
  // Profiles take as long as was asked for.
  if (!info.is_resource && std::string_view(info.path).starts_with("/debug/pprof/")) long_running_ = true;
  series_ = &RequestSeries::of(labels);
  series_->running(long_running_).add(1);
}

void Observation::opened_by(std::string_view user) {
  if (series_) open_ = std::make_unique<OpenStream>(series_->verb, series_->group, series_->resource, user, false, begun_);
}

void Observation::settle() {
  Seat seat = std::exchange(seat_, {});
  if (!seat) return;
  if (seat.afterwards == Duration()) return levels_->leave(seat);
  world_.executor.post_after(seat.afterwards, [levels = levels_, seat = std::move(seat)] { levels->leave(seat); });
}

Observation::~Observation() {
  settle();
  if (!series_) return;
  series_->running(long_running_).add(-1);
  if (code_ == 0) return;  // the client went away before an answer
  count_answer(*series_, code_, world_.clock.steady() - begun_, bytes_);
}

ObservedExchange::ObservedExchange(std::shared_ptr<net::Exchange> inner, World world)
    : inner_(std::move(inner)), observation_(std::make_shared<Observation>(world)) {
  std::string_view given = inner_->request().headers.get("audit-id");
  headers_.emplace_back(audit_id_header, given.empty() ? new_uuid(world.random) : std::string(given));
}

void ObservedExchange::decorate(net::Headers& headers) const {
  for (const auto& [name, value] : headers_)
    if (name == "warning") headers.add(name, value);  // beside others
    else headers.set(name, value);
}

void ObservedExchange::respond(net::Response response) {
  decorate(response.headers);
  if (compress_ && response.body.size() > gzip_min_bytes && accepts_gzip(inner_->request().headers.get("accept-encoding")) &&
      !response.headers.find("content-encoding")) {
    response.body = gzip(response.body);
    response.headers.set("content-encoding", "gzip");
    response.headers.set("vary", "Accept-Encoding");
  }
  observation_->answered(response.status);
  observation_->sent(response.body.size());
  observation_->settle();
  inner_->respond(std::move(response));
}

void ObservedExchange::respond_pulled(int status, net::Headers headers, std::function<bool(std::string& out)> produce) {
  decorate(headers);
  observation_->answered(status);
  std::shared_ptr<Gzip> gzip;
  if (compress_ && accepts_gzip(inner_->request().headers.get("accept-encoding"))) {
    gzip = std::make_shared<Gzip>();
    headers.set("content-encoding", "gzip");
    headers.set("vary", "Accept-Encoding");
  }
  auto counted = [observation = observation_, gzip, produce = std::move(produce), plain = std::string()](std::string& out) mutable {
    std::size_t before = out.size();
    bool more;
    if (!gzip) {
      more = produce(out);
    } else {
      // Until something comes out: an empty piece would be taken for a pause.
      do {
        plain.clear();
        more = produce(plain);
        gzip->add(plain, !more, out);
      } while (more && out.size() == before);
    }
    observation->sent(out.size() - before);
    return more;
  };
  inner_->respond_pulled(status, std::move(headers), std::move(counted));
}

std::shared_ptr<net::BodyStream> ObservedExchange::respond_stream(int status, net::Headers headers) {
  decorate(headers);
  observation_->answered(status);
  observation_->settle();
  auto stream = inner_->respond_stream(status, std::move(headers));
  if (!stream) return stream;
  return std::make_shared<ObservedStream<net::BodyStream>>(std::move(stream), observation_);
}

std::shared_ptr<net::RawStream> ObservedExchange::upgrade(net::Headers headers) {
  decorate(headers);
  observation_->answered(101);
  observation_->settle();
  auto stream = inner_->upgrade(std::move(headers));
  if (!stream) return stream;
  return std::make_shared<ObservedRawStream>(std::move(stream), observation_);
}

}  // namespace kybern::apiserver
