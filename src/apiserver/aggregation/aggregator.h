// APIServices (apiregistration.k8s.io/v1) whose group-version another server serves: requests go on to it under the name of
// who asks, and it is looked after, so that discovery and the condition Available say what is true.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "apiserver/discovery/discovery.h"
#include "apiserver/registry/registry.h"
#include "net/client.h"
#include "net/server.h"

namespace kybern::apiserver {

struct AggregatorOptions {
  std::string client_certificate_file, client_key_file;  // the front proxy's, by which the other server knows us
};

class Aggregator {
 public:
  Aggregator(AggregatorOptions options, Registry& registry);
  ~Aggregator();

  // Who serves a path below /apis, as an APIService; empty: we do, or nobody.
  Document registration(std::string_view path) const;
  // Answers the exchange: 503 `service unavailable` while the condition Available is not True.
  void proxy(const User& user, Document registration, std::shared_ptr<net::Exchange> exchange) const;
  std::vector<ExternalVersion> versions() const;  // what discovery tells of them

  // Looks after them from now on, on a thread of its own: after each every `look_interval`, every `retry_interval` while it
  // is not available, at once when its registration changes. One that hangs holds up no other.
  void start();
  void stop();

  static constexpr std::chrono::milliseconds look_interval{30000}, retry_interval{1000}, look_timeout{6000};
  static constexpr std::size_t looks_at_once = 8;

 private:
  struct Finding {
    std::string status, reason, message;
    Document resources;  // APIResourceList
    std::string openapi_hash;
    Document openapi_v2 = {};
    std::string openapi_v2_tag = {};  // as the server gave it: asked for again only when it is another
    std::string seen = {};            // the registration's resourceVersion
    std::chrono::steady_clock::time_point due{};
  };
  struct Place {
    std::string host, server_name;
    std::int64_t port = 0;
  };
  Finding look_at(Value registration, const Finding& last) const;
  Finding ask(Value registration, const Place& place, const Finding& last) const;
  std::optional<Place> place_of(Value registration, Finding& why_not) const;
  net::ClientOptions client_options(Value registration, const Place& place) const;
  // The registration's resourceVersion then.
  std::string write_condition(const Document& registration, const Finding& finding) const;
  void look_again(const Document& registration);
  // These are looked at from now on. `local`: gets those that name no server (any more), and do not say so.
  std::vector<Document> take_due(std::vector<Document>& local);
  void run();

  AggregatorOptions options_;
  Registry& registry_;
  ServedRef served_;  // the registrations
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Finding> findings_;  // by the registration's name
  // What versions() said last, until a registration changes or something else is found. Discovery asks with each request, and
  // there is a registration for each definition.
  mutable std::optional<std::vector<ExternalVersion>> told_;
  mutable store::Revision told_at_ = 0;
  std::uint64_t found_ = 0;          // counts changes of findings_
  std::set<std::string> looked_at_;  // at this moment, each on a thread of its own
  std::chrono::steady_clock::time_point next_{};
  bool poked_ = false, looked_ = false, stopped_ = true;
  std::unique_ptr<store::Watch> watch_;
  std::thread thread_;
};

}  // namespace kybern::apiserver
