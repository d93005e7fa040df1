// The store: durable writes by many writers, loading, memory, reading, watches, and the size of the file under a million
// updates of leases. The files lie in $KYBERN_BENCH_DIR, or in the folder for temporary files: fsync is what is measured.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <mutex>
#include <random>
#include <thread>

#include "document/json.h"
#include "store/local_store.h"
#include "store/store.h"
#include "store/tree.h"

namespace {

using namespace kybern;
using namespace kybern::store;

class Folder {
 public:
  Folder() {
    const char* base = ::getenv("KYBERN_BENCH_DIR");
    std::string pattern = (base ? std::string(base) : std::filesystem::temp_directory_path().string()) + "/kybern_bench_XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string file() const { return path_ + "/state.db"; }

 private:
  std::string path_;
};

std::unique_ptr<Store> open(const std::string& path) {
  StoreOptions options;
  options.path = path;
  Result<std::unique_ptr<Store>> store = Store::open(options);
  if (!store) {
    fmt::print(stderr, "{}\n", store.error().message);
    std::exit(1);
  }
  return std::move(*store);
}

// A pod as clusters have them: many short fields, containers with variables, conditions; about `bytes` of JSON.
Document pod(std::string_view name, std::size_t bytes) {
  std::string variables;
  for (std::size_t i = 0; variables.size() + 1250 < bytes; ++i)
    variables += fmt::format(R"({}{{"name":"SETTING_{}","value":"some value {} of the application"}})", i ? "," : "", i, i * 31);
  std::string json = fmt::format(
      R"({{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{0}","namespace":"default","uid":"9d2a77a1-3f6e-4a3c-9b60-7b1f60c2c111",)"
      R"("resourceVersion":"{1}","creationTimestamp":"2026-01-02T03:04:05Z","labels":{{"app":"web","pod-template-hash":"7d5f8b9c6","tier":"front"}},)"
      R"("ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-7d5f8b9c6","uid":"5b0a","controller":true,"blockOwnerDeletion":true}}]}},)"
      R"("spec":{{"containers":[{{"name":"web","image":"registry.example/web:1.2.3","ports":[{{"containerPort":8080,"protocol":"TCP"}}],"env":[{2}],)"
      R"("resources":{{"limits":{{"cpu":"500m","memory":"256Mi"}},"requests":{{"cpu":"100m","memory":"64Mi"}}}},"imagePullPolicy":"IfNotPresent"}}],)"
      R"("restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","nodeName":"node-17","serviceAccountName":"default"}},)"
      R"("status":{{"phase":"Running","podIP":"10.1.2.3","hostIP":"192.168.1.17","conditions":[{{"type":"Ready","status":"True","lastTransitionTime":"2026-01-02T03:04:09Z"}}]}}}})",
      name, Document::stamp_blank(), variables);
  return *parse_json(json);
}

Document lease(int node, int turn) {
  return *parse_json(fmt::format(
      R"({{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{{"name":"node-{0}","namespace":"kube-node-lease","uid":"9d2a77a1-3f6e-4a3c-9b60-7b1f60c2c111",)"
      R"("resourceVersion":"{1}","creationTimestamp":"2026-01-02T03:04:05Z","ownerReferences":[{{"apiVersion":"v1","kind":"Node","name":"node-{0}","uid":"5b0a77a1-3f6e-4a3c-9b60-7b1f60c2c111"}}]}},)"
      R"("spec":{{"holderIdentity":"node-{0}","leaseDurationSeconds":40,"renewTime":"2026-01-02T03:04:05.{2:06}Z"}}}})",
      node, Document::stamp_blank(), turn % 1000000));
}

void run_threads(int n, const std::function<void(int)>& work) {
  std::vector<std::thread> threads;
  for (int t = 0; t < n; ++t) threads.emplace_back([&, t] { work(t); });
  for (auto& t : threads) t.join();
}

double process_cpu_us() {
  struct rusage used;
  ::getrusage(RUSAGE_SELF, &used);
  auto us = [](const timeval& t) { return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec); };
  return us(used.ru_utime) + us(used.ru_stime);
}

// Arguments: writers, bytes of a document, 1 on disk or 0 in memory. Half of the writes create, half update.
void puts_per_second(benchmark::State& state) {
  const int writers = static_cast<int>(state.range(0));
  const auto bytes = static_cast<std::size_t>(state.range(1));
  const int each = (state.range(2) ? 24'000 : 100'000) / (writers == 1 ? 6 : 1) / writers;
  for (auto _ : state) {
    state.PauseTiming();
    Folder folder;
    auto store = open(state.range(2) ? folder.file() : "");
    Document value = pod("web-7d5f8b9c6-abcde", bytes);
    std::atomic<std::int64_t> slowest_us = 0;
    const double cpu_before = process_cpu_us();
    state.ResumeTiming();
    run_threads(writers, [&](int t) {
      for (int i = 0; i < each; ++i) {
        auto start = std::chrono::steady_clock::now();
        Result<EntryPtr> done = store->commit({fmt::format("/pods/ns{}/web-{}", t, i / 2), value, std::nullopt});
        if (!done) std::abort();
        auto us = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start).count();
        if (us > slowest_us) slowest_us = us;
      }
    });
    state.PauseTiming();
    state.counters["cpu_us_per_put"] = (process_cpu_us() - cpu_before) / each / writers;
    state.counters["slowest_ms"] = static_cast<double>(slowest_us) / 1000;
    store.reset();
    state.ResumeTiming();
  }
  state.counters["puts"] =
      benchmark::Counter(static_cast<double>(each) * writers * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}
BENCHMARK(puts_per_second)->ArgsProduct({{1, 16, 64, 128}, {1500, 3600}, {1}})->Iterations(1)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(puts_per_second)->ArgsProduct({{1, 64}, {3600}, {0}})->Iterations(1)->UseRealTime()->Unit(benchmark::kMillisecond);

std::size_t heap_bytes() {
  struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

void load(benchmark::State& state) {
  const int objects = static_cast<int>(state.range(0));
  Folder folder;
  {
    auto store = open(folder.file());
    Document value = pod("web-7d5f8b9c6-abcde", 3600);
    run_threads(128, [&](int t) {
      for (int i = t; i < objects; i += 128)
        if (!store->commit({fmt::format("/pods/namespace-{}/web-7d5f8b9c6-{:06}", i % 100, i), value, std::nullopt})) std::abort();
    });
    state.counters["file_mb"] = static_cast<double>(store->stats().file_bytes) / 1e6;
  }
  ::malloc_trim(0);
  const std::size_t before = heap_bytes();
  for (auto _ : state) {
    auto store = open(folder.file());
    benchmark::DoNotOptimize(store->revision());
    state.PauseTiming();
    std::size_t documents = 0;
    store->snapshot().scan("", "", [&](const EntryPtr& e) { return documents += e->value.memory(), true; });
    state.counters["document_bytes"] = static_cast<double>(documents) / objects;
    state.counters["other_bytes_per_entry"] = (static_cast<double>(heap_bytes() - before) - static_cast<double>(documents)) / objects;
    store.reset();
    state.ResumeTiming();
  }
}
BENCHMARK(load)->Arg(150'000)->Iterations(2)->UseRealTime()->Unit(benchmark::kMillisecond);

std::vector<EntryPtr> many_entries(int n) {
  std::vector<EntryPtr> entries;
  for (int i = 0; i < n; ++i)
    entries.push_back(std::make_shared<const Entry>(Entry{fmt::format("/pods/namespace-{}/web-7d5f8b9c6-{:06}", i % 100, i), {}, i}));
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a->key < b->key; });
  return entries;
}

void scan(benchmark::State& state) {
  Tree tree = Tree::build(many_entries(150'000));
  for (auto _ : state) {
    Revision sum = 0;
    tree.scan("/pods/", [&](const EntryPtr& e) { return sum += e->revision, true; });
    benchmark::DoNotOptimize(sum);
  }
  state.SetItemsProcessed(state.iterations() * 150'000);
}
BENCHMARK(scan)->Unit(benchmark::kMillisecond);

void get(benchmark::State& state) {
  auto entries = many_entries(150'000);
  Tree tree = Tree::build(entries);
  std::mt19937_64 random(1);
  for (auto _ : state) benchmark::DoNotOptimize(tree.get(entries[random() % entries.size()]->key));
}
BENCHMARK(get);

// One update of a tree that a snapshot shares, as each batch begins.
void put_shared(benchmark::State& state) {
  auto entries = many_entries(150'000);
  Tree tree = Tree::build(entries);
  std::mt19937_64 random(1);
  for (auto _ : state) {
    Tree snapshot = tree;
    tree.put(entries[random() % entries.size()]);
    benchmark::DoNotOptimize(snapshot);
  }
}
BENCHMARK(put_shared);

void count(benchmark::State& state) {
  auto entries = many_entries(150'000);
  Tree tree = Tree::build(entries);
  for (auto _ : state) benchmark::DoNotOptimize(tree.rank_behind("/pods/namespace-57/") - tree.rank("/pods/namespace-57/"));
}
BENCHMARK(count);

// Argument: watchers of all pods, each read by one of two threads when it is called.
void creates_under_watch(benchmark::State& state) {
  const int watchers = static_cast<int>(state.range(0));
  for (auto _ : state) {
    state.PauseTiming();
    auto store = open("");
    Document value = pod("web-7d5f8b9c6-abcde", 3600);
    std::vector<std::unique_ptr<Watch>> watches(static_cast<std::size_t>(watchers));
    std::atomic<std::size_t> seen = 0;
    const std::size_t before = heap_bytes();
    for (auto& w : watches) {
      w = std::move(*store->watch("/pods/", store->revision(), [&w, &seen] {
        std::vector<ChangePtr> out;
        do {
          out.clear();
          if (!w->take(out, 256)) std::abort();
          seen += out.size();
        } while (!out.empty());
      }));
      std::vector<ChangePtr> out;
      if (!w->take(out, 1)) std::abort();
    }
    state.counters["bytes_per_watch"] = static_cast<double>(heap_bytes() - before) / watchers;
    state.ResumeTiming();
    run_threads(8, [&](int t) {
      for (int i = 0; i < 125; ++i)
        if (!store->commit({fmt::format("/pods/ns{}/web-{}", t, i), value, std::nullopt})) std::abort();
    });
    while (seen < static_cast<std::size_t>(watchers) * 1000) std::this_thread::yield();
    state.PauseTiming();
    watches.clear();
    store.reset();
    state.ResumeTiming();
  }
}
BENCHMARK(creates_under_watch)->Arg(1)->Arg(100)->Arg(5000)->Iterations(3)->UseRealTime()->Unit(benchmark::kMillisecond);

// The requirement: one million updates of 100 leases keep the file (and its write-ahead log) under 64 MB.
void lease_updates(benchmark::State& state) {
  const int updates = static_cast<int>(state.range(0));
  for (auto _ : state) {
    Folder folder;
    auto store = open(folder.file());
    std::atomic<std::int64_t> largest = 0;
    std::atomic<int> next = 0;
    run_threads(64, [&](int) {
      for (int i; (i = next++) < updates;) {
        if (!store->commit({fmt::format("/coordination.k8s.io/leases/kube-node-lease/node-{}", i % 100), lease(i % 100, i), std::nullopt}))
          std::abort();
        if (i % 1000 == 0) largest = std::max(largest.load(), store->stats().file_bytes);
      }
    });
    state.counters["largest_file_mb"] = static_cast<double>(largest) / 1e6;
  }
  state.counters["updates"] =
      benchmark::Counter(static_cast<double>(updates) * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}
BENCHMARK(lease_updates)->Arg(1'000'000)->Iterations(1)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
