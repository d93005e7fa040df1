#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/strings.h"
#include "machinery/defaults/defaults.h"
#include "machinery/defaults/fill.h"
#include "machinery/quantity.h"

namespace kybern {
namespace defaults {
namespace {

constexpr int grace_period_s = 30;

bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// A component of an image's path: runs of letters and digits joined by ".", "_", "__" or dashes.
bool path_component(std::string_view text) {
  if (text.empty() || !is_lower_or_digit(text.front()) || !is_lower_or_digit(text.back())) return false;
  for (std::size_t i = 0; i < text.size();) {
    if (is_lower_or_digit(text[i])) {
      ++i;
      continue;
    }
    std::size_t end = i;
    while (end < text.size() && !is_lower_or_digit(text[end])) ++end;
    std::string_view separator = text.substr(i, end - i);
    bool dashes = separator.find_first_not_of('-') == std::string_view::npos;
    if (separator != "." && separator != "_" && separator != "__" && !dashes) return false;
    i = end;
  }
  return true;
}

// The tag of an image reference: "latest" when it has neither tag nor digest; nothing when it is malformed.
std::optional<std::string> image_tag(std::string_view image) {
  std::size_t at = image.find('@');
  bool digest = at != std::string_view::npos;
  std::string_view name = image.substr(0, at);
  std::size_t slash = name.rfind('/');
  std::size_t colon = name.find(':', slash == std::string_view::npos ? 0 : slash);
  std::string tag;
  if (colon != std::string_view::npos) {
    tag = name.substr(colon + 1);
    name = name.substr(0, colon);
    if (tag.empty() || tag.size() > 128 || tag.front() == '.' || tag.front() == '-') return std::nullopt;
    bool good = std::all_of(tag.begin(), tag.end(),
                            [](char c) { return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '-'; });
    if (!good) return std::nullopt;
  }
  std::vector<std::string_view> parts = split(name, '/');
  std::string_view first = parts.front();
  bool domain = parts.size() > 1 && (first.find('.') != std::string_view::npos || first.find(':') != std::string_view::npos ||
                                     first == "localhost" || to_lower(first) != first);
  for (std::size_t i = domain ? 1 : 0; i < parts.size(); ++i) {
    if (!path_component(parts[i])) return std::nullopt;
  }
  if (digest && image.find(':', at) == std::string_view::npos) return std::nullopt;
  if (tag.empty() && !digest) tag = "latest";
  return tag;
}

void http_get(Draft& handler) {
  Draft* get = inner(handler, "httpGet");
  if (get == nullptr) return;
  put_text(*get, "path", "/");
  put_text(*get, "scheme", "HTTP");
}

void probe(Draft& probe) {
  put_number(probe, "timeoutSeconds", 1);
  put_number(probe, "periodSeconds", 10);
  put_number(probe, "successThreshold", 1);
  put_number(probe, "failureThreshold", 3);
  http_get(probe);
  if (Draft* grpc = inner(probe, "grpc")) put(*grpc, "service", "");
}

void container(Draft& container) {
  image_pull_policy(container, "imagePullPolicy", text(container, "image"));
  put_text(container, "terminationMessagePath", "/dev/termination-log");
  put_text(container, "terminationMessagePolicy", "File");
  each(container, "ports", [](Draft& port) { put_text(port, "protocol", "TCP"); });
  each(container, "env", [](Draft& env) {
    Draft* from = inner(env, "valueFrom");
    if (from == nullptr) return;
    if (Draft* ref = inner(*from, "fieldRef")) put_text(*ref, "apiVersion", "v1");
    if (Draft* ref = inner(*from, "fileKeyRef")) put(*ref, "optional", false);
  });
  if (Draft* resources = inner(container, "resources")) {
    round_resources(*resources, "limits");
    round_resources(*resources, "requests");
  }
  for (const char* name : {"livenessProbe", "readinessProbe", "startupProbe"}) {
    if (Draft* one = inner(container, name)) probe(*one);
  }
  if (Draft* lifecycle = inner(container, "lifecycle")) {
    for (const char* name : {"postStart", "preStop"}) {
      if (Draft* handler = inner(*lifecycle, name)) http_get(*handler);
    }
  }
}

// What is limited and not requested is requested as much as it is limited.
void requests_from_limits(Draft& container) {
  Draft* resources = inner(container, "resources");
  Draft* limits = resources == nullptr ? nullptr : inner(*resources, "limits");
  if (limits == nullptr || limits->empty()) return;
  std::vector<Draft::Field> amounts = limits->fields();
  if (Draft* requests = open(*resources, "requests")) {
    for (Draft::Field& amount : amounts) put(*requests, amount.key, std::move(amount.value));
  }
}

void host_ports(Draft& container) {
  each(container, "ports", [](Draft& port) {
    if (const Draft* number = port.find("containerPort")) put_number(port, "hostPort", static_cast<int>(number->as_int()));
  });
}

using Amounts = std::map<std::string, Quantity, std::less<>>;

Amounts amounts(const Draft& holder, std::string_view which) {
  Amounts out;
  const Draft* list = holder.find_path({"resources", which});
  if (list == nullptr || !list->is_object()) return out;
  for (const Draft::Field& field : list->fields()) {
    if (auto amount = Quantity::parse(field.value.as_string())) out.emplace(field.key, std::move(*amount));
  }
  return out;
}

// Containers run together; an init container runs alone beside the restartable ones before it.
Amounts container_requests(Draft& spec) {
  Amounts total, restartable, peak;
  each(spec, "containers", [&](Draft& c) {
    for (auto& [name, amount] : amounts(c, "requests")) total[name] += amount;
  });
  each(spec, "initContainers", [&](Draft& c) {
    Amounts own = amounts(c, "requests");
    if (text(c, "restartPolicy") == "Always") {
      for (auto& [name, amount] : own) {
        total[name] += amount;
        restartable[name] += amount;
      }
      own = restartable;
    } else {
      for (auto& [name, amount] : restartable) own[name] += amount;
    }
    for (auto& [name, amount] : own) peak[name] = std::max(peak[name], amount);
  });
  for (auto& [name, amount] : peak) total[name] = std::max(total[name], amount);
  return total;
}

// The pod's own resources, when it limits any: requests come from the containers, then from the limits.
void pod_level_requests(Draft& spec) {
  Draft* resources = inner(spec, "resources");
  Draft* limits = resources == nullptr ? nullptr : inner(*resources, "limits");
  if (limits == nullptr || limits->empty()) return;
  auto supported = [](std::string_view name) { return name == "cpu" || name == "memory" || name.starts_with("hugepages-"); };
  Draft requests = Draft::object();
  if (Draft* own = inner(*resources, "requests")) requests = *own;
  for (auto& [name, amount] : container_requests(spec)) {
    if (supported(name) && !name.starts_with("hugepages-")) put(requests, name, amount.str());
  }
  for (const Draft::Field& limit : limits->fields()) {
    if (supported(limit.key)) put(requests, limit.key, limit.value);
  }
  if (!requests.empty()) (*resources)["requests"] = std::move(requests);
}

// The two names of the service account are one value; the newer one wins.
void service_account(Draft& spec) {
  std::string name(text(spec, "serviceAccountName"));
  if (name.empty()) name = text(spec, "serviceAccount");
  if (name.empty()) return;
  spec["serviceAccountName"] = name;
  spec["serviceAccount"] = name;
}

constexpr const char* container_lists[] = {"initContainers", "containers", "ephemeralContainers"};

}  // namespace

void image_pull_policy(Draft& object, FieldKey key, std::string_view image) {
  put_text(object, key, image_tag(image) == "latest" ? "Always" : "IfNotPresent");
}

void round_resources(Draft& object, FieldKey key) {
  Draft* list = inner(object, key);
  if (list == nullptr) return;
  for (Draft::Field& field : list->fields()) {
    // Only these can be finer than a thousandth.
    if (!field.value.is_string() || field.value.as_string().find_first_of("nu.-") == std::string_view::npos) continue;
    auto amount = Quantity::parse(field.value.as_string());
    if (!amount) continue;
    amount->round_up(-3);
    field.value = amount->str();
  }
}

void pod(Draft& object) {
  Draft* spec = open(object, "spec");
  if (spec == nullptr) return;
  default_pod_spec(*spec);
  for (const char* list : {"containers", "initContainers"}) each(*spec, list, requests_from_limits);
  pod_level_requests(*spec);
  put(*spec, "enableServiceLinks", true);
  const Draft* host = spec->find("hostNetwork");
  if (host != nullptr && host->as_bool()) {
    for (const char* list : {"containers", "initContainers"}) each(*spec, list, host_ports);
  }
}

void pod_template_object(Draft& object) {
  if (Draft* pod_template = open(object, "template")) default_pod_template(*pod_template);
}

}  // namespace defaults

void default_pod_spec(Draft& spec) {
  using namespace defaults;
  put_text(spec, "restartPolicy", "Always");
  put(spec, "terminationGracePeriodSeconds", grace_period_s);
  put_text(spec, "dnsPolicy", "ClusterFirst");
  service_account(spec);
  put(spec, "securityContext", Draft::object());
  put_text(spec, "schedulerName", "default-scheduler");
  each(spec, "volumes", volume);
  for (const char* list : container_lists) each(spec, list, container);
  round_resources(spec, "overhead");
  if (Draft* resources = inner(spec, "resources")) {
    round_resources(*resources, "limits");
    round_resources(*resources, "requests");
  }
}

void default_pod_template(Draft& pod_template) {
  if (Draft* spec = defaults::open(pod_template, "spec")) default_pod_spec(*spec);
}

}  // namespace kybern
