// The nameless group, apart from pods.
#include <string>
#include <vector>

#include "base/strings.h"
#include "machinery/defaults/defaults.h"
#include "machinery/defaults/fill.h"

namespace kybern::defaults {
namespace {

constexpr int client_ip_timeout_s = 3 * 60 * 60;

bool one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  for (std::string_view word : words) {
    if (text == word) return true;
  }
  return false;
}

void service_port(Draft& port) {
  put_text(port, "protocol", "TCP");
  const Draft* target = port.find("targetPort");
  bool unset = target == nullptr || target->is_null() || (target->kind() == Kind::integer && target->as_int() == 0) ||
               (target->is_string() && target->as_string().empty());
  const Draft* number = port.find("port");
  if (unset) port["targetPort"] = number == nullptr ? Draft(0) : *number;
}

void service_affinity(Draft& spec) {
  put_text(spec, "sessionAffinity", "None");
  if (text(spec, "sessionAffinity") == "None") spec.erase("sessionAffinityConfig");
  if (text(spec, "sessionAffinity") != "ClientIP") return;
  Draft* config = open(spec, "sessionAffinityConfig");
  Draft* client = config == nullptr ? nullptr : open(*config, "clientIP");
  if (client != nullptr) put(*client, "timeoutSeconds", client_ip_timeout_s);
}

// Names from one list that another lacks.
void fill_missing(Draft& target, const Draft* source) {
  if (source == nullptr || !source->is_object()) return;
  for (const Draft::Field& field : source->fields()) put(target, field.key, field.value);
}

void limit_item(Draft& item) {
  for (const char* key : {"max", "min", "default", "defaultRequest", "maxLimitRequestRatio"}) round_resources(item, key);
  if (text(item, "type") != "Container") return;
  Draft limits = Draft::object(), requests = Draft::object();
  if (Draft* own = inner(item, "default")) limits = *own;
  if (Draft* own = inner(item, "defaultRequest")) requests = *own;
  fill_missing(limits, item.find("max"));
  fill_missing(requests, &limits);
  fill_missing(requests, item.find("min"));
  if (!limits.empty()) item["default"] = std::move(limits);
  if (!requests.empty()) item["defaultRequest"] = std::move(requests);
}

}  // namespace

void secret(Draft& object) {
  // Texts are written for convenience only: they are stored as bytes.
  if (Draft* texts = inner(object, "stringData")) {
    std::vector<Draft::Field> fields = texts->fields();
    Draft* data = fields.empty() ? nullptr : open(object, "data");
    for (Draft::Field& field : fields) {
      if (data != nullptr) (*data)[field.key] = base64_encode(field.value.as_string());
    }
  }
  object.erase("stringData");
  put_text(object, "type", "Opaque");
}

void service(Draft& object) {
  Draft* spec = open(object, "spec");
  if (spec == nullptr) return;
  each(*spec, "ports", service_port);
  service_affinity(*spec);
  put_text(*spec, "type", "ClusterIP");
  std::string_view type = text(*spec, "type");
  const Draft* external = spec->find("externalIPs");
  bool reachable = type == "NodePort" || type == "LoadBalancer" ||
                   (type == "ClusterIP" && external != nullptr && external->is_array() && !external->empty());
  if (reachable) put_text(*spec, "externalTrafficPolicy", "Cluster");
  if (one_of(text(*spec, "type"), {"ClusterIP", "NodePort", "LoadBalancer"})) put(*spec, "internalTrafficPolicy", "Cluster");
  if (text(*spec, "type") != "LoadBalancer") return;
  put(*spec, "allocateLoadBalancerNodePorts", true);
  Draft* balancer = object.find_path({"status", "loadBalancer"});
  if (balancer == nullptr || !balancer->is_object()) return;
  each(*balancer, "ingress", [](Draft& ingress) {
    if (!text(ingress, "ip").empty()) put_text(ingress, "ipMode", "VIP");
  });
}

void namespace_(Draft& object) {
  const Draft* name = object.find_path({"metadata", "name"});
  if (name != nullptr && !name->as_string().empty()) {
    std::string own = name->str();
    Draft* metadata = inner(object, "metadata");
    if (Draft* labels = metadata == nullptr ? nullptr : open(*metadata, "labels")) (*labels)["kubernetes.io/metadata.name"] = own;
  }
  if (Draft* status = open(object, "status")) put_text(*status, "phase", "Active");
}

void node(Draft& object) {
  if (Draft* spec = inner(object, "spec")) {
    Draft* several = spec->find("podCIDRs");
    bool many = several != nullptr && several->is_array() && !several->empty();
    std::string one(text(*spec, "podCIDR")), first = many ? several->items().front().str() : "";
    if (!one.empty() && first != one) (*spec)["podCIDRs"] = Draft::array({Draft(one)});
    else if (one.empty() && many) (*spec)["podCIDR"] = first;
  }
  if (Draft* status = inner(object, "status")) {
    round_resources(*status, "capacity");
    round_resources(*status, "allocatable");
    if (Draft* capacity = inner(*status, "capacity"); capacity != nullptr && !has(*status, "allocatable")) {
      Draft copy = *capacity;
      (*status)["allocatable"] = std::move(copy);
    }
  }
}

void persistent_volume(Draft& object) {
  if (Draft* status = open(object, "status")) put_text(*status, "phase", "Pending");
  Draft* spec = open(object, "spec");
  if (spec == nullptr) return;
  put_text(*spec, "persistentVolumeReclaimPolicy", "Retain");
  put(*spec, "volumeMode", "Filesystem");
  round_resources(*spec, "capacity");
  persistent_source(*spec);
}

void claim_spec(Draft& spec) {
  put(spec, "volumeMode", "Filesystem");
  if (Draft* resources = inner(spec, "resources")) {
    round_resources(*resources, "limits");
    round_resources(*resources, "requests");
  }
}

void persistent_volume_claim(Draft& object) {
  if (Draft* status = open(object, "status")) {
    put_text(*status, "phase", "Pending");
    round_resources(*status, "capacity");
    round_resources(*status, "allocatedResources");
  }
  if (Draft* spec = open(object, "spec")) claim_spec(*spec);
}

void endpoints(Draft& object) {
  each(object, "subsets", [](Draft& subset) { each(subset, "ports", [](Draft& port) { put_text(port, "protocol", "TCP"); }); });
}

void limit_range(Draft& object) {
  if (Draft* spec = inner(object, "spec")) each(*spec, "limits", limit_item);
}

void resource_quota(Draft& object) {
  if (Draft* spec = inner(object, "spec")) round_resources(*spec, "hard");
  if (Draft* status = inner(object, "status")) {
    round_resources(*status, "hard");
    round_resources(*status, "used");
  }
}

void replication_controller(Draft& object) {
  Draft* spec = open(object, "spec");
  if (spec == nullptr) return;
  const Draft* found = spec->find_path({"template", "metadata", "labels"});
  if (found != nullptr && found->is_object() && !found->empty()) {
    Draft labels = *found;
    const Draft* selector = spec->find("selector");
    if (selector == nullptr || selector->empty()) (*spec)["selector"] = labels;
    Draft* metadata = open(object, "metadata");
    const Draft* own = metadata == nullptr ? nullptr : metadata->find("labels");
    if (metadata != nullptr && (own == nullptr || own->empty())) (*metadata)["labels"] = std::move(labels);
    spec = inner(object, "spec");
  }
  put(*spec, "replicas", 1);
  if (Draft* pod_template = inner(*spec, "template")) default_pod_template(*pod_template);
}

}  // namespace kybern::defaults
