// `kubectl port-forward pod/web 8080:80`: how the port words read. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "document/document.h"

namespace kybern::cli {

struct PortSpec {
  std::uint16_t local = 0;  // 0: any free port
  std::string remote;       // a number, or the name of a port
};
Result<PortSpec> read_port_spec(std::string_view text);  // "80", "8080:80", ":80", "8080:http"
// The container's port for `remote`: of a service (when it is an object) the target of its port, in `pod`.
Result<std::uint16_t> container_port(std::string_view remote, Value service, Value pod);

}  // namespace kybern::cli
