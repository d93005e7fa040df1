#include "apiserver/usage/usage_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include "base/strings.h"
#include "machinery/quantity.h"

namespace kybern::apiserver {
namespace {

constexpr std::size_t most_looks_at_once = 16;

// Nanocores between two looks, and the memory at the second; canonical, as quantities are written.
Draft usage_of(std::int64_t cpu_nanoseconds, Duration window, std::int64_t memory_bytes) {
  const double seconds = std::chrono::duration<double>(window).count();
  const std::int64_t nanocores = seconds > 0 ? static_cast<std::int64_t>(static_cast<double>(cpu_nanoseconds) / seconds) : 0;
  const auto cpu = Quantity::parse(fmt::format("{}n", nanocores)), memory = Quantity::parse(fmt::format("{}Ki", memory_bytes / 1024));
  return Draft::object({{"cpu", cpu ? cpu->str() : "0"}, {"memory", memory ? memory->str() : "0"}});
}

std::string window_text(Duration window) { return fmt::format("{:.3f}s", std::chrono::duration<double>(window).count()); }

Draft frame(const Work& work, Value object, Time now) {
  Draft out = Draft::object({{"kind", work.served->kind()}, {"apiVersion", work.served->api_version}});
  Draft& m = out["metadata"];
  m["name"] = object["metadata"]["name"];
  if (object["metadata"]["namespace"].exists()) m["namespace"] = object["metadata"]["namespace"];
  m["creationTimestamp"] = format_rfc3339(now);
  if (!object["metadata"]["labels"].empty()) m["labels"] = object["metadata"]["labels"];
  return out;
}

}  // namespace

ApiResult<UsageApi::Look> UsageApi::look(const std::string& node) {
  auto summary = summary_(node);
  if (!summary) return fail(std::move(summary.error()));
  Look out;
  auto use = [](Value of) { return Use{of["cpu"]["usageCoreNanoSeconds"].as_int(), of["memory"]["workingSetBytes"].as_int()}; };
  Value root = summary->root();
  auto at = parse_rfc3339(root["node"]["cpu"]["time"].as_string());
  out.at = at ? *at : registry_.world().clock.now();
  if (root["node"]["cpu"].exists()) out.uses[""] = use(root["node"]);
  for (Value pod : root["pods"].items())
    for (Value container : pod["containers"].items())
      out.uses[fmt::format("{}/{}/{}", pod["podRef"]["namespace"].as_string(), pod["podRef"]["name"].as_string(),
                           container["name"].as_string())] = use(container);
  return out;
}

// One asks at a time; whoever waits finds fresh figures.
UsageApi::Figures UsageApi::figures_of(const std::string& name) {
  std::shared_ptr<Node> node;
  {
    std::lock_guard lock(mutex_);
    auto& slot = nodes_[name];
    if (!slot) slot = std::make_shared<Node>();
    node = slot;
  }
  std::lock_guard lock(node->mutex);
  auto take = [&] {
    auto seen = look(name);
    node->failed = seen ? Time() : registry_.world().clock.now();
    if (!seen || seen->at - node->now.at < shortest_window) return;
    node->before = std::move(node->now);
    node->now = std::move(*seen);
  };
  const Time now = registry_.world().clock.now();
  if (now - node->now.at < figures_fresh && node->before.at != Time()) return {node->before, node->now};
  if (now - node->failed >= figures_fresh) take();
  if (node->failed == Time() && node->now.at != Time() && (node->before.at == Time() || node->now.at - node->before.at > longest_window)) {
    registry_.world().executor.wait(shortest_window + std::chrono::milliseconds(20));
    take();
  }
  if (registry_.world().clock.now() - node->now.at > longest_window)
    return {};  // it does not answer: what it said last is not told as news
  return {node->before, node->now};
}

std::map<std::string, UsageApi::Figures> UsageApi::figures_of_all(const std::vector<std::string>& nodes) {
  {
    std::lock_guard lock(mutex_);
    std::erase_if(nodes_, [&](const auto& one) { return !registry_.read("", "v1", "nodes", "", one.first); });
  }
  std::map<std::string, Figures> out;
  std::mutex mutex;
  std::atomic<std::size_t> next{0};
  auto work = [&] {
    for (std::size_t i = next++; i < nodes.size(); i = next++) {
      Figures figures = figures_of(nodes[i]);
      std::lock_guard lock(mutex);
      out[nodes[i]] = std::move(figures);
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t i = 1; i < std::min(nodes.size(), most_looks_at_once); ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  return out;
}

ApiResult<Document> UsageApi::answer(Work& work) {
  const bool pods = work.served->plural() == "pods", one = !work.name.empty();
  ListOptions options;
  if (!one) {
    auto read = read_list_options(*work.served, work.query);
    if (!read) return fail(std::move(read.error()));
    options = std::move(*read);
  }
  std::vector<Document> objects;
  std::set<std::string> nodes;
  auto add = [&](Value object) {
    auto field = [&](std::string_view name) {
      return name == "metadata.name"        ? object["metadata"]["name"].str()
             : name == "metadata.namespace" ? object["metadata"]["namespace"].str()
                                            : std::string();
    };
    if (pods && object["status"]["phase"].as_string() != "Running") return true;
    if (!one && (!options.labels.matches(object["metadata"]["labels"]) || !options.fields.matches(field))) return true;
    objects.push_back(object.document());
    nodes.insert(pods ? object["spec"]["nodeName"].str() : object["metadata"]["name"].str());
    return true;
  };
  if (!one) registry_.each("", "v1", pods ? "pods" : "nodes", work.ns, add);
  else if (Document object = registry_.read("", "v1", pods ? "pods" : "nodes", work.ns, work.name)) add(object.root());
  auto figures = figures_of_all(std::vector<std::string>(nodes.begin(), nodes.end()));
  const Time now = registry_.world().clock.now();
  Draft items = Draft::array();
  for (const Document& object : objects) {
    Value m = object["metadata"];
    const Figures& seen = figures[pods ? object["spec"]["nodeName"].str() : m["name"].str()];
    const Duration window = seen.now.at - seen.before.at;
    auto usage = [&](const std::string& key) -> std::optional<Draft> {
      auto first = seen.before.uses.find(key), last = seen.now.uses.find(key);
      if (first == seen.before.uses.end() || last == seen.now.uses.end()) return {};
      const std::int64_t used = last->second.cpu_nanoseconds - first->second.cpu_nanoseconds;
      if (used < 0) return {};  // it began again in between
      return usage_of(used, window, last->second.memory_bytes);
    };
    Draft metrics = frame(work, object, now);
    metrics["timestamp"] = format_rfc3339(seen.now.at);
    metrics["window"] = window_text(window);
    if (pods) {
      Draft containers = Draft::array();
      for (Value list : {object["spec"]["containers"], object["spec"]["initContainers"]})
        for (Value container : list.items())
          if (auto used = usage(fmt::format("{}/{}/{}", m["namespace"].as_string(), m["name"].as_string(), container["name"].as_string())))
            containers.push_back(Draft::object({{"name", container["name"]}, {"usage", std::move(*used)}}));
      if (!containers.size()) continue;
      metrics["containers"] = std::move(containers);
    } else if (auto used = usage("")) {
      metrics["usage"] = std::move(*used);
    } else {
      continue;
    }
    if (one) return metrics.freeze();
    items.push_back(std::move(metrics));
  }
  if (one) return fail(not_found(group, work.served->plural(), pods ? work.ns + "/" + work.name : work.name));
  Draft list = Draft::object(
      {{"kind", std::string(work.served->kind()) + "List"}, {"apiVersion", work.served->api_version}, {"metadata", Draft::object()}});
  list["items"] = std::move(items);
  return list.freeze();
}

}  // namespace kybern::apiserver
