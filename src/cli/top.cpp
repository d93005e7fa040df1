// top: what nodes and pods use, by the metrics API.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/subjects.h"
#include "cli/table.h"
#include "machinery/quantity.h"

namespace kybern::cli {
namespace {

constexpr std::int64_t mebibyte = 1 << 20;

struct Use {
  std::int64_t cpu_milli = 0, memory_bytes = 0;
};
Use use_of(Value usage) { return {Quantity::of(usage["cpu"]).milli_value(), Quantity::of(usage["memory"]).value()}; }
std::string cpu_text(const Use& use) { return std::to_string(use.cpu_milli) + "m"; }
std::string memory_text(const Use& use) { return std::to_string(use.memory_bytes / mebibyte) + "Mi"; }

Result<void> metrics_are_served(Session& session) {
  auto groups = session.call("GET", "/apis");
  if (!groups) return std::unexpected(shown(groups.error()));
  for (Value group : (*groups)["groups"].items())
    if (group["name"].as_string() == "metrics.k8s.io") return {};
  return refuse("Metrics API not available");
}

struct Row {
  std::vector<std::string> cells;
  Use use;
};
void print(std::vector<Row> rows, const std::vector<std::string>& head, const Arguments& arguments) {
  const std::string by = arguments.text("sort-by");
  if (by == "cpu") std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.use.cpu_milli > b.use.cpu_milli; });
  if (by == "memory")
    std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.use.memory_bytes > b.use.memory_bytes; });
  if (by.empty()) std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.cells < b.cells; });
  std::string text;
  if (!arguments.on("no-headers")) text += join(head, "\t") + "\t\n";
  for (const Row& row : rows) text += join(row.cells, "\t") + "\t\n";
  fmt::print("{}", align_tabs(text, 6, 3));
}

Result<void> check_sort(const Arguments& arguments) {
  const std::string by = arguments.text("sort-by");
  if (!by.empty() && by != "cpu" && by != "memory") return refuse("--sort-by accepts only cpu or memory");
  return {};
}

std::string percent(std::int64_t part, std::int64_t whole) { return whole > 0 ? std::to_string(part * 100 / whole) + "%" : "<unknown>"; }

Result<int> top_nodes(Session& session, const Arguments& arguments) {
  if (auto ok = check_sort(arguments); !ok) return std::unexpected(ok.error());
  if (auto ok = metrics_are_served(session); !ok) return std::unexpected(ok.error());
  const std::string name = arguments.words.empty() ? "" : "/" + url_encode(arguments.words[0]),
                    query = name.empty() ? query_of({{"labelSelector", arguments.text("selector")}}) : "";
  auto metrics = session.call("GET", "/apis/metrics.k8s.io/v1beta1/nodes" + name, query);
  if (!metrics) return std::unexpected(shown(metrics.error()));
  auto nodes = session.call("GET", "/api/v1/nodes" + name, query);
  if (!nodes) return std::unexpected(shown(nodes.error()));
  std::vector<Value> used, known;
  if (name.empty()) {
    for (Value item : (*metrics)["items"].items()) used.push_back(item);
    for (Value item : (*nodes)["items"].items()) known.push_back(item);
  } else {
    used = {*metrics};
    known = {*nodes};
  }
  if (used.empty()) return refuse("metrics not available yet");
  const char* whole = arguments.on("show-capacity") ? "capacity" : "allocatable";
  std::vector<Row> rows;
  for (Value node : known) {
    const auto found =
        std::find_if(used.begin(), used.end(), [&](Value item) { return item["metadata"]["name"] == node["metadata"]["name"]; });
    const Use all = use_of(node["status"][whole]);
    if (found == used.end()) {
      rows.push_back({{node["metadata"]["name"].str(), "<unknown>", "<unknown>", "<unknown>", "<unknown>"}, {}});
      continue;
    }
    const Use use = use_of((*found)["usage"]);
    rows.push_back({{node["metadata"]["name"].str(), cpu_text(use), percent(use.cpu_milli, all.cpu_milli), memory_text(use),
                     percent(use.memory_bytes, all.memory_bytes)},
                    use});
  }
  print(std::move(rows), {"NAME", "CPU(cores)", "CPU(%)", "MEMORY(bytes)", "MEMORY(%)"}, arguments);
  return 0;
}

Result<int> top_pods(Session& session, const Arguments& arguments) {
  if (auto ok = check_sort(arguments); !ok) return std::unexpected(ok.error());
  if (auto ok = metrics_are_served(session); !ok) return std::unexpected(ok.error());
  const bool everywhere = arguments.on("all-namespaces");
  std::string path = "/apis/metrics.k8s.io/v1beta1" + (everywhere ? std::string() : "/namespaces/" + url_encode(session.ns())) + "/pods";
  if (!arguments.words.empty()) path += "/" + url_encode(arguments.words[0]);
  auto metrics =
      session.call("GET", path,
                   arguments.words.empty()
                       ? query_of({{"labelSelector", arguments.text("selector")}, {"fieldSelector", arguments.text("field-selector")}})
                       : "");
  if (!metrics) return std::unexpected(shown(metrics.error()));
  std::vector<Value> pods;
  if (arguments.words.empty())
    for (Value item : (*metrics)["items"].items()) pods.push_back(item);
  else pods = {*metrics};
  if (pods.empty())
    return fmt::print(stderr, "{}\n", everywhere ? "No resources found" : fmt::format("No resources found in {} namespace.", session.ns())),
           0;
  std::vector<Row> rows;
  for (Value pod : pods) {
    Use sum;
    std::vector<std::string> head;
    if (everywhere) head.push_back(pod["metadata"]["namespace"].str());
    head.push_back(pod["metadata"]["name"].str());
    for (Value container : pod["containers"].items()) {
      const Use use = use_of(container["usage"]);
      sum.cpu_milli += use.cpu_milli;
      sum.memory_bytes += use.memory_bytes;
      if (!arguments.on("containers")) continue;
      std::vector<std::string> cells = head;
      cells.insert(cells.end(), {container["name"].str(), cpu_text(use), memory_text(use)});
      rows.push_back({std::move(cells), use});
    }
    if (arguments.on("containers")) continue;
    head.insert(head.end(), {cpu_text(sum), memory_text(sum)});
    rows.push_back({std::move(head), sum});
  }
  std::vector<std::string> head{"NAME", "CPU(cores)", "MEMORY(bytes)"};
  if (arguments.on("containers")) head = {"POD", "NAME", "CPU(cores)", "MEMORY(bytes)"};
  if (everywhere) head.insert(head.begin(), "NAMESPACE");
  print(std::move(rows), head, arguments);
  return 0;
}

}  // namespace

Command top_command() {
  using namespace flags;
  const std::vector<Flag> all{selector(), text("sort-by", "cpu or memory"), boolean("no-headers", "without the line of column names"),
                              boolean("use-protocol-buffers", "accepted for compatibility", true)};
  Command out{"top", "what nodes and pods use", "COMMAND"};
  out.children = {{"node",
                   "of nodes",
                   "[NAME | -l SELECTOR]",
                   all + std::vector<Flag>{boolean("show-capacity", "in parts of the capacity, not of what pods may use")},
                   top_nodes,
                   {},
                   {"nodes", "no"}},
                  {"pod",
                   "of pods",
                   "[NAME | -l SELECTOR]",
                   all + std::vector<Flag>{field_selector(), boolean("all-namespaces", "of all namespaces", false, 'A'),
                                           boolean("containers", "of each container"), boolean("sum", "accepted for compatibility")},
                   top_pods,
                   {},
                   {"pods", "po"}}};
  return out;
}

}  // namespace kybern::cli
