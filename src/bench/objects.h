// The objects that a run makes, as JSON text.
#pragma once

#include <string>
#include <string_view>

namespace kybern::bench {

std::string object_name(std::string_view prefix, std::size_t number);  // load-000042
// A pod that no scheduler takes, about `bytes` long (at least some 700).
std::string pod_text(std::string_view ns, std::size_t number, std::size_t bytes);
// A node with nothing behind it, labelled kybern.dev/bench=RUN; and a pod that only such nodes of that run (its namespace) suit.
std::string node_text(std::string_view run, std::size_t number);
std::string waiting_pod_text(std::string_view run, std::size_t number);
std::string config_map_text(std::string_view ns, std::string_view name, std::size_t version);
std::string lease_text(std::string_view ns, std::size_t number, std::string_view resource_version, std::string_view renew_time);
std::string definition_text(std::string_view plural, std::string_view group);
// All rights on pods and config maps, for the group that is named like the namespace.
std::string role_text(std::string_view ns);
std::string role_binding_text(std::string_view ns);
std::string custom_text(std::string_view group, std::string_view ns, std::size_t number);

}  // namespace kybern::bench
