#include "base/metrics.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace kybern::metrics {
namespace {

std::string written(const Family& family) {
  std::string out;
  family.write(out);
  return out;
}

TEST(Metrics, ACounterWithLabels) {
  CounterFamily family("test_requests_total", "How many.\nAll of them", {"verb", "path"});
  EXPECT_EQ(written(family), "");  // nothing was counted
  family.with({"GET", "/a\"b\\"}).add();
  family.with({"GET", "/a\"b\\"}).add(2);
  family.with({"DELETE", "x\ny"}).add();
  EXPECT_EQ(written(family),
            "# HELP test_requests_total How many.\\nAll of them\n# TYPE test_requests_total counter\n"
            "test_requests_total{verb=\"DELETE\",path=\"x\\ny\"} 1\n"
            "test_requests_total{verb=\"GET\",path=\"/a\\\"b\\\\\"} 3\n");
}

TEST(Metrics, AGaugeGoesUpAndDown) {
  GaugeFamily family("test_depth", "Depth");
  family.with({}).add(3);
  family.with({}).add(-1.5);
  EXPECT_EQ(written(family), "# HELP test_depth Depth\n# TYPE test_depth gauge\ntest_depth 1.5\n");
}

TEST(Metrics, AHistogramIsCumulative) {
  HistogramFamily family("test_seconds", "Time", {0.1, 1, 10}, {"verb"});
  for (double v : {0.05, 0.1, 0.5, 5.0, 50.0}) family.with({"GET"}).observe(v);
  EXPECT_EQ(written(family),
            "# HELP test_seconds Time\n# TYPE test_seconds histogram\n"
            "test_seconds_bucket{verb=\"GET\",le=\"0.1\"} 2\n"
            "test_seconds_bucket{verb=\"GET\",le=\"1\"} 3\n"
            "test_seconds_bucket{verb=\"GET\",le=\"10\"} 4\n"
            "test_seconds_bucket{verb=\"GET\",le=\"+Inf\"} 5\n"
            "test_seconds_sum{verb=\"GET\"} 55.65\n"
            "test_seconds_count{verb=\"GET\"} 5\n");
}

TEST(Metrics, ExponentialBounds) { EXPECT_EQ(exponential_bounds(1000, 10, 3), (std::vector<double>{1000, 10000, 100000})); }

TEST(Metrics, LongLabelsAndManyThreads) {
  CounterFamily family("test_threads_total", "Many", {"a", "b"});
  const std::string long_value(1000, 'x');
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        family.with({long_value, "1"}).add();
        family.with({"short", i % 2 ? "odd" : "even"}).add();
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(family.with({long_value, "1"}).value(), 8000u);
  EXPECT_EQ(family.with({"short", "odd"}).value(), 4000u);
  EXPECT_EQ(family.with({"short", "even"}).value(), 4000u);
}

TEST(Metrics, AFamilyIsBounded) {
  CounterFamily family("test_many_total", "Many", {"n"});
  for (std::size_t i = 0; i < max_series + 10; ++i) family.with({std::to_string(i)}).add();
  std::string out = written(family);
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), static_cast<std::ptrdiff_t>(max_series + 2 + 3));
  EXPECT_NE(out.find("metrics_series_dropped_total{family=\"test_many_total\"} 10\n"), std::string::npos);
}

TEST(Metrics, ASeriesCanBeForgotten) {
  GaugeFamily family("test_forgotten", "Gone", {"n"});
  family.with({"1"}).set(1);
  family.with({"2"}).set(2);
  family.erase({"1"});
  EXPECT_EQ(written(family), "# HELP test_forgotten Gone\n# TYPE test_forgotten gauge\ntest_forgotten{n=\"2\"} 2\n");
}

TEST(Metrics, ExposeTellsOfTheProcessAndOfCollectorsWhileTheyLive) {
  {
    Collector collector([](std::string& out) {
      write_header(out, "test_collected", "Read when asked", Type::gauge);
      write_sample(out, "test_collected", {{"resource", "pods"}}, 7);
    });
    std::string out = expose();
    EXPECT_NE(out.find("\ntest_collected{resource=\"pods\"} 7\n"), std::string::npos);
    for (std::string_view name : {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_virtual_memory_bytes",
                                  "process_open_fds", "process_max_fds", "process_start_time_seconds"})
      EXPECT_NE(out.find("\n" + std::string(name) + " "), std::string::npos) << name;
  }
  EXPECT_EQ(expose().find("test_collected"), std::string::npos);
}

}  // namespace
}  // namespace kybern::metrics
