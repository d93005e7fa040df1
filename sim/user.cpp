#include "sim/user.h"

#include <fmt/format.h>

#include <utility>

namespace kybern::sim {
namespace {

Draft number_or_text(const std::string& text) {
  if (text.ends_with('%')) return Draft(std::string_view(text));
  return Draft(static_cast<std::int64_t>(std::stoll(text)));
}

std::string image(int version) { return fmt::format("registry.example/app:v{}", version); }

std::string deployment_path(const std::string& ns, const std::string& name) {
  return client::object_path("apps/v1", "deployments", ns, name);
}

Draft container(const std::string& cpu, const std::string& memory, int version) {
  Draft out = Draft::object({{"name", "app"}, {"image", image(version)}});
  out["resources"]["requests"] = Draft::object({{"cpu", cpu}, {"memory", memory}});
  return out;
}

}  // namespace

ApiResult<Document> User::call(std::string method, std::string path, Document body, client::PatchType patch) {
  return transport_.call({.method = std::move(method), .path = std::move(path), .query = {}, .body = std::move(body), .patch = patch});
}

ApiResult<Document> User::make_namespace(const std::string& name) {
  Draft body = Draft::object({{"kind", "Namespace"}, {"apiVersion", "v1"}});
  body["metadata"]["name"] = name;
  return call("POST", "/api/v1/namespaces", body.freeze());
}

ApiResult<Document> User::erase_namespace(const std::string& name) { return call("DELETE", "/api/v1/namespaces/" + name, {}); }

ApiResult<Document> User::make(const DeploymentSpec& spec) {
  Draft body = Draft::object({{"kind", "Deployment"}, {"apiVersion", "apps/v1"}});
  body["metadata"] = Draft::object({{"name", spec.name}, {"namespace", spec.ns}});
  body["spec"]["replicas"] = spec.replicas;
  body["spec"]["selector"]["matchLabels"]["app"] = spec.name;
  body["spec"]["strategy"]["type"] = "RollingUpdate";
  body["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] = number_or_text(spec.max_unavailable);
  body["spec"]["strategy"]["rollingUpdate"]["maxSurge"] = number_or_text(spec.max_surge);
  Draft& pods = body["spec"]["template"];
  pods["metadata"]["labels"]["app"] = spec.name;
  pods["spec"]["terminationGracePeriodSeconds"] = spec.grace_seconds;
  pods["spec"]["containers"].push_back(container(spec.cpu, spec.memory, spec.version));
  return call("POST", deployment_path(spec.ns, ""), body.freeze());
}

ApiResult<Document> User::scale(const std::string& ns, const std::string& name, int replicas) {
  Draft patch = Draft::object();
  patch["spec"]["replicas"] = replicas;
  return call("PATCH", deployment_path(ns, name), patch.freeze());
}

ApiResult<Document> User::update(const std::string& ns, const std::string& name, int version) {
  Draft patch = Draft::object();
  patch["spec"]["template"]["spec"]["containers"].push_back(Draft::object({{"name", "app"}, {"image", image(version)}}));
  return call("PATCH", deployment_path(ns, name), patch.freeze(), client::PatchType::strategic);
}

ApiResult<Document> User::erase(const std::string& ns, const std::string& name, std::string_view propagation) {
  Draft options = Draft::object({{"kind", "DeleteOptions"}, {"apiVersion", "v1"}, {"propagationPolicy", propagation}});
  return call("DELETE", deployment_path(ns, name), options.freeze());
}

ApiResult<Document> User::get(const std::string& ns, const std::string& name) { return call("GET", deployment_path(ns, name), {}); }

ApiResult<Document> User::make_service(const std::string& ns, const std::string& name) {
  Draft body = Draft::object({{"kind", "Service"}, {"apiVersion", "v1"}});
  body["metadata"] = Draft::object({{"name", name}, {"namespace", ns}});
  body["spec"]["selector"]["app"] = name;
  body["spec"]["ports"].push_back(Draft::object({{"port", 80}}));
  return call("POST", client::object_path("v1", "services", ns, ""), body.freeze());
}

ApiResult<Document> User::make_budget(const std::string& ns, const std::string& name, int min_available) {
  Draft body = Draft::object({{"kind", "PodDisruptionBudget"}, {"apiVersion", "policy/v1"}});
  body["metadata"] = Draft::object({{"name", name}, {"namespace", ns}});
  body["spec"]["minAvailable"] = min_available;
  body["spec"]["selector"]["matchLabels"]["app"] = name;
  return call("POST", client::object_path("policy/v1", "poddisruptionbudgets", ns, ""), body.freeze());
}

ApiResult<Document> User::make_pod(const std::string& ns, const std::string& name, const std::string& cpu) {
  Draft body = Draft::object({{"kind", "Pod"}, {"apiVersion", "v1"}});
  body["metadata"] = Draft::object({{"name", name}, {"namespace", ns}});
  body["spec"]["terminationGracePeriodSeconds"] = 1;
  body["spec"]["containers"].push_back(container(cpu, "64Mi", 1));
  return call("POST", client::object_path("v1", "pods", ns, ""), body.freeze());
}

ApiResult<Document> User::cordon(const std::string& node, bool unschedulable) {
  Draft patch = Draft::object();
  if (unschedulable) patch["spec"]["unschedulable"] = true;
  else patch["spec"]["unschedulable"] = nullptr;
  return call("PATCH", "/api/v1/nodes/" + node, patch.freeze());
}

ApiResult<Document> User::evict(const std::string& ns, const std::string& pod) {
  Draft body = Draft::object({{"kind", "Eviction"}, {"apiVersion", "policy/v1"}});
  body["metadata"] = Draft::object({{"name", pod}, {"namespace", ns}});
  return call("POST", client::object_path("v1", "pods", ns, pod, "eviction"), body.freeze());
}

ApiResult<Document> User::erase_pod(const std::string& ns, const std::string& pod) {
  return call("DELETE", client::object_path("v1", "pods", ns, pod), {});
}

ApiResult<Document> User::erase_node(const std::string& node) { return call("DELETE", "/api/v1/nodes/" + node, {}); }

bool is_complete(Value deployment) {
  const std::int64_t wanted = deployment["spec"]["replicas"].as_int();
  const Value status = deployment["status"];
  return status["observedGeneration"].as_int() >= deployment["metadata"]["generation"].as_int() && status["replicas"].as_int() == wanted &&
         status["updatedReplicas"].as_int() == wanted && status["availableReplicas"].as_int() == wanted;
}

}  // namespace kybern::sim
