#include "schema/schema.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "api/apps_v1.h"
#include "api/core_v1.h"
#include "api/cri_runtime_v1.h"
#include "api/etcd_v3.h"
#include "document/json.h"
#include "document/names.h"
#include "document/names_table.h"

namespace kybern::schema {
namespace {

TEST(Names, AreSortedAndFound) {
  for (std::uint32_t i = 0; i < detail::known_name_count; ++i) {
    if (i) { EXPECT_LT(detail::known_names[i - 1], detail::known_names[i]); }
    ASSERT_TRUE(find_name(detail::known_names[i])) << detail::known_names[i];
    EXPECT_EQ(find_name(detail::known_names[i])->id, i);
    EXPECT_EQ(detail::sorted_names[i], detail::known_names[i]);
  }
  EXPECT_FALSE(find_name("no such name"));
  EXPECT_FALSE(find_name(""));
  EXPECT_LE(detail::known_name_count * 2, detail::name_slot_mask + 1);
}

TEST(Names, ConstantsAreTheirTexts) {
  EXPECT_EQ(names::spec.text(), "spec");
  EXPECT_EQ(names::default_.text(), "default");
  EXPECT_EQ(names::dollar_ref.text(), "$ref");
  EXPECT_EQ(names::x_kubernetes_int_or_string.text(), "x-kubernetes-int-or-string");
  EXPECT_EQ(names::apiVersion.text(), "apiVersion");
}

TEST(Types, EveryTableIsConsistent) {
  for (const Type* type : types()) {
    SCOPED_TRACE(std::string(type->short_name));
    EXPECT_EQ(find_type_named(type->short_name), type);
    std::set<std::string_view> seen;
    std::size_t units = 0;
    for (const Field& field : type->fields) {
      EXPECT_TRUE(seen.insert(field.name.text()).second);
      EXPECT_EQ(type->find(field.name), &field);
      EXPECT_EQ(type->find(field.name.text()), &field);
      EXPECT_EQ(field.scalar == Scalar::object || field.scalar >= Scalar::json_or_array, field.type != nullptr) << field.name.text();
      EXPECT_EQ(field.list_type == ListType::map, !field.list_keys.empty()) << field.name.text();
      for (Name key : field.list_keys) {
        ASSERT_TRUE(field.type);
        EXPECT_TRUE(field.type->find(key)) << field.name.text();
      }
      if (!field.patch_key.empty()) { EXPECT_TRUE(field.type && field.type->find(field.patch_key)) << field.name.text(); }
    }
    for (const Unit& unit : type->units) {
      EXPECT_EQ(type->by_number[unit.number] - 1u, units++);
      EXPECT_NE(unit.field != nullptr, unit.inlined != nullptr);
    }
    EXPECT_EQ(type->find("no such field"), nullptr);
  }
}

TEST(Types, AreFoundByKind) {
  EXPECT_EQ(find_type("v1", "Pod")->name, "io.k8s.api.core.v1.Pod");
  EXPECT_EQ(find_type("v1", "PodList")->short_name, "core.v1.PodList");
  EXPECT_EQ(find_type("apps/v1", "Deployment")->short_name, "apps.v1.Deployment");
  EXPECT_EQ(find_type("autoscaling/v1", "Scale")->short_name, "autoscaling.v1.Scale");
  EXPECT_EQ(find_type("rbac.authorization.k8s.io/v1", "Role")->name, "io.k8s.api.rbac.v1.Role");
  EXPECT_EQ(find_type("v1", "Status")->name, "io.k8s.apimachinery.pkg.apis.meta.v1.Status");
  EXPECT_EQ(find_type("apps/v1", "DeleteOptions"), find_type("v1", "DeleteOptions"));
  EXPECT_EQ(find_type("meta.k8s.io/v1", "Table")->short_name, "meta.v1.Table");
  EXPECT_EQ(find_type("v1", "Table"), nullptr);
  EXPECT_EQ(find_type("v2", "Pod"), nullptr);
  EXPECT_EQ(find_type("nope/v1", "DeleteOptions"), nullptr);
  EXPECT_EQ(find_type("", ""), nullptr);
}

TEST(Resources, AreInOrderAndFound) {
  const Resource* before = nullptr;
  for (const Resource& resource : resources()) {
    if (before) {
      EXPECT_LT(std::tuple(before->group, before->version, before->plural), std::tuple(resource.group, resource.version, resource.plural));
    }
    before = &resource;
    EXPECT_EQ(find_resource(resource.group, resource.version, resource.plural), &resource);
    EXPECT_EQ(find_kind(resource.group, resource.version, resource.kind), &resource);
    EXPECT_TRUE(resource.type->find("metadata")) << resource.plural;
    if (resource.verbs & verb_list) {
      std::string version =
          resource.group.empty() ? std::string(resource.version) : std::string(resource.group) + "/" + std::string(resource.version);
      EXPECT_TRUE(find_type(version, std::string(resource.kind) + "List")) << resource.plural;
    }
  }
  const Resource* pods = find_resource("", "v1", "pods");
  ASSERT_TRUE(pods);
  EXPECT_TRUE(pods->namespaced);
  EXPECT_EQ(pods->short_names.front(), "po");
  EXPECT_EQ(pods->verbs, 255);
  auto eviction = std::ranges::find(pods->subresources, "eviction", &Subresource::name);
  ASSERT_NE(eviction, pods->subresources.end());
  EXPECT_EQ(eviction->group, "policy");
  EXPECT_EQ(eviction->type->short_name, "policy.v1.Eviction");
  EXPECT_EQ(pods->columns[5].name, "IP");
  EXPECT_EQ(pods->columns[5].priority, 1);
  EXPECT_FALSE(find_resource("", "v1", "namespaces")->verbs & verb_deletecollection);
}

TEST(Accessors, ReadADocument) {
  Document document = *parse_json(R"({"metadata":{"name":"a","labels":{"x":"y"}},"spec":{"replicas":0,"template":{"spec":{
    "nodeName":"n","hostNetwork":true,"containers":[{"name":"c","ports":[{"containerPort":80}],"resources":{"limits":{"cpu":"1"}}},{"name":"d"}]}}}})");
  api::apps_v1::Deployment deployment(document);
  EXPECT_EQ(deployment.metadata().name(), "a");
  EXPECT_EQ(deployment.metadata().labels()["x"], "y");
  EXPECT_EQ(deployment.metadata().labels().find("z"), std::nullopt);
  EXPECT_FALSE(deployment.metadata().deletion_timestamp());
  EXPECT_EQ(deployment.spec().replicas(), 0);
  EXPECT_EQ(deployment.spec().revision_history_limit(), std::nullopt);
  EXPECT_EQ(deployment.spec().min_ready_seconds(), 0);
  EXPECT_FALSE(deployment.spec().strategy().rolling_update());
  api::core_v1::PodSpec spec = deployment.spec().template_().spec();
  EXPECT_TRUE(spec.host_network());
  EXPECT_EQ(spec.node_name(), "n");
  std::string names;
  for (api::core_v1::Container container : spec.containers()) { names += container.name(); }
  EXPECT_EQ(names, "cd");
  EXPECT_EQ(spec.containers()[0].ports()[0].container_port(), 80);
  for (auto [key, value] : spec.containers()[0].resources().limits()) {
    EXPECT_EQ(key, "cpu");
    EXPECT_EQ(value, "1");
  }
  EXPECT_TRUE(spec.volumes().empty());
  EXPECT_FALSE(api::core_v1::Pod().spec().affinity().node_affinity());
  EXPECT_EQ(api::core_v1::Pod::kind_name, "Pod");
  EXPECT_EQ(api::apps_v1::Deployment::api_version_name, "apps/v1");
}

TEST(Accessors, CallsOfServices) {
  EXPECT_EQ(api::cri_runtime_v1::runtime_service::run_pod_sandbox.path, "/runtime.v1.RuntimeService/RunPodSandbox");
  EXPECT_TRUE(find_type_named(api::cri_runtime_v1::image_service::pull_image.request));
  EXPECT_EQ(api::etcd_v3::kv::txn.path, "/etcdserverpb.KV/Txn");
  EXPECT_EQ(api::cri_runtime_v1::ContainerState::container_running, 1);
}

}  // namespace
}  // namespace kybern::schema
