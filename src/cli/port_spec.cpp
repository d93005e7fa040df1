#include "cli/port_spec.h"

#include "base/strings.h"
#include "cli/jsonpath.h"

namespace kybern::cli {
namespace {

Result<std::uint16_t> number(std::string_view text) {
  const auto value = parse_int(text);
  if (!value || *value < 0 || *value > 65535) return fail(Code::invalid, "error: error parsing port " + go_quote(text));
  return static_cast<std::uint16_t>(*value);
}

Result<std::uint16_t> named_port(std::string_view name, Value pod) {
  for (const char* list : {"containers", "initContainers"})
    for (Value container : pod["spec"][list].items())
      for (Value port : container["ports"].items())
        if (port["name"].as_string() == name) return static_cast<std::uint16_t>(port["containerPort"].as_int());
  return fail(Code::not_found, "error: Pod '" + pod["metadata"]["name"].str() + "' does not have a named port '" + std::string(name) + "'");
}

}  // namespace

Result<PortSpec> read_port_spec(std::string_view text) {
  PortSpec out;
  const std::size_t colon = text.find(':');
  const std::string_view local = text.substr(0, colon), remote = colon == std::string_view::npos ? text : text.substr(colon + 1);
  if (remote.empty() || remote.find(':') != std::string_view::npos || remote == "0")
    return fail(Code::invalid, "error: invalid port format '" + std::string(text) + "'");
  out.remote = std::string(remote);
  if (local.empty()) return out;
  if (colon == std::string_view::npos && !parse_int(local)) return out;  // a name: any free port here
  auto parsed = number(local);
  if (!parsed) return std::unexpected(parsed.error());
  out.local = *parsed;
  if (parse_int(remote))
    if (auto checked = number(remote); !checked) return std::unexpected(checked.error());
  return out;
}

Result<std::uint16_t> container_port(std::string_view remote, Value service, Value pod) {
  if (!service.is_object()) return parse_int(remote) ? number(remote) : named_port(remote, pod);
  for (Value port : service["spec"]["ports"].items()) {
    if (plain_text(port["port"]) != remote && port["name"].as_string() != remote) continue;
    if (service["spec"]["clusterIP"].as_string() == "None" && !port["targetPort"].exists())
      return static_cast<std::uint16_t>(port["port"].as_int());
    const Value target = port["targetPort"];
    if (target.is_string()) return named_port(target.as_string(), pod);
    return static_cast<std::uint16_t>(target.as_int(port["port"].as_int()));
  }
  return fail(Code::not_found,
              "error: Service " + service["metadata"]["name"].str() + " does not have a service port " + std::string(remote));
}

}  // namespace kybern::cli
