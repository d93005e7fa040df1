// Answers per second: reading a query, answering it from an index of 10,000 services and writing the answer; and the whole
// server over UDP on loopback.
#include <benchmark/benchmark.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "base/world.h"
#include "dns/answer/message.h"
#include "dns/serve/server.h"

namespace kybern::dns {
namespace {

constexpr int services = 10000;

std::shared_ptr<const Service> make_service(const std::string& name, int endpoints, bool headless, int number) {
  auto out = std::make_shared<Service>();
  out->ns = "default";
  out->name = name;
  out->kind = headless ? Service::Kind::headless : Service::Kind::cluster_ip;
  out->ports = {{"http", "tcp", 80}};
  if (!headless) out->ips = {*parse_ip("10.96." + std::to_string(number / 250) + "." + std::to_string(number % 250 + 1))};
  EndpointGroup group;
  group.ports = {{"http", "tcp", 8080}};
  for (int i = 0; i < endpoints; ++i) {
    group.endpoints.push_back(
        {*parse_ip("10." + std::to_string(number % 100) + "." + std::to_string(number / 100) + "." + std::to_string(i % 250 + 1)), ""});
  }
  out->groups.push_back(std::move(group));
  return out;
}

std::shared_ptr<const Index> index() {
  static const std::shared_ptr<const Index> made = [] {
    IndexWriter writer(Index{});
    writer.put_namespace("default", true);
    for (int i = 0; i < services; ++i)
      writer.put_service("default/s" + std::to_string(i), make_service("s" + std::to_string(i), 3, false, i));
    writer.put_service("default/many", make_service("many", 50, true, 1));
    return writer.finish(true, 1);
  }();
  return made;
}

void answer_one(benchmark::State& state, const char* name, Type type) {
  const auto from = index();
  const Zone zone = make_zone("cluster.local");
  const std::string message = *write_query(1, name, type);
  for (auto _ : state) {
    const Query query = *parse_query(message);
    benchmark::DoNotOptimize(write_answer(query, answer(*from, zone, query.question, 1), udp_limit(query)));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(answer_one, cluster_ip, "s4711.default.svc.cluster.local", Type::a);
BENCHMARK_CAPTURE(answer_one, no_such_name, "x.default.svc.cluster.local", Type::a);
BENCHMARK_CAPTURE(answer_one, headless_of_50, "many.default.svc.cluster.local", Type::a);
BENCHMARK_CAPTURE(answer_one, srv, "_http._tcp.s4711.default.svc.cluster.local", Type::srv);

void change_of_one_service(benchmark::State& state) {
  std::shared_ptr<const Index> now = index();
  const auto changed = make_service("s4711", 4, false, 4711);
  for (auto _ : state) {
    IndexWriter writer(*now);
    writer.put_service("default/s4711", changed);
    now = writer.finish(true, 2);
  }
}
BENCHMARK(change_of_one_service);

// One client that keeps 64 queries under way.
void over_udp(benchmark::State& state) {
  DnsOptions options;
  options.port = 0;
  options.resolv_conf = "/nonexistent";
  auto server = std::move(*Server::start(real_world(), options));
  server->set_index(index());
  const int file = ::socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(server->port()));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ::connect(file, reinterpret_cast<sockaddr*>(&address), sizeof address);
  const timeval limit{1, 0};
  ::setsockopt(file, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  constexpr int window = 64;
  std::string message = *write_query(1, "s4711.default.svc.cluster.local", Type::a);
  std::vector<mmsghdr> out(window), in(window);
  std::vector<iovec> out_parts(window), in_parts(window);
  std::vector<std::array<char, 512>> buffers(window);
  for (int i = 0; i < window; ++i) {
    out_parts[i] = {message.data(), message.size()};
    in_parts[i] = {buffers[i].data(), buffers[i].size()};
    out[i].msg_hdr.msg_iov = &out_parts[i];
    in[i].msg_hdr.msg_iov = &in_parts[i];
    out[i].msg_hdr.msg_iovlen = in[i].msg_hdr.msg_iovlen = 1;
  }
  std::int64_t lost = 0;
  for (auto _ : state) {
    ::sendmmsg(file, out.data(), window, 0);
    int got = 0;
    while (got < window) {
      const int count = ::recvmmsg(file, in.data(), static_cast<unsigned>(window - got), MSG_WAITFORONE, nullptr);
      if (count <= 0) break;
      got += count;
    }
    lost += window - got;
  }
  ::close(file);
  state.SetItemsProcessed(state.iterations() * window - lost);
  state.counters["lost"] = static_cast<double>(lost);
}
BENCHMARK(over_udp)->UseRealTime();

}  // namespace
}  // namespace kybern::dns

BENCHMARK_MAIN();
