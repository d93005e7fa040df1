// The controllers against the real API server and store in one process: under their own identities and roles, as in the
// all-in-one program, and once more over HTTP. There is no scheduler and no kubelet: the test does what they would (a pod
// is ready, is gone).
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "apiserver/server.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/testing/eventually.h"
#include "base/world.h"
#include "bin/local_transport.cpp"  // the program's own; it belongs to no room's library
#include "client/transport.h"
#include "controllers/controllers.h"
#include "controllers/objects.h"
#include "document/json.h"
#include "net/certificates.h"
#include "net/client.h"

namespace kybern {
namespace {

using client::Call;
using controllers::condition;
using controllers::name_of;
using controllers::namespace_of;
using controllers::uid_of;

Document json(const std::string& text) {
  Result<Document> out = parse_json(text);
  EXPECT_TRUE(out) << text;
  return out ? *out : Document();
}

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// One server and one set of controllers for all tests: each test has a namespace of its own.
class ControlPlane : public testing::Test {
 protected:
  static void SetUpTestSuite() { begin(true); }
  static void begin(bool in_process) {
    char pattern[] = "/tmp/control-plane-XXXXXX";
    folder_ = ::mkdtemp(pattern);
    set_log_level(LogLevel::warn);
    apiserver::ServerOptions options;
    options.data_dir = folder_;
    options.bind_address = "127.0.0.1";
    options.secure_port = 0;
    options.advertise_address = "127.0.0.1";
    options.bootstrap_tokens = true;
    auto server = apiserver::ApiServer::start(options, real_world());
    ASSERT_TRUE(server) << server.error().message;
    server_ = std::move(*server);
    Result<client::HttpOptions> config = client::read_kubeconfig(server_->credentials().admin_kubeconfig);
    ASSERT_TRUE(config) << config.error().message;
    config->url = "https://127.0.0.1:" + std::to_string(server_->port());
    auto transport = client::http_transport(*config);
    ASSERT_TRUE(transport) << transport.error().message;
    transport_ = std::move(*transport);
    controllers::Options wanted;
    wanted.for_identity = [in_process](const std::string& name) -> client::Transport& {
      if (!in_process) return *transport_;
      auto& transport = identities_[name];
      if (!transport) transport = bin::local_transport(*server_, bin::component_user(name));
      return *transport;
    };
    wanted.ca_bundle = [] { return std::string("-----BEGIN CERTIFICATE-----\n"); };
    wanted.node_grace = std::chrono::seconds(8);
    std::filesystem::copy_file(server_->credentials().ca_file, folder_ + "/signing.crt");
    std::filesystem::copy_file(server_->credentials().ca_key, folder_ + "/signing.key");
    wanted.signing_authority = [] { return std::pair(read_file(folder_ + "/signing.crt"), read_file(folder_ + "/signing.key")); };
    wanted.account_key_pem = [] { return read_file(server_->credentials().service_account_key); };
    controllers_ = std::make_unique<controllers::ControllerManager>(real_world(), wanted);
    controllers_->start();
  }
  static void TearDownTestSuite() {
    controllers_.reset();
    transport_.reset();
    identities_.clear();
    if (server_) server_->stop(std::chrono::seconds(1));
    server_.reset();
    std::filesystem::remove_all(folder_);
  }
  void SetUp() override {
    ns_ = "t" + std::to_string(++serial_);
    make("v1", "namespaces", "", R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":")" + ns_ + R"("}})");
    ASSERT_TRUE(eventually([&] { return static_cast<bool>(get("v1", "serviceaccounts", "default")); }));
  }

  static Document call(std::string method, std::string path, Document body = {}, client::PatchType patch = client::PatchType::merge,
                       bool may_fail = false) {
    ApiResult<Document> out = transport_->call({.method = method, .path = path, .query = {}, .body = body, .patch = patch});
    if (!out && !may_fail) ADD_FAILURE() << method << " " << path << ": " << out.error().message;
    return out ? *out : Document();
  }
  static Document make(std::string_view api, std::string_view resource, std::string_view ns, const std::string& text) {
    return call("POST", client::object_path(api, resource, ns, ""), json(text));
  }
  Document get(std::string_view api, std::string_view resource, std::string_view name) const {
    return call("GET", client::object_path(api, resource, ns_, name), {}, client::PatchType::merge, true);
  }
  std::vector<Document> list(std::string_view api, std::string_view resource) const {
    const Document all = call("GET", client::object_path(api, resource, ns_, ""), {}, client::PatchType::merge, true);
    std::vector<Document> out;
    for (Value item : all["items"].items()) out.push_back(item.document());
    return out;
  }
  Document patch(std::string_view api, std::string_view resource, std::string_view name, const std::string& text,
                 std::string_view sub = {}) const {
    return call("PATCH", client::object_path(api, resource, ns_, name, sub), json(text));
  }
  void erase(std::string_view api, std::string_view resource, std::string_view name, const std::string& options = "{}") const {
    call("DELETE", client::object_path(api, resource, ns_, name), json(options), client::PatchType::merge, true);
  }
  Document deployment(const std::string& name, int replicas, const std::string& image = "v1", const std::string& more = "") const {
    return make("apps/v1", "deployments", ns_,
                R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":")" + name + R"("},"spec":{)" + more + R"("replicas":)" +
                    std::to_string(replicas) + R"(,"selector":{"matchLabels":{"app":")" + name +
                    R"("}},"template":{"metadata":{"labels":{"app":")" + name +
                    R"("}},"spec":{"terminationGracePeriodSeconds":0,"containers":[{"name":"c","image":")" + image + R"("}]}}}})");
  }
  // What scheduler and kubelet would do for every pod that is not ready yet.
  void run_pods() const {
    for (const Document& pod : list("v1", "pods")) {
      const std::string name(name_of(pod));
      if (controllers::is_deleting(pod)) {
        erase("v1", "pods", name, R"({"gracePeriodSeconds":0})");
        continue;
      }
      if (controllers::is_ready(pod)) continue;
      call(
          "PATCH", client::object_path("v1", "pods", ns_, name, "status"),
          json(
              R"({"status":{"phase":"Running","podIP":"10.9.0.1","podIPs":[{"ip":"10.9.0.1"}],"conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}]}})"),
          client::PatchType::merge, true);
    }
  }
  bool complete(const std::string& name) const {
    run_pods();
    const Document d = get("apps/v1", "deployments", name);
    const std::int64_t wanted = d["spec"]["replicas"].as_int();
    return d["status"]["observedGeneration"].as_int() >= d["metadata"]["generation"].as_int() &&
           d["status"]["availableReplicas"].as_int() == wanted && d["status"]["updatedReplicas"].as_int() == wanted &&
           d["status"]["replicas"].as_int() == wanted;
  }
  std::vector<std::string> events(std::string_view reason) const {
    std::vector<std::string> out;
    for (const Document& e : list("v1", "events"))
      if (e["reason"].as_string() == reason) out.push_back(e["message"].str());
    return out;
  }

  static inline std::string folder_;
  static inline int serial_ = 0;
  static inline std::unique_ptr<apiserver::ApiServer> server_;
  static inline std::unique_ptr<client::Transport> transport_;
  static inline std::map<std::string, std::unique_ptr<client::Transport>> identities_;
  static inline std::unique_ptr<controllers::ControllerManager> controllers_;
  std::string ns_;
};

TEST_F(ControlPlane, ANamespaceGetsItsAccountAndItsCa) {
  EXPECT_TRUE(eventually([&] { return static_cast<bool>(get("v1", "serviceaccounts", "default")); }));
  EXPECT_TRUE(eventually([&] { return static_cast<bool>(get("v1", "configmaps", "kube-root-ca.crt")); }));
  const std::string uid(uid_of(get("v1", "serviceaccounts", "default")));
  erase("v1", "serviceaccounts", "default");
  EXPECT_TRUE(eventually([&] {
    const Document now = get("v1", "serviceaccounts", "default");
    return now && uid_of(now) != uid;
  }));
  patch("v1", "configmaps", "kube-root-ca.crt", R"({"data":{"ca.crt":"other"}})");
  EXPECT_TRUE(eventually(
      [&] { return get("v1", "configmaps", "kube-root-ca.crt")["data"]["ca.crt"].as_string() == "-----BEGIN CERTIFICATE-----\n"; }));
}

TEST_F(ControlPlane, ADeploymentRollsOutAndBack) {
  deployment("web", 3);
  ASSERT_TRUE(eventually([&] { return complete("web"); })) << to_json(get("apps/v1", "deployments", "web").root());
  const Document first = get("apps/v1", "deployments", "web");
  EXPECT_EQ(first["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_string(), "1");
  EXPECT_TRUE(eventually([&] {
    return condition(get("apps/v1", "deployments", "web")["status"]["conditions"], "Progressing")["reason"].as_string() ==
           "NewReplicaSetAvailable";
  }));
  EXPECT_TRUE(eventually([&] { return events("SuccessfulCreate").size() == 3; }));
  ASSERT_TRUE(eventually([&] { return events("ScalingReplicaSet").size() == 1; }));
  EXPECT_TRUE(events("ScalingReplicaSet")[0].ends_with(" from 0 to 3"));

  patch("apps/v1", "deployments", "web", R"({"spec":{"template":{"spec":{"containers":[{"name":"c","image":"v2"}]}}}})");
  ASSERT_TRUE(eventually([&] {
    return complete("web") &&
           get("apps/v1", "deployments", "web")["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_string() == "2";
  }));
  EXPECT_EQ(list("apps/v1", "replicasets").size(), 2u);

  // As `kubectl rollout undo` does it: the old template, without the hash.
  patch("apps/v1", "deployments", "web", R"({"spec":{"template":{"spec":{"containers":[{"name":"c","image":"v1"}]}}}})");
  ASSERT_TRUE(eventually([&] {
    return complete("web") &&
           get("apps/v1", "deployments", "web")["metadata"]["annotations"]["deployment.kubernetes.io/revision"].as_string() == "3";
  }));
  const std::vector<Document> sets = list("apps/v1", "replicasets");
  ASSERT_EQ(sets.size(), 2u);
  for (const Document& set : sets) {
    const bool old = set["spec"]["template"]["spec"]["containers"][0]["image"].as_string() == "v2";
    EXPECT_EQ(set["spec"]["replicas"].as_int(), old ? 0 : 3);
    if (!old) { EXPECT_EQ(set["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"].as_string(), "1"); }
  }

  patch("apps/v1", "deployments", "web", R"({"spec":{"replicas":5}})");
  ASSERT_TRUE(eventually([&] { return complete("web"); }));
  patch("apps/v1", "deployments", "web", R"({"spec":{"replicas":0}})");
  EXPECT_TRUE(eventually([&] {
    run_pods();
    return list("v1", "pods").empty();
  }));
}

TEST_F(ControlPlane, AFinishedDeploymentsHistoryIsCutWhenItsLimitIs) {
  deployment("web", 1);
  for (const std::string image : {"v1", "v2", "v3"}) {
    patch("apps/v1", "deployments", "web", R"({"spec":{"template":{"spec":{"containers":[{"name":"c","image":")" + image + R"("}]}}}})");
    ASSERT_TRUE(eventually([&] { return complete("web"); }));
  }
  ASSERT_TRUE(eventually([&] {  // nothing is left that would have it looked at
    const std::vector<Document> sets = list("apps/v1", "replicasets");
    return sets.size() == 3 && std::all_of(sets.begin(), sets.end(), [](const Document& set) {
             return set["status"]["replicas"].as_int() == set["spec"]["replicas"].as_int() &&
                    set["status"]["terminatingReplicas"].as_int() == 0 &&
                    set["status"]["observedGeneration"].as_int() == set["metadata"]["generation"].as_int();
           });
  }));
  ASSERT_TRUE(eventually([&] {
    return condition(get("apps/v1", "deployments", "web")["status"]["conditions"], "Progressing")["reason"].as_string() ==
           "NewReplicaSetAvailable";
  }));
  patch("apps/v1", "deployments", "web", R"({"spec":{"revisionHistoryLimit":0}})");
  EXPECT_TRUE(eventually([&] { return list("apps/v1", "replicasets").size() == 1 && complete("web"); }));
}

// The ReplicaSet of a Deployment that is gone is held back, under the name that the next one's would have.
TEST_F(ControlPlane, ATakenNameOfAReplicaSetGivesAnother) {
  deployment("web", 1);
  ASSERT_TRUE(eventually([&] { return complete("web"); }));
  const std::string old(name_of(list("apps/v1", "replicasets").at(0)));
  patch("apps/v1", "replicasets", old, R"({"metadata":{"finalizers":["example.com/hold"]}})");
  erase("apps/v1", "deployments", "web", R"({"propagationPolicy":"Background"})");
  ASSERT_TRUE(
      eventually([&] { return !get("apps/v1", "deployments", "web") && controllers::is_deleting(get("apps/v1", "replicasets", old)); }));
  deployment("web", 1);
  EXPECT_TRUE(eventually([&] { return complete("web"); })) << to_json(get("apps/v1", "deployments", "web").root());
  EXPECT_EQ(get("apps/v1", "deployments", "web")["status"]["collisionCount"].as_int(), 1);
  EXPECT_EQ(list("apps/v1", "replicasets").size(), 2u);
  patch("apps/v1", "replicasets", old, R"({"metadata":{"finalizers":null}})");
}

TEST_F(ControlPlane, RecreateWaitsForTheOldPods) {
  deployment("web", 2, "v1", R"("strategy":{"type":"Recreate"},)");
  ASSERT_TRUE(eventually([&] { return complete("web"); }));
  const std::string held(name_of(list("v1", "pods").at(0)));
  call("POST", client::object_path("v1", "pods", ns_, held, "binding"),
       json(R"({"apiVersion":"v1","kind":"Binding","metadata":{"name":")" + held + R"("},"target":{"kind":"Node","name":"away"}})"));
  patch("v1", "pods", held, R"({"metadata":{"finalizers":["example.com/hold"]}})");
  patch("apps/v1", "deployments", "web", R"({"spec":{"template":{"spec":{"containers":[{"name":"c","image":"v2"}]}}}})");
  ASSERT_TRUE(eventually([&] {
    const Document d = get("apps/v1", "deployments", "web");
    return list("v1", "pods").size() == 1 && d["status"]["observedGeneration"].as_int() == d["metadata"]["generation"].as_int() &&
           d["status"]["replicas"].as_int() == 0;
  })) << to_json(get("apps/v1", "deployments", "web")["status"])
      << [&] {
           std::string o;
           for (auto& p : list("v1", "pods")) o += "\n" + to_json(p.root());
           for (auto& p : list("apps/v1", "replicasets")) o += "\n" + to_json(p.root());
           return o;
         }();
  EXPECT_EQ(list("apps/v1", "replicasets").size(), 1u) << "one of them is not gone yet";
  patch("v1", "pods", held, R"({"metadata":{"finalizers":null}})");
  ASSERT_TRUE(eventually([&] { return complete("web") && list("apps/v1", "replicasets").size() == 2; }));
  for (const Document& pod : list("v1", "pods")) EXPECT_EQ(pod["spec"]["containers"][0]["image"].as_string(), "v2");
}

TEST_F(ControlPlane, APausedRolloutGoesOnWhenItIsResumed) {
  deployment("web", 2);
  ASSERT_TRUE(eventually([&] { return complete("web"); }));
  patch("apps/v1", "deployments", "web", R"({"spec":{"paused":true,"template":{"spec":{"containers":[{"name":"c","image":"v2"}]}}}})");
  ASSERT_TRUE(eventually([&] {
    const Document d = get("apps/v1", "deployments", "web");
    return d["status"]["observedGeneration"].as_int() == d["metadata"]["generation"].as_int() &&
           condition(d["status"]["conditions"], "Progressing")["reason"].as_string() == "DeploymentPaused";
  }));
  EXPECT_EQ(list("apps/v1", "replicasets").size(), 1u);
  patch("apps/v1", "deployments", "web", R"({"spec":{"paused":false}})");
  ASSERT_TRUE(eventually([&] {
    return complete("web") &&
           condition(get("apps/v1", "deployments", "web")["status"]["conditions"], "Progressing")["reason"].as_string() ==
               "NewReplicaSetAvailable";
  }));
  EXPECT_EQ(list("apps/v1", "replicasets").size(), 2u);
}

TEST_F(ControlPlane, NoMorePodsThanAskedFor) {
  deployment("many", 40);
  ASSERT_TRUE(eventually([&] { return list("v1", "pods").size() >= 40; }));
  ASSERT_TRUE(eventually([&] { return complete("many"); }));
  EXPECT_EQ(list("v1", "pods").size(), 40u);
  EXPECT_EQ(events("SuccessfulDelete").size(), 0u);
}

TEST_F(ControlPlane, DeletionGoesDownTheTree) {
  deployment("web", 2);
  ASSERT_TRUE(eventually([&] { return complete("web"); }));
  erase("apps/v1", "deployments", "web", R"({"propagationPolicy":"Background"})");
  EXPECT_TRUE(eventually([&] {
    run_pods();
    return list("v1", "pods").empty() && list("apps/v1", "replicasets").empty();
  }));

  deployment("front", 2);
  ASSERT_TRUE(eventually([&] { return complete("front"); }));
  erase("apps/v1", "deployments", "front", R"({"propagationPolicy":"Foreground"})");
  EXPECT_TRUE(eventually([&] {
    run_pods();
    return list("v1", "pods").empty() && list("apps/v1", "replicasets").empty() && list("apps/v1", "deployments").empty();
  }));

  deployment("orphans", 2);
  ASSERT_TRUE(eventually([&] { return complete("orphans"); }));
  erase("apps/v1", "deployments", "orphans", R"({"propagationPolicy":"Orphan"})");
  EXPECT_TRUE(eventually([&] { return list("apps/v1", "deployments").empty(); }));
  ASSERT_EQ(list("apps/v1", "replicasets").size(), 1u);
  EXPECT_TRUE(list("apps/v1", "replicasets")[0]["metadata"]["ownerReferences"].empty());
  EXPECT_EQ(list("v1", "pods").size(), 2u);
  deployment("orphans", 2);  // takes the ReplicaSet over
  EXPECT_TRUE(eventually([&] { return complete("orphans") && !list("apps/v1", "replicasets")[0]["metadata"]["ownerReferences"].empty(); }));
  EXPECT_EQ(list("apps/v1", "replicasets").size(), 1u);
}

TEST_F(ControlPlane, AnObjectWithoutItsOwnerGoes) {
  make(
      "v1", "configmaps", ns_,
      R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"child","ownerReferences":[{"apiVersion":"v1","kind":"Secret","name":"none","uid":"11111111-1111-1111-1111-111111111111"}]}})");
  EXPECT_TRUE(eventually([&] { return !get("v1", "configmaps", "child"); }));
}

TEST_F(ControlPlane, ACircleOfOwnersGoes) {
  const char* names[] = {"a", "b", "c"};
  for (const char* name : names)
    make("v1", "configmaps", ns_, R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")" + std::string(name) + R"("}})");
  for (int i = 0; i < 3; ++i) {
    const Document owner = get("v1", "configmaps", names[(i + 2) % 3]);
    patch("v1", "configmaps", names[i],
          R"({"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":")" + std::string(name_of(owner)) +
              R"(","uid":")" + std::string(uid_of(owner)) + R"(","controller":true,"blockOwnerDeletion":true}]}})");
  }
  erase("v1", "configmaps", "a", R"({"propagationPolicy":"Foreground"})");
  EXPECT_TRUE(eventually([&] { return !get("v1", "configmaps", "a") && !get("v1", "configmaps", "b") && !get("v1", "configmaps", "c"); }));
}

TEST_F(ControlPlane, OneOfTwoOwnersIsEnough) {
  for (const char* name : {"one", "two"})
    make("v1", "configmaps", ns_, R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")" + std::string(name) + R"("}})");
  const auto reference = [&](const char* name) {
    return R"({"apiVersion":"v1","kind":"ConfigMap","name":")" + std::string(name) + R"(","uid":")" +
           std::string(uid_of(get("v1", "configmaps", name))) + R"("})";
  };
  make("v1", "configmaps", ns_,
       R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"child","ownerReferences":[)" + reference("one") + "," +
           reference("two") + "]}}");
  erase("v1", "configmaps", "one");
  EXPECT_TRUE(eventually([&] { return get("v1", "configmaps", "child")["metadata"]["ownerReferences"].size() == 1; }));
  erase("v1", "configmaps", "two");
  EXPECT_TRUE(eventually([&] { return !get("v1", "configmaps", "child"); }));
}

// An owner is in the namespace of what it owns, or in none.
TEST_F(ControlPlane, AnOwnerInAnotherNamespaceIsTold) {
  const Document owner = make("v1", "configmaps", ns_, R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"owner"}})");
  const std::string name = "dependent-" + ns_, uid(uid_of(owner));
  const std::string meta = R"("metadata":{"name":")" + name +
                           R"(","ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"owner","uid":")" + uid + R"("}]}})";
  const auto told = [&](const std::string& where) {
    const std::string wanted =
        "ownerRef [v1/ConfigMap, namespace: " + where + ", name: owner, uid: " + uid + "] does not exist in namespace \"" + where + "\"";
    const Document all = call("GET", "/api/v1/namespaces/default/events");
    for (Value e : all["items"].items())
      if (e["reason"].as_string() == "OwnerRefInvalidNamespace" && e["message"].as_string() == wanted)
        return e["type"].as_string() == "Warning" && e["involvedObject"]["name"].as_string() == name;
    return false;
  };
  const std::string role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/" + name;
  call("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
       json(R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole",)" + meta));
  EXPECT_TRUE(eventually([&] { return told(""); }));
  EXPECT_EQ(name_of(call("GET", role)), name) << "it stays";
  call("DELETE", role);
  make("v1", "configmaps", "default", R"({"apiVersion":"v1","kind":"ConfigMap",)" + meta);
  EXPECT_TRUE(eventually([&] { return told("default"); }));
  EXPECT_TRUE(
      eventually([&] { return !call("GET", "/api/v1/namespaces/default/configmaps/" + name, {}, client::PatchType::merge, true); }));
}

// Of a group with two versions one kind is served in the one, the other in the other.
TEST_F(ControlPlane, WhatOnlyAnotherVersionServesGoesToo) {
  const std::string group = ns_ + ".example.com", definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  const auto define = [&](const std::string& singular, const std::string& version) {
    const std::string name = singular + "s." + group;
    call("POST", definitions,
         json(R"({"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":")" + name +
              R"("},"spec":{"group":")" + group + R"(","scope":"Namespaced","names":{"plural":")" + singular + R"(s","singular":")" +
              singular + R"(","kind":")" + singular + R"(","listKind":")" + singular + R"(List"},"versions":[{"name":")" + version +
              R"(","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object"}}}]}})"));
    ASSERT_TRUE(eventually([&] {
      return condition(call("GET", definitions + "/" + name)["status"]["conditions"], "Established")["status"].as_string() == "True";
    }));
  };
  define("foo", "v1");
  define("bar", "v1alpha1");
  const std::string bars = "/apis/" + group + "/v1alpha1/bars", api = group + "/v1alpha1";
  ASSERT_TRUE(eventually([&] { return static_cast<bool>(call("GET", bars, {}, client::PatchType::merge, true)); }));
  const auto bar = [&](const std::string& name, const std::string& more) {
    make(api, "bars", ns_, R"({"apiVersion":")" + api + R"(","kind":"bar","metadata":{"name":")" + name + "\"" + more + "}}");
  };
  bar("garbage", R"(,"ownerReferences":[{"apiVersion":"v1","kind":"Secret","name":"none","uid":"11111111-1111-1111-1111-111111111111"}])");
  EXPECT_TRUE(eventually([&] { return call("GET", bars)["items"].empty(); }));
  bar("left", "");
  call("DELETE", "/api/v1/namespaces/" + ns_);
  EXPECT_TRUE(eventually([&] { return !call("GET", "/api/v1/namespaces/" + ns_, {}, client::PatchType::merge, true); }));
  EXPECT_TRUE(call("GET", bars)["items"].empty());
  for (const char* name : {"foos.", "bars."}) call("DELETE", definitions + "/" + name + group);
}

TEST_F(ControlPlane, AReplicationControllerAdoptsAndReleases) {
  make(
      "v1", "pods", ns_,
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"orphan","labels":{"app":"rc"}},"spec":{"containers":[{"name":"c","image":"i"}]}})");
  make(
      "v1", "replicationcontrollers", ns_,
      R"({"apiVersion":"v1","kind":"ReplicationController","metadata":{"name":"rc"},"spec":{"replicas":2,"selector":{"app":"rc"},"template":{"metadata":{"labels":{"app":"rc"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}})");
  EXPECT_TRUE(eventually([&] { return get("v1", "replicationcontrollers", "rc")["status"]["replicas"].as_int() == 2; }));
  EXPECT_EQ(list("v1", "pods").size(), 2u);
  EXPECT_EQ(controllers::controller_of(get("v1", "pods", "orphan"))["name"].as_string(), "rc");
  patch("v1", "pods", "orphan", R"({"metadata":{"labels":{"app":"other"}}})");
  EXPECT_TRUE(
      eventually([&] { return list("v1", "pods").size() == 3 && get("v1", "pods", "orphan")["metadata"]["ownerReferences"].empty(); }));
}

TEST_F(ControlPlane, ADeniedPodShowsInTheStatus) {
  // A pod of a template that admission refuses: its service account does not exist.
  deployment("denied", 2);
  patch("apps/v1", "deployments", "denied", R"({"spec":{"template":{"spec":{"serviceAccountName":"nobody"}}}})");
  EXPECT_TRUE(eventually([&] {
    const Value conditions = get("apps/v1", "deployments", "denied")["status"]["conditions"];
    return condition(conditions, "ReplicaFailure")["reason"].as_string() == "FailedCreate";
  })) << to_json(get("apps/v1", "deployments", "denied")["status"]);
  EXPECT_TRUE(eventually([&] { return !events("FailedCreate").empty(); }));
  make("v1", "serviceaccounts", ns_, R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"nobody"}})");
  EXPECT_TRUE(eventually([&] { return complete("denied"); }));
  EXPECT_TRUE(
      eventually([&] { return !condition(get("apps/v1", "deployments", "denied")["status"]["conditions"], "ReplicaFailure").exists(); }));
}

TEST_F(ControlPlane, EndpointsOfAServiceWithoutSelectorAreMirrored) {
  make("v1", "services", ns_,
       R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"out"},"spec":{"ports":[{"name":"http","port":80}]}})");
  make(
      "v1", "endpoints", ns_,
      R"({"apiVersion":"v1","kind":"Endpoints","metadata":{"name":"out"},"subsets":[{"addresses":[{"ip":"10.1.2.3"}],"ports":[{"name":"http","port":80}]}]})");
  EXPECT_TRUE(eventually([&] {
    const auto s = list("discovery.k8s.io/v1", "endpointslices");
    return s.size() == 1 && s[0]["endpoints"][0]["addresses"][0].as_string() == "10.1.2.3";
  }));
  patch("v1", "endpoints", "out", R"({"subsets":[{"addresses":[{"ip":"10.2.3.4"}],"ports":[{"name":"http","port":9090}]}]})");
  EXPECT_TRUE(eventually([&] {
    const auto s = list("discovery.k8s.io/v1", "endpointslices");
    return s.size() == 1 && s[0]["endpoints"][0]["addresses"][0].as_string() == "10.2.3.4" && s[0]["ports"][0]["port"].as_int() == 9090;
  }));
  erase("v1", "endpoints", "out");
  EXPECT_TRUE(eventually([&] { return list("discovery.k8s.io/v1", "endpointslices").empty(); }));
}

TEST_F(ControlPlane, AServiceFollowsItsPods) {
  make(
      "v1", "services", ns_,
      R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"selector":{"app":"web"},"ports":[{"port":80,"targetPort":8080}]}})");
  EXPECT_TRUE(eventually([&] { return list("discovery.k8s.io/v1", "endpointslices").size() == 1 && get("v1", "endpoints", "web"); }));
  deployment("web", 3);
  ASSERT_TRUE(eventually([&] { return complete("web"); }));
  EXPECT_TRUE(eventually([&] {
    const std::vector<Document> slices = list("discovery.k8s.io/v1", "endpointslices");
    return slices.size() == 1 && slices[0]["endpoints"].size() == 3 && slices[0]["endpoints"][0]["conditions"]["ready"].as_bool() &&
           slices[0]["ports"][0]["port"].as_int() == 8080;
  })) << to_json(list("discovery.k8s.io/v1", "endpointslices").at(0).root());
  EXPECT_TRUE(eventually([&] { return get("v1", "endpoints", "web")["subsets"][0]["addresses"].size() == 3; }));
  patch("apps/v1", "deployments", "web", R"({"spec":{"replicas":0}})");
  EXPECT_TRUE(eventually([&] {
    run_pods();
    const std::vector<Document> slices = list("discovery.k8s.io/v1", "endpointslices");
    return slices.size() == 1 && slices[0]["endpoints"].empty() && get("v1", "endpoints", "web")["subsets"].empty();
  }));
  erase("v1", "services", "web");
  EXPECT_TRUE(eventually([&] { return list("discovery.k8s.io/v1", "endpointslices").empty() && !get("v1", "endpoints", "web"); }));
}

TEST_F(ControlPlane, AnEmptyNamespaceGoesAndAFullOneToo) {
  deployment("web", 2);
  make("v1", "services", ns_,
       R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"selector":{"app":"web"},"ports":[{"port":80}]}})");
  make("v1", "configmaps", ns_, R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"held","finalizers":["example.com/hold"]}})");
  ASSERT_TRUE(eventually([&] { return complete("web"); }));
  call("DELETE", "/api/v1/namespaces/" + ns_);
  const auto found = [&] { return call("GET", "/api/v1/namespaces/" + ns_, {}, client::PatchType::merge, true); };
  ASSERT_TRUE(eventually([&] {
    run_pods();
    return condition(found()["status"]["conditions"], "NamespaceFinalizersRemaining")["message"].as_string() ==
           "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances";
  })) << to_json(found().root());
  patch("v1", "configmaps", "held", R"({"metadata":{"finalizers":null}})");
  EXPECT_TRUE(eventually([&] {
    run_pods();
    return !found();
  })) << to_json(found().root());
}

TEST_F(ControlPlane, ASilentNodeIsUnknownAndItsPodsLeave) {
  const std::string node = "silent", other = "lively";
  for (const std::string& name : {node, other}) {
    make("v1", "nodes", "", R"({"apiVersion":"v1","kind":"Node","metadata":{"name":")" + name + R"("}})");
    call(
        "PATCH", "/api/v1/nodes/" + name + "/status",
        json(
            R"({"status":{"conditions":[{"type":"Ready","status":"True","reason":"KubeletReady","lastHeartbeatTime":"2026-01-01T00:00:00Z","lastTransitionTime":"2026-01-01T00:00:00Z"}]}})"));
  }
  make(
      "v1", "pods", ns_,
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"leaves"},"spec":{"nodeName":"silent","terminationGracePeriodSeconds":0,"containers":[{"name":"c","image":"i"}],"tolerations":[{"key":"node.kubernetes.io/unreachable","operator":"Exists","effect":"NoExecute","tolerationSeconds":0}]}})");
  make(
      "v1", "pods", ns_,
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"stays"},"spec":{"nodeName":"silent","containers":[{"name":"c","image":"i"}],"tolerations":[{"operator":"Exists"}]}})");
  call(
      "PATCH", client::object_path("v1", "pods", ns_, "stays", "status"),
      json(
          R"({"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}]}})"));
  int beat = 0;
  const auto beat_other = [&] {
    const int now = ++beat;
    call("PATCH", "/api/v1/nodes/" + other + "/status",
         json(R"({"status":{"conditions":[{"type":"Ready","status":"True","reason":"KubeletReady","lastHeartbeatTime":"2026-01-01T00:)" +
              std::to_string(10 + now / 60) + ":" + std::to_string(10 + now % 50) +
              R"(Z","lastTransitionTime":"2026-01-01T00:00:00Z"}]}})"));
  };
  const auto found = [&] { return call("GET", "/api/v1/nodes/" + node); };
  EXPECT_TRUE(eventually([&] {
    beat_other();
    return condition(found()["status"]["conditions"], "Ready")["status"].as_string() == "Unknown";
  })) << to_json(found().root());
  EXPECT_TRUE(eventually([&] {
    beat_other();
    return found()["spec"]["taints"].size() == 2;
  })) << to_json(found()["spec"]);
  EXPECT_TRUE(eventually([&] {
    beat_other();
    const Document pod = get("v1", "pods", "leaves");
    return !pod || controllers::is_deleting(pod);
  }));
  EXPECT_FALSE(controllers::is_deleting(get("v1", "pods", "stays")));
  EXPECT_TRUE(eventually([&] {
    beat_other();
    return !controllers::is_ready(get("v1", "pods", "stays"));
  }));
  EXPECT_EQ(condition(call("GET", "/api/v1/nodes/" + other)["status"]["conditions"], "Ready")["status"].as_string(), "True");
  call(
      "PATCH", "/api/v1/nodes/" + node + "/status",
      json(
          R"({"status":{"conditions":[{"type":"Ready","status":"True","lastHeartbeatTime":"2026-01-01T02:00:00Z","lastTransitionTime":"2026-01-01T02:00:00Z"}]}})"));
  EXPECT_TRUE(eventually([&] { return found()["spec"]["taints"].empty(); })) << to_json(found()["spec"]);
  for (const std::string& name : {node, other}) call("DELETE", "/api/v1/nodes/" + name);
}

const std::string requests_path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

std::string certificate_request(const std::string& name, const std::string& key, const std::string& user, const std::string& group,
                                const std::string& signer) {
  net::CertificateSpec spec;
  spec.common_name = user;
  spec.organizations = {group};
  return R"({"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"name":")" + name +
         R"("},"spec":{"request":")" + base64_encode(*net::new_request(key, spec)) + R"(","signerName":"kubernetes.io/)" + signer +
         R"(","expirationSeconds":3600,"usages":["digital signature","client auth"]}})";
}

TEST_F(ControlPlane, AnApprovedRequestBecomesAWorkingCertificate) {
  const std::string key = *net::new_private_key_pem(), path = requests_path + "/" + ns_;
  call("POST", requests_path, json(certificate_request(ns_, key, "jane", "people", "kube-apiserver-client")));
  Document request = call("GET", path);
  EXPECT_EQ(request["spec"]["username"].as_string(), "kubernetes-admin");
  Draft decided(request);
  decided["status"]["conditions"] = Draft::array({Draft::object({{"type", "Approved"},
                                                                 {"status", "True"},
                                                                 {"reason", "KubectlApprove"},
                                                                 {"message", "This CSR was approved by kubectl certificate approve."}})});
  call("PUT", path + "/approval", decided.freeze());
  ASSERT_TRUE(eventually([&] { return call("GET", path)["status"]["certificate"].exists(); })) << to_json(call("GET", path).root());
  const std::string certificate = *base64_decode(call("GET", path)["status"]["certificate"].as_string());
  auto info = net::read_certificate(certificate);
  ASSERT_TRUE(info);
  EXPECT_TRUE(info->client);
  EXPECT_FALSE(info->server);
  EXPECT_LE(info->not_after, real_world().clock.now() + std::chrono::hours(1));
  net::ClientOptions options;
  options.url = "https://127.0.0.1:" + std::to_string(server_->port());
  options.tls = {read_file(server_->credentials().ca_file), certificate, key, "", false};
  auto client = net::HttpClient::make(options);
  ASSERT_TRUE(client);
  auto answer = (*client)->call({"POST",
                                 "/apis/authentication.k8s.io/v1/selfsubjectreviews",
                                 {{"content-type", "application/json"}},
                                 R"({"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"})"});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(json(answer->body)["status"]["userInfo"]["username"].as_string(), "jane");
  EXPECT_EQ(json(answer->body)["status"]["userInfo"]["groups"][0].as_string(), "people");
}

TEST_F(ControlPlane, ARequestThatItsSignerRefusesFails) {
  const std::string path = requests_path + "/" + ns_;
  call("POST", requests_path,
       json(certificate_request(ns_, *net::new_private_key_pem(), "system:node:a", "others", "kube-apiserver-client-kubelet")));
  call("PATCH", path + "/approval", json(R"({"status":{"conditions":[{"type":"Approved","status":"True"}]}})"));
  ASSERT_TRUE(eventually([&] { return condition(call("GET", path)["status"]["conditions"], "Failed").exists(); }));
  EXPECT_EQ(condition(call("GET", path)["status"]["conditions"], "Failed")["message"].as_string(),
            "subject organization is not system:nodes");
  EXPECT_FALSE(call("GET", path)["status"]["certificate"].exists());
  // Nobody asks to be a master, whoever approves it.
  auto refused = transport_->call(
      {.method = "POST",
       .path = requests_path,
       .query = {},
       .body = json(certificate_request("masters", *net::new_private_key_pem(), "jane", "system:masters", "kube-apiserver-client"))});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message,
            "certificatesigningrequests.certificates.k8s.io \"masters\" is forbidden: use of kubernetes.io/kube-apiserver-client signer "
            "with system:masters group is not allowed");
}

TEST_F(ControlPlane, ANodesOwnRequestIsApprovedWhenItMay) {
  if (!identities_.count("system:kube-controller-manager")) GTEST_SKIP() << "only with identities of their own";
  make(
      "rbac.authorization.k8s.io/v1", "clusterrolebindings", "",
      R"({"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"renewal"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole",)"
      R"("name":"system:certificates.k8s.io:certificatesigningrequests:selfnodeclient"},"subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"Group","name":"system:nodes"}]})");
  const std::string node = "system:node:" + ns_;
  auto kubelet = bin::local_transport(*server_, bin::component_user(node));
  auto made = kubelet->call(
      {.method = "POST",
       .path = requests_path,
       .query = {},
       .body = json(certificate_request(ns_, *net::new_private_key_pem(), node, "system:nodes", "kube-apiserver-client-kubelet"))});
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_TRUE(eventually([&] { return call("GET", requests_path + "/" + ns_)["status"]["certificate"].exists(); }))
      << to_json(call("GET", requests_path + "/" + ns_).root());
  EXPECT_EQ(condition(call("GET", requests_path + "/" + ns_)["status"]["conditions"], "Approved")["reason"].as_string(), "AutoApproved");
  auto other = kubelet->call({.method = "POST",
                              .path = requests_path,
                              .query = {},
                              .body = json(certificate_request(ns_ + "x", *net::new_private_key_pem(), "system:node:other", "system:nodes",
                                                               "kube-apiserver-client-kubelet"))});
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().message,
            "certificatesigningrequests.certificates.k8s.io \"" + ns_ + "x\" is forbidden: can only create a node CSR with CN=" + node);
  call("DELETE", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/renewal");
}

TEST_F(ControlPlane, ARequestIsSignedByTheAuthorityOfTheDay) {
  const Time now = real_world().clock.now();
  const std::string certificate = read_file(folder_ + "/signing.crt"), key = read_file(folder_ + "/signing.key");
  auto write = [](const std::string& name, const std::string& text) { std::ofstream(folder_ + "/" + name) << text; };
  const net::KeyPair next = *net::new_ca("next-ca", now - std::chrono::hours(1), now + std::chrono::hours(24));
  for (const auto& [serial, ca] : {std::pair("a", net::KeyPair{certificate, key}), std::pair("b", next)}) {
    write("signing.crt", ca.certificate_pem);
    write("signing.key", ca.key_pem);
    const std::string name = ns_ + serial, path = requests_path + "/" + name;
    call("POST", requests_path, json(certificate_request(name, *net::new_private_key_pem(), "jane", "people", "kube-apiserver-client")));
    call("PATCH", path + "/approval", json(R"({"status":{"conditions":[{"type":"Approved","status":"True"}]}})"));
    ASSERT_TRUE(eventually([&] { return call("GET", path)["status"]["certificate"].exists(); }));
    EXPECT_TRUE(net::issued_by(*base64_decode(call("GET", path)["status"]["certificate"].as_string()), ca.certificate_pem)) << serial;
  }
  write("signing.crt", certificate);
  write("signing.key", key);
}

TEST_F(ControlPlane, ATokenSecretIsFilledAndGoesWithItsAccount) {
  make("v1", "serviceaccounts", ns_,
       R"({"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"robot"},"secrets":[{"name":"robot-token"}]})");
  auto make_secret = [&](const std::string& name) {
    make("v1", "secrets", ns_,
         R"({"apiVersion":"v1","kind":"Secret","type":"kubernetes.io/service-account-token","metadata":{"name":")" + name +
             R"(","annotations":{"kubernetes.io/service-account.name":"robot"}}})");
    ASSERT_TRUE(eventually([&] { return get("v1", "secrets", name)["data"]["token"].exists(); }));
  };
  make_secret("robot-token");
  make_secret("other-token");
  const Document secret = get("v1", "secrets", "robot-token");
  EXPECT_EQ(base64_decode(secret["data"]["namespace"].as_string()), ns_);
  EXPECT_EQ(base64_decode(secret["data"]["ca.crt"].as_string()), "-----BEGIN CERTIFICATE-----\n");
  const std::string token = *base64_decode(secret["data"]["token"].as_string());
  net::ClientOptions options;
  options.url = "https://127.0.0.1:" + std::to_string(server_->port());
  options.tls.ca_pem = read_file(server_->credentials().ca_file);
  auto client = net::HttpClient::make(options);
  auto who = [&] {
    auto answer = (*client)->call({"POST",
                                   "/apis/authentication.k8s.io/v1/selfsubjectreviews",
                                   {{"content-type", "application/json"}, {"authorization", "Bearer " + token}},
                                   R"({"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"})"});
    EXPECT_TRUE(answer);
    return json(answer->body)["status"]["userInfo"]["username"].str();
  };
  EXPECT_EQ(who(), "system:serviceaccount:" + ns_ + ":robot");
  // The account forgets the one, and takes the other with it.
  erase("v1", "secrets", "robot-token");
  EXPECT_EQ(who(), "");
  EXPECT_TRUE(eventually([&] { return get("v1", "serviceaccounts", "robot")["secrets"].empty(); }));
  erase("v1", "serviceaccounts", "robot");
  EXPECT_TRUE(eventually([&] { return !get("v1", "secrets", "other-token"); }));
}

TEST_F(ControlPlane, BootstrapTokensSignAndEnd) {
  const std::string secrets = "/api/v1/namespaces/kube-system/secrets", info = "/api/v1/namespaces/kube-public/configmaps/cluster-info";
  auto token = [&](const std::string& id, const std::string& expiration) {
    call("POST", secrets,
         json(R"({"apiVersion":"v1","kind":"Secret","type":"bootstrap.kubernetes.io/token","metadata":{"name":"bootstrap-token-)" + id +
              R"("},"stringData":{"token-id":")" + id +
              R"(","token-secret":"0123456789abcdef","usage-bootstrap-signing":"true","expiration":")" + expiration + R"("}})"));
  };
  const std::string id = "abcd" + std::string(2 - std::min<std::size_t>(2, ns_.size() - 1), '0') + ns_.substr(1, 2),
                    key = "jws-kubeconfig-" + id;
  token(id, format_rfc3339(real_world().clock.now() + std::chrono::hours(1)));
  ASSERT_TRUE(eventually([&] { return call("GET", info)["data"][key].exists(); })) << to_json(call("GET", info).root());
  EXPECT_TRUE(call("GET", info)["data"]["kubeconfig"].as_string().find("certificate-authority-data") != std::string::npos);
  call("DELETE", secrets + "/bootstrap-token-" + id);
  EXPECT_TRUE(eventually([&] { return !call("GET", info)["data"][key].exists(); }));
  token(id, "2020-01-01T00:00:00Z");
  EXPECT_TRUE(eventually(
      [&] { return !transport_->call({.method = "GET", .path = secrets + "/bootstrap-token-" + id, .query = {}, .body = {}}); }));
}

TEST_F(ControlPlane, ABudgetHoldsEvictionsBackUntilOthersAreReady) {
  deployment("web", 3);
  ASSERT_TRUE(eventually([&] { return complete("web"); }));
  make(
      "policy/v1", "poddisruptionbudgets", ns_,
      R"({"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"web"},"spec":{"maxUnavailable":1,"selector":{"matchLabels":{"app":"web"}}}})");
  const auto status = [&] { return get("policy/v1", "poddisruptionbudgets", "web")["status"].document(); };
  ASSERT_TRUE(eventually([&] { return status()["disruptionsAllowed"].as_int() == 1; })) << to_json(status().root());
  EXPECT_EQ(status()["desiredHealthy"].as_int(), 2);
  EXPECT_EQ(status()["expectedPods"].as_int(), 3);
  const auto evict = [&](const std::string& name) {
    return transport_->call({.method = "POST",
                             .path = client::object_path("v1", "pods", ns_, name, "eviction"),
                             .query = {},
                             .body = json(R"({"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":")" + name + R"("}})")});
  };
  std::vector<Document> pods = list("v1", "pods");
  ASSERT_EQ(pods.size(), 3u);
  ASSERT_TRUE(evict(std::string(name_of(pods[0]))));
  const ApiResult<Document> refused = evict(std::string(name_of(pods[1])));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, 429);
  // The next one may go once the first one's successor is ready.
  EXPECT_TRUE(eventually([&] {
    run_pods();
    return status()["disruptionsAllowed"].as_int() == 1;
  })) << to_json(status().root());
  EXPECT_TRUE(evict(std::string(name_of(pods[1]))));
}

TEST_F(ControlPlane, APolicysTypesAreChecked) {
  const std::string path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
  auto policy = [&](const std::string& name, const std::string& expression) {
    call(
        "POST", path,
        json(
            R"({"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingAdmissionPolicy","metadata":{"name":")" + name +
            R"("},"spec":{"matchConstraints":{"resourceRules":[)"
            R"({"apiGroups":["apps"],"apiVersions":["v1"],"operations":["CREATE"],"resources":["deployments"]}]},"validations":[{"expression":")" +
            expression + R"("}]}})"));
    EXPECT_TRUE(eventually([&] { return call("GET", path + "/" + name)["status"]["observedGeneration"].as_int() == 1; })) << name;
    Document warnings = call("GET", path + "/" + name)["status"]["typeChecking"]["expressionWarnings"].document();
    call("DELETE", path + "/" + name);
    return warnings;
  };
  EXPECT_TRUE(policy("good", "object.spec.replicas < 5").root().empty());
  Document warnings = policy("wrong", "object.replicas < 5");
  ASSERT_EQ(warnings.root().size(), 1u);
  EXPECT_EQ(warnings.root()[0]["fieldRef"].as_string(), "spec.validations[0].expression");
  EXPECT_EQ(warnings.root()[0]["warning"].as_string(),
            "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n | object.replicas < 5\n | ......^\n");
}

class ControlPlaneOverHttp : public ControlPlane {
 protected:
  static void SetUpTestSuite() { begin(false); }
};

TEST_F(ControlPlaneOverHttp, ADeploymentComesAndGoes) {
  make("v1", "services", ns_,
       R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"selector":{"app":"web"},"ports":[{"port":80}]}})");
  deployment("web", 12);
  ASSERT_TRUE(eventually([&] { return complete("web"); }));
  EXPECT_EQ(list("v1", "pods").size(), 12u);
  EXPECT_TRUE(eventually([&] {
    const std::vector<Document> slices = list("discovery.k8s.io/v1", "endpointslices");
    return slices.size() == 1 && slices[0]["endpoints"].size() == 12;
  }));
  erase("apps/v1", "deployments", "web", R"({"propagationPolicy":"Foreground"})");
  EXPECT_TRUE(eventually([&] {
    run_pods();
    return list("v1", "pods").empty() && list("apps/v1", "deployments").empty();
  }));
}

}  // namespace
}  // namespace kybern
