// describe: a node, what runs on it and how much that asks for.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cli/describe_page.h"
#include "cli/jsonpath.h"
#include "cli/table.h"
#include "machinery/duration_text.h"
#include "machinery/quantity.h"

namespace kybern::cli {
namespace {

constexpr std::string_view resources[] = {"cpu", "memory", "ephemeral-storage"};
constexpr std::size_t resource_count = std::size(resources);

struct Sums {
  Quantity requests[resource_count], limits[resource_count];
  void add(const Sums& other) {
    for (std::size_t i = 0; i < resource_count; ++i) {
      requests[i] += other.requests[i];
      limits[i] += other.limits[i];
    }
  }
};

Sums sums_of(Value pod) {  // init containers run one after another, so the largest counts
  Sums out;
  for (std::size_t i = 0; i < resource_count; ++i) {
    for (Value c : pod["spec"]["containers"].items()) {
      out.requests[i] += Quantity::of(c["resources"]["requests"][resources[i]]);
      out.limits[i] += Quantity::of(c["resources"]["limits"][resources[i]]);
    }
    for (Value c : pod["spec"]["initContainers"].items()) {
      const Quantity request = Quantity::of(c["resources"]["requests"][resources[i]]),
                     limit = Quantity::of(c["resources"]["limits"][resources[i]]);
      if (c["restartPolicy"].as_string() == "Always") {
        out.requests[i] += request;
        out.limits[i] += limit;
      } else {
        if (out.requests[i] < request) out.requests[i] = request;
        if (out.limits[i] < limit) out.limits[i] = limit;
      }
    }
  }
  return out;
}

std::string share(const Quantity& amount, Value whole) {  // "100m (3%)"
  const Quantity all = Quantity::of(whole);
  const auto percent =
      all.value() == 0
          ? 0
          : static_cast<std::int64_t>(static_cast<double>(amount.milli_value()) / static_cast<double>(all.milli_value()) * 100);
  return fmt::format("{} ({}%)", amount.str(), percent);
}

void pods_of_node(Page& page, Value allocatable, const std::vector<Document>& related) {
  Sums total;
  std::string rows;
  std::size_t running = 0;
  for (const Document& pod : related) {
    const std::string_view phase = pod["status"]["phase"].as_string();
    if (pod["kind"].as_string() != "Pod" || phase == "Succeeded" || phase == "Failed") continue;
    ++running;
    const Sums sums = sums_of(pod);
    total.add(sums);
    rows += fmt::format("  {}\t{}\t\t{}\t{}\t{}\t{}\t{}\n", pod["metadata"]["namespace"].as_string(), pod["metadata"]["name"].as_string(),
                        share(sums.requests[0], allocatable["cpu"]), share(sums.limits[0], allocatable["cpu"]),
                        share(sums.requests[1], allocatable["memory"]), share(sums.limits[1], allocatable["memory"]),
                        human_age(parse_rfc3339(pod["metadata"]["creationTimestamp"].as_string()).value_or(Time()), page.now));
  }
  page.line(0, "Non-terminated Pods", fmt::format("({} in total)", running));
  page.text +=
      "  Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge\n  "
      "---------\t----\t\t------------\t----------\t---------------\t-------------\t---\n" +
      rows;
  page.text +=
      "Allocated resources:\n  (Total limits may be over 100 percent, i.e., overcommitted.)\n  Resource\tRequests\tLimits\n  "
      "--------\t--------\t------\n";
  for (std::size_t i = 0; i < resource_count; ++i)
    page.text += fmt::format("  {}\t{}\t{}\n", resources[i], share(total.requests[i], allocatable[resources[i]]),
                             share(total.limits[i], allocatable[resources[i]]));
}

void lease(Page& page, const std::vector<Document>& related) {
  for (const Document& item : related) {
    if (item["kind"].as_string() == "Status") page.line(0, "Lease", "Failed to get lease: " + item["message"].str());
    if (item["kind"].as_string() != "Lease") continue;
    const Value spec = item["spec"];
    page.title(0, "Lease");
    page.line(1, "HolderIdentity", spec["holderIdentity"].exists() ? spec["holderIdentity"].as_string() : "<unset>");
    page.line(1, "AcquireTime", page.date(spec["acquireTime"]));
    page.line(1, "RenewTime", page.date(spec["renewTime"]));
  }
}

}  // namespace

void describe_node(Page& page, Value o, const std::vector<Document>& related) {
  const Value status = o["status"];
  page.line(0, "Name", o["metadata"]["name"].as_string());
  std::vector<std::string> roles;
  for (Member m : o["metadata"]["labels"].members())
    if (m.key.starts_with("node-role.kubernetes.io/")) roles.emplace_back(m.key.substr(24));
  page.line(0, "Roles", roles.empty() ? "<none>" : join(roles, ","));
  page.labels(o);
  page.line(0, "CreationTimestamp", page.date(o["metadata"]["creationTimestamp"]));
  std::vector<std::string> taints;
  for (Value t : o["spec"]["taints"].items())
    taints.push_back(t["key"].str() + (t["value"].as_string().empty() ? "" : "=" + t["value"].str()) + ":" + t["effect"].str());
  page.line(0, "Taints", taints.empty() ? "<none>" : join(taints, "\n\t"));
  page.line(0, "Unschedulable", o["spec"]["unschedulable"].as_bool() ? "true" : "false");
  lease(page, related);
  page.text +=
      "Conditions:\n  Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage\n  "
      "----\t------\t-----------------\t------------------\t------\t-------\n";
  for (Value c : status["conditions"].items())
    page.text +=
        fmt::format("  {} \t{} \t{} \t{} \t{} \t{}\n", c["type"].as_string(), c["status"].as_string(), page.date(c["lastHeartbeatTime"]),
                    page.date(c["lastTransitionTime"]), c["reason"].as_string(), c["message"].as_string());
  page.title(0, "Addresses");
  for (Value a : status["addresses"].items()) page.line(1, a["type"].as_string(), a["address"].as_string());
  for (const char* kind : {"capacity", "allocatable"}) {
    page.title(0, spaced(kind));
    for (Member m : status[kind].members()) page.line(1, m.key, plain_text(m.value));
  }
  page.title(0, "System Info");
  for (const auto& [field, name] :
       {std::pair{"machineID", "Machine ID"}, std::pair{"systemUUID", "System UUID"}, std::pair{"bootID", "Boot ID"},
        std::pair{"kernelVersion", "Kernel Version"}, std::pair{"osImage", "OS Image"}, std::pair{"operatingSystem", "Operating System"},
        std::pair{"architecture", "Architecture"}, std::pair{"containerRuntimeVersion", "Container Runtime Version"},
        std::pair{"kubeletVersion", "Kubelet Version"}, std::pair{"kubeProxyVersion", "Kube-Proxy Version"}})
    page.line(1, name, status["nodeInfo"][field].as_string());
  if (o["spec"]["podCIDR"].exists()) page.line(0, "PodCIDR", o["spec"]["podCIDR"].as_string());
  if (!o["spec"]["podCIDRs"].empty()) {
    std::vector<std::string> ranges;
    for (Value range : o["spec"]["podCIDRs"].items()) ranges.push_back(range.str());
    page.line(0, "PodCIDRs", join(ranges, ","));
  }
  if (o["spec"]["providerID"].exists()) page.line(0, "ProviderID", o["spec"]["providerID"].as_string());
  pods_of_node(page, status["allocatable"].exists() ? status["allocatable"] : status["capacity"], related);
}

}  // namespace kybern::cli
