#include "machinery/pod_security/policy.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/strings.h"
#include "document/json.h"
#include "machinery/pod_security/checks.h"

namespace kybern::pod_security {
namespace {

Document json(std::string_view text) {
  auto out = parse_json(text);
  EXPECT_TRUE(out) << text;
  return out ? *out : Document();
}

LevelVersion version(Level level, int minor = latest) { return {level, minor}; }

// A pod of which only the part that matters is written; the rest of it keeps to the restricted standard.
constexpr const char* good_container = R"("name":"c","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}})";
constexpr const char* good_pod = R"("securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}})";

struct PolicyRow {
  Level level;
  int minor;
  std::string spec;
  const char* details;
  const char* metadata = "{}";
};

std::string spec_of(std::string containers, std::string pod = good_pod) { return "{" + pod + R"(,"containers":[)" + containers + "]}"; }
std::string context(std::string name, std::string context, std::string more = "") {
  return R"({"name":")" + name + R"(","securityContext":{)" + context + "}" + more + "}";
}
const std::string good = spec_of(std::string("{") + good_container + "}");
std::string with(std::string pod_fields) { return good.substr(0, good.size() - 1) + "," + pod_fields + "}"; }
const std::string drop = R"("allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]})";

const PolicyRow rows[] = {
    {Level::restricted, latest, good, ""},
    {Level::privileged, latest, R"({"hostNetwork":true})", ""},
    // restricted
    {Level::restricted, latest, R"({"containers":[{"name":"c"}]})",
     R"x(allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"))x"},
    {Level::restricted, latest, R"({"os":{"name":"windows"},"containers":[{"name":"c"}]})",
     R"x(runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true))x"},
    {Level::restricted, 24,
     R"({"os":{"name":"windows"},"securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"Localhost"}},"containers":[{"name":"c"},{"name":"d"}]})",
     R"x(allowPrivilegeEscalation != false (containers "c", "d" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers "c", "d" must set securityContext.capabilities.drop=["ALL"]))x"},
    {Level::restricted, 7, R"({"securityContext":{"runAsNonRoot":true},"containers":[{"name":"c"}]})", ""},
    {Level::restricted, latest,
     spec_of(context(
         "a", R"("allowPrivilegeEscalation":false,"capabilities":{"drop":["CHOWN"],"add":["NET_BIND_SERVICE","SYS_TIME","CHOWN"]})")),
     R"x(unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"]; container "a" must not include "CHOWN", "SYS_TIME" in securityContext.capabilities.add))x"},
    {Level::restricted, 21, spec_of(context("a", R"("allowPrivilegeEscalation":false,"capabilities":{"add":["SYS_TIME"]})")),
     R"x(non-default capabilities (container "a" must not include "SYS_TIME" in securityContext.capabilities.add))x"},
    {Level::restricted, latest,
     spec_of(context("a", drop + R"(,"runAsNonRoot":false)") + "," + context("b", drop + R"(,"runAsUser":0)"),
             R"("securityContext":{"runAsNonRoot":false,"runAsUser":0,"seccompProfile":{"type":"RuntimeDefault"}})"),
     R"x(runAsNonRoot != true (pod and container "a" must not set securityContext.runAsNonRoot=false), runAsUser=0 (pod and container "b" must not set runAsUser=0))x"},
    {Level::restricted, latest,
     spec_of(context("a", drop + R"(,"runAsUser":0)"),
             R"("hostUsers":false,"securityContext":{"seccompProfile":{"type":"RuntimeDefault"}})"),
     ""},
    {Level::restricted, 34,
     spec_of(context("a", drop),
             R"("hostUsers":false,"securityContext":{"runAsUser":0,"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}})"),
     R"x(runAsUser=0 (pod must not set runAsUser=0))x"},
    {Level::restricted, 22,
     spec_of(context("a", drop), R"("securityContext":{"runAsUser":0,"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}})"),
     ""},
    {Level::restricted, latest,
     spec_of(context("a", drop) + "," + context("b", drop + R"(,"seccompProfile":{"type":"Unconfined"})"),
             R"("securityContext":{"runAsNonRoot":true})"),
     R"x(seccompProfile (container "b" must not set securityContext.seccompProfile.type to "Unconfined"))x"},
    {Level::restricted, latest,
     spec_of(context("a", drop + R"(,"seccompProfile":{"type":"Localhost"})") + "," + context("b", drop),
             R"("securityContext":{"runAsNonRoot":true})"),
     R"x(seccompProfile (pod or container "b" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"))x"},
    {Level::restricted, 18, spec_of(context("a", drop), R"("securityContext":{"runAsNonRoot":true})"), ""},
    {Level::restricted, latest,
     with(
         R"("volumes":[{"name":"a","hostPath":{"path":"/"}},{"name":"b","nfs":{"server":"s","path":"/"}},{"name":"ok","emptyDir":{}},{"name":"pic","image":{}}])"),
     R"x(restricted volume types (volumes "a", "b" use restricted volume types "hostPath", "nfs"))x"},
    {Level::restricted, latest, with(R"("volumes":[{"name":"a"}])"),
     R"x(restricted volume types (volume "a" uses restricted volume type "unknown"))x"},
    {Level::restricted, latest,
     spec_of(context("a", drop + R"(,"procMount":"Unmasked")"),
             R"("hostUsers":false,"securityContext":{"seccompProfile":{"type":"RuntimeDefault"}})"),
     R"x(procMount (container "a" must not set securityContext.procMount to "Unmasked"))x"},
    {Level::restricted, latest,
     with(
         R"("initContainers":[{"name":"i","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}},"restartPolicy":"Always"}],"ephemeralContainers":[{"name":"e"}])"),
     R"x(allowPrivilegeEscalation != false (container "e" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "e" must set securityContext.capabilities.drop=["ALL"]))x"},
    {Level::restricted, latest, with(R"("hostNetwork":true)"), R"x(host namespaces (hostNetwork=true))x"},
    // baseline
    {Level::baseline, latest, R"({"containers":[{"name":"c"}]})", ""},
    {Level::baseline, latest,
     R"({"hostPID":true,"hostIPC":true,"hostNetwork":true,"containers":[{"name":"c","securityContext":{"privileged":true}}]})",
     R"x(host namespaces (hostNetwork=true, hostPID=true, hostIPC=true), privileged (container "c" must not set securityContext.privileged=true))x"},
    {Level::baseline, latest, R"({"containers":[{"name":"c","securityContext":{"capabilities":{"add":["CHOWN","NET_RAW"]}}}]})",
     R"x(non-default capabilities (container "c" must not include "NET_RAW" in securityContext.capabilities.add))x"},
    {Level::baseline, latest, R"({"volumes":[{"name":"a","hostPath":{"path":"/"}}],"containers":[]})",
     R"x(hostPath volumes (volume "a"))x"},
    {Level::baseline, latest, R"({"volumes":[{"name":"a","hostPath":{"path":"/"}},{"name":"b","hostPath":{"path":"/"}}],"containers":[]})",
     R"x(hostPath volumes (volumes "a", "b"))x"},
    {Level::baseline, latest, R"({"containers":[{"name":"c","ports":[{"containerPort":1,"hostPort":80}]}]})",
     R"x(hostPort (container "c" uses hostPort 80))x"},
    {Level::baseline, latest,
     R"({"containers":[{"name":"c","ports":[{"hostPort":80},{"hostPort":0}]},{"name":"d","ports":[{"hostPort":443},{"hostPort":80}]}]})",
     R"x(hostPort (containers "c", "d" use hostPorts 443, 80))x"},
    {Level::baseline, latest,
     R"({"containers":[{"name":"c","livenessProbe":{"httpGet":{"host":"h"}},"lifecycle":{"preStop":{"tcpSocket":{"host":"g"}}}}]})",
     R"x(probe or lifecycle host (container "c" uses probe or lifecycle hosts "g", "h"))x"},
    {Level::baseline, 33, R"({"containers":[{"name":"c","livenessProbe":{"httpGet":{"host":"h"}}}]})", ""},
    {Level::baseline, latest, R"({"containers":[{"name":"c","securityContext":{"procMount":"Unmasked"}}]})",
     R"x(procMount (container "c" must not set securityContext.procMount to "Unmasked"))x"},
    {Level::baseline, latest, R"({"hostUsers":false,"containers":[{"name":"c","securityContext":{"procMount":"Unmasked"}}]})", ""},
    {Level::baseline, 34, R"({"hostUsers":false,"containers":[{"name":"c","securityContext":{"procMount":"Unmasked"}}]})",
     R"x(procMount (container "c" must not set securityContext.procMount to "Unmasked"))x"},
    {Level::baseline, latest,
     R"({"securityContext":{"seLinuxOptions":{"type":"spc_t","user":"u"}},"containers":[{"name":"c","securityContext":{"seLinuxOptions":{"role":"r"}}},{"name":"d","securityContext":{"seLinuxOptions":{"type":"container_t","level":"s0"}}}]})",
     R"x(seLinuxOptions (pod and container "c" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set; role may not be set))x"},
    {Level::baseline, latest, R"({"securityContext":{"seLinuxOptions":{"type":"container_engine_t"}},"containers":[]})", ""},
    {Level::baseline, 30, R"({"securityContext":{"seLinuxOptions":{"type":"container_engine_t"}},"containers":[]})",
     R"x(seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "container_engine_t"))x"},
    {Level::baseline, latest, R"({"securityContext":{"seccompProfile":{"type":"Unconfined"}},"containers":[]})",
     R"x(seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined"))x"},
    {Level::baseline, 18, R"({"containers":[{"name":"c"}]})",
     R"x(seccompProfile (forbidden annotation container.seccomp.security.alpha.kubernetes.io/c="unconfined"))x",
     R"({"annotations":{"container.seccomp.security.alpha.kubernetes.io/c":"unconfined","container.seccomp.security.alpha.kubernetes.io/other":"unconfined","seccomp.security.alpha.kubernetes.io/pod":"runtime/default"}})"},
    {Level::baseline, latest,
     R"({"securityContext":{"sysctls":[{"name":"net.ipv4.tcp_rmem"},{"name":"kernel.msgmax"},{"name":"a.b"}]},"containers":[]})",
     R"x(forbidden sysctls (kernel.msgmax, a.b))x"},
    {Level::baseline, 31,
     R"({"securityContext":{"sysctls":[{"name":"net.ipv4.tcp_rmem"},{"name":"net.ipv4.tcp_fin_timeout"}]},"containers":[]})",
     R"x(forbidden sysctls (net.ipv4.tcp_rmem))x"},
    {Level::baseline, 28,
     R"({"securityContext":{"sysctls":[{"name":"net.ipv4.ip_local_reserved_ports"},{"name":"net.ipv4.tcp_fin_timeout"}]},"containers":[]})",
     R"x(forbidden sysctls (net.ipv4.tcp_fin_timeout))x"},
    {Level::baseline, 26,
     R"({"securityContext":{"sysctls":[{"name":"net.ipv4.ip_local_reserved_ports"},{"name":"kernel.shm_rmid_forced"}]},"containers":[]})",
     R"x(forbidden sysctls (net.ipv4.ip_local_reserved_ports))x"},
    {Level::baseline, latest,
     R"({"securityContext":{"windowsOptions":{"hostProcess":true}},"containers":[{"name":"c","securityContext":{"windowsOptions":{"hostProcess":true}}}]})",
     R"x(hostProcess (pod and container "c" must not set securityContext.windowsOptions.hostProcess=true))x"},
    {Level::baseline, latest, R"({"securityContext":{"appArmorProfile":{"type":"Unconfined"}},"containers":[{"name":"c"}]})",
     R"x(forbidden AppArmor profiles (pod and annotation must not set AppArmor profile type to "Unconfined", "container.apparmor.security.beta.kubernetes.io/c="unconfined""))x",
     R"({"annotations":{"container.apparmor.security.beta.kubernetes.io/c":"unconfined","container.apparmor.security.beta.kubernetes.io/d":"localhost/x"}})"},
    {Level::baseline, latest, R"({"containers":[{"name":"c","securityContext":{"appArmorProfile":{"type":"Unconfined"}}}]})",
     R"x(forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined"))x"},
};

TEST(PodSecurity, EveryRuleInItsVersions) {
  for (const PolicyRow& row : rows) {
    Document spec = json(row.spec), metadata = json(row.metadata);
    EXPECT_EQ(evaluate(version(row.level, row.minor), metadata, spec).details(), row.details)
        << version(row.level, row.minor).str() << " " << row.spec;
  }
}

// The versions of one rule follow each other without a gap, and every rule has a row above that it refuses.
TEST(PodSecurity, TheTableIsWhole) {
  std::map<std::string_view, int> ends;
  std::string_view last;
  Level level = Level::baseline;
  for (const Check& check : checks()) {
    if (check.level != level) level = check.level, last = {};
    EXPECT_GE(check.id, last);
    last = check.id;
    if (auto before = ends.find(check.id); before != ends.end()) { EXPECT_EQ(before->second, check.since) << check.id; }
    ends[check.id] = check.until;
    bool refused = false;
    for (const PolicyRow& row : rows) {
      Document spec = json(row.spec), metadata = json(row.metadata);
      Subject subject{metadata, spec, {}};
      for (const char* list : {"initContainers", "containers", "ephemeralContainers"})
        for (Value c : spec[list].items()) subject.containers.push_back(c);
      Finding finding;
      refused |= check.violated(subject, finding);
    }
    EXPECT_TRUE(refused) << check.id;
  }
  for (const auto& [id, end] : ends) EXPECT_GT(end, latest) << id;
}

TEST(PodSecurity, LabelsNameThePolicy) {
  Asked none = read_labels(Value());
  EXPECT_EQ(none.policy.enforce.str(), "privileged:latest");
  Document labels = json(
      R"({"pod-security.kubernetes.io/enforce":"baseline","pod-security.kubernetes.io/enforce-version":"v1.30","pod-security.kubernetes.io/warn":"restricted"})");
  Asked some = read_labels(labels);
  EXPECT_EQ(some.policy.enforce.str(), "baseline:v1.30");
  EXPECT_EQ(some.policy.audit.str(), "privileged:latest");
  EXPECT_EQ(some.policy.warn.str(), "restricted:latest");
  EXPECT_TRUE(some.errors.empty());
  Document wrong = json(
      R"({"pod-security.kubernetes.io/enforce":"strict","pod-security.kubernetes.io/enforce-version":"1.30","pod-security.kubernetes.io/warn":"x","pod-security.kubernetes.io/audit-version":"v1.01"})");
  Asked bad = read_labels(wrong);
  EXPECT_EQ(bad.policy.enforce.str(), "restricted:latest");
  EXPECT_EQ(bad.policy.warn.str(), "privileged:latest");
  std::vector<std::string> said;
  for (const FieldError& e : bad.errors) said.push_back(e.field + ": " + e.message());
  EXPECT_EQ(
      said,
      (std::vector<std::string>{
          R"(metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted)",
          R"(metadata.labels[pod-security.kubernetes.io/enforce-version]: Invalid value: "1.30": must be "latest" or "v1.x")",
          R"(metadata.labels[pod-security.kubernetes.io/audit-version]: Invalid value: "v1.01": must be "latest" or "v1.x")",
          R"(metadata.labels[pod-security.kubernetes.io/warn]: Invalid value: "x": must be one of privileged, baseline, restricted)"}));
}

TEST(PodSecurity, WarnsAboutExistingPods) {
  std::vector<Document> pods;
  auto pod = [&](std::string name, std::string fields) {
    pods.push_back(json(R"({"metadata":{"name":")" + name + R"("},"spec":{)" + fields + R"("containers":[{"name":"c"}]}})"));
  };
  pod("b", R"("hostNetwork":true,)");
  pod("a", R"("hostNetwork":true,)");
  pod("c", R"("hostPID":true,)");
  pod("d", R"("hostNetwork":true,"volumes":[{"name":"v","hostPath":{"path":"/"}}],)");
  pod("e", "");
  EXPECT_EQ(warnings_about("ns", version(Level::baseline), pods),
            (std::vector<std::string>{R"(existing pods in namespace "ns" violate the new PodSecurity enforce level "baseline:latest")",
                                      "a (and 2 other pods): host namespaces", "d: host namespaces, hostPath volumes"}));
  EXPECT_TRUE(warnings_about("ns", version(Level::baseline), {}).empty());
  pods.clear();
  for (std::size_t i = 0; i < namespace_pods_max + 1; ++i) pods.push_back(json(R"({"metadata":{"name":"p"},"spec":{}})"));
  EXPECT_EQ(warnings_about("ns", version(Level::baseline), pods),
            (std::vector<std::string>{"new PodSecurity enforce level only checked against the first 3000 of 3001 existing pods"}));
}

TEST(PodSecurity, OnlyImagesAndContainersMatterInAnUpdate) {
  Document old = json(R"({"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}})");
  EXPECT_FALSE(
      significant_update(json(R"({"metadata":{},"spec":{"activeDeadlineSeconds":3,"containers":[{"name":"c","image":"i"}]}})"), old));
  EXPECT_TRUE(significant_update(json(R"({"metadata":{},"spec":{"containers":[{"name":"c","image":"j"}]}})"), old));
  EXPECT_TRUE(significant_update(
      json(R"({"metadata":{},"spec":{"containers":[{"name":"c","image":"i"}],"ephemeralContainers":[{"name":"e"}]}})"), old));
}

}  // namespace
}  // namespace kybern::pod_security
