// The API server's flags about who is asking, what is kept of it, and what is kept secret; their names are upstream's.
#pragma once

#include "apiserver/server.h"
#include "bin/flags.h"

namespace kybern::bin {

void add_security_flags(Flags& flags, apiserver::ServerOptions& options);

}  // namespace kybern::bin
