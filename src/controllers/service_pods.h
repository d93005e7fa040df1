// What the two endpoint controllers share: which pods stand behind a Service, under which addresses and ports.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "document/document.h"

namespace kybern::controllers {

inline constexpr std::string_view headless_label = "service.kubernetes.io/headless";

bool is_headless(Value service);  // no cluster IP: none assigned, or "None"
// Not finished, has an address, and is not being deleted unless `terminating_too`.
bool can_be_endpoint(Value pod, bool terminating_too);
// Of that family ("IPv4", "IPv6"), in the pod's order.
std::vector<std::string_view> addresses_of(Value pod, std::string_view family);
// The Service's ports as this pod has them: {name, protocol, port, appProtocol}. A named target port that the pod does
// not have is left out. With `always_name` the name is there even when it is empty, as EndpointSlice has it.
Draft ports_of(Value service, Value pod, bool always_name);
// The pod's hostname when it is a member of that (headless) Service's domain.
std::string_view hostname_for(Value service, Value pod);
Draft pod_reference(Value pod);  // {kind, namespace, name, uid}
// Whether a change of a pod matters to the endpoints of its Services. Absent: it is new, or gone.
bool endpoint_changed(Value before, Value now);
// The service's ipFamilies, or those of its cluster IPs, or IPv4.
std::vector<std::string> families_of(Value service);

}  // namespace kybern::controllers
