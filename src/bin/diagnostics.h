// The port of a component that serves nothing else: /healthz, /livez and /readyz for everybody, /metrics and /debug/ for whom
// the API allows them (a TokenReview says who a token's bearer is, a SubjectAccessReview whether they may; KEP-2831's way).
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/world.h"
#include "client/transport.h"

namespace kybern::bin {

struct DiagnosticsOptions {
  std::string bind_address = "127.0.0.1";
  int port = -1;  // -1: the component's usual one, and none when that is taken; 0: any free one
  int usual_port = 0;
  std::string certificate_file, key_file;  // "": a self-signed certificate, made anew at every start
  std::string client_ca_file;              // signs client certificates, whose names are believed
};

class Diagnostics {
 public:
  // Null when it is off or the usual port is taken. `api` outlives it.
  static Result<std::unique_ptr<Diagnostics>> start(client::Transport& api, World world, std::string component, DiagnosticsOptions options);
  virtual ~Diagnostics() = default;
  virtual int port() const = 0;
};

}  // namespace kybern::bin
