// Metrics in Prometheus' text form (exposition format 0.0.4): counters, gauges and histograms that any room may have.
//
//   metrics::CounterFamily adds{"workqueue_adds_total", "Total number of adds handled by workqueue", {"name"}};
//   adds.with({"deployment"}).add();
//
// Families register themselves while they live (usually as static objects of a .cpp file); `expose()` writes all of them. A
// series is made when its labels are first seen and never moves: keep the reference where it is used often. Counting is one
// relaxed atomic addition. with() of a known series takes a shared lock and allocates nothing; a family holds at most
// `max_series`, what comes beyond is counted in a series that is not shown (and `metrics_series_dropped_total` says so).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kybern::metrics {

inline constexpr std::size_t max_series = 20000;  // of one family

enum class Type { counter, gauge, histogram };

class Series {
 public:
  virtual ~Series() = default;
  // Appends its lines. `labels` is `a="x",b="y"`, or empty.
  virtual void write(std::string& out, std::string_view name, std::string_view labels) const = 0;
};

class Counter final : public Series {
 public:
  void add(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }
  void write(std::string& out, std::string_view name, std::string_view labels) const override;

 private:
  std::atomic<std::uint64_t> value_{0};
};

class Gauge final : public Series {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  void add(double n) { value_.fetch_add(n, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }
  void write(std::string& out, std::string_view name, std::string_view labels) const override;

 private:
  std::atomic<double> value_{0};
};

// Counts observations by upper bounds (ascending, without +Inf, which is always there).
class Histogram final : public Series {
 public:
  explicit Histogram(const std::vector<double>& bounds);
  void observe(double value);
  std::uint64_t count() const;
  double sum() const { return sum_.load(std::memory_order_relaxed); }
  void write(std::string& out, std::string_view name, std::string_view labels) const override;

 private:
  const std::vector<double>& bounds_;  // the family's
  std::unique_ptr<std::atomic<std::uint64_t>[]> buckets_;
  std::atomic<double> sum_{0};
};

class Family {
 public:
  Family(std::string_view name, std::string_view help, Type type, std::initializer_list<std::string_view> labels);
  virtual ~Family();
  Family(const Family&) = delete;
  Family& operator=(const Family&) = delete;

  void write(std::string& out) const;
  const std::string& name() const { return name_; }
  // Forgets a series, of something that is no more. A reference to it is then invalid.
  void erase(std::initializer_list<std::string_view> values);

 protected:
  using Values = std::initializer_list<std::string_view>;  // as many as there are labels
  Series& find(Values values);
  virtual std::unique_ptr<Series> make() const = 0;

 private:
  struct State;
  std::string name_, help_;
  Type type_;
  std::vector<std::string> labels_;
  std::unique_ptr<State> state_;
};

class CounterFamily final : public Family {
 public:
  CounterFamily(std::string_view name, std::string_view help, Values labels = {}) : Family(name, help, Type::counter, labels) {}
  Counter& with(Values values) { return static_cast<Counter&>(find(values)); }

 private:
  std::unique_ptr<Series> make() const override { return std::make_unique<Counter>(); }
};

class GaugeFamily final : public Family {
 public:
  GaugeFamily(std::string_view name, std::string_view help, Values labels = {}) : Family(name, help, Type::gauge, labels) {}
  Gauge& with(Values values) { return static_cast<Gauge&>(find(values)); }

 private:
  std::unique_ptr<Series> make() const override { return std::make_unique<Gauge>(); }
};

class HistogramFamily final : public Family {
 public:
  HistogramFamily(std::string_view name, std::string_view help, std::vector<double> bounds, Values labels = {})
      : Family(name, help, Type::histogram, labels), bounds_(std::move(bounds)) {}
  Histogram& with(Values values) { return static_cast<Histogram&>(find(values)); }

 private:
  std::unique_ptr<Series> make() const override { return std::make_unique<Histogram>(bounds_); }
  std::vector<double> bounds_;
};

// n bounds: start, start * factor, ...
std::vector<double> exponential_bounds(double start, double factor, std::size_t n);

// What is read off the world when it is asked for: appends whole lines with write_header and write_sample.
class Collector {
 public:
  explicit Collector(std::function<void(std::string& out)> collect);
  ~Collector();  // waits for a running collection
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

 private:
  std::function<void(std::string&)> collect_;
  friend std::string expose();
};
void write_header(std::string& out, std::string_view name, std::string_view help, Type type);
using Label = std::pair<std::string_view, std::string_view>;
void write_sample(std::string& out, std::string_view name, std::initializer_list<Label> labels, double value);

// All families by name, then what collectors say; process_* (resident and virtual memory, CPU seconds, descriptors, start
// time, as Prometheus' client libraries name them) is always among it. For Content-Type:
inline constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";
std::string expose();

}  // namespace kybern::metrics
