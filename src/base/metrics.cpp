#include "base/metrics.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "base/check.h"

namespace kybern::metrics {
namespace {

constexpr char separator = '\x1f';  // between label values in a key; no label holds it
constexpr std::size_t key_on_stack = 384;

std::string_view text_of(Type type) { return type == Type::counter ? "counter" : type == Type::gauge ? "gauge" : "histogram"; }

void append_number(std::string& out, double value) {
  if (std::isnan(value)) out += "NaN";
  else if (std::isinf(value)) out += value > 0 ? "+Inf" : "-Inf";
  else if (value == std::floor(value) && std::fabs(value) < 1e15)
    fmt::format_to(std::back_inserter(out), "{}", static_cast<std::int64_t>(value));
  else fmt::format_to(std::back_inserter(out), "{}", value);
}

void append_escaped(std::string& out, std::string_view text, bool quotes) {
  for (char c : text) {
    if (c == '\\') out += "\\\\";
    else if (c == '\n') out += "\\n";
    else if (c == '"' && quotes) out += "\\\"";
    else out += c;
  }
}

void append_line(std::string& out, std::string_view name, std::string_view suffix, std::string_view labels, double value) {
  out += name;
  out += suffix;
  if (!labels.empty()) {
    out += '{';
    out += labels;
    out += '}';
  }
  out += ' ';
  append_number(out, value);
  out += '\n';
}

struct All {
  std::mutex mutex;  // held while everything is written, so that nobody leaves meanwhile
  std::multimap<std::string, Family*> families;
  std::vector<Collector*> collectors;
};
All& all() {
  static auto* instance = new All();  // outlives the families, which are static objects too
  return *instance;
}

// A key for the map: on the stack when it fits.
class Key {
 public:
  explicit Key(std::initializer_list<std::string_view> values) {
    std::size_t size = 0;
    for (std::string_view v : values) size += v.size() + 1;
    char* at = small_;
    if (size > key_on_stack) {
      large_.resize(size);
      at = large_.data();
    }
    char* begin = at;
    for (std::string_view v : values) {
      at = std::copy(v.begin(), v.end(), at);
      *at++ = separator;
    }
    text_ = {begin, size};
  }
  std::string_view text() const { return text_; }

 private:
  char small_[key_on_stack];
  std::string large_;
  std::string_view text_;
};

struct Hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

}  // namespace

struct Family::State {
  struct Held {
    std::string labels;
    std::unique_ptr<Series> series;
  };
  mutable std::shared_mutex mutex;
  std::unordered_map<std::string, Held, Hash, std::equal_to<>> series;
  std::unique_ptr<Series> beyond;
  std::uint64_t dropped = 0;
};

void Counter::write(std::string& out, std::string_view name, std::string_view labels) const {
  append_line(out, name, "", labels, static_cast<double>(value()));
}
void Gauge::write(std::string& out, std::string_view name, std::string_view labels) const { append_line(out, name, "", labels, value()); }

Histogram::Histogram(const std::vector<double>& bounds) : bounds_(bounds), buckets_(new std::atomic<std::uint64_t>[bounds.size() + 1]()) {}

void Histogram::observe(double value) {
  auto at = static_cast<std::size_t>(std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin());
  buckets_[at].fetch_add(1, std::memory_order_relaxed);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

std::uint64_t Histogram::count() const {
  std::uint64_t out = 0;
  for (std::size_t i = 0; i <= bounds_.size(); ++i) out += buckets_[i].load(std::memory_order_relaxed);
  return out;
}

void Histogram::write(std::string& out, std::string_view name, std::string_view labels) const {
  std::uint64_t below = 0;
  std::string with;
  for (std::size_t i = 0; i <= bounds_.size(); ++i) {
    below += buckets_[i].load(std::memory_order_relaxed);
    with = labels;
    if (!with.empty()) with += ',';
    with += "le=\"";
    append_number(with, i < bounds_.size() ? bounds_[i] : INFINITY);
    with += '"';
    append_line(out, name, "_bucket", with, static_cast<double>(below));
  }
  append_line(out, name, "_sum", labels, sum());
  append_line(out, name, "_count", labels, static_cast<double>(below));
}

Family::Family(std::string_view name, std::string_view help, Type type, std::initializer_list<std::string_view> labels)
    : name_(name), help_(help), type_(type), labels_(labels.begin(), labels.end()), state_(std::make_unique<State>()) {
  std::lock_guard lock(all().mutex);
  all().families.emplace(name_, this);
}

Family::~Family() {
  std::lock_guard lock(all().mutex);
  auto [from, to] = all().families.equal_range(name_);
  for (auto i = from; i != to; ++i) {
    if (i->second != this) continue;
    all().families.erase(i);
    return;
  }
}

Series& Family::find(Values values) {
  KYBERN_CHECK(values.size() == labels_.size(), "a series has a value for each label of its family");
  Key key(values);
  {
    std::shared_lock lock(state_->mutex);
    if (auto found = state_->series.find(key.text()); found != state_->series.end()) return *found->second.series;
  }
  std::unique_lock lock(state_->mutex);
  if (auto found = state_->series.find(key.text()); found != state_->series.end()) return *found->second.series;
  if (state_->series.size() >= max_series) {
    ++state_->dropped;
    if (!state_->beyond) state_->beyond = make();
    return *state_->beyond;
  }
  std::string labels;
  auto label = labels_.begin();
  for (std::string_view value : values) {
    if (!labels.empty()) labels += ',';
    labels += *label++ + "=\"";
    append_escaped(labels, value, true);
    labels += '"';
  }
  return *state_->series.emplace(std::string(key.text()), State::Held{std::move(labels), make()}).first->second.series;
}

void Family::erase(Values values) {
  Key key(values);
  std::unique_lock lock(state_->mutex);
  if (auto found = state_->series.find(key.text()); found != state_->series.end()) state_->series.erase(found);
}

void Family::write(std::string& out) const {
  std::shared_lock lock(state_->mutex);
  if (state_->series.empty()) return;
  write_header(out, name_, help_, type_);
  std::vector<const State::Held*> sorted;
  for (const auto& [key, held] : state_->series) sorted.push_back(&held);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->labels < b->labels; });
  for (const State::Held* held : sorted) held->series->write(out, name_, held->labels);
  if (!state_->dropped) return;
  write_header(out, "metrics_series_dropped_total", "Lookups of series beyond the limit of a family", Type::counter);
  write_sample(out, "metrics_series_dropped_total", {{"family", name_}}, static_cast<double>(state_->dropped));
}

std::vector<double> exponential_bounds(double start, double factor, std::size_t n) {
  std::vector<double> out;
  for (; n > 0; --n, start *= factor) out.push_back(start);
  return out;
}

Collector::Collector(std::function<void(std::string&)> collect) : collect_(std::move(collect)) {
  std::lock_guard lock(all().mutex);
  all().collectors.push_back(this);
}

Collector::~Collector() {
  std::lock_guard lock(all().mutex);
  std::erase(all().collectors, this);
}

void write_header(std::string& out, std::string_view name, std::string_view help, Type type) {
  out += "# HELP ";
  out += name;
  out += ' ';
  append_escaped(out, help, false);
  out += "\n# TYPE ";
  out += name;
  out += ' ';
  out += text_of(type);
  out += '\n';
}

void write_sample(std::string& out, std::string_view name, std::initializer_list<Label> labels, double value) {
  std::string text;
  for (const auto& [label, of] : labels) {
    if (!text.empty()) text += ',';
    text += label;
    text += "=\"";
    append_escaped(text, of, true);
    text += '"';
  }
  append_line(out, name, "", text, value);
}

namespace {

void write_process(std::string& out) {
  auto one = [&](std::string_view name, std::string_view help, Type type, double value) {
    write_header(out, name, help, type);
    write_sample(out, name, {}, value);
  };
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  one("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", Type::counter,
      seconds(usage.ru_utime) + seconds(usage.ru_stime));
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  one("process_max_fds", "Maximum number of open file descriptors.", Type::gauge, static_cast<double>(files.rlim_cur));
  std::error_code error;
  std::size_t open = 0;
  for (std::filesystem::directory_iterator i("/proc/self/fd", error), end; !error && i != end; i.increment(error)) ++open;
  one("process_open_fds", "Number of open file descriptors.", Type::gauge,
      static_cast<double>(open > 0 ? open - 1 : 0));  // without that of the listing
  // proc(5), stat: after the name in parentheses, field 22 is the start in clock ticks since boot, 23 and 24 the memory.
  std::ifstream in("/proc/self/stat");
  std::string line;
  std::getline(in, line);
  auto after = line.rfind(')');
  if (after == std::string::npos) return;
  std::vector<std::string> fields;
  for (std::size_t at = after + 2; at < line.size();) {
    std::size_t end = std::min(line.find(' ', at), line.size());
    fields.push_back(line.substr(at, end - at));
    at = end + 1;
  }
  if (fields.size() < 22) return;
  one("process_resident_memory_bytes", "Resident memory size in bytes.", Type::gauge,
      std::stod(fields[21]) * static_cast<double>(::sysconf(_SC_PAGESIZE)));
  one("process_virtual_memory_bytes", "Virtual memory size in bytes.", Type::gauge, std::stod(fields[20]));
  std::ifstream boot("/proc/stat");
  double boot_time = 0;
  while (std::getline(boot, line))
    if (line.starts_with("btime ")) boot_time = std::stod(line.substr(6));
  one("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", Type::gauge,
      boot_time + std::stod(fields[19]) / static_cast<double>(::sysconf(_SC_CLK_TCK)));
  double threads = std::stod(fields[17]);
  one("process_threads", "Number of threads of the process.", Type::gauge, threads);
}

}  // namespace

std::string expose() {
  std::string out;
  std::lock_guard lock(all().mutex);
  for (const auto& [name, family] : all().families) family->write(out);
  for (Collector* collector : all().collectors) collector->collect_(out);
  write_process(out);
  return out;
}

}  // namespace kybern::metrics
