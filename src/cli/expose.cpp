// expose and autoscale: a Service or an autoscaler made from what a workload says of itself.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/expose.h"
#include "cli/output.h"
#include "cli/subjects.h"
#include "cli/typed.h"
#include "cli/workload.h"

namespace kybern::cli {
namespace {

bool is_workload(std::string_view kind) { return kind == "Deployment" || kind == "ReplicaSet" || kind == "ReplicationController"; }

Result<Draft> selector_of(const Subject& subject, const Arguments& arguments) {
  Draft out = Draft::object();
  if (const std::string given = arguments.text("selector"); !given.empty()) {
    for (std::string_view pair : split(given, ',')) {
      const std::size_t equals = pair.find('=');
      if (equals == std::string_view::npos) return refuse("invalid label spec: " + std::string(pair));
      out[pair.substr(0, equals)] = pair.substr(equals + 1);
    }
    return out;
  }
  const std::string& kind = subject.type->kind;
  const Value spec = subject.object["spec"];
  if (kind == "Pod") {
    if (subject.object["metadata"]["labels"].empty())
      return refuse("couldn't retrieve selectors via --selector flag or introspection: the pod has no labels and cannot be exposed");
    return Draft(subject.object["metadata"]["labels"]);
  }
  if (kind == "Service" || kind == "ReplicationController") {
    if (spec["selector"].empty())
      return refuse("couldn't retrieve selectors via --selector flag or introspection: the service has no pod selector set");
    return Draft(spec["selector"]);
  }
  if (!spec["selector"]["matchExpressions"].empty())
    return refuse(
        "couldn't retrieve selectors via --selector flag or introspection: couldn't convert expressions to map-based selector format");
  return Draft(spec["selector"]["matchLabels"]);
}

struct Port {
  std::int64_t number;
  std::string protocol;
};
// What the containers, or a service, listen on.
std::vector<Port> ports_of(const Subject& subject) {
  const Value spec = subject.object["spec"];
  std::vector<Port> out;
  const auto add = [&](Value port, const char* field) {
    out.push_back({port[field].as_int(), port["protocol"].as_string("TCP").empty() ? "TCP" : port["protocol"].str()});
  };
  if (subject.type->kind == "Service")
    for (Value port : spec["ports"].items()) add(port, "port");
  const Value pod = subject.type->kind == "Pod" ? spec : spec["template"]["spec"];
  for (Value container : pod["containers"].items())
    for (Value port : container["ports"].items()) add(port, "containerPort");
  return out;
}

Result<Draft> service_ports(const Subject& subject, const Arguments& arguments) {
  std::vector<Port> own = ports_of(subject);
  std::vector<std::string> wanted;
  if (const std::string given = arguments.text("port"); !given.empty()) {
    for (std::string_view piece : split(given, ',')) wanted.emplace_back(piece);
  } else {
    for (const Port& port : own) wanted.push_back(std::to_string(port.number));
    if (wanted.empty()) return refuse("couldn't find port via --port flag or introspection");
  }
  Draft out = Draft::array();
  for (const std::string& text : wanted) {
    const auto number = parse_int(text);
    if (!number) return refuse("strconv.Atoi: parsing " + go_quote(text) + ": invalid syntax");
    std::string protocol = arguments.text("protocol");
    for (const Port& port : own)
      if (protocol.empty() && port.number == *number) protocol = port.protocol;
    Draft port = Draft::object({{"port", *number}, {"protocol", protocol.empty() ? "TCP" : protocol}});
    if (wanted.size() > 1) port["name"] = "port-" + std::to_string(out.size() + 1);
    const std::string target = arguments.text("target-port");
    if (target.empty()) port["targetPort"] = *number;
    else if (auto as_number = parse_int(target)) port["targetPort"] = *as_number;
    else port["targetPort"] = target;
    out.push_back(std::move(port));
  }
  return out;
}

Result<Draft> new_service(const Subject& subject, const Arguments& arguments) {
  auto selector = selector_of(subject, arguments);
  if (!selector) return std::unexpected(selector.error());
  auto ports = service_ports(subject, arguments);
  if (!ports) return std::unexpected(ports.error());
  Draft out = Draft::object({{"apiVersion", "v1"}, {"kind", "Service"}});
  out["metadata"]["name"] = arguments.text("name").empty() ? subject.name : arguments.text("name");
  Draft labels(subject.object["metadata"]["labels"]);
  if (const std::string given = arguments.text("labels"); !given.empty()) {
    labels = Draft::object();
    for (std::string_view pair : split(given, ','))
      labels[pair.substr(0, pair.find('='))] = pair.find('=') == std::string_view::npos ? "" : pair.substr(pair.find('=') + 1);
  }
  if (!labels.empty()) out["metadata"]["labels"] = std::move(labels);
  Draft& spec = out["spec"] = Draft::object({{"ports", *std::move(ports)}, {"selector", *std::move(selector)}});
  for (const auto& [flag, field] : {std::pair{"type", "type"}, std::pair{"session-affinity", "sessionAffinity"},
                                    std::pair{"cluster-ip", "clusterIP"}, std::pair{"load-balancer-ip", "loadBalancerIP"}})
    if (!arguments.text(flag).empty()) spec[field] = arguments.text(flag);
  if (!arguments.text("external-ip").empty()) spec["externalIPs"] = Draft::array({arguments.text("external-ip")});
  return out;
}

Result<int> expose(Session& session, const Arguments& arguments) {
  auto subjects = select(session, arguments, arguments.words, {.by_selector = false});
  if (!subjects) return std::unexpected(subjects.error());
  for (const Subject& subject : *subjects) {
    const std::string& kind = subject.type->kind;
    if (!is_workload(kind) && kind != "Pod" && kind != "Service") return refuse("cannot expose a " + kind);
    auto service = new_service(subject, arguments);
    if (!service) return std::unexpected(service.error());
    if (auto made = make_related(session, arguments, *service, subject.ns, "exposed"); !made) return std::unexpected(made.error());
  }
  return 0;
}

Result<int> autoscale(Session& session, const Arguments& arguments) {
  const std::int64_t least = *arguments.number("min"), most = *arguments.number("max"), cpu = *arguments.number("cpu-percent");
  if (most < 1) return refuse(fmt::format("--max=MAXPODS is required and must be at least 1, max: {}", most));
  if (most < least) return refuse(fmt::format("--max=MAXPODS must be larger or equal to --min=MINPODS, max: {}, min: {}", most, least));
  auto subjects = select(session, arguments, arguments.words, {});
  if (!subjects) return std::unexpected(subjects.error());
  for (const Subject& subject : *subjects) {
    if (!subject.type->has("scale"))
      return refuse(fmt::format("cannot autoscale a {}: could not find scale subresource for {}/{}, Resource={} in discovery information",
                                subject.type->kind, subject.type->group, subject.type->version, subject.type->plural));
    Draft object =
        Draft::object({{"apiVersion", "autoscaling/v2"},
                       {"kind", "HorizontalPodAutoscaler"},
                       {"metadata", Draft::object({{"name", arguments.text("name").empty() ? subject.name : arguments.text("name")}})}});
    object["spec"] = Draft::object(
        {{"maxReplicas", most},
         {"scaleTargetRef",
          Draft::object({{"apiVersion", subject.type->api_version()}, {"kind", subject.type->kind}, {"name", subject.name}})}});
    if (least > 0) object["spec"]["minReplicas"] = least;
    if (cpu >= 0)
      object["spec"]["metrics"].push_back(Draft::object(
          {{"resource",
            Draft::object({{"name", "cpu"}, {"target", Draft::object({{"averageUtilization", cpu}, {"type", "Utilization"}})}})},
           {"type", "Resource"}}));
    if (auto made = make_related(session, arguments, object, subject.ns, "autoscaled"); !made) return std::unexpected(made.error());
  }
  return 0;
}

}  // namespace

Result<void> make_related(Session& session, const Arguments& arguments, Draft object, const std::string& ns, std::string_view operation) {
  auto dry_run = dry_run_of(arguments);
  if (!dry_run) return std::unexpected(dry_run.error());
  auto discovery = session.discovery();
  if (!discovery) return std::unexpected(discovery.error());
  const ApiResource* type = (*discovery)->find_kind(object["apiVersion"].as_string(), object["kind"].as_string());
  if (type == nullptr) return refuse("the server has no " + object["kind"].str());
  if (*dry_run == "client") return print_change(session, arguments, as_typed(object.freeze()), *type, operation);
  auto made = session.call("POST", type->path(ns),
                           query_of({{"dryRun", dry_run_query(*dry_run)},
                                     {"fieldManager", arguments.knows("field-manager") ? arguments.text("field-manager") : ""}}),
                           object.freeze());
  if (!made) return std::unexpected(shown(made.error()));
  return print_change(session, arguments, *made, *type, operation);
}

Command expose_command() {
  using namespace flags;
  return {"expose",
          "make a service for a workload",
          "(TYPE NAME | TYPE/NAME | -f FILE) [--port=PORT] [flags]",
          {filename(), recursive(), output(), dry_run(), field_manager("kubectl-expose"), text("name", "the service's name"),
           text("port", "the service's port, or several"), text("target-port", "the pods' port or its name"),
           text("protocol", "TCP, UDP or SCTP"), text("type", "ClusterIP, NodePort, LoadBalancer or ExternalName"),
           text("selector", "the labels of its pods"), text("labels", "the service's labels", "", 'l'),
           text("external-ip", "an address that is routed to the nodes"), text("load-balancer-ip", "the load balancer's address"),
           text("cluster-ip", "its address, or None"), text("session-affinity", "None or ClientIP"),
           text("overrides", "accepted for compatibility"), boolean("save-config", "accepted for compatibility")},
          expose};
}

Command autoscale_command() {
  using namespace flags;
  return {"autoscale",
          "let the number of replicas follow the load",
          "(TYPE NAME | TYPE/NAME | -f FILE) --max=N [--min=N] [flags]",
          {filename(), recursive(), output(), dry_run(), field_manager("kubectl-autoscale"),
           required(number("max", "at most so many pods", "-1")), number("min", "at least so many pods", "-1"),
           number("cpu-percent", "the CPU use that is aimed at", "-1"), text("name", "the autoscaler's name"),
           boolean("save-config", "accepted for compatibility")},
          autoscale};
}

}  // namespace kybern::cli
