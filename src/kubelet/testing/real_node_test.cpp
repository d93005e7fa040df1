#include "kubelet/testing/real_node.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "base/strings.h"
#include "base/testing/eventually.h"
#include "document/json.h"
#include "kubelet/cgroups/cgroups.h"
#include "kubelet/files.h"
#include "kubelet/runtime/cri.h"
#include "kubelet/serve/log_file.h"
#include "kubelet/serve/websocket.h"
#include "kubelet/testing/isolation.h"

namespace kybern::kubelet::testing {

// The containers live until the program's namespaces end them; the kubelet ends with the tests, as its threads may not run while
// the program takes apart what they use.
class RealNode::Ending : public ::testing::Environment {
 public:
  static inline RealNode* node = nullptr;
  void TearDown() override {
    if (node) node->kubelet_.reset();
  }
};

RealNode& RealNode::shared() {
  if (!Ending::node) {
    Ending::node = new RealNode();
    ::testing::AddGlobalTestEnvironment(new Ending);
  }
  return *Ending::node;
}

RealNode::RealNode() {
  std::string images = run_folder() + "/images";
  std::string command = fmt::format("{}/tools/images/build.sh {} >{}.log 2>&1", KYBERN_SOURCE_DIR, images, images);
  if (std::system(command.c_str()) != 0) {
    problem_ = "tools/images/build.sh failed: " + read_file(images + ".log").value_or("");
    return;
  }
  options_.node_name = "test-node";
  options_.node_ips = {"127.0.0.1"};
  options_.data_dir = run_folder() + "/data";
  options_.image_archives = {images + "/pause.tar", images + "/busybox.tar", images + "/sample-web.tar"};
  options_.pod_cidrs = {"10.199.0.0/24"};
  options_.cgroup_base = run_cgroup();
  options_.bind_address = "127.0.0.1";
  options_.static_pod_path = run_folder() + "/manifests";
  (void)make_dirs(options_.static_pod_path);
  options_.port = 0;
  if (problem_ = make_certificates(); !problem_.empty()) return;
  auto started = Kubelet::start(api_, real_world(), options_);
  if (!started) problem_ = started.error().message;
  else kubelet_ = std::move(*started);
}

std::string RealNode::make_certificates() {
  Time now = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
  auto ca = net::new_ca("test-ca", now - std::chrono::hours(1), now + std::chrono::hours(24));
  if (!ca) return ca.error().message;
  auto made = [&](std::string name, std::vector<std::string> groups, bool server) {
    net::CertificateSpec spec;
    spec.common_name = std::move(name);
    spec.organizations = std::move(groups);
    spec.server = server;
    spec.client = !server;
    if (server) spec.ip_addresses = {"127.0.0.1"};
    spec.not_before = now - std::chrono::hours(1);
    spec.not_after = now + std::chrono::hours(24);
    return net::issue(*ca, spec);
  };
  auto server = made("test-node", {}, true), allowed = made("kube-apiserver-kubelet-client", {}, false),
       stranger = made("system:node:other", {"system:nodes"}, false);
  if (!server || !allowed || !stranger) return "certificates could not be made";
  ca_ = *ca;
  allowed_ = *allowed;
  stranger_ = *stranger;
  std::string folder = run_folder();
  for (const auto& [name, text] : {std::pair("/server.pem", server->certificate_pem), std::pair("/server.key", server->key_pem),
                                   std::pair("/ca.pem", ca->certificate_pem)}) {
    if (auto wrote = write_file(folder + name, text, 0600); !wrote) return wrote.error().message;
  }
  options_.tls_certificate_file = folder + "/server.pem";
  options_.tls_key_file = folder + "/server.key";
  options_.client_ca_file = folder + "/ca.pem";
  return "";
}

std::unique_ptr<net::HttpClient> RealNode::client(bool allowed) {
  net::ClientOptions o;
  o.url = fmt::format("https://127.0.0.1:{}", kubelet_->port());
  o.tls.ca_pem = ca_.certificate_pem;
  o.tls.certificate_pem = (allowed ? allowed_ : stranger_).certificate_pem;
  o.tls.key_pem = (allowed ? allowed_ : stranger_).key_pem;
  auto client = net::HttpClient::make(std::move(o));
  return client ? std::move(*client) : nullptr;
}

std::string RealNode::get(const std::string& target, int expected_status) {
  net::ClientRequest request;
  request.target = target;
  auto answer = client()->call(std::move(request));
  if (!answer) return "failed: " + answer.error().message;
  if (answer->status != expected_status) return fmt::format("status {}: {}", answer->status, answer->body);
  return answer->body;
}

RealNode::Session RealNode::exec(const std::string& target, const std::string& input, const std::string& protocol) {
  Session session;
  net::ClientRequest request;
  request.target = target;
  request.headers.add("connection", "Upgrade");
  request.headers.add("upgrade", "websocket");
  request.headers.add("sec-websocket-version", "13");
  request.headers.add("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
  request.headers.add("sec-websocket-protocol", protocol);
  auto http = client();
  auto stream = http->upgrade(std::move(request));
  if (!stream) {
    session.error = stream.error().message;
    return session;
  }
  auto send = [&](std::string payload) {  // a client's frame, masked with zeros
    std::string f = websocket::frame(websocket::Opcode::binary, payload);
    std::size_t head = payload.size() < 126 ? 2 : payload.size() <= 0xffff ? 4 : 10;
    f[1] = static_cast<char>(f[1] | 0x80);
    f.insert(head, std::string(4, '\0'));
    (void)(*stream)->write(f);
  };
  if (!input.empty()) send(std::string(1, '\0') + input);
  if (protocol.starts_with("v5")) send(std::string("\xff\0", 2));
  websocket::Reader reader(false);
  while (true) {
    auto bytes = (*stream)->read_for(std::chrono::seconds(20));
    if (!bytes || bytes->empty()) return session;
    auto messages = reader.feed(*bytes);
    if (!messages) {
      session.error = messages.error().message;
      return session;
    }
    for (const websocket::Message& m : *messages) {
      if (m.opcode == websocket::Opcode::close) return session;
      if (m.bytes.empty()) continue;
      std::string& to = m.bytes[0] == 1 ? session.out : m.bytes[0] == 2 ? session.err : session.error;
      to += m.bytes.substr(1);
    }
  }
}

std::string RealNode::wait_log(const std::string& name, const std::string& container, const std::string& text) {
  std::string seen;
  eventually([&] { return (seen = log(name, container)).find(text) != std::string::npos; }, std::chrono::seconds(15));
  return seen;
}

void RealNode::restart_kubelet(const std::function<void()>& meanwhile) {
  kubelet_.reset();
  if (meanwhile) meanwhile();
  auto started = Kubelet::start(api_, real_world(), options_);
  if (!started) problem_ = started.error().message;
  else kubelet_ = std::move(*started);
}

bool RealNode::eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit) {
  return kybern::eventually(condition, limit);
}

Document RealNode::node() { return api_.get("/api/v1/nodes/test-node"); }
Document RealNode::pod(const std::string& name) { return api_.get("/api/v1/namespaces/default/pods/" + name); }

std::string RealNode::condition(const Document& object, std::string_view type) {
  for (Value c : object["status"]["conditions"].items()) {
    if (c["type"].as_string() == type) return c["status"].str();
  }
  return "";
}

void RealNode::run(const std::string& json) {
  auto parsed = parse_json(json);
  if (!parsed) throw std::runtime_error(parsed.error().message);
  Draft pod(*parsed);
  pod["apiVersion"] = "v1";
  pod["kind"] = "Pod";
  pod["spec"]["nodeName"] = "test-node";
  if (pod.find_path({"metadata", "namespace"}) == nullptr) pod["metadata"]["namespace"] = "default";
  pod["status"] = Draft::object({{"phase", "Pending"}});
  api_.put("/api/v1/namespaces/default/pods", to_json(pod));
}

bool RealNode::phase_becomes(const std::string& name, const std::string& phase) {
  return eventually([&] { return pod(name)["status"]["phase"].as_string() == phase; });
}

void RealNode::remove(const std::string& name, std::int64_t grace_s) {
  api_.mark_deleted("/api/v1/namespaces/default/pods/" + name, grace_s);
}

bool RealNode::remove_and_wait(const std::string& name) {
  std::string uid = pod(name)["metadata"]["uid"].str();
  remove(name, 0);
  return eventually([&] { return !pod(name); }) && eventually([&] { return nothing_left_of(uid); });
}

bool RealNode::has_event(const std::string& name, const std::string& line) {
  std::vector<std::string> events = api_.events_of(name);
  return std::find(events.begin(), events.end(), line) != events.end();
}

std::string RealNode::describe(const std::string& name) {
  std::string out;
  write_json_indented(pod(name)["status"], out, 1);
  return fmt::format("{}\n{}", out, join(api_.events_of(name), "\n"));
}

std::string RealNode::log(const std::string& name, const std::string& container, int attempt) {
  std::string uid = pod(name)["metadata"]["uid"].str();
  return last_log_lines(fmt::format("{}/logs/pods/default_{}_{}/{}/{}.log", options_.data_dir, name, uid, container, attempt), 10000,
                        1 << 20);
}

bool RealNode::nothing_left_of(const std::string& uid) {
  auto cri = Cri::connect(kubelet_->runtime_endpoint());
  if (!cri) return false;
  auto sandboxes = (*cri)->list_sandboxes(uid);
  auto containers = (*cri)->list_containers(uid);
  if (!sandboxes || !containers || !sandboxes->empty() || !containers->empty()) return false;
  auto groups = Cgroups::open(options_.cgroup_base);
  if (!groups || (*groups)->pods().contains(uid)) return false;
  for (const MountPoint& m : mount_points()) {
    if (m.path.find(uid) != std::string::npos) return false;
  }
  return !path_exists(fmt::format("{}/kubelet/pods/{}", options_.data_dir, uid));
}

}  // namespace kybern::kubelet::testing
