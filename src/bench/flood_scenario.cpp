// What one user's flood does to another: somebody reads and writes a little, at a steady pace, first alone, then beside a
// second user who sends all he can over many connections. Both are of the same priority level, so that only its queues
// stand between them. The flood's own threads give way, as far as this machine's processors are shared: what is measured is
// the server.
#include <fmt/format.h>

#include <thread>

#include "bench/objects.h"
#include "bench/scenarios.h"

namespace kybern::bench {
namespace {

constexpr double reads_per_second = 100, writes_per_second = 50;
constexpr std::size_t paced_connections = 4;
constexpr std::chrono::seconds phase{8};
constexpr int gives_way = 19;
constexpr std::size_t objects = 1000, page = 100;

}  // namespace

std::vector<Measured> Scenarios::flood() {
  auto give_up = [&](std::string why) { return std::vector<Measured>{skipped("flood", std::move(why))}; };
  if (std::string why = need_pods(objects); !why.empty()) return give_up(why);
  if (std::string why = need_maps(objects); !why.empty()) return give_up(why);
  std::string base = fmt::format("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/", ns_);
  auto role = caller_->call("POST", base + "roles", role_text(ns_));
  if (Outcome o = outcome_of(role); !o.error.empty()) return give_up("the role cannot be made: " + o.error);
  bound_ = true;
  auto binding = caller_->call("POST", base + "rolebindings", role_binding_text(ns_));
  if (Outcome o = outcome_of(binding); !o.error.empty()) return give_up("the role cannot be bound: " + o.error);
  auto user = [&](std::string_view name) {
    Target target = target_;
    target.as_user = fmt::format("{}-{}", ns_, name);
    target.as_group = ns_;
    return target;
  };
  Target steady = user("steady"), eager = user("eager");
  auto paced = [&](std::string name, double rate) {
    Load l = load(std::move(name));
    l.connections = paced_connections;
    l.count = 0;
    l.limit = phase;
    l.rate = rate;
    return l;
  };
  auto read = [&](std::size_t i) { return Question{"GET", pods(object_name("load", i * 7919 % objects)), {}, {}}; };
  auto write = [&](std::size_t from, std::size_t i) {  // each has a half of the maps
    std::string name = object_name("load", from + i % (objects / 2));
    return Question{"PUT", maps(name), config_map_text(ns_, name, i), {}};
  };
  std::vector<Measured> out(5);
  auto side = [&](std::size_t place, const Target& target, Load l) {
    return std::thread([&out, &target, place, l = std::move(l), this] { out[place] = run_load(target, l, watcher_); });
  };
  auto pace = [&](std::size_t place, std::string prefix) {
    Load reads = paced(prefix + "-get", reads_per_second), writes = paced(prefix + "-put", writes_per_second);
    reads.ask = read;
    writes.ask = [&](std::size_t i) { return write(0, i); };
    std::thread one = side(place, steady, std::move(reads)), other = side(place + 1, steady, std::move(writes));
    one.join();
    other.join();
  };
  pace(0, "quiet");
  Load all = load("flood");
  all.connections *= 2;
  all.count = 0;
  all.limit = phase;
  all.rate = 0;
  all.nice = gives_way;
  all.ask = [&](std::size_t i) {
    if (i % 8 == 0) return Question{"GET", fmt::format("{}?limit={}", pods(), page), {}, {}};
    return i % 2 ? read(i) : write(objects / 2, i);
  };
  // Who floods is turned away: that is no failure of the measuring.
  all.judge = [](std::size_t, const Result<net::Response>& answer) {
    Outcome o = outcome_of(answer);
    if (o.error.starts_with("429")) o.error.clear();
    return o;
  };
  std::thread flooding = side(2, eager, std::move(all));
  pace(3, "flood");
  flooding.join();
  return out;
}

}  // namespace kybern::bench
