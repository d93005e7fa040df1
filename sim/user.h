// What users of the simulated cluster do: make, scale, change and delete workloads, drain nodes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "client/transport.h"
#include "sim/cluster.h"

namespace kybern::sim {

struct DeploymentSpec {
  std::string ns = "default", name;
  int replicas = 1;
  std::string cpu = "100m", memory = "64Mi";
  std::string max_unavailable = "25%", max_surge = "25%";
  int grace_seconds = 5;
  int version = 1;  // of its image; another one is a rolling update
};

class User {
 public:
  explicit User(client::Transport& transport) : transport_(transport) {}

  ApiResult<Document> make_namespace(const std::string& name);
  ApiResult<Document> erase_namespace(const std::string& name);
  ApiResult<Document> make(const DeploymentSpec& spec);
  ApiResult<Document> scale(const std::string& ns, const std::string& name, int replicas);
  ApiResult<Document> update(const std::string& ns, const std::string& name, int version);  // a new image
  ApiResult<Document> erase(const std::string& ns, const std::string& name, std::string_view propagation = "Background");
  ApiResult<Document> get(const std::string& ns, const std::string& name);
  ApiResult<Document> make_service(const std::string& ns, const std::string& name);  // over the deployment's pods
  // Of the deployment's pods so many must be there whenever somebody evicts one.
  ApiResult<Document> make_budget(const std::string& ns, const std::string& name, int min_available);
  ApiResult<Document> make_pod(const std::string& ns, const std::string& name, const std::string& cpu);
  ApiResult<Document> cordon(const std::string& node, bool unschedulable);
  ApiResult<Document> evict(const std::string& ns, const std::string& pod);
  ApiResult<Document> erase_pod(const std::string& ns, const std::string& pod);
  ApiResult<Document> erase_node(const std::string& node);

 private:
  ApiResult<Document> call(std::string method, std::string path, Document body, client::PatchType patch = client::PatchType::merge);
  client::Transport& transport_;
};

// Every replica is there, of the newest version, and available.
bool is_complete(Value deployment);

}  // namespace kybern::sim
