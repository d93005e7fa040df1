// One kubelet with its own containerd for the tests of this program, and what they ask of it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kubelet/kubelet.h"
#include "kubelet/testing/memory_api.h"

namespace kybern::kubelet::testing {

class RealNode {
 public:
  static RealNode& shared();  // started at the first call
  const std::string& problem() const { return problem_; }  // "" when it stands
  MemoryApi& api() { return api_; }
  Kubelet& kubelet() { return *kubelet_; }
  const KubeletOptions& options() const { return options_; }
  std::string data_dir() const { return options_.data_dir; }
  void restart_kubelet();  // as after a crash of it: pods go on

  bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit = std::chrono::seconds(30));
  Document node();
  static std::string condition(const Document& object, std::string_view type);  // its status

  // Pods of the namespace default.
  void run(const std::string& json);  // apiVersion, kind and the node's name are added
  Document pod(const std::string& name);
  bool phase_becomes(const std::string& name, const std::string& phase);
  void remove(const std::string& name, std::int64_t grace_s);
  bool remove_and_wait(const std::string& name);
  bool has_event(const std::string& name, const std::string& line);
  std::string describe(const std::string& name);  // status and events, for messages of failed checks
  std::string log(const std::string& name, const std::string& container, int attempt = 0);  // the text of its output so far
  bool nothing_left_of(const std::string& uid);

 private:
  RealNode();
  std::string problem_;
  MemoryApi api_;
  KubeletOptions options_;
  std::unique_ptr<Kubelet> kubelet_;
};

}  // namespace kybern::kubelet::testing
