#include "apiserver/admission/plugins.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "base/strings.h"

namespace kybern::apiserver::admission {
namespace {

bool creates_pod(const AdmissionAttributes& a) { return a.operation == "CREATE" && a.work.subresource.empty() && a.work.is("", "pods"); }

Status refused(const AdmissionAttributes& a, std::string why) {
  const Served& s = *a.work.served;
  return forbidden(s.group(), s.plural(), a.work.name, why);
}

// What every pod gets is made once: a draft shares a document's subtrees.
Document toleration(std::string_view key) {
  return Draft::object({{"key", key}, {"operator", "Exists"}, {"effect", "NoExecute"}, {"tolerationSeconds", 300}}).freeze();
}
const Document& not_ready_toleration() {
  static const Document made = toleration("node.kubernetes.io/not-ready");
  return made;
}
const Document& unreachable_toleration() {
  static const Document made = toleration("node.kubernetes.io/unreachable");
  return made;
}

// The labels of a node that its pods get; a node that is not known has none.
std::vector<std::pair<std::string_view, std::string>> topology_of(const Registry& registry, std::string_view node) {
  std::vector<std::pair<std::string_view, std::string>> out;
  const Document object = registry.read("", "v1", "nodes", "", node);
  Value labels = object["metadata"]["labels"];
  for (std::string_view key : {"topology.kubernetes.io/zone", "topology.kubernetes.io/region"})
    if (labels[key].exists()) out.emplace_back(key, labels[key].str());
  return out;
}

// The volume of a service account's token, CA and namespace, but for its name.
const Document& token_projection() {
  static const Document made = [] {
    Draft sources = Draft::array();
    sources.push_back(Draft::object({{"serviceAccountToken", Draft::object({{"expirationSeconds", 3607}, {"path", "token"}})}}));
    sources.push_back(
        Draft::object({{"configMap", Draft::object({{"name", "kube-root-ca.crt"},
                                                    {"items", Draft::array({Draft::object({{"key", "ca.crt"}, {"path", "ca.crt"}})})}})}}));
    Draft item =
        Draft::object({{"path", "namespace"}, {"fieldRef", Draft::object({{"apiVersion", "v1"}, {"fieldPath", "metadata.namespace"}})}});
    sources.push_back(Draft::object({{"downwardAPI", Draft::object({{"items", Draft::array({item})}})}}));
    return Draft::object({{"sources", std::move(sources)}, {"defaultMode", 420}}).freeze();
  }();
  return made;
}

}  // namespace

ApiResult<void> namespace_lifecycle(const AdmissionAttributes& a, Draft&) {
  const Work& work = a.work;
  if (!work.served->namespaced() || a.operation != "CREATE") return {};
  // Reviews of access are about a namespace, not in it.
  if (work.served->group() == "authorization.k8s.io") return {};
  Document ns = work.registry.read("", "v1", "namespaces", "", work.ns);
  if (!ns) return fail(not_found("", "namespaces", work.ns));
  if (!ns["metadata"]["deletionTimestamp"].exists() && ns["status"]["phase"].as_string() != "Terminating") return {};
  Status status = refused(a, fmt::format("unable to create new content in namespace {} because it is being terminated", work.ns));
  status.causes = {{"NamespaceTerminating", fmt::format("namespace {} is being terminated", work.ns), "metadata.namespace"}};
  return fail(std::move(status));
}

ApiResult<void> protected_namespaces(const AdmissionAttributes& a) {
  if (!a.work.is("", "namespaces")) return {};
  for (std::string_view name : {"default", "kube-system", "kube-public"})
    if (a.work.name == name) return fail(forbidden("", "namespaces", name, "this namespace may not be deleted"));
  return {};
}

namespace {

constexpr auto account_wait = std::chrono::seconds(1);

// Of a namespace that has just been made the account may still be on its way: a pod waits for it for a moment, as upstream
// does (only for `default`, which everyone has).
Document await_account(Registry& registry, const std::string& ns, const std::string& name) {
  Document found = registry.read("", "v1", "serviceaccounts", ns, name);
  if (found || name != "default" || !registry.may_wait()) return found;
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    bool woken = false;
  };
  auto shared = std::make_shared<Shared>();
  auto watch = registry.store().watch("/serviceaccounts/" + ns + "/", registry.store().revision(), [shared] {
    std::lock_guard lock(shared->mutex);
    shared->woken = true;
    shared->changed.notify_all();
  });
  if (!watch) return found;
  const auto end = std::chrono::steady_clock::now() + account_wait;
  while (true) {
    std::vector<store::ChangePtr> changes;
    if (!(*watch)->take(changes, 64)) return registry.read("", "v1", "serviceaccounts", ns, name);
    if (!changes.empty()) continue;
    if (found = registry.read("", "v1", "serviceaccounts", ns, name); found) return found;
    std::unique_lock lock(shared->mutex);
    if (!shared->changed.wait_until(lock, end, [&] { return shared->woken; })) return {};
    shared->woken = false;
  }
}

}  // namespace

ApiResult<void> service_account(const AdmissionAttributes& a, Draft& pod) {
  if (!creates_pod(a)) return {};
  Draft& spec = pod["spec"];
  const Draft* mirror = pod.find_path({"metadata", "annotations", "kubernetes.io/config.mirror"});
  if (mirror) {
    const Draft* name = spec.find("serviceAccountName");
    if (name && !name->as_string().empty()) return fail(refused(a, "a mirror pod may not reference service accounts"));
    return {};
  }
  Draft& name = spec["serviceAccountName"];
  if (name.as_string().empty()) name = "default";
  spec["serviceAccount"] = name;
  std::string account(name.as_string());
  Document sa = await_account(a.work.registry, a.work.ns, account);
  if (!sa)
    return fail(
        refused(a, fmt::format("error looking up service account {}/{}: serviceaccount \"{}\" not found", a.work.ns, account, account)));
  const Draft* own = spec.find("automountServiceAccountToken");
  bool mount = own && !own->is_null() ? own->as_bool() : sa["automountServiceAccountToken"].as_bool(true);
  constexpr std::string_view path = "/var/run/secrets/kubernetes.io/serviceaccount";
  if (mount) {
    std::string volume;
    if (Draft* volumes = spec.find("volumes"); volumes && volumes->is_array())
      for (const Draft& v : volumes->items())
        if (const Draft* n = v.find("name"); n && n->as_string().starts_with("kube-api-access-")) volume = n->as_string();
    bool has_volume = !volume.empty(), used = false;
    if (!has_volume) volume = "kube-api-access-" + random_suffix(a.work.world.random, 5);
    for (std::string_view list : {"initContainers", "containers"}) {
      Draft* containers = spec.find(list);
      if (!containers || !containers->is_array()) continue;
      for (Draft& c : containers->items()) {
        bool taken = false;
        if (const Draft* mounts = c.find("volumeMounts"); mounts && mounts->is_array())
          for (const Draft& m : mounts->items())
            if (const Draft* p = m.find("mountPath"); p && p->as_string() == path) taken = true;
        if (taken) continue;
        Draft added = Draft::object();
        added["name"] = volume;
        added["readOnly"] = true;
        added["mountPath"] = path;
        c["volumeMounts"].push_back(std::move(added));
        used = true;
      }
    }
    if (used && !has_volume) {
      Draft added = Draft::object();
      added["name"] = volume;
      added["projected"] = token_projection();
      spec["volumes"].push_back(std::move(added));
    }
  }
  const Draft* secrets = spec.find("imagePullSecrets");
  if ((!secrets || secrets->size() == 0) && !sa["imagePullSecrets"].empty()) spec["imagePullSecrets"] = sa["imagePullSecrets"];
  return {};
}

ApiResult<void> taint_nodes_by_condition(const AdmissionAttributes& a, Draft& node) {
  if (a.operation != "CREATE" || !a.work.is("", "nodes") || !a.work.subresource.empty()) return {};
  Draft& taints = node["spec"]["taints"];
  if (taints.is_array())
    for (const Draft& t : taints.items())
      if (const Draft* key = t.find("key"), *effect = t.find("effect");
          key && effect && key->as_string() == "node.kubernetes.io/not-ready" && effect->as_string() == "NoSchedule")
        return {};
  taints.push_back(Draft::object({{"key", "node.kubernetes.io/not-ready"}, {"effect", "NoSchedule"}}));
  return {};
}

ApiResult<void> topology_labels(const AdmissionAttributes& a, Draft& pod) {
  if (!creates_pod(a)) return {};
  const Draft* name = pod.find_path({"spec", "nodeName"});
  if (!name || name->as_string().empty()) return {};
  for (const auto& [key, value] : topology_of(a.work.registry, name->as_string()))
    if (Draft& labels = pod["metadata"]["labels"]; !labels.is_object() || !labels.find(key)) labels[key] = value;
  return {};
}

Document with_topology_labels(const Registry& registry, Document binding) {
  if (binding["target"]["kind"].as_string() != "Node") return binding;
  const auto found = topology_of(registry, binding["target"]["name"].as_string());
  if (found.empty()) return binding;
  Draft out(binding);
  for (const auto& [key, value] : found)
    if (!binding["metadata"]["labels"][key].exists()) out["metadata"]["labels"][key] = value;
  return out.freeze();
}

ApiResult<void> priority(const AdmissionAttributes& a, Draft& pod) {
  if (a.operation == "UPDATE" && a.work.is("", "pods") && a.work.subresource.empty()) {
    // Set when the pod was made, and not to be changed: who leaves it out means what is there.
    for (std::string_view field : {"priority", "preemptionPolicy"}) {
      const Draft* given = pod.find_path({"spec", field});
      if (a.before["spec"][field].exists() && (!given || given->is_null())) pod["spec"][field] = a.before["spec"][field];
    }
    return {};
  }
  if (!creates_pod(a)) return {};
  Draft& spec = pod["spec"];
  std::string name(spec.find("priorityClassName") ? spec["priorityClassName"].as_string() : "");
  std::int64_t value = 0;
  std::string policy = "PreemptLowerPriority";
  if (name.empty()) {
    // The class that says it is the default; of several the lowest.
    bool found = false;
    a.work.registry.each("scheduling.k8s.io", "v1", "priorityclasses", "", [&](Value c) {
      if (c["globalDefault"].as_bool() && (!found || c["value"].as_int() < value)) {
        found = true;
        value = c["value"].as_int();
        name = c["metadata"]["name"].str();
        policy = c["preemptionPolicy"].str();
      }
      return true;
    });
    if (found) spec["priorityClassName"] = name;
  } else {
    Document c = a.work.registry.read("scheduling.k8s.io", "v1", "priorityclasses", "", name);
    if (!c) return fail(refused(a, fmt::format("no PriorityClass with name {} was found", name)));
    value = c["value"].as_int();
    if (!c["preemptionPolicy"].as_string().empty()) policy = c["preemptionPolicy"].str();
  }
  if (const Draft* given = spec.find("priority"); given && !given->is_null() && given->as_int() != value)
    return fail(refused(a, fmt::format("the integer value of priority ({}) must not be provided in pod spec; priority admission controller "
                                       "computed {} from the given PriorityClass name",
                                       given->as_int(), value)));
  spec["priority"] = value;
  if (const Draft* given = spec.find("preemptionPolicy"); given && !given->as_string().empty() && given->as_string() != policy)
    return fail(refused(a, fmt::format("the string value of PreemptionPolicy ({}) must not be provided in pod spec; priority admission "
                                       "controller computed {} from the given PriorityClass name",
                                       given->as_string(), policy)));
  spec["preemptionPolicy"] = policy;
  return {};
}

ApiResult<void> one_default_priority(const AdmissionAttributes& a, Value object) {
  if ((a.operation != "CREATE" && a.operation != "UPDATE") || !a.work.is("scheduling.k8s.io", "priorityclasses") ||
      !object["globalDefault"].as_bool())
    return {};
  std::string taken;
  std::int64_t value = 0;
  a.work.registry.each("scheduling.k8s.io", "v1", "priorityclasses", "", [&](Value c) {
    if (c["globalDefault"].as_bool() && (taken.empty() || c["value"].as_int() < value)) {
      taken = c["metadata"]["name"].str();
      value = c["value"].as_int();
    }
    return true;
  });
  if (taken.empty() || (a.operation == "UPDATE" && taken == a.work.name)) return {};
  return fail(refused(a, fmt::format("PriorityClass {} is already marked as default. Only one default can exist", taken)));
}

ApiResult<void> default_toleration_seconds(const AdmissionAttributes& a, Draft& pod) {
  if (!(a.work.is("", "pods") && (a.operation == "CREATE" || a.operation == "UPDATE") && a.work.subresource.empty())) return {};
  Draft& tolerations = pod["spec"]["tolerations"];
  bool not_ready = false, unreachable = false;
  auto text = [](const Draft& t, std::string_view key) {
    const Draft* v = t.find(key);
    return v ? v->as_string() : std::string_view();
  };
  if (tolerations.is_array()) {
    for (const Draft& t : tolerations.items()) {
      std::string_view key = text(t, "key"), effect = text(t, "effect");
      if (!effect.empty() && effect != "NoExecute") continue;
      not_ready |= key == "node.kubernetes.io/not-ready" || key.empty();
      unreachable |= key == "node.kubernetes.io/unreachable" || key.empty();
    }
  }
  if (!not_ready) tolerations.push_back(Draft(not_ready_toleration()));
  if (!unreachable) tolerations.push_back(Draft(unreachable_toleration()));
  if (tolerations.is_null()) pod["spec"].erase("tolerations");
  return {};
}

}  // namespace kybern::apiserver::admission
