#include "controllers/service_events.h"

#include "client/mirror.h"
#include "controllers/objects.h"
#include "controllers/service_pods.h"

namespace kybern::controllers {
namespace {

// Every pair of the selector is a label: what LabelSelector::from_map says, without building one for each pod event.
bool selects(Value service, Value pod) {
  const Value selector = service["spec"]["selector"], labels = pod["metadata"]["labels"];
  if (selector.empty()) return false;
  for (Member m : selector.members())
    if (!(labels[m.key] == m.value)) return false;
  return true;
}

}  // namespace

void add_services_of_pod(Runner& runner, const Mirrors& mirrors, const Document& before, const Document& now) {
  if (!endpoint_changed(before, now)) return;
  for (const Document& service : mirrors.services.list_namespace(namespace_of(now ? now : before)))
    if ((before && selects(service, before)) || (now && selects(service, now))) runner.add(client::key_of(service));
}

std::vector<Document> pods_of_service(const Mirrors& mirrors, const Document& service) {
  std::vector<Document> out = mirrors.pods.list_namespace(namespace_of(service));
  std::erase_if(out, [&](const Document& pod) { return !selects(service, pod); });
  return out;
}

}  // namespace kybern::controllers
