// Creates pods through the API from many connections and says how fast, and what the server's memory becomes.
//
//   api_load_bench KUBECONFIG [pods=10000] [connections=32] [server pid]
//
// The pods are about 1.5 KB as JSON and bound to no node's scheduler; they are deleted again at the end.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>
#include <vector>

#include "client/transport.h"

using namespace kybern;
using SteadyClock = std::chrono::steady_clock;

namespace {

Document pod(int number) {
  Draft p = Draft::object({{"apiVersion", "v1"}, {"kind", "Pod"}});
  p["metadata"] = Draft::object({{"name", fmt::format("load-{:06}", number)}, {"namespace", "default"}});
  for (int i = 0; i < 6; ++i) p["metadata"]["labels"][fmt::format("example.com/label-{}", i)] = fmt::format("value-{}-{}", i, number % 97);
  Draft container = Draft::object({{"name", "main"}, {"image", "example.com/team/service:1.2.3"}, {"imagePullPolicy", "IfNotPresent"}});
  for (int i = 0; i < 8; ++i) container["env"].push_back(Draft::object({{"name", fmt::format("SETTING_{}", i)}, {"value", "a value of some length for a setting"}}));
  container["resources"]["requests"] = Draft::object({{"cpu", "100m"}, {"memory", "128Mi"}});
  container["ports"].push_back(Draft::object({{"name", "http"}, {"containerPort", 8080}, {"protocol", "TCP"}}));
  p["spec"] = Draft::object({{"schedulerName", "nobody"}, {"terminationGracePeriodSeconds", 0}});
  p["spec"]["containers"].push_back(std::move(container));
  return p.freeze();
}

long resident_kb(const char* pid) {
  std::ifstream in(fmt::format("/proc/{}/status", pid));
  std::string word;
  long kb = 0;
  while (in >> word)
    if (word == "VmRSS:") in >> kb;
  return kb;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return fmt::print(stderr, "usage: {} KUBECONFIG [pods] [connections] [server pid]\n", argv[0]), 2;
  int count = argc > 2 ? std::atoi(argv[2]) : 10000, connections = argc > 3 ? std::atoi(argv[3]) : 32;
  auto options = client::read_kubeconfig(argv[1]);
  if (!options) return fmt::print(stderr, "{}\n", options.error().message), 1;
  std::vector<Document> pods;
  for (int i = 0; i < count; ++i) pods.push_back(pod(i));
  long before_kb = argc > 4 ? resident_kb(argv[4]) : 0;
  auto run = [&](const char* what, auto&& one) {
    std::atomic<int> next{0}, failed{0};
    std::vector<std::vector<double>> times(static_cast<std::size_t>(connections));
    std::vector<std::thread> threads;
    auto begin = SteadyClock::now();
    for (int c = 0; c < connections; ++c)
      threads.emplace_back([&, c] {
        auto transport = client::http_transport(*options);
        if (!transport) return;
        for (int i; (i = next++) < count;) {
          auto from = SteadyClock::now();
          if (!one(**transport, i)) ++failed;
          times[static_cast<std::size_t>(c)].push_back(std::chrono::duration<double, std::milli>(SteadyClock::now() - from).count());
        }
      });
    for (auto& t : threads) t.join();
    double seconds = std::chrono::duration<double>(SteadyClock::now() - begin).count();
    std::vector<double> all;
    for (auto& t : times) all.insert(all.end(), t.begin(), t.end());
    std::sort(all.begin(), all.end());
    if (all.empty()) return;
    fmt::print("{:<8}{} in {:.2f} s: {:.0f}/s, p50 {:.2f} ms, p99 {:.2f} ms, {} failed\n", what, count, seconds, count / seconds, all[all.size() / 2], all[all.size() * 99 / 100], failed.load());
  };
  auto path = [&](int i) { return client::object_path("v1", "pods", "default", pods[static_cast<std::size_t>(i)]["metadata"]["name"].as_string()); };
  run("create", [&](client::Transport& t, int i) { return t.call({"POST", "/api/v1/namespaces/default/pods", "", pods[static_cast<std::size_t>(i)], {}}).has_value(); });
  if (argc > 4) {
    long after_kb = resident_kb(argv[4]);
    fmt::print("memory  {} KB before, {} KB after: {:.2f} KB a pod\n", before_kb, after_kb, static_cast<double>(after_kb - before_kb) / count);
  }
  run("get", [&](client::Transport& t, int i) { return t.call({"GET", path(i), "", {}, {}}).has_value(); });
  run("delete", [&](client::Transport& t, int i) { return t.call({"DELETE", path(i), "", {}, {}}).has_value(); });
  return 0;
}
