// The verbs that validation rules are written in, and the rules that several kinds share. Not for other rooms.
#pragma once

#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "document/document.h"
#include "machinery/field.h"
#include "machinery/labels.h"
#include "machinery/metadata.h"
#include "machinery/names.h"
#include "machinery/quantity.h"
#include "machinery/validate/validate.h"

namespace kybern::rules {

// Findings, in the order in which rules make them.
class Findings {
 public:
  void required(const Path& path, std::string_view detail = {}) { errors_.push_back(field::required(path, detail)); }
  void forbidden(const Path& path, std::string_view detail) { errors_.push_back(field::forbidden(path, detail)); }
  template <class V>
  void invalid(const Path& path, const V& value, std::string_view detail) {
    errors_.push_back(field::invalid(path, value, detail));
  }
  void duplicate(const Path& path, std::string_view value) { errors_.push_back(field::duplicate(path, value)); }
  void duplicate(const Path& path, Value value) { errors_.push_back(field::duplicate(path, value)); }
  void not_found(const Path& path, std::string_view value) { errors_.push_back(field::not_found(path, value)); }
  void not_supported(const Path& path, std::string_view value, std::initializer_list<std::string_view> supported) {
    errors_.push_back(field::not_supported(path, value, supported));
  }
  // An unsupported value that is more than a text, such as a whole strategy.
  void not_supported(const Path& path, Value value, std::initializer_list<std::string_view> supported) {
    FieldError error = field::not_supported(path, "", supported);
    error.value = field::shown(value);
    errors_.push_back(std::move(error));
  }
  // An invalid value that is not shown.
  void wrong(const Path& path, std::string_view detail) {
    FieldError error = field::invalid(path, "", detail);
    error.value.clear();
    errors_.push_back(std::move(error));
  }
  void too_many(const Path& path, std::size_t actual, std::size_t max) { errors_.push_back(field::too_many(path, actual, max)); }
  void too_long(const Path& path, std::size_t max) { errors_.push_back(field::too_long(path, max)); }
  void add(FieldErrors more) { field::append(errors_, std::move(more)); }
  void add(FieldError one) { errors_.push_back(std::move(one)); }
  // One finding per message about a text.
  void say(const Path& path, std::string_view value, const names::Messages& messages) {
    for (const std::string& message : messages) errors_.push_back(field::invalid(path, value, message));
  }
  void say(const Path& path, std::int64_t value, const names::Messages& messages) {
    for (const std::string& message : messages) errors_.push_back(field::invalid(path, value, message));
  }
  // 0 and more; absent is 0.
  void nonnegative(const Path& path, Value number) {
    if (number.as_int() < 0) invalid(path, number.as_int(), "must be greater than or equal to 0");
  }
  // `value` is one of `supported`; else it is said to be missing when empty.
  void one_of(const Path& path, std::string_view value, std::initializer_list<std::string_view> supported) {
    for (std::string_view one : supported) {
      if (one == value) return;
    }
    if (value.empty()) required(path);
    else not_supported(path, value, supported);
  }
  // As one_of, but an empty value is unsupported like any other.
  void enumerated(const Path& path, std::string_view value, std::initializer_list<std::string_view> supported) {
    for (std::string_view one : supported) {
      if (one == value) return;
    }
    not_supported(path, value, supported);
  }

  bool empty() const { return errors_.empty(); }
  std::size_t size() const { return errors_.size(); }
  FieldErrors take() { return std::move(errors_); }

 private:
  FieldErrors errors_;
};

inline std::string_view text(Value value, FieldKey key) { return value[key].as_string(); }
inline bool set(Value value, FieldKey key) { return !value[key].is_null(); }

// Metadata of a built-in kind, with the extra rule about finalizers.
void object_meta(Findings& f, Value object, bool namespaced, NameRule rule);
void object_meta_update(Findings& f, Value object, Value old);

// resources.cpp: names and amounts of resources.
bool is_native_resource(std::string_view name);
bool is_extended_resource(std::string_view name);
bool is_hugepage(std::string_view name);
bool is_overcommit_allowed(std::string_view name);
bool is_standard_quota_resource(std::string_view name);
void resource_name(Findings& f, std::string_view name, const Path& path);
void container_resource_name(Findings& f, std::string_view name, const Path& path);
void quota_resource_name(Findings& f, std::string_view name, const Path& path);
void resource_amount(Findings& f, std::string_view name, Value amount, const Path& path);
void positive_amount(Findings& f, Value amount, const Path& path);
using ResourceNameRule = void (*)(Findings& f, std::string_view name, const Path& path);
void resource_requirements(Findings& f, Value resources, const std::set<std::string, std::less<>>& claims, const Path& path,
                           ResourceNameRule name_rule = container_resource_name);

// paths.cpp
void no_backsteps(Findings& f, std::string_view target, const Path& path);
void descending_path(Findings& f, std::string_view target, const Path& path);        // relative, without ".."
void unreserved_local_path(Findings& f, std::string_view target, const Path& path);  // and not beginning with ".."
void file_mode(Findings& f, Value mode, const Path& path);
void port_number_or_name(Findings& f, Value port, const Path& path);
// Without leading zeros, bits beyond the prefix, or IPv4 dressed as IPv6; but whatever stands in `kept`, which is what the
// stored object has, is let through.
using Kept = std::vector<std::string_view>;
void ip_address(Findings& f, std::string_view ip, const Path& path, const Kept& kept = {});
void cidr(Findings& f, std::string_view text, const Path& path, const Kept& kept = {});
std::string_view address_fault(std::string_view ip);                        // what is wrong with it, "" for nothing
void canonical_cidr(Findings& f, std::string_view text, const Path& path);  // and written as it is printed
void ordinary_ip(Findings& f, std::string_view ip, const Path& path);       // not loopback, link-local, unspecified
void dns_label(Findings& f, std::string_view name, const Path& path);
void dns_subdomain(Findings& f, std::string_view name, const Path& path);
void qualified(Findings& f, std::string_view name, const Path& path);
bool dual_stack(const std::vector<std::string>& addresses);
std::string changes(Value old, Value now);  // what differs, a line per field

void amount_or_percent(Findings& f, Value amount, const Path& path);  // workloads.cpp: 3 or "25%"

// Volumes by name, for the rules about mounts.
struct Volumes {
  std::map<std::string, Value, std::less<>> known;
  Value find(std::string_view name) const {
    auto found = known.find(name);
    return found == known.end() ? Value() : found->second;
  }
};

// volumes.cpp, volume_sources.cpp
Volumes volumes(Findings& f, Value list, std::string_view pod_name, const Path& path);
void volume_sources(Findings& f, Value volume, std::string_view name, std::string_view pod_name, const Path& path);
void persistent_volume_sources(Findings& f, Value spec, std::string_view name, const Path& path);
void csi_driver_name(Findings& f, std::string_view name, const Path& path);
void object_field_selector(Findings& f, Value selector, bool for_volume, const Path& path);
void resource_field_selector(Findings& f, Value selector, bool for_volume, const Path& path);
void template_meta(Findings& f, Value meta, const Path& path);  // of what is made from a template: labels and annotations only

// pod.cpp and its neighbours
struct PodContext {
  bool is_pod = false;  // the whole object is a pod, not a template
  std::string_view pod_name;
  Value meta;      // of the pod or template
  Value before{};  // the spec that is replaced: what it was allowed it keeps
};
void pod_spec(Findings& f, Value spec, const PodContext& context, const Path& path);
void pod_template(Findings& f, Value pod_template, const Path& path, Value before = {});  // before: the template that is replaced
void pod_annotations(Findings& f, Value annotations, Value spec, const Path& path);
void containers(Findings& f, Value spec, const Volumes& volumes, const PodContext& context, const Path& path);
void pod_security_context(Findings& f, Value spec, const Path& path);
void security_context(Findings& f, Value context, bool host_users, const Path& path);
void seccomp_annotations(Findings& f, Value meta, Value spec, const Path& path);  // against the fields
inline constexpr std::string_view seccomp_pod = "seccomp.security.alpha.kubernetes.io/pod";
inline constexpr std::string_view seccomp_prefix = "container.seccomp.security.alpha.kubernetes.io/";   // and a container's name
inline constexpr std::string_view apparmor_prefix = "container.apparmor.security.beta.kubernetes.io/";  // and a container's name
void apparmor_annotations(Findings& f, Value meta, Value spec, const Path& path);
void windows_host_process(Findings& f, Value spec, const Path& path);
void pod_os(Findings& f, Value spec, const Path& path);
void affinity(Findings& f, Value affinity, Value before, const Path& path);
// `any_values`: texts that no label can have are let through, as they were once.
void node_selector(Findings& f, Value selector, const Path& path, bool any_values = false);
void node_selector_term(Findings& f, Value term, bool any_values, const Path& path);
bool has_odd_values(Value selector);  // a node selector with such texts
void tolerations(Findings& f, Value list, const Path& path);
void taint_effect(Findings& f, std::string_view effect, bool may_be_empty, const Path& path);
void topology_spread(Findings& f, Value list, const Path& path);
void topology_selector_terms(Findings& f, Value list, const Path& path);
void claim_spec(Findings& f, Value spec, bool is_template, const Path& path, Value before = {});
void persistent_volume_spec(Findings& f, Value spec, std::string_view name, bool inline_volume, const Path& path, Value before = {});
// Calls visit(container, path) for init, regular and ephemeral containers.
template <class Visit>
void each_container(Value spec, const Path& path, Visit visit) {
  for (const char* list : {"initContainers", "containers", "ephemeralContainers"}) {
    Path at = path.child(list);
    std::size_t i = 0;
    for (Value container : spec[list].items()) visit(container, at.index(i++));
  }
}

Kept balancer_ips(Value object);                                 // service.cpp: those in status.loadBalancer
names::Messages name_is_ip(std::string_view name, bool prefix);  // networking.cpp

// One kind's rules. A null pointer falls back: update to metadata and create's rules, subresources to metadata.
struct Kind {
  std::string_view group, kind;
  NameRule name;
  void (*create)(Findings& f, Value object);
  void (*update)(Findings& f, Value object, Value old);
  void (*status)(Findings& f, Value object, Value old);
};
const Kind* find_kind(std::string_view group, std::string_view kind);

#define KYBERN_RULES(name)                                  \
  void name##_create(Findings& f, Value object);            \
  void name##_update(Findings& f, Value object, Value old); \
  void name##_status(Findings& f, Value object, Value old);
KYBERN_RULES(pod)
KYBERN_RULES(pod_template)
KYBERN_RULES(service)
KYBERN_RULES(endpoints)
KYBERN_RULES(config_map)
KYBERN_RULES(secret)
KYBERN_RULES(namespace)
KYBERN_RULES(node)
KYBERN_RULES(resource_quota)
KYBERN_RULES(limit_range)
KYBERN_RULES(service_account)
KYBERN_RULES(replication_controller)
KYBERN_RULES(persistent_volume)
KYBERN_RULES(persistent_volume_claim)
KYBERN_RULES(event)
KYBERN_RULES(core_event)
KYBERN_RULES(deployment)
KYBERN_RULES(replica_set)
KYBERN_RULES(stateful_set)
KYBERN_RULES(daemon_set)
KYBERN_RULES(controller_revision)
KYBERN_RULES(job)
KYBERN_RULES(cron_job)
KYBERN_RULES(autoscaler)
KYBERN_RULES(ingress)
KYBERN_RULES(ingress_class)
KYBERN_RULES(network_policy)
KYBERN_RULES(ip_address)
KYBERN_RULES(service_cidr)
KYBERN_RULES(role)
KYBERN_RULES(cluster_role)
KYBERN_RULES(role_binding)
KYBERN_RULES(cluster_role_binding)
KYBERN_RULES(storage_class)
KYBERN_RULES(volume_attachment)
KYBERN_RULES(csi_driver)
KYBERN_RULES(csi_node)
KYBERN_RULES(csi_storage_capacity)
KYBERN_RULES(volume_attributes_class)
KYBERN_RULES(priority_class)
KYBERN_RULES(lease)
KYBERN_RULES(certificate_request)
KYBERN_RULES(validating_webhooks)
KYBERN_RULES(mutating_webhooks)
KYBERN_RULES(validating_policy)
KYBERN_RULES(validating_binding)
KYBERN_RULES(mutating_policy)
KYBERN_RULES(mutating_binding)
KYBERN_RULES(runtime_class)
KYBERN_RULES(api_service)
KYBERN_RULES(disruption_budget)
KYBERN_RULES(endpoint_slice)
KYBERN_RULES(flow_schema)
KYBERN_RULES(resource_claim)
KYBERN_RULES(resource_claim_template)
KYBERN_RULES(device_class)
KYBERN_RULES(resource_slice)
KYBERN_RULES(priority_level)
#undef KYBERN_RULES

void subject_access_review(Findings& f, Value object);
void local_subject_access_review(Findings& f, Value object);
void self_subject_access_review(Findings& f, Value object);
void pod_ephemeral_update(Findings& f, Value object, Value old);
void pod_resize_update(Findings& f, Value object, Value old);
void namespace_finalize_update(Findings& f, Value object, Value old);
void certificate_approval_update(Findings& f, Value object, Value old);

}  // namespace kybern::rules
