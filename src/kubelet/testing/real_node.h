// One kubelet with its own containerd for the tests of this program, and what they ask of it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kubelet/kubelet.h"
#include "kubelet/testing/memory_api.h"
#include "net/certificates.h"
#include "net/client.h"

namespace kybern::kubelet::testing {

class RealNode {
 public:
  static RealNode& shared();                               // started at the first call
  const std::string& problem() const { return problem_; }  // "" when it stands
  MemoryApi& api() { return api_; }
  Kubelet& kubelet() { return *kubelet_; }
  const KubeletOptions& options() const { return options_; }
  std::string data_dir() const { return options_.data_dir; }
  void restart_kubelet(const std::function<void()>& meanwhile = {});  // pods go on without it

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
  std::string wait_log(const std::string& name, const std::string& container, const std::string& text);  // until it holds `text`

  // Calls of the kubelet's server, with the certificate of the API server or with one of somebody else.
  std::unique_ptr<net::HttpClient> client(bool allowed = true);
  std::string get(const std::string& target, int expected_status = 200);
  struct Session {
    std::string out, err, error;
  };
  // Exec or attach over WebSocket; `input` is sent and, with v5, its end told.
  Session exec(const std::string& target, const std::string& input, const std::string& protocol = "v5.channel.k8s.io");

 private:
  class Ending;
  RealNode();
  std::string make_certificates();
  std::string problem_;
  MemoryApi api_;
  KubeletOptions options_;
  net::KeyPair ca_, allowed_, stranger_;
  std::unique_ptr<Kubelet> kubelet_;
};

}  // namespace kybern::kubelet::testing
