// client::Transport straight into the API server of this process, under one component's identity.
#pragma once

#include <memory>
#include <string>

#include "apiserver/server.h"
#include "client/transport.h"

namespace kybern::bin {

std::unique_ptr<client::Transport> local_transport(apiserver::ApiServer& server, apiserver::User user);

// The identity of a user name: its groups follow from the name ("system:serviceaccount:ns:name", "system:node:name").
apiserver::User component_user(const std::string& name);

}  // namespace kybern::bin
